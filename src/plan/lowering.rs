//! Lowering: what an op uses to append its dispatches to a plan.

use std::collections::HashMap;

use super::slabs::{Layout, SLABS};
use super::{
    ADDRESSABLE, Access, Binding, Buffer, BufferId, Dispatch, Kernel, Page, PlanError, PlanOptions,
    Region, SlotId, Variant,
};
use crate::graph::shape::{DType, Shape};
use crate::graph::{Graph, Node, Role, ValueId};
use crate::ops::{Definition, Op};

/// Invocations of an elementwise workgroup; the shaders import it from `package::common::index`.
pub(crate) const WORKGROUP: u64 = 64;

/// Which of [`SLABS`] a role lies in, and the parameter that the value belongs to.
fn slab_of(role: Role, id: ValueId) -> Option<(usize, ValueId)> {
    match role {
        Role::Parameter => Some((0, id)),
        Role::Gradient(parameter) => Some((1, parameter)),
        Role::Moment(parameter, n) => Some((2 + usize::from(n), parameter)),
        Role::Average(parameter) => Some((5, parameter)),
        _ => None,
    }
}

/// The gradient of one layer in parts, whose sum is left to the optimizer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts {
    /// The parts one behind the other: in each the filters' gradient, then the bias's, if it has one.
    pub(crate) partial: Region,
    /// How many.
    pub(crate) splits: u32,
    /// Where the sum goes.
    pub(crate) weights: Region,
    /// Where that of the bias goes, if there is one.
    pub(crate) bias: Option<Region>,
}

/// Dispatches, the buffers that they work on, where each value lies, and the pages of those that lie in several.
type Lowered = (
    Vec<Dispatch>,
    Vec<Buffer>,
    Vec<Option<Region>>,
    HashMap<ValueId, Vec<Page>>,
);

pub(crate) struct Lowering<'a> {
    graph: &'a Graph,
    options: &'a PlanOptions,
    buffers: Vec<Buffer>,
    regions: Vec<Option<Region>>,
    pages: HashMap<ValueId, Vec<Page>>,
    layout: Layout,
    /// The buffers of each kind of slab; none of a kind that no value has.
    slabs: [Vec<BufferId>; SLABS.len()],
    dispatches: Vec<Dispatch>,
    node: Option<&'a Node>,
    /// Whether the node has no dispatch yet.
    is_first: bool,
    /// Whether the optimizer sums the parts of all gradients; then they lie in one buffer.
    optimizer_sums: bool,
    all_parts: Option<BufferId>,
    statistics: Option<BufferId>,
    parts: Vec<Parts>,
}

impl<'a> Lowering<'a> {
    /// Places the values of `graph`. With `sum_parts` an optimizer sums the gradients that come in parts, if it can.
    pub(crate) fn new(
        graph: &'a Graph,
        options: &'a PlanOptions,
        sum_parts: bool,
    ) -> Result<Self, PlanError> {
        let mut is_trained = vec![false; graph.values().len()];
        for id in graph.ids() {
            if let Some((1.., parameter)) = slab_of(graph.value(id).role, id) {
                is_trained[parameter.index()] = true;
            }
        }
        let layout = Layout::new(graph, &is_trained, &options.limits)?;
        // The table of a sum names places in one slab.
        let optimizer_sums = sum_parts && layout.trained.len() == 1 && optimizer_sums(graph);
        let mut this = Self {
            graph,
            options,
            buffers: Vec::new(),
            regions: Vec::new(),
            pages: HashMap::new(),
            layout,
            slabs: Default::default(),
            dispatches: Vec::new(),
            node: None,
            is_first: true,
            optimizer_sums,
            all_parts: None,
            statistics: None,
            parts: Vec::new(),
        };
        let used = graph.used();
        let views = views(graph);
        for id in graph.ids() {
            let value = graph.value(id);
            let bytes = value.dtype.bytes(value.shape.len());
            let region = if !used[id.index()] && !value.role.is_state() {
                None
            } else if value.role == Role::Statistic {
                Some(this.add_statistic(bytes))
            } else if let Some((slab, parameter)) = slab_of(value.role, id) {
                Some(this.add_to_slabs(id, slab, parameter))
            } else if let Some(viewed) = views.get(&id) {
                let region = this.regions[viewed.index()];
                if let (Some(region), Role::Output) = (region, value.role) {
                    this.buffers[region.buffer.index()].persistent = true;
                }
                region
            } else if let Some(first) = this.add_pages(id, bytes) {
                Some(first)
            } else {
                let persistent = value.role != Role::Activation;
                let buffer = add_buffer(&mut this.buffers, value.name.clone(), bytes, persistent);
                Some(Region {
                    buffer,
                    offset: 0,
                    bytes,
                })
            };
            this.regions.push(region);
        }
        Ok(this)
    }

    /// Gives a data set's pictures several buffers if one binding does not hold them; the first, if so. Rows come in fours,
    /// so that any four begin at a whole word.
    fn add_pages(&mut self, id: ValueId, bytes: u64) -> Option<Region> {
        let value = self.graph.value(id);
        let limit = self.options.limits.max_binding.min(ADDRESSABLE);
        if value.role != Role::Input || value.dtype != DType::U8 || bytes <= limit {
            return None;
        }
        let all = value.shape.dims()[0];
        let row = (value.shape.len() / all) as u64;
        // A row above the limit stays in one piece, which planning then refuses by name.
        let rows = usize::try_from(limit / (4 * row)).ok()? * 4;
        if rows == 0 {
            return None;
        }
        let pages: Vec<Page> = (0..all)
            .step_by(rows)
            .map(|first| {
                let rows = rows.min(all - first);
                let bytes = value.dtype.bytes(rows * row as usize);
                let label = format!("{} from {first}", value.name);
                let buffer = add_buffer(&mut self.buffers, label, bytes, true);
                let region = Region {
                    buffer,
                    offset: 0,
                    bytes,
                };
                Page {
                    first,
                    rows,
                    region,
                }
            })
            .collect();
        let first = pages[0].region;
        self.pages.insert(id, pages);
        Some(first)
    }

    /// Gives a running statistic its place behind those before it.
    fn add_statistic(&mut self, bytes: u64) -> Region {
        let buffers = &mut self.buffers;
        let buffer = *self
            .statistics
            .get_or_insert_with(|| add_buffer(buffers, "running statistics".to_owned(), 0, true));
        let all = &mut self.buffers[buffer.index()];
        let offset = all.bytes;
        all.bytes += bytes.next_multiple_of(self.options.limits.offset_alignment);
        Region {
            buffer,
            offset,
            bytes,
        }
    }

    /// Gives a value its place, or its first, in the slabs of one kind.
    fn add_to_slabs(&mut self, id: ValueId, kind: usize, parameter: ValueId) -> Region {
        let sizes = match kind {
            0 => &self.layout.bytes,
            _ => &self.layout.trained,
        };
        if self.slabs[kind].is_empty() {
            let label = |i: usize| match sizes.len() {
                1 => SLABS[kind].to_owned(),
                n => format!("{} {} of {n}", SLABS[kind], i + 1),
            };
            let buffers = &mut self.buffers;
            let slabs = sizes.iter().enumerate();
            let slabs = slabs.map(|(i, &bytes)| add_buffer(buffers, label(i), bytes, true));
            self.slabs[kind] = slabs.collect();
        }
        let pieces = self.layout.pieces[parameter.index()].iter();
        let pages: Vec<Page> = pieces
            .map(|piece| Page {
                first: piece.first,
                rows: piece.rows,
                region: Region {
                    buffer: self.slabs[kind][piece.slab],
                    offset: piece.offset,
                    bytes: piece.bytes,
                },
            })
            .collect();
        let first = pages[0].region;
        if pages.len() > 1 {
            self.pages.insert(id, pages);
        }
        first
    }

    /// Starts the lowering of `node`.
    pub(crate) fn enter(&mut self, node: &'a Node) {
        self.node = Some(node);
        self.is_first = true;
    }

    /// Dispatches so far.
    pub(crate) fn dispatched(&self) -> usize {
        self.dispatches.len()
    }

    pub(crate) fn finish(self) -> Lowered {
        (self.dispatches, self.buffers, self.regions, self.pages)
    }

    pub(crate) fn options(&self) -> &PlanOptions {
        self.options
    }

    pub(crate) fn shape(&self, id: ValueId) -> Shape {
        self.graph.shape(id)
    }

    /// The region of a value that the node being lowered names.
    pub(crate) fn value(&self, id: ValueId) -> Region {
        self.regions[id.index()].expect("invariant: values of nodes have buffers")
    }

    /// Where the rows of a value lie: in one place, or page by page.
    pub(crate) fn pages(&self, id: ValueId) -> Vec<Page> {
        let whole = || {
            vec![Page {
                first: 0,
                rows: self.shape(id).dims()[0],
                region: self.value(id),
            }]
        };
        self.pages.get(&id).cloned().unwrap_or_else(whole)
    }

    /// The region of two values in one slab, from the first to the end of the second, and where in it the second begins, in
    /// elements: both in one binding.
    pub(crate) fn span(&self, first: ValueId, second: ValueId) -> (Region, u32) {
        let [a, b] = [first, second].map(|id| self.value(id));
        let at = b.offset - a.offset;
        let bytes = at + b.bytes;
        (Region { bytes, ..a }, (at / 4) as u32)
    }

    /// All of the slabs that is trained, for an optimizer to walk: for each one the buffers in which the values of the roles of `of` lie, in
    /// that order. All have one layout, so equal offsets belong to one parameter; gaps between parameters hold zeros.
    ///
    /// Gradients in parts ([`Lowering::take_parts`]) come only where there is one slab.
    pub(crate) fn slabs<const N: usize>(&self, of: [ValueId; N]) -> Vec<[Region; N]> {
        let kinds = of.map(|id| {
            let slab = slab_of(self.graph.value(id).role, id);
            slab.expect("invariant: an optimizer takes parameters, gradients and moments")
                .0
        });
        let sizes = self.layout.trained.iter().enumerate();
        sizes
            .map(|(i, &bytes)| {
                kinds.map(|kind| Region {
                    buffer: self.slabs[kind][i],
                    offset: 0,
                    bytes,
                })
            })
            .collect()
    }

    /// Memory that only the dispatches of this node use.
    pub(crate) fn scratch(&mut self, label: &str, elements: usize) -> Region {
        let label = format!("{}:{label}", self.node.map_or("", |node| &node.layer));
        let bytes = 4 * elements as u64;
        let buffer = add_buffer(&mut self.buffers, label, bytes, false);
        Region {
            buffer,
            offset: 0,
            bytes,
        }
    }

    /// Memory for a gradient in parts.
    pub(crate) fn parts(&mut self, label: &str, elements: usize) -> Region {
        if !self.optimizer_sums {
            return self.scratch(label, elements);
        }
        let buffers = &mut self.buffers;
        let buffer = *self
            .all_parts
            .get_or_insert_with(|| add_buffer(buffers, "gradient parts".to_owned(), 0, true));
        let all = &mut self.buffers[buffer.index()];
        let offset = all
            .bytes
            .next_multiple_of(self.options.limits.offset_alignment);
        let bytes = 4 * elements as u64;
        all.bytes = offset + bytes;
        Region {
            buffer,
            offset,
            bytes,
        }
    }

    /// Leaves the sum of parts to the optimizer; says whether it takes them.
    pub(crate) fn leave_parts(&mut self, parts: Parts) -> bool {
        if self.optimizer_sums {
            self.parts.push(parts);
        }
        self.optimizer_sums
    }

    /// All parts that were left, and the buffer that they lie in.
    pub(crate) fn take_parts(&mut self) -> Option<(Vec<Parts>, Region)> {
        let buffer = self.all_parts?;
        let all = Region {
            buffer,
            offset: 0,
            bytes: self.buffers[buffer.index()].bytes,
        };
        Some((std::mem::take(&mut self.parts), all))
    }

    /// Whether the parts that the optimizer sums fit in a binding.
    pub(crate) fn parts_fit(&self) -> bool {
        let bytes = self
            .all_parts
            .map_or(0, |id| self.buffers[id.index()].bytes);
        bytes <= self.options.limits.max_binding.min(ADDRESSABLE)
    }

    /// Words that kernels of this node read and that never change.
    pub(crate) fn constant(&mut self, label: &str, words: Vec<u32>) -> Region {
        let bytes = 4 * words.len() as u64;
        let buffer = add_buffer(&mut self.buffers, label.to_owned(), bytes, true);
        self.buffers[buffer.index()].contents = Some(words);
        Region {
            buffer,
            offset: 0,
            bytes,
        }
    }

    /// Appends a dispatch with one invocation per element, folded over y where x would pass the limit.
    pub(crate) fn elementwise(
        &mut self,
        kernel: &'static Kernel,
        variant: Variant,
        uniform: Vec<u32>,
        bindings: &[Region],
        len: usize,
    ) -> Result<(), PlanError> {
        let groups = (len as u64).div_ceil(WORKGROUP);
        let y = groups.div_ceil(u64::from(self.options.limits.max_workgroups));
        self.dispatch(
            kernel,
            variant,
            uniform,
            bindings,
            [groups.div_ceil(y), y, 1],
        )
    }

    /// Appends a dispatch.
    pub(crate) fn dispatch(
        &mut self,
        kernel: &'static Kernel,
        variant: Variant,
        uniform: Vec<u32>,
        bindings: &[Region],
        workgroups: [u64; 3],
    ) -> Result<(), PlanError> {
        let node = self.node.expect("invariant: ops are lowered after enter");
        debug_assert_eq!(bindings.len(), kernel.bindings.len(), "{}", kernel.shader);
        debug_assert_eq!(uniform.len(), kernel.uniform.len(), "{}", kernel.shader);
        let limits = &self.options.limits;
        if workgroups
            .iter()
            .any(|&n| n > u64::from(limits.max_workgroups))
        {
            return Err(PlanError::Workgroups {
                kernel: format!("{}.{}", kernel.shader, kernel.entry),
                need: workgroups,
                limit: limits.max_workgroups,
            });
        }
        if bindings.len() as u64 > u64::from(limits.storage_buffers) {
            return Err(PlanError::StorageBuffers {
                kernel: format!("{}.{}", kernel.shader, kernel.entry),
                need: bindings.len(),
                limit: limits.storage_buffers,
            });
        }
        // A node of several dispatches counts its operations once, on the first.
        let flops = if std::mem::take(&mut self.is_first) {
            node.op.flops(node, &|id| self.graph.shape(id))
        } else {
            0
        };
        self.dispatches.push(Dispatch {
            layer: node.layer.clone(),
            op: node.op.name(),
            kernel,
            variant,
            uniform,
            bindings: bindings.to_vec(),
            workgroups: workgroups.map(|n| n as u32),
            flops,
            bytes: self.moved(node, kernel, bindings),
            shapes: self.graph.shapes(node),
        });
        Ok(())
    }

    /// Says how many operations the last dispatch does, where the first of its node does not do all.
    pub(crate) fn set_flops(&mut self, flops: u64) {
        if let Some(last) = self.dispatches.last_mut() {
            last.flops = flops;
        }
    }

    /// Says how many bytes the last dispatch moves, where it touches a part of an operand only.
    pub(crate) fn set_bytes(&mut self, bytes: u64) {
        if let Some(last) = self.dispatches.last_mut() {
            last.bytes = bytes;
        }
    }

    fn is_page(&self, region: &Region) -> bool {
        let mut pages = self.pages.values().flatten();
        pages.any(|page| page.region == *region)
    }

    /// Bytes that a dispatch moves at least.
    fn moved(&self, node: &Node, kernel: &Kernel, bindings: &[Region]) -> u64 {
        let touched = |region: &Region| {
            let lies_there = |id: &ValueId| self.regions[id.index()] == Some(*region);
            match node.operands().find(lies_there) {
                Some(id) => self.graph.touched(node, id),
                // A later page: what is touched was counted with the first.
                None if self.is_page(region) => 0,
                None => region.bytes,
            }
        };
        let bound: Vec<_> = bindings.iter().zip(kernel.bindings).collect();
        let moved = bound.iter().enumerate().map(|(i, (region, binding))| {
            let again = |(other, same): &(&Region, &Binding)| {
                other == region && same.access == binding.access
            };
            match binding.access {
                // A kernel that has no use for a binding is given another one's buffer.
                Access::Read if bound[..i].iter().any(again) => 0,
                Access::Read | Access::Write => touched(region),
                Access::ReadWrite => 2 * touched(region),
            }
        });
        moved.sum()
    }
}

/// The values that are others in another shape, and which: they lie where those lie. What has a place of its own, as
/// gradients in their slab have, is no view, and gets a copy.
fn views(graph: &Graph) -> HashMap<ValueId, ValueId> {
    let nodes = graph.nodes().iter();
    let reshapes = nodes.filter(|node| matches!(node.op, Op::Reshape(_)));
    let pairs = reshapes.map(|node| (node.outputs[0], node.inputs[0]));
    let movable = |id| matches!(graph.value(id).role, Role::Activation | Role::Output);
    pairs
        .filter(|&(view, of)| movable(view) && (movable(of) || graph.value(of).role == Role::Input))
        .collect()
}

/// Whether every gradient that the optimizer takes comes in parts, and it takes all of those. Where gradients are clipped,
/// their sums are wanted before it.
fn optimizer_sums(graph: &Graph) -> bool {
    let in_parts = |node: &Node| match node.op {
        Op::Conv2dWgrad(_) | Op::LinearWgrad(_) => node.outputs.clone(),
        Op::BatchNormBackward(_) => node.outputs[1..].to_vec(),
        _ => Vec::new(),
    };
    let in_parts: Vec<ValueId> = graph.nodes().iter().flat_map(in_parts).collect();
    let sums = |node: &Node| match &node.op {
        Op::Update(op) if op.clip_norm.is_none() => {
            let taken = &node.inputs[1..];
            taken.iter().all(|id| in_parts.contains(id))
                && in_parts.iter().all(|id| taken.contains(id))
        }
        _ => false,
    };
    graph.nodes().iter().any(sums)
}

fn add_buffer(buffers: &mut Vec<Buffer>, label: String, bytes: u64, persistent: bool) -> BufferId {
    let id = BufferId(buffers.len() as u32);
    buffers.push(Buffer {
        label,
        bytes,
        persistent,
        slot: SlotId(0),
        contents: None,
    });
    id
}
