//! Slabs: parameters, their gradients, moments and averages lie side by side in buffers of one layout, so that the optimizer is
//! one dispatch a slab. One slab holds all of a network whose parameters fit in a binding; those of others lie in several.

use super::{ADDRESSABLE, PlanError, PlanLimits};
use crate::graph::shape::Shape;
use crate::graph::{Graph, ValueId};

/// What slabs hold; sums of gradients too, where a batch is run in parts.
pub(super) const SLABS: [&str; 6] = [
    "parameters",
    "gradients",
    "first moments",
    "second moments",
    "gradient sums",
    "averages",
];

/// Rows and columns that the panels of a packed product are rounded up to; they too must fit in a binding.
const PADDED: usize = 64;

/// Some rows of a parameter, or all, in one slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) slab: usize,
    pub(super) offset: u64,
    pub(super) bytes: u64,
    /// First row, along the first dimension, and how many.
    pub(super) first: usize,
    pub(super) rows: usize,
}

/// Where each parameter lies in the slabs of every kind.
#[derive(Debug)]
pub(super) struct Layout {
    /// By value; empty for what is no parameter.
    pub(super) pieces: Vec<Vec<Piece>>,
    /// Size of each slab of parameters.
    pub(super) bytes: Vec<u64>,
    /// Of each slab the part whose parameters are trained, which come first: all that other kinds have.
    pub(super) trained: Vec<u64>,
}

impl Layout {
    /// Packs the parameters in order, those first that are trained, each slab as full as a binding allows; a weight `[K,C]` that a binding does not hold is
    /// cut along its rows.
    ///
    /// # Errors
    /// [`PlanError::Parameter`] for any other parameter that a binding does not hold.
    pub(super) fn new(
        graph: &Graph,
        is_trained: &[bool],
        limits: &PlanLimits,
    ) -> Result<Self, PlanError> {
        // Pieces begin at multiples of the alignment, so slabs end at one.
        let limit = limits.max_binding.min(ADDRESSABLE) / limits.offset_alignment;
        let limit = limit * limits.offset_alignment;
        let mut pieces = vec![Vec::new(); graph.values().len()];
        let mut slabs = vec![0];
        let mut place = |ids: Vec<ValueId>| -> Result<Vec<u64>, PlanError> {
            for id in ids {
                let too_large = |need| PlanError::Parameter {
                    tensor: graph.value(id).name.clone(),
                    need,
                    limit,
                };
                pieces[id.index()] =
                    place(graph, id, limits, limit, &mut slabs).map_err(too_large)?;
            }
            Ok(slabs.clone())
        };
        let (trained, frozen) = graph.parameters().partition(|id| is_trained[id.index()]);
        let (trained, bytes) = (place(trained)?, place(frozen)?);
        Ok(Self {
            pieces,
            bytes,
            trained,
        })
    }
}

/// Places one parameter behind those before it, or says how many bytes do not fit.
fn place(
    graph: &Graph,
    id: ValueId,
    limits: &PlanLimits,
    limit: u64,
    slabs: &mut Vec<u64>,
) -> Result<Vec<Piece>, u64> {
    let value = graph.value(id);
    let all = value.shape.dims()[0];
    let row = value.dtype.bytes(value.shape.len() / all);
    let rows = match rows_of_piece(value.shape, limits.offset_alignment, limit) {
        // Not even a few rows fit; neither does the whole.
        0 => all,
        rows => rows.min(all),
    };
    let mut pieces = Vec::new();
    for first in (0..all).step_by(rows) {
        let rows = rows.min(all - first);
        let bytes = row * rows as u64;
        if bytes > limit {
            return Err(bytes);
        }
        let last = slabs[slabs.len() - 1];
        if last + bytes > limit {
            slabs.push(0);
        }
        let slab = slabs.len() - 1;
        let offset = slabs[slab];
        slabs[slab] = offset + bytes.next_multiple_of(limits.offset_alignment);
        pieces.push(Piece {
            slab,
            offset,
            bytes,
            first,
            rows,
        });
    }
    Ok(pieces)
}

/// Rows that lie in one piece. Only a weight `[K,C]` is cut: so that its panels and one part of its gradient, which has a
/// column more, fit in a binding too, and that the biases of a piece begin where a binding may.
fn rows_of_piece(shape: Shape, alignment: u64, limit: u64) -> usize {
    let &[k, c] = shape.dims() else {
        return usize::MAX;
    };
    let row = 4 * (c + 1).next_multiple_of(PADDED) as u64;
    if k.next_multiple_of(PADDED) as u64 * row <= limit {
        return usize::MAX;
    }
    let step = (alignment / 4).max(PADDED as u64);
    usize::try_from(limit / row / step * step).unwrap_or(usize::MAX)
}
