//! The end of a training step: what becomes of the gradients.

use super::Training;
use crate::graph::shape::{DType, Shape};
use crate::graph::{Graph, GraphError, Role, ValueId};
use crate::ops::{Ema, GradientNorm, Update};

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

/// Appends the optimizer over every parameter that has a gradient; returns those, and the gradients' norm if they are clipped.
pub(super) fn update(
    graph: &mut Graph,
    training: &Training,
    hyper: ValueId,
    in_parts: bool,
) -> Result<(Vec<ValueId>, Option<ValueId>), GraphError> {
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
    let mut norm = None;
    if training.clip_norm.is_some() {
        let mut inputs = gradients.clone();
        if in_parts {
            inputs.insert(0, hyper);
            gradients.clone_from(&sums);
        }
        let op = GradientNorm { in_parts };
        let of_all = graph.push("clip", op, &inputs, &sums)?[0];
        graph.keep(of_all);
        norm = Some(of_all);
    } else {
        updates.extend(sums);
    }
    let op = Update {
        optimizer: training.optimizer,
        groups: training.groups(graph, &parameters)?,
        clip_norm: training.clip_norm,
    };
    let inputs: Vec<ValueId> = [hyper].into_iter().chain(gradients).chain(norm).collect();
    graph.push("optimizer", op, &inputs, &updates)?;
    Ok((parameters, norm))
}

/// Appends the moving average of `parameters`; returns its input, what the parameters weigh in it.
pub(super) fn average(graph: &mut Graph, parameters: &[ValueId]) -> Result<ValueId, GraphError> {
    let weight = graph.add_value("averaging", Shape::new(&[1])?, DType::F32, Role::Input);
    let averages = beside(graph, parameters, "ema", Role::Average);
    let inputs: Vec<ValueId> = [weight].iter().chain(parameters).copied().collect();
    graph.push("average", Ema, &inputs, &averages)?;
    Ok(weight)
}
