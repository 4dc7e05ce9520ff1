//! What a training step leaves behind, where those whose gradients are not finite are skipped.

use super::{Definition, Tolerance, float, same};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::plan::{Kernel, Lowering, PlanError, Variant, read, uniforms, update, write};
use crate::reference::{Io, Real, commit};

/// `y = x` if the norm of all gradients is finite, else 0.
///
/// Inputs `x`, of any shape, and `norm [1]` ([`GradientNorm`](super::GradientNorm)). Of an optimizer's `hyper [6]` nothing is left
/// then that moves a parameter or a moment, and an average of weight 0 stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate;

/// Whether what a step did besides moving parameters counts: if the norm of all gradients is finite, its sums join those of the
/// steps before, and running statistics stay where it moved them; else the sums are dropped, the statistics go back, and the step is
/// counted as skipped. A statistic that is not finite goes back by itself, as a variance may overflow where gradients are 0. Of a
/// batch that is run part by part, only the last part decides.
///
/// Inputs: `hyper [6]` ([`Optimizer::hyper_of_part`](super::Optimizer::hyper_of_part)) and `norm [1]`. Updates: `sums [M]` of the step,
/// which are 0 afterwards; `totals [M + 1]`, the last of which is the steps that were skipped; then the `n` running statistics, and
/// the `n` values of [`Role::Kept`](crate::graph::Role::Kept) that hold what they were after the last step that counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit;

uniforms! {
    struct CommitUniform { len: u32 }
}

static GATE: Kernel = Kernel {
    shader: "commit",
    entry: "gate",
    bindings: &[read("norm"), read("x"), write("y")],
    uniform: CommitUniform::FIELDS,
};

static SUMS: Kernel = Kernel {
    shader: "commit",
    entry: "sums",
    bindings: &[
        read("norm"),
        read("hyper"),
        update("step_sums"),
        update("totals"),
    ],
    uniform: CommitUniform::FIELDS,
};

static STATISTICS: Kernel = Kernel {
    shader: "commit",
    entry: "statistics",
    bindings: &[
        read("norm"),
        read("hyper"),
        update("running"),
        update("kept"),
    ],
    uniform: CommitUniform::FIELDS,
};

fn check_norm(op: &'static str, operands: &[Signature]) -> Result<(), ShapeError> {
    same(
        op,
        "norm",
        float(operands, 1, op, "norm")?,
        Shape::new(&[1])?,
    )
}

impl Definition for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let x = float(operands, 0, self.name(), "x")?;
        check_norm(self.name(), operands)?;
        Ok(vec![(x, DType::F32)])
    }

    fn backward(&self, _: &Node, _: &mut Tape<'_>) -> Result<(), GraphError> {
        Err(GraphError::NotDifferentiable(self.name()))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let len = to.shape(node.inputs[0]).len();
        let words = CommitUniform { len: len as u32 }.words();
        let bindings = [node.inputs[1], node.inputs[0], node.outputs[0]].map(|id| to.value(id));
        to.elementwise(&GATE, Variant::Plain, words, &bindings, len)
    }

    fn flops(&self, _: &Node, _: &dyn Fn(ValueId) -> Shape) -> u64 {
        0
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let (x, norm) = (io.input(0), io.input(1)[0]);
        match commit::counts(norm) {
            true => io.output(0).copy_from_slice(x),
            false => io.output(0).fill(T::default()),
        }
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::EXACT
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        vec![(&GATE, Variant::Plain)]
    }
}

impl Commit {
    /// The running statistics, and what is kept of them.
    fn statistics(node: &Node) -> (&[ValueId], &[ValueId]) {
        let statistics = &node.updates[2..];
        statistics.split_at(statistics.len() / 2)
    }
}

impl Definition for Commit {
    fn name(&self) -> &'static str {
        "commit"
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let op = self.name();
        let hyper = float(operands, 0, op, "hyper")?;
        same(op, "hyper", hyper, Shape::new(&[6])?)?;
        check_norm(op, operands)?;
        let sums = float(operands, 2, op, "sums")?;
        let totals = float(operands, 3, op, "totals")?;
        let &[len] = sums.dims() else {
            return Err(sums.mismatch(op, "sums", "one dimension [M]"));
        };
        same(op, "totals", totals, Shape::new(&[len + 1])?)?;
        let statistics = operands.len() - 4;
        if !statistics.is_multiple_of(2) {
            return Err(ShapeError::Count {
                op,
                what: "statistics, kept ones among them",
                got: statistics,
                want: "one that is kept for each that runs".to_owned(),
            });
        }
        let n = statistics / 2;
        for i in 4..4 + n {
            let running = float(operands, i, op, "statistic")?;
            same(op, "kept", float(operands, i + n, op, "kept")?, running)?;
        }
        Ok(vec![])
    }

    fn backward(&self, _: &Node, _: &mut Tape<'_>) -> Result<(), GraphError> {
        Err(GraphError::NotDifferentiable(self.name()))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let [hyper, norm] = [0, 1].map(|i| to.value(node.inputs[i]));
        let [sums, totals] = [0, 1].map(|i| to.value(node.updates[i]));
        let len = to.shape(node.updates[0]).len();
        let words = CommitUniform { len: len as u32 }.words();
        let bindings = [norm, hyper, sums, totals];
        to.elementwise(&SUMS, Variant::Plain, words, &bindings, len + 1)?;
        let (running, kept) = Self::statistics(node);
        if running.is_empty() {
            return Ok(());
        }
        let [running, kept] = to.statistics(running, kept)?;
        let len = (running.bytes / 4) as usize;
        let words = CommitUniform { len: len as u32 }.words();
        let bindings = [norm, hyper, running, kept];
        to.elementwise(&STATISTICS, Variant::Plain, words, &bindings, len)
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        shape(node.updates[0]).len() as u64
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let (hyper, norm) = (io.input(0), io.input(1)[0]);
        if hyper[5] == T::default() {
            return;
        }
        let counts = commit::counts(norm);
        let (sums, totals) = io.outputs2(0, 1);
        commit::sums(counts, sums, totals);
        let n = (io.outputs() - 2) / 2;
        for i in 2..2 + n {
            let (running, kept) = io.outputs2(i, i + n);
            commit::statistics(counts, running, kept);
        }
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-6)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        [&SUMS, &STATISTICS]
            .map(|kernel| (kernel, Variant::Plain))
            .to_vec()
    }
}
