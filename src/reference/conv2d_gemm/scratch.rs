//! Memory that each thread allocates once.

use std::cell::Cell;
use std::thread::LocalKey;

thread_local! {
    pub(super) static COLUMNS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
    pub(super) static WEIGHTS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
    pub(super) static PARTIALS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
    pub(super) static PRODUCTS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
    pub(super) static STRIP: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// Lends `len` floats of unspecified content that are allocated once per thread.
///
/// The memory leaves its slot meanwhile: if rayon runs another of our tasks on this thread within
/// `body`, that one allocates its own.
pub(super) fn with_scratch(
    slot: &'static LocalKey<Cell<Vec<f32>>>,
    len: usize,
    body: impl FnOnce(&mut [f32]),
) {
    let mut memory = slot.take();
    if memory.len() < len {
        memory.resize(len, 0.0);
    }
    body(&mut memory[..len]);
    slot.set(memory);
}
