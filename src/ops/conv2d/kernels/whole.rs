//! Convolution over tensors as they are, nothing packed: in one dispatch, or in slices where that would be more than a device
//! should do at once (`PlanLimits::dispatch_flops`). Slices of the forward pass and of dgrad are some images each, bound where those
//! lie; those of wgrad are some parts of its sum each.

use super::runs::MOST;
use super::{ConvUniform, Geometry};
use crate::plan::{Kernel, Lowering, PlanError, PlanLimits, Region, Tile, Variant};

/// Splits of wgrad's reduction are made until this many workgroups share the work …
const WGRAD_WORKGROUPS: u64 = 512;
/// … but each keeps at least this many pixels …
const WGRAD_PIXELS: u64 = 128;
/// … and all partial sums together stay below this many elements;
const WGRAD_PARTIALS: u64 = 3 << 19;
/// but no loop has more turns: Mesa 22.3's software driver ends it after 65,535, without a word.
const TURNS: u64 = 65_535;

/// Lowers a forward pass or dgrad over so many pixels of an image and rows. `images` says how many elements of a binding belong to an
/// image, if not all images share it.
pub(super) fn over_pixels(
    to: &mut Lowering<'_>,
    (kernel, variant, block): (&'static Kernel, Variant, [u64; 2]),
    g: &Geometry,
    uniform: ConvUniform,
    [pixels, rows]: [usize; 2],
    (bindings, images): ([Region; 4], [Option<usize>; 4]),
) -> Result<(), PlanError> {
    let at_once = images_at_once(g, images.into_iter().flatten(), &to.options().limits);
    let flops = g.flops() / g.n as u64;
    for first in (0..g.n).step_by(at_once) {
        let n = at_once.min(g.n - first);
        let slices = std::array::from_fn::<_, 4, _>(|i| match images[i] {
            None => bindings[i],
            Some(elements) => Region {
                offset: bindings[i].offset + 4 * first as u64 * elements as u64,
                bytes: 4 * n as u64 * elements as u64,
                ..bindings[i]
            },
        });
        let uniform = ConvUniform {
            n: n as u32,
            ..uniform
        };
        let workgroups = workgroups(to, g, variant, block, [n * pixels, rows])?;
        to.dispatch(kernel, variant, uniform.words(), &slices, workgroups)?;
        to.set_flops(flops * n as u64);
    }
    Ok(())
}

/// Images of a slice: no more than a dispatch should do, as few slices as that gives, and each begins where a binding may. All are
/// one where they would be too many.
fn images_at_once(
    g: &Geometry,
    elements: impl Iterator<Item = usize>,
    limits: &PlanLimits,
) -> usize {
    let flops = (g.flops() / g.n as u64).max(1);
    let fitting = usize::try_from(limits.dispatch_flops / flops).unwrap_or(usize::MAX);
    if fitting >= g.n {
        return g.n;
    }
    // The alignment is a power of two: an image has as many of its factors as its elements have.
    let aligned = (limits.offset_alignment / 4).max(1).trailing_zeros();
    let step = |elements: usize| 1 << aligned.saturating_sub(elements.trailing_zeros());
    let step = elements.map(step).max().unwrap_or(1);
    let most = (fitting / step * step).max(step);
    let slices = g.n.div_ceil(most);
    if slices > MOST {
        return g.n;
    }
    g.n.div_ceil(slices).next_multiple_of(step).min(g.n)
}

/// Lowers a filter gradient in parts of its pixels, `workgroups` to each, of which a turn of the kernel's loop takes `turn`; says how
/// many parts, and where they are.
pub(super) fn in_splits(
    to: &mut Lowering<'_>,
    g: &Geometry,
    (kernel, variant): (&'static Kernel, Variant),
    [across, down, groups]: [u64; 3],
    turn: u64,
    [x, dy]: [Region; 2],
) -> Result<(usize, Region), PlanError> {
    let most = to.options().limits.dispatch_flops.max(1);
    let slices = g.flops().div_ceil(most).min(MOST as u64) as usize;
    let splits = wgrad_splits(g, across * down * groups, turn).max(slices);
    let partial = to.parts("partial_dw", splits * g.k * g.gradient_columns());
    let flops = g.flops().div_ceil(splits as u64);
    let at_once =
        usize::try_from(most / flops.max(1)).map_or(splits, |fitting| fitting.clamp(1, splits));
    for first in (0..splits).step_by(at_once) {
        let of = at_once.min(splits - first);
        let uniform = ConvUniform {
            pixels_per_split: (g.n * g.pixels()).div_ceil(splits) as u32,
            first_split: first as u32,
            ..ConvUniform::new(g)
        };
        to.dispatch(
            kernel,
            variant,
            uniform.words(),
            &[x, dy, partial],
            [across, down, groups * of as u64],
        )?;
        to.set_flops(g.flops());
        if of < splits {
            let bytes = [x, dy, partial].map(|region| region.bytes);
            to.set_flops(flops * of as u64);
            to.set_bytes(bytes.iter().sum::<u64>() / splits as u64 * of as u64);
        }
    }
    Ok((splits, partial))
}

/// Workgroups that cover so many columns and, in each group, rows.
pub(super) fn workgroups(
    to: &Lowering<'_>,
    g: &Geometry,
    variant: Variant,
    block: [u64; 2],
    [columns, rows]: [usize; 2],
) -> Result<[u64; 3], PlanError> {
    if let Variant::Tile(tile) = variant {
        check_tile(tile, to.options().limits)?;
    }
    let [across, down] = block;
    Ok([
        (columns as u64).div_ceil(across),
        (rows as u64 / g.groups as u64).div_ceil(down),
        g.groups as u64,
    ])
}

/// Whether a tile's invocations and memory fit the device and its sides the kernel.
pub(super) fn check_tile(tile: Tile, limits: PlanLimits) -> Result<(), PlanError> {
    let Tile { m, n, k, micro } = tile;
    let invocations = m / 8 * (n / micro.max(1));
    // Both slabs, a vector wider than they need be, and what wgrad keeps of each column.
    let bytes = 4 * k * (m + n + 8) + 16 * n;
    let whole = m.min(n) > 0 && m % 8 == 0 && matches!(micro, 4 | 8) && n % micro == 0;
    let even = |side: u32| {
        let quads = side / 4;
        invocations.is_multiple_of(quads) && (quads * k).is_multiple_of(invocations)
    };
    let deep = k > 0 && k.is_multiple_of(4) && invocations.is_multiple_of(k);
    let what = if !whole || !deep || !even(m) || !even(n) {
        "quarters of its sides, and a depth in fours, that divide its invocations, and whole rounds of copies".to_owned()
    } else if invocations > limits.max_invocations {
        format!(
            "{invocations} invocations a workgroup, the device allows {}",
            limits.max_invocations
        )
    } else if bytes > limits.workgroup_memory {
        format!(
            "{bytes} bytes of workgroup memory, the device has {}",
            limits.workgroup_memory
        )
    } else {
        return Ok(());
    };
    Err(PlanError::Variant {
        kernel: format!("conv2d_implicit_gemm[{tile}]"),
        what,
    })
}

/// Into how many parts the reduction over `N*P*Q` is cut; their sums are added in order, so results repeat.
fn wgrad_splits(g: &Geometry, workgroups: u64, turn: u64) -> usize {
    let pixels = (g.n * g.pixels()) as u64;
    let most = (pixels / WGRAD_PIXELS).max(1);
    let memory = (WGRAD_PARTIALS / (g.k * g.gradient_columns()) as u64).max(1);
    WGRAD_WORKGROUPS
        .div_ceil(workgroups)
        .clamp(1, most.min(memory).min(128))
        .max(pixels.div_ceil(turn * TURNS)) as usize
}
