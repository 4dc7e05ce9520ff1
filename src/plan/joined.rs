//! Joining: two dispatches that do not wait for one another become one, where there is a kernel that is both.
//!
//! A device finishes a dispatch before it begins the next. Two in one have their last workgroups done side by side, and are one
//! start less.

use super::{Access, Binding, Dispatch, Field, Kernel, PlanLimits, Region};

/// Two kernels and the one that is both: its bindings are those of the first, then those of the second.
pub(crate) struct Joined {
    /// What both do, in plans and profiles.
    pub(crate) op: &'static str,
    pub(crate) sides: [&'static Kernel; 2],
    pub(crate) kernel: Kernel,
}

/// Words at which members of a uniform struct that are structs begin.
const ALIGNMENT: usize = 4;

/// Workgroups of each side: across, down, deep.
const WORKGROUPS: [Field; 6] = [
    ("across_1", "u32"),
    ("down_1", "u32"),
    ("deep_1", "u32"),
    ("across_2", "u32"),
    ("down_2", "u32"),
    ("deep_2", "u32"),
];

/// The uniform struct of two kernels that have the same one: both, and how many workgroups each has. Words that belong to nothing
/// have no name.
pub(crate) const fn joined_uniform<const N: usize>(of: &[Field]) -> [Field; N] {
    let side = of.len().next_multiple_of(ALIGNMENT);
    assert!(N >= 2 * side + WORKGROUPS.len());
    let mut fields = [("", "u32"); N];
    let mut i = 0;
    while i < of.len() {
        fields[i] = of[i];
        fields[side + i] = of[i];
        i += 1;
    }
    i = 0;
    while i < WORKGROUPS.len() {
        fields[2 * side + i] = WORKGROUPS[i];
        i += 1;
    }
    fields
}

/// Joins what can be, in order, as far as a dispatch may have so many workgroups and operations.
pub(super) fn join(
    dispatches: Vec<Dispatch>,
    known: &'static [Joined],
    limits: &PlanLimits,
) -> Vec<Dispatch> {
    let mut joined: Vec<Dispatch> = Vec::new();
    for next in dispatches {
        if !known.iter().any(|of| of.sides[1] == next.kernel) {
            joined.push(next);
            continue;
        }
        // It may move before all that it does not wait for, and that does not wait for it.
        let earlier = joined.iter().enumerate().rev();
        let found = earlier
            .take_while(|(_, before)| !meet(before, &next))
            .find_map(|(at, before)| Some((at, both(before, &next, known, limits)?)));
        match found {
            Some((at, dispatch)) => joined[at] = dispatch,
            None => joined.push(next),
        }
    }
    joined
}

/// Whether one writes to a buffer that the other touches.
fn meet(a: &Dispatch, b: &Dispatch) -> bool {
    let touched = |dispatch: &Dispatch, region: &Region| {
        let mut regions = dispatch.bindings.iter();
        regions.any(|other| other.buffer == region.buffer)
    };
    let writes = |of: &Dispatch, to: &Dispatch| {
        let mut bound = of.bindings.iter().zip(of.kernel.bindings);
        bound.any(|(region, binding)| writes(binding) && touched(to, region))
    };
    writes(a, b) || writes(b, a)
}

fn writes(binding: &Binding) -> bool {
    binding.access != Access::Read
}

/// Both in one, if they are of one layer and there is a kernel for them.
fn both(
    a: &Dispatch,
    b: &Dispatch,
    known: &'static [Joined],
    limits: &PlanLimits,
) -> Option<Dispatch> {
    let of = known.iter().find(|of| of.sides == [a.kernel, b.kernel])?;
    let flops = a.flops + b.flops;
    if a.layer != b.layer || a.variant != b.variant || flops > limits.dispatch_flops {
        return None;
    }
    let all = |of: &Dispatch| of.workgroups.iter().map(|&n| u64::from(n)).product::<u64>();
    let workgroups = all(a) + all(b);
    let most = limits.max_workgroups;
    let down = workgroups.div_ceil(u64::from(most));
    let across = workgroups.div_ceil(down);
    if down > u64::from(most) || across * down > u64::from(u32::MAX) {
        return None;
    }
    let mut uniform = Vec::with_capacity(of.kernel.uniform.len());
    for side in [a, b] {
        uniform.extend(&side.uniform);
        uniform.resize(uniform.len().next_multiple_of(ALIGNMENT), 0);
    }
    uniform.extend([a, b].iter().flat_map(|side| side.workgroups));
    uniform.resize(of.kernel.uniform.len(), 0);
    // What both read is read once.
    let again = b
        .bindings
        .iter()
        .filter(|region| a.bindings.contains(region));
    Some(Dispatch {
        layer: a.layer.clone(),
        op: of.op,
        kernel: &of.kernel,
        variant: a.variant,
        uniform,
        bindings: [a, b]
            .iter()
            .flat_map(|side| side.bindings.clone())
            .collect(),
        workgroups: [across as u32, down as u32, 1],
        flops,
        bytes: a.bytes + b.bytes - again.map(|region| region.bytes).sum::<u64>(),
        shapes: format!("{}; {}", a.shapes, b.shapes),
    })
}
