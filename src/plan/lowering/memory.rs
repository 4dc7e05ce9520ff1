//! Where values and scratch memory lie: in buffers of their own, in slabs, or in pages.

use super::{Lowering, Parts, add_buffer, slab_of};
use crate::graph::Role;
use crate::graph::ValueId;
use crate::graph::shape::DType;
use crate::plan::PlanError;
use crate::plan::slabs::SLABS;
use crate::plan::{ADDRESSABLE, Page, Region};

/// Bytes at most that are kept of one value in another form.
const KEPT: u64 = 16 << 20;

impl Lowering<'_> {
    /// Gives a data set's pictures several buffers if one binding does not hold them; the first, if so. Rows come in fours,
    /// so that any four begin at a whole word.
    pub(super) fn add_pages(&mut self, id: ValueId, bytes: u64) -> Option<Region> {
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
    pub(super) fn add_statistic(&mut self, bytes: u64) -> Region {
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

    /// Gives what is kept of a running statistic its place: that of the statistic, in a buffer of its own.
    pub(super) fn add_kept_statistic(&mut self, role: Role) -> Option<Region> {
        let Role::Kept(statistic) = role else {
            return None;
        };
        let place = self.regions.get(statistic.index()).copied().flatten()?;
        if Some(place.buffer) != self.statistics {
            return None;
        }
        let all = self.buffers[place.buffer.index()].bytes;
        let buffers = &mut self.buffers;
        let buffer = *self
            .kept_statistics
            .get_or_insert_with(|| add_buffer(buffers, "kept statistics".to_owned(), 0, true));
        self.buffers[buffer.index()].bytes = all;
        Some(Region { buffer, ..place })
    }

    /// All running statistics in one binding, and what is kept of them in another of the same layout.
    ///
    /// # Errors
    /// [`PlanError::Role`] for a value that is none, and if these are not all of them, each with its own, in the order of the graph.
    pub(crate) fn statistics(
        &self,
        running: &[ValueId],
        kept: &[ValueId],
    ) -> Result<[Region; 2], PlanError> {
        let all: Vec<ValueId> = self.graph.statistics().collect();
        let want = "a running statistic, or what is kept of it, all of them in order";
        for (i, (&of, &id)) in running.iter().zip(kept).enumerate() {
            if all.get(i) != Some(&of) || self.graph.value(id).role != Role::Kept(of) {
                return Err(self.misplaced(id, want));
            }
        }
        if running.len() != all.len() {
            return Err(self.misplaced(kept[0], want));
        }
        let span = |ids: &[ValueId]| self.span(ids[0], ids[ids.len() - 1]);
        Ok([span(running)?.0, span(kept)?.0])
    }

    /// Gives a value its place, or its first, in the slabs of one kind.
    pub(super) fn add_to_slabs(&mut self, id: ValueId, kind: usize, parameter: ValueId) -> Region {
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
    ///
    /// # Errors
    /// [`PlanError::Role`] if they do not lie so.
    pub(crate) fn span(&self, first: ValueId, second: ValueId) -> Result<(Region, u32), PlanError> {
        let [a, b] = [first, second].map(|id| self.value(id));
        let at = b.offset.checked_sub(a.offset);
        let Some(at) = at.filter(|_| a.buffer == b.buffer) else {
            return Err(self.misplaced(second, "a parameter or statistic behind the one before"));
        };
        let bytes = at + b.bytes;
        Ok((Region { bytes, ..a }, (at / 4) as u32))
    }

    /// All of the slabs that is trained, for an optimizer to walk: for each one the buffers in which the values of the roles of `of` lie, in
    /// that order. All have one layout, so equal offsets belong to one parameter; gaps between parameters hold zeros.
    ///
    /// Gradients in parts ([`Lowering::take_parts`]) come only where there is one slab.
    ///
    /// # Errors
    /// [`PlanError::Role`] for a value that lies in none.
    pub(crate) fn slabs<const N: usize>(
        &self,
        of: [ValueId; N],
    ) -> Result<Vec<[Region; N]>, PlanError> {
        let mut kinds = [0; N];
        for (kind, id) in kinds.iter_mut().zip(of) {
            let slab = slab_of(self.graph.value(id).role, id).map(|(kind, _)| kind);
            // Frozen parameters lie last.
            let whole = |kind: &usize| self.slabs[*kind].len() >= self.layout.trained.len();
            *kind = slab.filter(whole).ok_or_else(|| {
                self.misplaced(
                    id,
                    "a parameter that is trained, or its gradient, moment or average",
                )
            })?;
        }
        let sizes = self.layout.trained.iter().enumerate();
        sizes
            .map(|(i, &bytes)| {
                kinds.map(|kind| Region {
                    buffer: self.slabs[kind][i],
                    offset: 0,
                    bytes,
                })
            })
            .map(Ok)
            .collect()
    }

    fn misplaced(&self, id: ValueId, want: &'static str) -> PlanError {
        PlanError::Role {
            op: self.node.map_or("", |node| crate::ops::Op::name(&node.op)),
            tensor: self.graph.value(id).name.clone(),
            want,
        }
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

    /// Memory for what this node makes of the value in `of`, to be kept from run to run; `None` if that may change, or is too large to
    /// have twice.
    pub(crate) fn kept(&mut self, label: &str, of: Region, elements: usize) -> Option<Region> {
        let bytes = 4 * elements as u64;
        if bytes > KEPT || !self.stays(of) {
            return None;
        }
        let region = self.scratch(label, elements);
        self.buffers[region.buffer.index()].persistent = true;
        Some(region)
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
}
