//! Trying algorithms on one computation: first whether they are right, then how long they take.

use std::fmt;

use super::super::{AdapterDescription, Executor, Gpu, GpuError};
use super::clock::Clock;
use crate::backend::runtime::Runtime;
use crate::graph::rng::floats;
use crate::graph::shape::{DType, Shape};
use crate::graph::{Graph, Role, ValueId};
use crate::ops::{Conv2d, Conv2dDgrad, Conv2dWgrad, Disagreement, Geometry, Op, Tolerance};
use crate::plan::cost::{cost, rank_correlation};
use crate::plan::{Conv2dAlgorithm, Direction, Plan, PlanOptions};
use crate::reference::Reference;

/// Runs of which the median counts.
const RUNS: usize = 3;
/// Times that one is timed again if the clock went down meanwhile.
const TURNS: usize = 3;

/// One algorithm tried on one computation.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What was computed.
    pub direction: Direction,
    /// Its shape.
    pub geometry: Geometry,
    /// How.
    pub algorithm: Conv2dAlgorithm,
    /// Seconds, or why it must not be chosen.
    pub seconds: Result<f64, String>,
}

impl Trial {
    /// Whether two are of one computation.
    fn is_of_one(&self, other: &Self) -> bool {
        (self.direction, self.geometry) == (other.direction, other.geometry)
    }

    /// The fastest that is right.
    pub(super) fn fastest(trials: &[Self]) -> Option<&Self> {
        let right = trials
            .iter()
            .filter_map(|trial| Some((trial.seconds.clone().ok()?, trial)));
        right
            .min_by(|(a, _), (b, _)| a.total_cmp(b))
            .map(|(_, trial)| trial)
    }
}

/// Trials, printable as a table.
#[derive(Clone, Debug, Default)]
pub struct Trials(pub Vec<Trial>);

impl Trials {
    /// What was refused or wrong, for people: adapter, computation, algorithm and reason.
    pub fn failures(&self, adapter: &AdapterDescription) -> Vec<String> {
        let failure = |trial: &Trial| {
            let Trial {
                direction,
                geometry,
                algorithm,
                seconds,
            } = trial;
            let reason = seconds.as_ref().err()?;
            Some(format!(
                "{algorithm} is not used for {direction} of {geometry} on {adapter}: {reason}"
            ))
        };
        self.0.iter().filter_map(failure).collect()
    }
}

impl Trials {
    /// How well the order of algorithms by what they should cost on a hardware GPU agrees with that by time: Spearman's rank
    /// correlation, the mean over all computations with two or more to compare.
    pub fn rank_correlation(&self) -> Option<f64> {
        let of = |trials: &[Trial]| {
            let pairs: Vec<_> = trials
                .iter()
                .filter_map(|trial| {
                    let cost = cost(trial.algorithm, trial.direction, &trial.geometry)?;
                    Some((cost, trial.seconds.clone().ok()?))
                })
                .collect();
            rank_correlation(&pairs)
        };
        let all: Vec<f64> = self.0.chunk_by(Trial::is_of_one).filter_map(of).collect();
        (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
    }
}

impl fmt::Display for Trials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<9} {:<36} {:<28} {:>10} {:>9}",
            "direction", "convolution", "algorithm", "ms", "GFLOP/s"
        )?;
        for trials in self.0.chunk_by(Trial::is_of_one) {
            let fastest = Trial::fastest(trials).map(|trial| trial.algorithm);
            for trial in trials {
                let Trial {
                    direction,
                    geometry,
                    algorithm,
                    seconds,
                } = trial;
                let (direction, geometry, algorithm) = (
                    direction.to_string(),
                    geometry.to_string(),
                    algorithm.to_string(),
                );
                write!(f, "{direction:<9} {geometry:<36} {algorithm:<28} ")?;
                match seconds {
                    Ok(seconds) => {
                        let rate = trial.geometry.flops() as f64 / seconds / 1e9;
                        let mark = if fastest == Some(trial.algorithm) {
                            " <"
                        } else {
                            ""
                        };
                        writeln!(f, "{:>10.3} {rate:>9.1}{mark}", seconds * 1e3)?;
                    }
                    Err(reason) => writeln!(f, "not used: {reason}")?,
                }
            }
        }
        if let Some(correlation) = self.rank_correlation() {
            writeln!(
                f,
                "rank correlation of times with what the kernels for GPUs should cost: {correlation:.2}"
            )?;
        }
        Ok(())
    }
}

/// Tries algorithms on one computation: first all whether they are right, then the right ones how long they take, one behind the
/// other. Only a lost device ends it early.
pub(super) fn try_all(
    gpu: &Gpu,
    clock: &mut Clock,
    direction: Direction,
    geometry: &Geometry,
    algorithms: &[Conv2dAlgorithm],
) -> Result<Vec<Trial>, GpuError> {
    let Some(case) = Case::new(direction, geometry) else {
        return Ok(Vec::new());
    };
    let mut trials = Vec::new();
    for &algorithm in algorithms {
        let seconds = case.check(gpu, algorithm).map(|()| f64::INFINITY);
        trials.push(Trial {
            direction,
            geometry: *geometry,
            algorithm,
            seconds: told(seconds)?,
        });
    }
    for trial in trials.iter_mut().filter(|trial| trial.seconds.is_ok()) {
        trial.seconds = told(case.time(gpu, clock, trial.algorithm))?;
    }
    for trial in &trials {
        if let (Err(reason), algorithm) = (&trial.seconds, trial.algorithm) {
            tracing::warn!(%algorithm, %direction, %geometry, adapter = %gpu.description(), %reason, "not used");
        }
    }
    Ok(trials)
}

/// A failure in words, unless the device is lost.
fn told<T>(result: Result<T, Failure>) -> Result<Result<T, String>, GpuError> {
    match result {
        Err(Failure::Device(error @ GpuError::Lost(_))) => Err(error),
        other => Ok(other.map_err(|failure| failure.to_string())),
    }
}

/// Why an algorithm is not used.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Device(#[from] GpuError),
    #[error(transparent)]
    Run(#[from] crate::backend::runtime::RuntimeError),
    #[error(transparent)]
    Plan(#[from] crate::plan::PlanError),
    #[error("wrong: {1} of {0}")]
    Wrong(String, Disagreement),
}

/// One computation with inputs and the results of the reference.
struct Case {
    graph: Graph,
    inputs: Vec<(ValueId, Vec<f32>)>,
    outputs: Vec<(ValueId, Vec<f32>)>,
    tolerance: Tolerance,
}

impl Case {
    /// `None` if the geometry is no convolution's: a cache file of other hands.
    fn new(direction: Direction, g: &Geometry) -> Option<Self> {
        let conv = Conv2d::of(g)?;
        let (x, w, y) = (
            [g.n, g.c, g.h, g.w],
            [g.k, g.c / g.groups, g.r, g.s],
            [g.n, g.k, g.p, g.q],
        );
        let (op, shapes): (Op, Vec<&[usize]>) = match direction {
            Direction::Forward => (
                conv.with_relu().into(),
                [&x, &w, &w[..1]][..2 + usize::from(g.biased)].to_vec(),
            ),
            Direction::Dgrad => (
                Conv2dDgrad::new(conv, g.h, g.w).with_mask().into(),
                vec![&y, &w, &x],
            ),
            Direction::Wgrad => (Conv2dWgrad::new(conv).into(), vec![&x, &y]),
        };
        let mut graph = Graph::default();
        let mut inputs = Vec::new();
        for (i, dims) in shapes.iter().enumerate() {
            let shape = Shape::new(dims).ok()?;
            let id = graph.add_value(format!("input {i}"), shape, DType::F32, Role::Input);
            inputs.push((id, floats(i as u32, shape.len())));
        }
        let tolerance = op.tolerance();
        let operands: Vec<_> = inputs.iter().map(|(id, _)| *id).collect();
        let ids = graph.push("trial", op, &operands, &[]).ok()?;
        for &id in &ids {
            graph.keep(id);
        }
        let mut reference = Reference::<f32>::new(graph.clone());
        write(&mut reference, &inputs).ok()?;
        reference.run().ok()?;
        let outputs = ids
            .into_iter()
            .map(|id| (id, reference.real(id).to_vec()))
            .collect();
        Some(Self {
            graph,
            inputs,
            outputs,
            tolerance,
        })
    }

    fn executor(&self, gpu: &Gpu, algorithm: Conv2dAlgorithm) -> Result<Executor, Failure> {
        let options = PlanOptions {
            conv2d: algorithm.into(),
            ..gpu.plan_options()
        };
        let mut executor = Executor::new(gpu, Plan::new(self.graph.clone(), &options)?)?;
        write(&mut executor, &self.inputs)?;
        Ok(executor)
    }

    fn check(&self, gpu: &Gpu, algorithm: Conv2dAlgorithm) -> Result<(), Failure> {
        let mut executor = self.executor(gpu, algorithm)?;
        executor.run()?;
        for (id, want) in &self.outputs {
            let compared = self.tolerance.compare(&executor.read(*id)?, want);
            compared.map_err(|wrong| Failure::Wrong(self.graph.value(*id).name.clone(), wrong))?;
        }
        Ok(())
    }

    /// Seconds of one that is right.
    fn time(
        &self,
        gpu: &Gpu,
        clock: &mut Clock,
        algorithm: Conv2dAlgorithm,
    ) -> Result<f64, Failure> {
        let mut executor = self.executor(gpu, algorithm)?;
        executor.run()?;
        let mut seconds = f64::INFINITY;
        for _ in 0..TURNS {
            clock.bring_up(gpu)?;
            let entries = executor.profile(RUNS)?;
            seconds = seconds.min(entries.iter().map(|entry| entry.seconds).sum());
            if clock.is_up(gpu)? {
                break;
            }
        }
        Ok(seconds)
    }
}

fn write(
    runtime: &mut dyn Runtime,
    inputs: &[(ValueId, Vec<f32>)],
) -> Result<(), crate::backend::runtime::RuntimeError> {
    inputs
        .iter()
        .try_for_each(|(id, data)| runtime.write(*id, data.as_slice().into()))
}
