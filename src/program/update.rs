//! The end of a training step: what becomes of the gradients.

use super::Training;
use crate::graph::shape::{DType, Shape};
use crate::graph::{Graph, GraphError, Role, ValueId};
use crate::ops::{Commit, Ema, Gate, GradientNorm, Update};

/// Adds a value of each parameter's shape, named after it.
fn beside(
    graph: &mut Graph,
    parameters: &[ValueId],
    kind: &str,
    role: impl Fn(ValueId) -> Role,
) -> Vec<ValueId> {
    let add = |&parameter: &ValueId| {
        let value = graph.value(parameter);
        let (name, shape) = (format!("{}.{kind}", value.name), value.shape);
        graph.add_value(name, shape, DType::F32, role(parameter))
    };
    parameters.iter().map(add).collect()
}

/// The end of a training graph, as the host sees it.
pub(super) struct End {
    /// The norm of all gradients, if they are clipped or steps are skipped.
    pub(super) norm: Option<ValueId>,
    /// What the parameters weigh in their average, if there is one.
    pub(super) averaging: Option<ValueId>,
    /// The metrics of all steps that count; behind them, if steps are skipped, how many were.
    pub(super) metrics: ValueId,
}

/// Appends the optimizer over every parameter that has a gradient, and what else a step leaves behind; `metrics` is where the
/// loss adds up.
pub(super) fn update(
    graph: &mut Graph,
    training: &Training,
    [hyper, metrics]: [ValueId; 2],
    in_parts: bool,
) -> Result<End, GraphError> {
    let mut gradients: Vec<(ValueId, ValueId)> = graph.gradients().collect();
    if gradients.is_empty() {
        return Err(GraphError::NothingToTrain);
    }
    gradients.sort_by_key(|(parameter, _)| *parameter);
    let (parameters, mut gradients): (Vec<_>, Vec<_>) = gradients.into_iter().unzip();
    let mut updates = parameters.clone();
    for (n, kind) in (0..).zip(&["moment1", "moment2"][..training.optimizer.moments()]) {
        let role = |parameter| Role::Moment(parameter, n);
        updates.extend(beside(graph, &parameters, kind, role));
    }
    let mut sums = Vec::new();
    if in_parts {
        let role = |parameter| Role::Moment(parameter, 2);
        sums = beside(graph, &parameters, "sum", role);
    }
    let skips = training.skip_non_finite;
    let mut end = End {
        norm: None,
        averaging: None,
        metrics,
    };
    let mut step = hyper;
    let mut clip_norm = training.clip_norm;
    if clip_norm.is_some() || skips {
        let mut inputs = gradients.clone();
        if in_parts {
            inputs.insert(0, hyper);
            gradients.clone_from(&sums);
        }
        let op = GradientNorm { in_parts };
        let norm = graph.push("clip", op, &inputs, &sums)?[0];
        graph.keep(norm);
        end.norm = Some(norm);
        if skips {
            end.metrics = commit(graph, [hyper, norm, metrics])?;
            step = graph.push1("commit", Gate, &[hyper, norm])?;
            // No finite norm is above it.
            clip_norm = clip_norm.or(Some(f32::MAX));
        }
    } else {
        updates.extend(sums);
    }
    let op = Update {
        optimizer: training.optimizer,
        groups: training.groups(graph, &parameters)?,
        clip_norm,
    };
    let inputs = [step].into_iter().chain(gradients).chain(end.norm);
    let inputs: Vec<ValueId> = inputs.collect();
    graph.push("optimizer", op, &inputs, &updates)?;
    if training.ema.is_some() {
        let gate = end.norm.filter(|_| skips);
        end.averaging = Some(average(graph, &parameters, gate)?);
    }
    Ok(end)
}

/// Appends what becomes of a step's metrics and of running statistics where steps are skipped; returns the metrics of those that
/// count.
fn commit(graph: &mut Graph, [hyper, norm, sums]: [ValueId; 3]) -> Result<ValueId, GraphError> {
    let len = Shape::new(&[graph.shape(sums).len() + 1])?;
    let totals = graph.add_value("metrics.counted", len, DType::F32, Role::Accumulator);
    let statistics: Vec<ValueId> = graph.statistics().collect();
    let kept = beside(graph, &statistics, "kept", Role::Kept);
    let updates = [vec![sums, totals], statistics, kept].concat();
    graph.push("commit", Commit, &[hyper, norm], &updates)?;
    Ok(totals)
}

/// Appends the moving average of `parameters`, which stays where the norm of `gate` is not finite; returns its input, what the
/// parameters weigh in it.
fn average(
    graph: &mut Graph,
    parameters: &[ValueId],
    gate: Option<ValueId>,
) -> Result<ValueId, GraphError> {
    let weight = graph.add_value("averaging", Shape::new(&[1])?, DType::F32, Role::Input);
    let averages = beside(graph, parameters, "ema", Role::Average);
    let gated = match gate {
        Some(norm) => graph.push1("average", Gate, &[weight, norm])?,
        None => weight,
    };
    let inputs: Vec<ValueId> = [gated].iter().chain(parameters).copied().collect();
    graph.push("average", Ema, &inputs, &averages)?;
    Ok(weight)
}
