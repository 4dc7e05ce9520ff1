//! Slots by liveness: a replay of a plan.

use nin_wgpu::plan::{Access, Plan};

/// Panics if a dispatch of `plan` finds another buffer in a slot than the one that it reads.
pub fn assert_slots_hold(plan: &Plan) {
    // Replays the dispatches, remembering which buffer each slot holds.
    let mut holds = vec![None; plan.slots().len()];
    for dispatch in plan.dispatches() {
        let name = format!("{} {}", dispatch.layer, dispatch.op);
        for (region, binding) in dispatch.bindings.iter().zip(dispatch.kernel.bindings) {
            let buffer = plan.buffer(region.buffer).expect("its own");
            let slot = buffer.slot;
            assert!(
                region.offset + region.bytes <= buffer.bytes,
                "{name} {}",
                binding.name
            );
            assert!(buffer.bytes <= plan.slots()[slot.index()].bytes, "{name}");
            let held = &mut holds[slot.index()];
            match binding.access {
                Access::Write => *held = Some(region.buffer),
                _ if buffer.persistent => {}
                _ => {
                    assert_eq!(*held, Some(region.buffer), "{name} reads {}", buffer.label)
                }
            }
            // Within a dispatch a written slot is bound once: wgpu tracks whole buffers.
            let others = dispatch
                .bindings
                .iter()
                .filter(|other| plan.slot_of(other.buffer) == Some(slot))
                .count();
            let same_slab = dispatch.kernel.shader == "conv2d_reduce";
            if binding.access != Access::Read && !same_slab {
                assert_eq!(others, 1, "{name} binds slot {slot:?} {others} times");
            }
        }
    }
}
