//! What a graph takes on the CPU: how each node is computed, and the memory of all.

use std::collections::HashSet;
use std::fmt;

use super::conv2d_gemm::{self, Need};
use super::convolving;
use crate::graph::{Graph, ValueId};
use crate::ops::{Definition, Op};

/// One node.
#[derive(Clone, Debug)]
struct Step {
    layer: String,
    op: &'static str,
    /// By which method, where there are several.
    by: String,
    shapes: String,
    /// Bytes that it moves at least, and floating point operations, Winograd's counted as those that they replace.
    moved: u64,
    flops: u64,
    need: Need,
}

/// What [`Reference::<f32>::new`](super::Reference::new) makes of a graph, without taking memory; displays as a table.
///
/// ```
/// use nin_wgpu::graph::{GraphBuilder, Phase};
/// use nin_wgpu::ops::Conv2d;
/// use nin_wgpu::reference::CpuPlan;
///
/// let mut net = GraphBuilder::new(Phase::Eval);
/// let x = net.input("x", &[2, 16, 14, 14])?;
/// net.conv2d("conv1", x, 16, Conv2d::new(3, 1, 1)?)?;
/// let plan = CpuPlan::new(&net.finish(), false);
/// assert!(plan.bytes() > 4 * 2 * 16 * 14 * 14);
/// println!("{plan}");
/// # Ok::<(), nin_wgpu::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct CpuPlan {
    steps: Vec<Step>,
    prologue: usize,
    threads: usize,
    values: u64,
    filters: u64,
}

impl CpuPlan {
    /// For the threads of the pool that this is called in; `precise` as [`Reference::precise`](super::Reference::precise) has it.
    pub fn new(graph: &Graph, precise: bool) -> Self {
        let convolving = convolving::kept::<f32>(graph, precise);
        let step = |(node, how): (&crate::graph::Node, &_)| Step {
            layer: node.layer.clone(),
            op: node.op.name(),
            by: conv2d_gemm::method(graph, node, how),
            shapes: graph.shapes(node),
            moved: graph.moved(node),
            flops: node.op.flops(node, &|id| graph.shape(id)),
            need: conv2d_gemm::need(graph, node, how),
        };
        let nodes = graph.nodes().iter().zip(&convolving);
        let filters = nodes.clone();
        let filters = filters.map(|(node, how)| conv2d_gemm::kept(graph, node, how));
        Self {
            steps: nodes.map(step).collect(),
            prologue: graph.prologue(),
            threads: rayon::current_num_threads(),
            values: bytes(graph),
            filters: 4 * filters.sum::<usize>() as u64,
        }
    }

    /// Bytes that convolutions work in, on all threads: enough for any of them.
    pub fn scratch_bytes(&self) -> u64 {
        let needs = self.steps.iter().map(|step| step.need);
        needs.fold(Need::default(), Need::or).bytes(self.threads)
    }

    /// Bytes of all: values, transformed filters that are kept from run to run, and what convolutions work in.
    pub fn bytes(&self) -> u64 {
        self.values + self.filters + self.scratch_bytes()
    }
}

impl fmt::Display for CpuPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.steps.iter().map(|step| step.layer.len());
        let layer = names.fold(10, usize::max);
        writeln!(
            f,
            "{:>3}  {:<layer$} {:<24} {:<16} {:>8} {:>9} {:>10}  shapes",
            "#", "layer", "op", "by", "MB", "MFLOP", "scratch MB"
        )?;
        for (i, step) in self.steps.iter().enumerate() {
            writeln!(
                f,
                "{:>3}  {:<layer$} {:<24} {:<16} {:>8.2} {:>9.1} {:>10.2}  {}",
                i + 1,
                step.layer,
                step.op,
                step.by,
                step.moved as f64 / 1e6,
                step.flops as f64 / 1e6,
                step.need.bytes(self.threads) as f64 / 1e6,
                step.shapes,
            )?;
        }
        if self.prologue > 0 {
            let first = self.prologue;
            writeln!(f, "the first {first} only after parameters were written")?;
        }
        let flops: u64 = self.steps.iter().map(|step| step.flops).sum();
        writeln!(
            f,
            "{} nodes, {:.1} MB (values {:.1}, kept filters {:.1}, scratch of {} threads {:.1}), {:.2} GFLOP",
            self.steps.len(),
            self.bytes() as f64 / 1e6,
            self.values as f64 / 1e6,
            self.filters as f64 / 1e6,
            self.threads,
            self.scratch_bytes() as f64 / 1e6,
            flops as f64 / 1e9
        )
    }
}

/// Bytes of a graph's values.
fn bytes(graph: &Graph) -> u64 {
    let used = graph.used();
    let places = unread_places(graph);
    let held = graph
        .ids()
        .filter(|id| used[id.index()] && !places.contains(id));
    let bytes = held.map(|id| {
        let value = graph.value(id);
        value.dtype.bytes(value.shape.len())
    });
    bytes.sum()
}

/// Places of the greatest elements of max pools that have no gradient, so that nobody reads them.
pub(super) fn unread_places(graph: &Graph) -> HashSet<ValueId> {
    let unread = graph.unread();
    let pools = graph
        .nodes()
        .iter()
        .filter(|node| matches!(node.op, Op::MaxPool2d(_)));
    let places = pools.map(|node| node.outputs[1]);
    places.filter(|id| unread[id.index()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{GraphBuilder, Phase};
    use crate::ops::{Conv2d, Pool2d};

    /// A convolution and a pool, whose places nobody reads.
    fn graph() -> Result<Graph, Box<dyn std::error::Error>> {
        let mut net = GraphBuilder::new(Phase::Eval);
        let x = net.input("x", &[2, 16, 14, 14])?;
        let x = net.conv2d("conv", x, 16, Conv2d::new(3, 1, 1)?)?;
        net.max_pool2d(x, Pool2d::new(2, 2)?)?;
        Ok(net.finish())
    }

    #[test]
    fn a_plan_takes_its_values_its_filters_and_what_it_works_in() {
        let graph = graph().expect("builds");
        let values = 4 * (2 * 2 * 16 * 14 * 14 + 16 * 16 * 9 + 16 + 2 * 16 * 7 * 7);
        let precise = CpuPlan::new(&graph, true);
        assert_eq!(precise.bytes() - precise.scratch_bytes(), values);
        assert!(precise.scratch_bytes() > 0);
        let fast = CpuPlan::new(&graph, false);
        // Of each pair of channels at least the points of a tile.
        let filters = fast.bytes() - fast.scratch_bytes() - values;
        assert!(filters >= 4 * 16 * 16 * 16, "{filters} bytes of filters");
    }

    #[test]
    fn a_plan_shows_each_node_and_their_sums() {
        let plan = CpuPlan::new(&graph().expect("builds"), true);
        let text = plan.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        let words =
            |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
        // 16 * 14 * 14 outputs of two images by 144 terms.
        let conv = &words(lines[1])[..6];
        assert_eq!(conv, ["1", "conv", "conv2d", "panels", "0.06", "1.8"]);
        assert_eq!(words(lines[2])[0], "2");
        let [bytes, scratch] = [plan.bytes(), plan.scratch_bytes()].map(|n| n as f64 / 1e6);
        let says = format!(
            "2 nodes, {bytes:.1} MB (values 0.1, kept filters 0.0, scratch of {} threads {scratch:.1}), 0.00 GFLOP",
            rayon::current_num_threads()
        );
        assert_eq!(lines[3], says);
    }
}
