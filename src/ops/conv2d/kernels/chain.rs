//! Layers in a row without unpacking: the product of one, with bias and ReLU, is the panels of columns of a 1x1 convolution behind it.

use super::columns::{self, CHUNK};
use super::product::Product;
use super::{Geometry, Method, method};
use crate::graph::ValueId;
use crate::ops::Op;
use crate::plan::{Direction, Lowering};

/// Whether each output pixel sees one input pixel, the same.
fn is_pointwise(g: &Geometry) -> bool {
    let geometry = [g.r, g.s, g.stride[0], g.stride[1], g.groups];
    geometry == [1; 5] && g.pad == [[0; 2]; 2]
}

/// Whether the columns of all images are packed at once.
fn is_whole(g: &Geometry) -> bool {
    let bytes = |images: usize| columns::panel_bytes(images * g.pixels(), g.terms());
    columns::chunks(g.n, CHUNK, bytes, |_| g.terms()).count() == 1
}

/// Whether `y`, which `product` makes the panels of, is wanted by nothing but a convolution that takes them as they are.
pub(super) fn is_passed_on(
    to: &mut Lowering<'_>,
    y: ValueId,
    g: &Geometry,
    product: &Product,
) -> bool {
    let Some(next) = to.only_reader(y) else {
        return false;
    };
    let Op::Conv2d(conv) = &next.op else {
        return false;
    };
    let wanted = conv.checked(to.shape(y), to.shape(next.inputs[1]).dims()[0]);
    // Rows of the product are the next one's terms: none to fill up a panel, and an even number.
    let fits = is_pointwise(&wanted)
        && product.whole(g.k) == g.k
        && product.depth(g.k) == g.k
        && [g, &wanted].into_iter().all(is_whole);
    let columns = |of: &Product| of.panel.columns;
    fits && matches!(method(to, Direction::Forward, &wanted), Method::Columns(of) if columns(of) == columns(product))
}
