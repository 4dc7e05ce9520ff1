//! Memory that convolutions work in: how much is known before they run, and it is taken once for all of them.

use std::sync::{Mutex, PoisonError};

use super::kernel::LANES;

/// Floats that a computation works in, besides its operands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[doc(hidden)]
pub struct Need {
    /// Of all threads together.
    pub(crate) shared: usize,
    /// Of each thread, at the same time as those.
    pub(crate) each: usize,
}

impl Need {
    /// What serves either, one after the other.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            shared: self.shared.max(other.shared),
            each: self.each.max(other.each),
        }
    }

    /// Bytes on so many threads.
    pub(crate) fn bytes(self, threads: usize) -> u64 {
        4 * (self.shared + threads * self.each) as u64
    }
}

/// That memory. What is not there grows when it is asked for.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    shared: Mutex<Vec<f32>>,
    threads: Vec<Mutex<Vec<f32>>>,
}

impl Scratch {
    /// What is needed, for the threads of the pool that this is called in.
    pub(crate) fn new(need: Need) -> Self {
        let threads = 0..rayon::current_num_threads();
        Self {
            shared: Mutex::new(vec![0.0; need.shared]),
            threads: threads.map(|_| Mutex::new(vec![0.0; need.each])).collect(),
        }
    }

    /// Lends `len` floats of unspecified content to one computation, whose threads share them.
    pub(super) fn shared(&self, len: usize, body: impl FnOnce(&mut [f32])) {
        lend(&self.shared, len, body);
    }

    /// The same to one task, on whose thread no other of this computation begins before it ends.
    pub(super) fn each(&self, len: usize, body: impl FnOnce(&mut [f32])) {
        let thread = rayon::current_thread_index().unwrap_or(0);
        match self.threads.get(thread) {
            Some(memory) => lend(memory, len, body),
            // Of a larger pool than it was made for.
            None => body(&mut vec![0.0; len]),
        }
    }

    /// What there is of it.
    #[cfg(test)]
    pub(super) fn len(&self) -> Need {
        let len = |memory: &Mutex<Vec<f32>>| memory.lock().expect("nobody panicked").len();
        Need {
            shared: len(&self.shared),
            each: self.threads.iter().map(len).max().unwrap_or(0),
        }
    }
}

/// The memory leaves its place meanwhile.
fn lend(place: &Mutex<Vec<f32>>, len: usize, body: impl FnOnce(&mut [f32])) {
    let place = || place.lock().unwrap_or_else(PoisonError::into_inner);
    let mut memory = std::mem::take(&mut *place());
    if memory.len() < len {
        memory.resize(len, 0.0);
    }
    body(&mut memory[..len]);
    *place() = memory;
}

/// Parts of scratch memory begin at whole vectors.
pub(super) fn whole(len: usize) -> usize {
    len.next_multiple_of(LANES)
}
