//! Lowering: what an op uses to append its dispatches to a plan.

mod memory;

use std::collections::HashMap;

use super::slabs::{Layout, SLABS};
use super::{
    ADDRESSABLE, Access, Binding, Buffer, BufferId, Direction, Dispatch, Kernel, Page, PlanError,
    PlanOptions, Region, SlotId, Variant,
};
use crate::graph::shape::Shape;
use crate::graph::{Graph, Node, Role, ValueId};
use crate::ops::{Definition, Geometry, Op};

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

/// What a plan is made of.
pub(crate) struct Lowered {
    pub(crate) dispatches: Vec<Dispatch>,
    /// Those that need not run again as long as no parameter or statistic is written.
    pub(crate) once: Vec<Dispatch>,
    /// The buffers that they work on.
    pub(crate) buffers: Vec<Buffer>,
    /// Where each value lies.
    pub(crate) regions: Vec<Option<Region>>,
    /// The pages of values that lie in several.
    pub(crate) pages: HashMap<ValueId, Vec<Page>>,
    /// The different convolutions that were asked for.
    pub(crate) convolutions: Vec<(Direction, Geometry)>,
}

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
    /// Dispatches that run only when parameters were written, and the values that they may read.
    once: Vec<Dispatch>,
    stays: Vec<bool>,
    unread: Vec<bool>,
    /// Maps that lie in packed panels, and nowhere else.
    panels: HashMap<ValueId, Region>,
    node: Option<&'a Node>,
    /// Whether the node has no dispatch yet.
    is_first: bool,
    /// Whether the optimizer sums the parts of all gradients; then they lie in one buffer.
    optimizer_sums: bool,
    all_parts: Option<BufferId>,
    statistics: Option<BufferId>,
    kept_statistics: Option<BufferId>,
    parts: Vec<Parts>,
    convolutions: Vec<(Direction, Geometry)>,
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
            once: Vec::new(),
            stays: graph.stays(),
            unread: graph.unread(),
            panels: HashMap::new(),
            node: None,
            is_first: true,
            optimizer_sums,
            all_parts: None,
            statistics: None,
            kept_statistics: None,
            parts: Vec::new(),
            convolutions: Vec::new(),
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
            } else if let Some(region) = this.add_kept_statistic(value.role) {
                Some(region)
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
        Lowered {
            dispatches: self.dispatches,
            once: self.once,
            buffers: self.buffers,
            regions: self.regions,
            pages: self.pages,
            convolutions: self.convolutions,
        }
    }

    /// Notes that a convolution is wanted, which some algorithm is to be chosen for.
    pub(crate) fn note_convolution(&mut self, direction: Direction, geometry: Geometry) {
        let wanted = (direction, geometry);
        if !self.convolutions.contains(&wanted) {
            self.convolutions.push(wanted);
        }
    }

    pub(crate) fn options(&self) -> &PlanOptions {
        self.options
    }

    pub(crate) fn shape(&self, id: ValueId) -> Shape {
        self.graph.shape(id)
    }

    /// Whether nobody asks for a value, so that it need not be computed.
    pub(crate) fn is_unread(&self, id: ValueId) -> bool {
        self.unread[id.index()]
    }

    /// The one node that reads a value, if it does so once and nobody else asks for it.
    pub(crate) fn only_reader(&self, id: ValueId) -> Option<&'a Node> {
        if self.graph.value(id).role != Role::Activation {
            return None;
        }
        let nodes = self.graph.nodes().iter();
        let mut readers =
            nodes.flat_map(|node| node.operands().filter(|&of| of == id).map(move |_| node));
        // The node that makes it names it too.
        let (Some(_), reader, None) = (readers.next(), readers.next(), readers.next()) else {
            return None;
        };
        reader
    }

    /// Where the packed panels of a value lie, if it lies in such.
    pub(crate) fn panels(&self, id: ValueId) -> Option<Region> {
        self.panels.get(&id).copied()
    }

    /// Says that a value lies in packed panels.
    pub(crate) fn set_panels(&mut self, id: ValueId, region: Region) {
        self.panels.insert(id, region);
    }

    /// The region of a value that the node being lowered names.
    pub(crate) fn value(&self, id: ValueId) -> Region {
        self.regions[id.index()].expect("invariant: values of nodes have buffers")
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
        self.folded(kernel, variant, uniform, bindings, groups)
    }

    /// Appends a dispatch of at least so many workgroups, folded over y where x would pass the limit.
    pub(crate) fn folded(
        &mut self,
        kernel: &'static Kernel,
        variant: Variant,
        uniform: Vec<u32>,
        bindings: &[Region],
        groups: u64,
    ) -> Result<(), PlanError> {
        let y = groups.div_ceil(u64::from(self.options.limits.max_workgroups));
        let workgroups = [groups.div_ceil(y), y, 1];
        self.dispatch(kernel, variant, uniform, bindings, workgroups)
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
        self.check_bindings(bindings)?;
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

    /// Refuses what a device cannot bind, before more is planned over it.
    fn check_bindings(&self, bindings: &[Region]) -> Result<(), PlanError> {
        let limit = self.options.limits.max_binding.min(ADDRESSABLE);
        // Gradients in parts have another plan, if all of them do not fit.
        let too_large =
            |region: &&Region| region.bytes > limit && Some(region.buffer) != self.all_parts;
        match bindings.iter().find(too_large) {
            None => Ok(()),
            Some(region) => Err(PlanError::Binding {
                tensor: self.buffers[region.buffer.index()].label.clone(),
                need: region.bytes,
                limit,
            }),
        }
    }

    /// Whether what is made of a value may be kept from run to run: nothing but the host writes it.
    pub(crate) fn stays(&self, region: Region) -> bool {
        let mut values = self.graph.ids();
        values.any(|id| self.stays[id.index()] && self.regions[id.index()] == Some(region))
    }

    /// Has the last dispatch run only when a parameter was written. It must read nothing but what [`Lowering::stays`], and write to
    /// [`Lowering::kept`] memory.
    pub(crate) fn run_once(&mut self) {
        self.once.extend(self.dispatches.pop());
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
        Op::Conv2dWgrad(_) => node.outputs.clone(),
        Op::LinearWgrad(op) if op.has_weight() => node.outputs.clone(),
        Op::BatchNormBackward(_) | Op::BatchNormEvalBackward(_) => node.outputs[1..].to_vec(),
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
