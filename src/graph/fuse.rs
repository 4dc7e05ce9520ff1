//! Fusion: elementwise work rides in the op beside it instead of a pass of its own.
//!
//! - Batch normalisation in evaluation becomes part of the convolution before it (`fold.rs`).
//! - An addition behind a batch normalisation becomes part of its epilogue.
//! - A ReLU behind a convolution, a linear layer, an addition or a batch normalisation becomes part of its epilogue.
//! - Global average pooling, the loss behind it and the pooling's gradient become one op.
//! - The mask of a ReLU's gradient becomes part of the epilogue of whatever produced that gradient, be it a sum.
//!
//! A value that anything else reads, or that stays readable after a run, is left as it is.

use super::fold::fold_batch_norms;
use crate::graph::{Graph, Node, Role, ValueId};
use crate::ops::{Op, PooledCrossEntropy};

/// Fuses what can be fused; the graph computes the same values.
pub fn fuse(graph: &mut Graph) {
    fold_batch_norms(graph);
    let nodes = std::mem::take(graph.nodes_mut());
    let mut uses = vec![0usize; graph.values().len()];
    for id in nodes.iter().flat_map(|node| &node.inputs) {
        uses[id.index()] += 1;
    }
    let mut fused: Vec<Node> = Vec::with_capacity(nodes.len());
    for mut node in nodes {
        let made_at = |fused: &[Node], id: ValueId| {
            let mut before = fused.iter();
            before.position(|before| before.outputs.contains(&id))
        };
        // Of two branches that are added, the last takes the sum: there the other is known already.
        if let (Op::Add(_), &[a, b, ..]) = (&node.op, node.inputs.as_slice())
            && made_at(&fused, a) < made_at(&fused, b)
        {
            node.inputs.swap(0, 1);
        }
        let x = node.inputs.first().copied();
        let only_use =
            x.is_some_and(|x| uses[x.index()] == 1 && graph.value(x).role == Role::Activation);
        let producer = x.and_then(|x| made_at(&fused, x));
        let absorbed = only_use
            && producer.is_some_and(|at| {
                fused[at].outputs.first() == x.as_ref() && absorb(&mut fused[at], &node)
            });
        if !absorbed {
            fused.push(node);
        }
    }
    *graph.nodes_mut() = fused;
    fuse_head(graph);
}

/// Largest `x` of a fused head: one workgroup has to walk it.
const HEAD: usize = 1 << 17;

/// Makes one op of global average pooling, the loss of its output and the gradient of the pooling.
fn fuse_head(graph: &mut Graph) {
    let nodes = graph.nodes();
    let mut found = nodes.iter().enumerate();
    let found = found.find_map(|(at, node)| match &node.op {
        Op::SoftmaxCrossEntropy(op) => Some((at, node, op)),
        _ => None,
    });
    let Some((loss, loss_node, op)) = found else {
        return;
    };
    let (logits, dlogits) = (loss_node.inputs[0], loss_node.outputs[0]);
    let is_pool =
        |node: &Node| matches!(node.op, Op::GlobalAvgPool(_)) && node.outputs[0] == logits;
    let is_back =
        |node: &Node| matches!(node.op, Op::GlobalAvgPoolBackward(_)) && node.inputs[0] == dlogits;
    let (Some(pool), Some(back)) = (
        nodes.iter().position(is_pool),
        nodes.iter().position(is_back),
    ) else {
        return;
    };
    let [pool_node, back_node] = [pool, back].map(|at| &nodes[at]);
    let masked = back_node.inputs.len() == 2;
    let reads = |nodes: &[Node], id| {
        let inputs = nodes.iter().flat_map(|node| &node.inputs);
        inputs.filter(|&&input| input == id).count()
    };
    let is_head = graph.value(dlogits).role == Role::Activation
        // The head stands where the loss stood, so what reads the logits must too, or behind it.
        && reads(&nodes[..loss], logits) == 0
        && reads(nodes, dlogits) == 1
        && (!masked || back_node.inputs[1] == pool_node.inputs[0])
        && graph.shape(pool_node.inputs[0]).len() <= HEAD;
    if !is_head {
        return;
    }
    let plain = PooledCrossEntropy::new(op.clone());
    let head = Node {
        op: if masked { plain.with_mask() } else { plain }.into(),
        inputs: vec![pool_node.inputs[0], loss_node.inputs[1]],
        outputs: vec![
            pool_node.outputs[0],
            back_node.outputs[0],
            loss_node.outputs[1],
        ],
        updates: loss_node.updates.clone(),
        layer: loss_node.layer.clone(),
    };
    let nodes = graph.nodes_mut();
    nodes[loss] = head;
    nodes.remove(back);
    nodes.remove(pool);
}

/// Lets `producer`, whose first output only `node` reads, compute `node` too. Says whether it could.
fn absorb(producer: &mut Node, node: &Node) -> bool {
    let mask: Option<ValueId> = match (&producer.op, &node.op) {
        (Op::Conv2d(conv), Op::Relu(_)) if !conv.relu() => {
            producer.op = conv.with_relu().into();
            None
        }
        (Op::BatchNorm(norm), Op::Add(add))
            if add.is_plain() && !norm.relu() && !norm.shortcut() =>
        {
            producer.op = norm.with_shortcut().into();
            Some(node.inputs[1])
        }
        (Op::BatchNorm(norm), Op::Relu(_)) if !norm.relu() => {
            producer.op = norm.with_relu().into();
            None
        }
        (Op::BatchNormEval(norm), Op::Relu(_)) if !norm.relu() => {
            producer.op = norm.with_relu().into();
            None
        }
        // What was masked is the gradient of its own input, which it reads anyway.
        (Op::BatchNormBackward(norm), Op::ReluBackward(_))
            if !norm.is_masked() && producer.inputs[1] == node.inputs[1] =>
        {
            producer.op = norm.with_mask().into();
            None
        }
        (Op::BatchNormEvalBackward(norm), Op::ReluBackward(_))
            if !norm.is_masked() && producer.inputs[1] == node.inputs[1] =>
        {
            producer.op = norm.with_mask().into();
            None
        }
        (Op::LocalResponseNormBackward(norm), Op::ReluBackward(_))
            if !norm.is_masked() && producer.inputs[1] == node.inputs[1] =>
        {
            producer.op = norm.with_mask().into();
            None
        }
        (Op::Linear(linear), Op::Relu(_)) if !linear.relu() => {
            producer.op = linear.with_relu().into();
            None
        }
        (Op::Add(add), Op::Relu(_)) if add.is_plain() => {
            producer.op = add.with_relu().into();
            None
        }
        (Op::Add(add), Op::ReluBackward(_)) if add.is_plain() => {
            producer.op = add.with_mask().into();
            Some(node.inputs[1])
        }
        (Op::Conv2dDgrad(dgrad), Op::ReluBackward(_)) if producer.inputs.len() == 2 => {
            producer.op = dgrad.with_mask().into();
            Some(node.inputs[1])
        }
        (Op::LinearDgrad(dgrad), Op::ReluBackward(_)) if producer.inputs.len() == 2 => {
            producer.op = dgrad.with_mask().into();
            Some(node.inputs[1])
        }
        (Op::MaxPool2dBackward(pool), Op::ReluBackward(_)) if producer.inputs.len() == 2 => {
            producer.op = pool.with_mask().into();
            Some(node.inputs[1])
        }
        (Op::AvgPool2dBackward(pool), Op::ReluBackward(_)) if producer.inputs.len() == 1 => {
            producer.op = pool.with_mask().into();
            Some(node.inputs[1])
        }
        (Op::GlobalAvgPoolBackward(pool), Op::ReluBackward(_)) if producer.inputs.len() == 1 => {
            producer.op = pool.with_mask().into();
            Some(node.inputs[1])
        }
        _ => return false,
    };
    producer.inputs.extend(mask);
    producer.outputs[0] = node.outputs[0];
    true
}
