//! The plan: a graph turned into dispatches over slots of memory. Plain data, printable and testable without a GPU.
//!
//! [`Plan::new`] lowers each node to dispatches over virtual buffers, then `slots.rs` lets buffers of disjoint
//! lifetimes share memory. wgpu tracks usage per buffer, so every slot is a buffer of its own
//! (<https://github.com/gfx-rs/wgpu/issues/8470>).

mod algorithm;
pub(crate) mod cost;
mod display;
mod joined;
mod kernel;
mod link;
mod lowering;
mod options;
pub mod shaders;
mod slabs;
mod slots;
mod transforms;
mod winograd;

pub use algorithm::{Conv2dAlgorithm, Conv2dChoices, Direction, Product};
pub(crate) use joined::{Joined, joined_uniform};
pub use kernel::{Access, Binding, Field, Kernel, Panel, Tile, Variant};
pub(crate) use kernel::{Word, read, uniforms, update, write};
pub(crate) use lowering::{Lowering, Parts, WORKGROUP};
pub use options::{PlanLimits, PlanOptions};
pub use slots::Slot;

use std::collections::HashMap;

use self::lowering::Lowered;
use crate::graph::{Graph, ValueId};
use crate::ops::{Definition, Geometry, JOINED};

/// Errors of planning: the graph asks for more than the device's limits allow.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A buffer above the largest storage binding, or of 2 GiB, past which 32-bit offsets in bytes overflow.
    #[error(
        "`{tensor}` needs {need} bytes, but this device binds at most {limit}; use a smaller batch or image"
    )]
    Binding {
        /// The tensor.
        tensor: String,
        /// Bytes it needs.
        need: u64,
        /// Bytes the device binds.
        limit: u64,
    },
    /// A parameter above the largest storage binding that cannot be cut.
    #[error(
        "parameter `{tensor}` needs {need} bytes at once, but this device binds at most {limit}, and only weights [K,C] of linear layers are cut to fit; use fewer channels, or `--device cpu`"
    )]
    Parameter {
        /// The parameter.
        tensor: String,
        /// Bytes it needs in one piece.
        need: u64,
        /// Bytes the device binds.
        limit: u64,
    },
    /// More workgroups than a dispatch may have.
    #[error(
        "`{kernel}` needs {need:?} workgroups, but this device dispatches at most {limit} a side; use a smaller batch or image"
    )]
    Workgroups {
        /// The kernel.
        kernel: String,
        /// Workgroups along x, y, z.
        need: [u64; 3],
        /// The device's limit.
        limit: u32,
    },
    /// More storage buffers than a kernel may bind.
    #[error(
        "`{kernel}` binds {need} storage buffers, but this device allows {limit} (max_storage_buffers_per_shader_stage); use another device, or `--device cpu`"
    )]
    StorageBuffers {
        /// The kernel.
        kernel: String,
        /// How many it binds.
        need: usize,
        /// The device's limit.
        limit: u32,
    },
    /// A value of another role than an op takes: an optimizer walks parameters, gradients and moments where they lie in slabs.
    #[error("{op}: `{tensor}` is not {want}; add it to the graph in that role")]
    Role {
        /// The op.
        op: &'static str,
        /// The value.
        tensor: String,
        /// What it should be.
        want: &'static str,
    },
    /// A kernel variant that the device's limits exclude.
    #[error("`{kernel}` needs {what}; choose a smaller tile")]
    Variant {
        /// The kernel.
        kernel: String,
        /// What it needs and what the device has.
        what: String,
    },
}

/// Index of a virtual buffer of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(u32);

/// Index of a slot of memory of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SlotId(pub(crate) u32);

impl BufferId {
    fn index(self) -> usize {
        self.0 as usize
    }
}

impl SlotId {
    /// Position in [`Plan::slots`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A buffer that kernels see: a value, a slab of values, or scratch of one node.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// Name of the tensor or slab.
    pub label: String,
    /// Size, a multiple of 4.
    pub bytes: u64,
    /// Whether it outlives a run; then its slot is its own.
    pub persistent: bool,
    /// Where it lies.
    pub slot: SlotId,
    /// Words that it holds from the start and keeps.
    pub contents: Option<Vec<u32>>,
}

/// Part of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// The buffer.
    pub buffer: BufferId,
    /// First byte.
    pub offset: u64,
    /// Length in bytes.
    pub bytes: u64,
}

/// Some of the rows of a value too large for one binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// First row, along the value's first dimension.
    pub first: usize,
    /// Number of rows.
    pub rows: usize,
    /// Where they lie.
    pub region: Region,
}

/// One launch of one kernel.
#[derive(Clone, Debug)]
pub struct Dispatch {
    /// Layer of the node that it computes.
    pub layer: String,
    /// Op of that node.
    pub op: &'static str,
    /// What runs.
    pub kernel: &'static Kernel,
    /// Its constants.
    pub variant: Variant,
    /// Words of its uniform struct.
    pub uniform: Vec<u32>,
    /// Its storage buffers, in binding order.
    pub bindings: Vec<Region>,
    /// Workgroups along x, y, z.
    pub workgroups: [u32; 3],
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes moved at least: each operand once, those updated in place twice.
    pub bytes: u64,
    /// Shapes of inputs and outputs, for people.
    pub shapes: String,
}

impl Dispatch {
    /// Name of the kernel, by [`Kernel::name`].
    pub fn name(&self) -> String {
        self.kernel.name(self.variant)
    }
}

/// Bytes of a buffer that signed 32-bit offsets reach; some drivers compute with those, whatever they let one bind.
const ADDRESSABLE: u64 = i32::MAX as u64;

/// A graph ready to run on a GPU of given limits.
#[derive(Clone, Debug)]
pub struct Plan {
    graph: Graph,
    dispatches: Vec<Dispatch>,
    /// How many of them, the first ones, run only after a parameter or statistic was written.
    prologue: usize,
    buffers: Vec<Buffer>,
    slots: Vec<Slot>,
    regions: Vec<Option<Region>>,
    pages: HashMap<ValueId, Vec<Page>>,
    convolutions: Vec<(Direction, Geometry)>,
}

/// Lowers every node; with the number of dispatches that are the prologue's.
fn lower<'a>(
    graph: &'a Graph,
    options: &'a PlanOptions,
    sum_parts: bool,
) -> Result<(Lowering<'a>, usize), PlanError> {
    let mut lowering = Lowering::new(graph, options, sum_parts)?;
    let first = graph.prologue();
    let mut prologue = 0;
    for (i, node) in graph.nodes().iter().enumerate() {
        lowering.enter(node);
        node.op.lower(node, &mut lowering)?;
        if i < first {
            prologue = lowering.dispatched();
        }
    }
    Ok((lowering, prologue))
}

impl Plan {
    /// Plans `graph`: a pure function of graph and options.
    ///
    /// # Errors
    /// [`PlanError`] if the graph exceeds `options.limits`, naming the tensor or kernel.
    pub fn new(graph: Graph, options: &PlanOptions) -> Result<Self, PlanError> {
        let (mut lowering, mut prologue) = lower(&graph, options, true)?;
        if !lowering.parts_fit() {
            // Each layer then sums its own.
            (lowering, prologue) = lower(&graph, options, false)?;
        }
        let Lowered {
            mut dispatches,
            once,
            mut buffers,
            regions,
            pages,
            convolutions,
        } = lowering.finish();
        let kept = prologue + once.len();
        let mut each_run = dispatches.split_off(prologue);
        if options.conv2d.joins() {
            each_run = joined::join(each_run, &JOINED, &options.limits);
        }
        dispatches.extend(once.into_iter().chain(each_run));
        let slots = slots::assign(&dispatches, &mut buffers);
        let limit = options.limits.max_binding.min(ADDRESSABLE);
        if let Some(slot) = slots.iter().find(|slot| slot.bytes > limit) {
            return Err(PlanError::Binding {
                tensor: slot.label.clone(),
                need: slot.bytes,
                limit,
            });
        }
        Ok(Self {
            graph,
            dispatches,
            prologue: kept,
            buffers,
            slots,
            regions,
            pages,
            convolutions,
        })
    }

    /// The graph that was planned.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Launches, in order; together they are one compute pass.
    pub fn dispatches(&self) -> &[Dispatch] {
        &self.dispatches
    }

    /// How many of the dispatches, the first ones, are left out as long as no parameter or statistic was written since they
    /// ran: what they compute follows from those alone, and stays.
    pub fn prologue(&self) -> usize {
        self.prologue
    }

    /// The different convolutions that are computed, linear layers among them: a weight that lies in pages is one for each.
    pub fn convolutions(&self) -> &[(Direction, Geometry)] {
        &self.convolutions
    }

    /// Virtual buffers.
    pub fn buffers(&self) -> &[Buffer] {
        &self.buffers
    }

    /// Memory to allocate.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The slot that a buffer lies in; `None` if the buffer is another plan's.
    pub fn slot_of(&self, buffer: BufferId) -> Option<SlotId> {
        Some(self.buffer(buffer)?.slot)
    }

    /// A buffer; `None` if it is another plan's.
    pub fn buffer(&self, id: BufferId) -> Option<&Buffer> {
        self.buffers.get(id.index())
    }

    /// The slot that a region of this plan lies in.
    pub(crate) fn slot_under(&self, region: Region) -> SlotId {
        self.buffers[region.buffer.index()].slot
    }

    /// The pages of a value that lies in several; empty for one that lies in one place.
    pub fn pages(&self, id: ValueId) -> &[Page] {
        self.pages.get(&id).map_or(&[], Vec::as_slice)
    }

    /// Where a value lies, or its first page does; `None` if nothing uses it.
    pub fn region(&self, id: ValueId) -> Option<Region> {
        self.regions.get(id.index()).copied().flatten()
    }

    /// Bytes of all slots.
    pub fn bytes(&self) -> u64 {
        self.slots.iter().map(|slot| slot.bytes).sum()
    }

    /// Floating-point operations of one run by the definitions of its ops, without the prologue: what rates are quoted by,
    /// however few a plan needs.
    pub fn nominal_flops(&self) -> u64 {
        let nodes = &self.graph.nodes()[self.graph.prologue()..];
        let flops = |node: &crate::graph::Node| node.op.flops(node, &|id| self.graph.shape(id));
        nodes.iter().map(flops).sum()
    }

    /// Floating-point operations that one run computes, without the prologue.
    pub fn flops(&self) -> u64 {
        let dispatches = &self.dispatches[self.prologue..];
        dispatches.iter().map(|dispatch| dispatch.flops).sum()
    }
}
