//! Every kernel against the reference, on the device at hand: what to run first where a result looks wrong.
//!
//! Networks that hold every op are taken apart, so that a wrong kernel is named and spoils nothing behind it: each node is
//! run by itself, on what the reference computed up to there, each convolution in every algorithm that the device can run;
//! at last the whole steps.
//!
//! ```
//! use nin_wgpu::device::{Device, DeviceChoice};
//!
//! let device = Device::open(DeviceChoice::Cpu)?;
//! for check in device.self_test()? {
//!     assert!(check.outcome.is_right(), "{check}");
//! }
//! # Ok::<(), nin_wgpu::Error>(())
//! ```

mod case;
mod networks;

use std::fmt;
use std::vec::IntoIter;

use self::case::Case;
use crate::backend::device::Device;
use crate::backend::runtime::{Runtime, RuntimeError};
use crate::backend::wait::block_on;
use crate::gpu::{Executor, Gpu, GpuError};
use crate::graph::GraphError;
use crate::ops::{Disagreement, Tolerance};
use crate::plan::{Conv2dAlgorithm, Dispatch, Plan, PlanError, PlanOptions};
use crate::reference::Reference;

/// Errors of the self-test itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SelfTestError {
    /// A network cannot be built.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A graph does not fit the device's limits.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The GPU failed.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// Running a graph failed.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

type Result<T, E = SelfTestError> = std::result::Result<T, E>;

/// One computation that was tried.
#[derive(Clone, Debug)]
pub struct Check {
    /// The op, or `training step`.
    pub op: &'static str,
    /// Shapes of its inputs and outputs, for people.
    pub shapes: String,
    /// The algorithm, if it is a convolution on a GPU.
    pub algorithm: Option<Conv2dAlgorithm>,
    /// The kernels that ran, by [`Dispatch::name`]; none on the CPU.
    pub kernels: Vec<String>,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a check.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It agrees with the reference; the largest error is this part of the op's tolerance.
    Right(f64),
    /// This value is wrong.
    Wrong(String, Disagreement),
    /// It could not be run.
    Refused(String),
}

impl Outcome {
    /// Whether it ran and agrees with the reference.
    pub fn is_right(&self) -> bool {
        matches!(self, Self::Right(_))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Right(error) => write!(f, "right, off by {:.1} % of the allowed", 100.0 * error),
            Self::Wrong(value, wrong) => write!(f, "wrong: {wrong} of {value}"),
            Self::Refused(reason) => write!(f, "refused: {reason}"),
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.op)?;
        if let Some(algorithm) = self.algorithm {
            write!(f, " by {algorithm}")?;
        }
        write!(f, " of {}: {}", self.shapes, self.outcome)
    }
}

/// The checks of one device, each run when it is asked for. A lost device ends them.
pub struct SelfTest {
    device: Device,
    cases: Vec<Case>,
    left: IntoIter<(usize, Option<Conv2dAlgorithm>)>,
}

impl Device {
    /// Prepares a check of every kernel on this device, or of every op on the CPU. They take two seconds or so on a
    /// GPU, most of it for compiling; on a software adapter a minute.
    ///
    /// # Errors
    /// None on a healthy machine: the networks are fixed, and the reference needs no driver.
    pub fn self_test(&self) -> Result<SelfTest> {
        let cases = networks::cases()?;
        let mut all = Vec::new();
        for (i, case) in cases.iter().enumerate() {
            match (self, case.geometry) {
                (Self::Gpu(gpu), Some(geometry)) => {
                    let mut algorithms = Conv2dAlgorithm::available(gpu.plan_options().limits);
                    algorithms.retain(|algorithm| algorithm.serves(&geometry));
                    all.extend(algorithms.into_iter().map(|algorithm| (i, Some(algorithm))));
                }
                _ => all.push((i, None)),
            }
        }
        Ok(SelfTest {
            device: self.clone(),
            cases,
            left: all.into_iter(),
        })
    }
}

impl SelfTest {
    /// The next check, to be awaited; as an iterator the test waits for it.
    pub async fn next_async(&mut self) -> Option<Check> {
        let (index, algorithm) = self.left.next()?;
        let case = &self.cases[index];
        let mut kernels = Vec::new();
        let outcome = run(&self.device, case, algorithm, &mut kernels).await;
        Some(self.check(index, algorithm, kernels, outcome))
    }

    fn check(
        &mut self,
        index: usize,
        algorithm: Option<Conv2dAlgorithm>,
        kernels: Vec<String>,
        outcome: Result<Outcome>,
    ) -> Check {
        let outcome = outcome.unwrap_or_else(|error| {
            if is_lost(&error) {
                self.left = Vec::new().into_iter();
            }
            Outcome::Refused(error.to_string())
        });
        let case = &self.cases[index];
        Check {
            op: case.op,
            shapes: case.shapes.clone(),
            algorithm,
            kernels,
            outcome,
        }
    }
}

impl Iterator for SelfTest {
    type Item = Check;

    fn next(&mut self) -> Option<Check> {
        let (index, algorithm) = self.left.next()?;
        let case = &self.cases[index];
        let mut kernels = Vec::new();
        let outcome = block_on(run(&self.device, case, algorithm, &mut kernels));
        Some(self.check(index, algorithm, kernels, outcome))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.left.size_hint()
    }
}

impl ExactSizeIterator for SelfTest {}

fn is_lost(error: &SelfTestError) -> bool {
    use SelfTestError::{Gpu, Runtime};
    matches!(
        error,
        Gpu(GpuError::Lost(_)) | Runtime(RuntimeError::Gpu(GpuError::Lost(_)))
    )
}

/// Runs a case and compares its results; says which kernels it ran.
async fn run(
    device: &Device,
    case: &Case,
    algorithm: Option<Conv2dAlgorithm>,
    kernels: &mut Vec<String>,
) -> Result<Outcome> {
    let mut runtime: Box<dyn Runtime> = match device {
        Device::Cpu => Box::new(Reference::<f32>::new(case.graph.clone())),
        Device::PreciseCpu => Box::new(Reference::<f32>::new(case.graph.clone()).precise()),
        Device::Gpu(gpu) => {
            let plan = plan(gpu, case, algorithm)?;
            kernels.extend(plan.dispatches().iter().map(Dispatch::name));
            Box::new(Executor::new_async(gpu, plan).await?)
        }
    };
    case.write(runtime.as_mut())?;
    runtime.run()?;
    let mut most = 0f64;
    for result in &case.results {
        let name = &case.graph.value(result.id).name;
        let tolerance: Tolerance = result.tolerance;
        let got = runtime.queue_read(result.id)?.await?;
        match tolerance.compare(&got, &result.want) {
            Ok(error) => most = most.max(error),
            Err(wrong) => return Ok(Outcome::Wrong(name.clone(), wrong)),
        }
    }
    Ok(Outcome::Right(most))
}

fn plan(gpu: &Gpu, case: &Case, algorithm: Option<Conv2dAlgorithm>) -> Result<Plan, PlanError> {
    let mut options: PlanOptions = gpu.plan_options();
    if let Some(algorithm) = algorithm {
        options.conv2d = algorithm.into();
    }
    Plan::new(case.graph.clone(), &options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_element_is_found_and_named() {
        let mut test = Device::Cpu.self_test().expect("prepared");
        for case in &mut test.cases {
            let result = case.results.last_mut().expect("each case has results");
            result.want[0] = 1.1 * result.want[0] + 1.0;
        }
        let mut checks = 0;
        for check in test {
            let Outcome::Wrong(_, wrong) = check.outcome else {
                panic!("{check}")
            };
            assert_eq!(wrong.index, 0, "{}", check.op);
            checks += 1;
        }
        assert!(checks > 30, "only {checks} checks");
    }
}
