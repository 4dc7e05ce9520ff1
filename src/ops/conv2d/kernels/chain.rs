//! Layers in a row without unpacking: the product of one, with bias and ReLU, is the panels of columns of a 1x1 convolution behind it.

use super::columns;
use super::product::Product;
use super::{Geometry, Method, method};
use crate::graph::ValueId;
use crate::ops::Op;
use crate::plan::{Direction, Lowering, PlanLimits};

/// Whether each output pixel sees one input pixel, the same.
fn is_pointwise(g: &Geometry) -> bool {
    let geometry = [g.r, g.s, g.stride[0], g.stride[1], g.groups];
    geometry == [1; 5] && g.pad == [[0; 2]; 2]
}

/// Whether all images are multiplied at once.
fn is_whole(g: &Geometry, product: &'static Product, limits: &PlanLimits) -> bool {
    columns::runs(Direction::Forward, g, product, limits).len() == 1
}

/// Whether `y`, which `product` makes the panels of, is wanted by nothing but a convolution that takes them as they are.
pub(super) fn is_passed_on(
    to: &mut Lowering<'_>,
    y: ValueId,
    g: &Geometry,
    product: &'static Product,
) -> bool {
    let Some(next) = to.only_reader(y) else {
        return false;
    };
    let Op::Conv2d(conv) = &next.op else {
        return false;
    };
    let wanted = conv.checked(to.shape(y), to.shape(next.inputs[1]).dims()[0]);
    // Rows of the product are the next one's terms: none to fill up a panel, and an even number.
    if !is_pointwise(&wanted) || product.whole(g.k) != g.k || product.depth(g.k) != g.k {
        return false;
    }
    let Method::Columns(taker) = method(to, Direction::Forward, &wanted) else {
        return false;
    };
    let limits = to.options().limits;
    taker.panel.columns == product.panel.columns
        && is_whole(g, product, &limits)
        && is_whole(&wanted, taker, &limits)
}
