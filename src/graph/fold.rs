//! Batch normalisation in evaluation is part of the convolution before it: both are linear, so they are one convolution.
//!
//! Its filters and bias depend on parameters and statistics alone, so the nodes that compute them stand first, and run only
//! when those were written ([`Graph::prologue`]).

use super::{Graph, Node, Role, ValueId};
use crate::ops::{Conv2d, Op};

/// Makes each batch normalisation in evaluation part of the convolution whose output nothing else reads.
pub(super) fn fold_batch_norms(graph: &mut Graph) {
    let mut prologue = Vec::new();
    let mut nodes = std::mem::take(graph.nodes_mut());
    let mut i = 0;
    while i < nodes.len() {
        match folded(graph, &nodes, i) {
            Some((conv, with_bias, fold)) => {
                nodes[conv].op = with_bias.into();
                nodes[conv].inputs.truncate(1);
                nodes[conv].inputs.extend(&fold.outputs);
                nodes[conv].outputs[0] = nodes[i].outputs[0];
                prologue.push(fold);
                nodes.remove(i);
            }
            None => i += 1,
        }
    }
    prologue.append(&mut nodes);
    *graph.nodes_mut() = prologue;
}

/// If node `i` is a batch normalisation that can become part of a convolution: which, what it is then, and what makes
/// its filters and bias.
fn folded(graph: &mut Graph, nodes: &[Node], i: usize) -> Option<(usize, Conv2d, Node)> {
    let norm = &nodes[i];
    let Op::BatchNormEval(op) = &norm.op else {
        return None;
    };
    let x = norm.inputs[0];
    let inputs = nodes.iter().flat_map(|node| &node.inputs);
    let readers = inputs.filter(|&&input| input == x).count();
    let conv = nodes.iter().position(|node| node.outputs.contains(&x))?;
    let of = &nodes[conv];
    let Op::Conv2d(bare) = &of.op else {
        return None;
    };
    let is_given = |id: &ValueId| graph.value(*id).role.is_state();
    let given = [&of.inputs[1..], &norm.inputs[1..]].concat();
    let is_foldable = !bare.relu()
        && readers == 1
        && graph.value(x).role == Role::Activation
        && given.iter().all(is_given)
        // A ReLU would be lost.
        && !op.relu();
    if !is_foldable {
        return None;
    }
    let inputs = [&norm.inputs[1..], &of.inputs[1..]].concat();
    let names = [".weight.folded", ".bias.folded"].map(|name| format!("{}{name}", of.layer));
    let w = graph.value(of.inputs[1]).clone();
    let b = graph.value(norm.inputs[2]).clone();
    let outputs = [(w, &names[0]), (b, &names[1])]
        .map(|(like, name)| graph.add_value(name, like.shape, like.dtype, Role::Output));
    let fold = Node {
        op: op.fold().into(),
        inputs,
        outputs: outputs.to_vec(),
        updates: Vec::new(),
        layer: norm.layer.clone(),
    };
    Some((conv, bare.with_bias(), fold))
}
