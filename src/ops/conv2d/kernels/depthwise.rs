//! Depthwise convolution: kernels for as many groups as channels.

use super::{ConvUniform, Family, Geometry, family};
use crate::plan::{Direction, Kernel, Lowering, PlanError, Region, Variant, WORKGROUP};

static DEPTHWISE: Family = family("conv2d_depthwise");

/// Pixels of a map that an invocation owns, or columns of a filter that a workgroup does.
const OWNED: usize = 4;
/// Lanes of a workgroup, which share the pixels of the filter gradient.
pub(super) const LANES: u64 = WORKGROUP;

pub(super) fn kernel(direction: Direction) -> &'static Kernel {
    DEPTHWISE.kernel(direction)
}

/// Lowers the forward pass, or dgrad, to so many maps of so many pixels.
pub(super) fn over_pixels(
    to: &mut Lowering<'_>,
    direction: Direction,
    uniform: ConvUniform,
    bindings: &[Region],
    [maps, pixels]: [usize; 2],
) -> Result<(), PlanError> {
    let invocations = maps * pixels.div_ceil(OWNED);
    let words = uniform.words();
    to.elementwise(
        kernel(direction),
        Variant::Plain,
        words,
        bindings,
        invocations,
    )
}

/// Workgroups across the columns, and down the filters, of the filter gradient.
pub(super) fn over_filters(g: &Geometry) -> [u64; 3] {
    [g.gradient_columns().div_ceil(OWNED) as u64, g.k as u64, 1]
}
