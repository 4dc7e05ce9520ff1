//! Slots: buffers whose lifetimes do not overlap share memory.

use super::{Buffer, Dispatch, SlotId};

/// Memory to allocate: one GPU buffer.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Size in bytes.
    pub bytes: u64,
    /// The largest buffer that lies here.
    pub label: String,
}

/// First and last dispatch that touch each buffer; `None` for a buffer that none does.
pub(crate) fn lifetimes(dispatches: &[Dispatch], buffers: usize) -> Vec<Option<(usize, usize)>> {
    let mut lifetimes: Vec<Option<(usize, usize)>> = vec![None; buffers];
    for (at, dispatch) in dispatches.iter().enumerate() {
        for region in &dispatch.bindings {
            let lifetime = lifetimes[region.buffer.index()].get_or_insert((at, at));
            lifetime.1 = at;
        }
    }
    lifetimes
}

/// Gives every buffer a slot. Persistent buffers get one each; the others take, in order of their first use, the
/// smallest free slot that holds them, else the largest free one, grown.
pub(crate) fn assign(dispatches: &[Dispatch], buffers: &mut [Buffer]) -> Vec<Slot> {
    struct Shared {
        slot: usize,
        free_after: usize,
    }

    let mut slots: Vec<Slot> = Vec::new();
    let new_slot = |slots: &mut Vec<Slot>, buffer: &Buffer| {
        slots.push(Slot {
            bytes: buffer.bytes,
            label: buffer.label.clone(),
        });
        slots.len() - 1
    };
    for buffer in buffers.iter_mut().filter(|buffer| buffer.persistent) {
        buffer.slot = SlotId(new_slot(&mut slots, buffer) as u32);
    }

    let lifetimes = lifetimes(dispatches, buffers.len());
    let mut order: Vec<usize> = (0..buffers.len())
        .filter(|&i| !buffers[i].persistent && lifetimes[i].is_some())
        .collect();
    order.sort_by_key(|&i| lifetimes[i]);

    let mut shared: Vec<Shared> = Vec::new();
    for i in order {
        let Some((first, last)) = lifetimes[i] else {
            continue;
        };
        let bytes = buffers[i].bytes;
        let free = || (0..shared.len()).filter(|&s| shared[s].free_after < first);
        let fitting = free()
            .filter(|&s| slots[shared[s].slot].bytes >= bytes)
            .min_by_key(|&s| slots[shared[s].slot].bytes);
        let chosen = fitting.or_else(|| free().max_by_key(|&s| slots[shared[s].slot].bytes));
        let at = chosen.unwrap_or_else(|| {
            shared.push(Shared {
                slot: new_slot(&mut slots, &buffers[i]),
                free_after: 0,
            });
            shared.len() - 1
        });
        let slot = &mut slots[shared[at].slot];
        if slot.bytes < bytes {
            *slot = Slot {
                bytes,
                label: buffers[i].label.clone(),
            };
        }
        shared[at].free_after = last;
        buffers[i].slot = SlotId(shared[at].slot as u32);
    }
    slots
}
