//! The kernels of a convolution: their interfaces, and choosing one.

mod chain;
mod columns;
mod depthwise;
mod joined;
mod product;
mod runs;
mod whole;
mod winograd;

pub(crate) use joined::JOINED;

use std::ops::Range;

use super::Geometry;
use crate::graph::ValueId;
use crate::plan::{
    Binding, Conv2dAlgorithm, Direction, Kernel, Lowering, Parts, PlanError, PlanOptions, Product,
    Region, Variant, read, uniforms, write,
};

uniforms! {
    struct ConvUniform {
        n: u32, c: u32, h: u32, w: u32, k: u32, r: u32, s: u32, stride_h: u32, stride_w: u32, dilation_h: u32,
        dilation_w: u32, pad_h: u32, pad_w: u32, p: u32, q: u32, groups: u32,
        biased: u32,
        relu: u32,
        masked: u32,
        pixels_per_split: u32,
        first_split: u32,
        first_image: u32,
        images: u32,
    }
}

impl ConvUniform {
    fn new(g: &Geometry) -> Self {
        let [[stride_h, stride_w], [dilation_h, dilation_w]] =
            [g.stride, g.dilation].map(|pair| pair.map(|x| x as u32));
        let [pad_h, pad_w] = g.pad.map(|[before, _]| before as u32);
        // Channels are counted within a group.
        let Geometry { c, k, .. } = g.of_group();
        let [n, c, h, w, k] = [g.n, c, g.h, g.w, k].map(|x| x as u32);
        let [r, s, p, q, groups] = [g.r, g.s, g.p, g.q, g.groups].map(|x| x as u32);
        Self {
            n,
            c,
            h,
            w,
            k,
            r,
            s,
            stride_h,
            stride_w,
            dilation_h,
            dilation_w,
            pad_h,
            pad_w,
            p,
            q,
            groups,
            biased: u32::from(g.biased),
            relu: 0,
            masked: 0,
            pixels_per_split: 0,
            first_split: 0,
            first_image: 0,
            images: n,
        }
    }

    fn forward(g: &Geometry, relu: bool) -> Self {
        Self {
            relu: u32::from(relu),
            ..Self::new(g)
        }
    }

    /// The same for some images of the batch.
    fn images(self, images: &Range<usize>) -> Self {
        Self {
            first_image: images.start as u32,
            images: images.len() as u32,
            ..self
        }
    }
}

uniforms! {
    struct ReduceUniform { splits: u32, len: u32, k: u32 }
}

/// The three kernels of an algorithm that reads tensors as they are, all of one interface.
struct Family {
    forward: Kernel,
    dgrad: Kernel,
    wgrad: Kernel,
}

impl Family {
    fn kernel(&'static self, direction: Direction) -> &'static Kernel {
        match direction {
            Direction::Forward => &self.forward,
            Direction::Dgrad => &self.dgrad,
            Direction::Wgrad => &self.wgrad,
        }
    }
}

const fn family(shader: &'static str) -> Family {
    family_in(shader, shader)
}

/// One whose wgrad is in a file of its own.
const fn family_in(shader: &'static str, wgrad: &'static str) -> Family {
    const fn kernel(
        shader: &'static str,
        entry: &'static str,
        bindings: &'static [Binding],
    ) -> Kernel {
        Kernel {
            shader,
            entry,
            bindings,
            uniform: ConvUniform::FIELDS,
        }
    }
    const FORWARD: &[Binding] = &[read("x"), read("w"), read("b"), write("y")];
    const DGRAD: &[Binding] = &[read("dy"), read("w"), read("mask"), write("dx")];
    const WGRAD: &[Binding] = &[read("x"), read("dy_in"), write("partial_dw")];
    Family {
        forward: kernel(shader, "forward", FORWARD),
        dgrad: kernel(shader, "dgrad", DGRAD),
        wgrad: kernel(wgrad, "wgrad", WGRAD),
    }
}

static NAIVE: Family = family("conv2d_naive");
static DIRECT: Family = family("conv2d_direct");
static IMPLICIT_GEMM: Family = family_in("conv2d_implicit_gemm", "conv2d_implicit_gemm_wgrad");
/// Its forward pass where channels are too few to fill a slab.
static IMPLICIT_GEMM_TERMS: Kernel = Kernel {
    entry: "forward_terms",
    ..IMPLICIT_GEMM.forward
};

static REDUCE: Kernel = Kernel {
    shader: "conv2d_reduce",
    entry: "wgrad",
    bindings: &[read("partial_dw"), write("dw"), write("db")],
    uniform: ReduceUniform::FIELDS,
};

/// Columns and rows of a workgroup of the naive kernels.
const NAIVE_BLOCK: [u64; 2] = [64, 1];
/// Columns and rows of a workgroup of the direct kernels.
const DIRECT_BLOCK: [u64; 2] = [256, 8];

/// How one computation is done.
enum Method {
    /// Over packed panels.
    Columns(&'static product::Product),
    /// At the points of tiles, then over packed panels.
    Winograd(&'static product::Product),
    /// In one dispatch over tensors of as many groups as channels.
    Depthwise,
    /// Over the tensors as they are, by workgroups that own so many columns and rows.
    Whole(&'static Family, Variant, [u64; 2]),
}

impl From<Conv2dAlgorithm> for Method {
    fn from(algorithm: Conv2dAlgorithm) -> Self {
        match algorithm {
            Conv2dAlgorithm::Naive => Self::Whole(&NAIVE, Variant::Plain, NAIVE_BLOCK),
            Conv2dAlgorithm::Depthwise => Self::Depthwise,
            Conv2dAlgorithm::Direct => Self::Whole(&DIRECT, Variant::Plain, DIRECT_BLOCK),
            Conv2dAlgorithm::Columns => Self::Columns(&product::PLAIN),
            Conv2dAlgorithm::ColumnsSubgroup => Self::Columns(&product::SUBGROUP),
            Conv2dAlgorithm::Winograd(by) => Self::Winograd(match by {
                Product::Plain => &product::PLAIN,
                Product::Subgroup => &product::SUBGROUP,
                Product::Tiled => &product::TILED,
            }),
            Conv2dAlgorithm::ImplicitGemm(tile) => {
                let block = [tile.n.into(), tile.m.into()];
                Self::Whole(&IMPLICIT_GEMM, Variant::Tile(tile), block)
            }
        }
    }
}

/// The kernels of one direction, in every variant.
pub(super) fn variants(direction: Direction) -> Vec<(&'static Kernel, Variant)> {
    let mut all = Vec::new();
    for algorithm in Conv2dAlgorithm::ALL {
        match algorithm.into() {
            Method::Columns(product) => {
                all.extend(product.all().flat_map(|of| columns::kernels(direction, of)));
            }
            Method::Winograd(product) => {
                all.extend(
                    product
                        .all()
                        .flat_map(|of| winograd::kernels(direction, of)),
                );
            }
            Method::Depthwise => all.push((depthwise::kernel(direction), Variant::Plain)),
            Method::Whole(family, variant, _) => {
                all.push((family.kernel(direction), variant));
                if direction == Direction::Forward && matches!(variant, Variant::Tile(_)) {
                    all.push((&IMPLICIT_GEMM_TERMS, variant));
                }
            }
        }
    }
    if direction == Direction::Wgrad {
        let joined: Vec<_> = all
            .iter()
            .flat_map(|&(kernel, variant)| joined::with(kernel, variant))
            .collect();
        all.extend(joined);
        all.push((&REDUCE, Variant::Plain));
    }
    all
}

/// The method that the plan's options choose; what it does not serve, or panels could not hold, is left to what they choose without
/// Winograd's, else to the direct kernels.
fn method(to: &mut Lowering<'_>, direction: Direction, g: &Geometry) -> Method {
    to.note_convolution(direction, *g);
    let PlanOptions { limits, conv2d } = to.options();
    let precise = conv2d.clone().precise();
    let fits = |method: &Method| match method {
        Method::Columns(product) => columns::fits(direction, g, product, limits),
        Method::Winograd(product) => winograd::fits(direction, g, product, limits),
        Method::Depthwise | Method::Whole(..) => true,
    };
    let rows = match direction {
        Direction::Forward | Direction::Wgrad => g.k,
        Direction::Dgrad => g.c,
    };
    [conv2d, &precise]
        .map(|choices| choices.of(direction, g, *limits))
        .into_iter()
        .filter(|algorithm| algorithm.serves(g))
        .map(|algorithm| match algorithm.into() {
            Method::Columns(product) => Method::Columns(product.of_rows(rows)),
            Method::Winograd(product) => Method::Winograd(product.of_rows(rows)),
            other => other,
        })
        .find(fits)
        .unwrap_or_else(|| Conv2dAlgorithm::Direct.into())
}

/// Lowers the forward pass of a convolution whose maps `x` and `y` may be panels between it and others.
pub(super) fn chained(
    to: &mut Lowering<'_>,
    g: &Geometry,
    relu: bool,
    [x, y]: [ValueId; 2],
    w: Region,
    b: Option<Region>,
) -> Result<(), PlanError> {
    let packed = to.panels(x);
    let maps = [x, y].map(|id| to.value(id));
    if let Method::Columns(product) = method(to, Direction::Forward, g) {
        let passed_on = chain::is_passed_on(to, y, g, product).then_some(y);
        let uniform = ConvUniform::forward(g, relu);
        let ends = columns::Ends { packed, passed_on };
        return columns::forward(to, g, product, uniform, (maps, w, b), ends);
    }
    forward(to, g, relu, [maps[0], w], b, maps[1])
}

/// Lowers the forward pass over `x` and `w`, perhaps a bias, and `y`.
pub(in crate::ops) fn forward(
    to: &mut Lowering<'_>,
    g: &Geometry,
    relu: bool,
    [x, w]: [Region; 2],
    b: Option<Region>,
    y: Region,
) -> Result<(), PlanError> {
    let uniform = ConvUniform::forward(g, relu);
    // Every binding must name some buffer; without a bias the kernel never reads this one.
    let bindings = [x, w, b.unwrap_or(w), y];
    match method(to, Direction::Forward, g) {
        Method::Columns(product) => {
            let ends = columns::Ends::default();
            columns::forward(to, g, product, uniform, ([x, y], w, b), ends)
        }
        Method::Winograd(product) => winograd::forward(to, g, product, relu, bindings),
        Method::Depthwise => depthwise::over_pixels(
            to,
            Direction::Forward,
            uniform,
            &bindings,
            [g.n * g.k, g.pixels()],
        ),
        Method::Whole(family, variant, block) => {
            let kernel = match variant {
                Variant::Tile(tile) if uniform.c < tile.k => &IMPLICIT_GEMM_TERMS,
                _ => &family.forward,
            };
            let images = [Some(g.c * g.h * g.w), None, None, Some(g.k * g.pixels())];
            let sizes = [g.pixels(), g.k];
            whole::over_pixels(
                to,
                (kernel, variant, block),
                g,
                uniform,
                sizes,
                (bindings, images),
            )
        }
    }
}

/// Lowers the input gradient.
pub(in crate::ops) fn dgrad(
    to: &mut Lowering<'_>,
    g: &Geometry,
    [dy, w]: [Region; 2],
    mask: Option<Region>,
    dx: Region,
) -> Result<(), PlanError> {
    let uniform = ConvUniform {
        masked: u32::from(mask.is_some()),
        ..ConvUniform::new(g)
    };
    // As without a bias, a mask that is not there is never read.
    let bindings = [dy, w, mask.unwrap_or(dy), dx];
    match method(to, Direction::Dgrad, g) {
        Method::Columns(product) => columns::dgrad(to, g, product, uniform, bindings),
        Method::Winograd(product) => winograd::dgrad(to, g, product, mask.is_some(), bindings),
        Method::Depthwise => depthwise::over_pixels(
            to,
            Direction::Dgrad,
            uniform,
            &bindings,
            [g.n * g.c, g.h * g.w],
        ),
        Method::Whole(family, variant, block) => {
            let [dy, dx] = [g.k * g.pixels(), g.c * g.h * g.w].map(Some);
            let images = [dy, None, mask.map_or(dy, |_| dx), dx];
            let sizes = [g.h * g.w, g.c];
            let by = (&family.dgrad, variant, block);
            whole::over_pixels(to, by, g, uniform, sizes, (bindings, images))
        }
    }
}

/// Lowers the filter and bias gradients: parts, and their sum in order unless the optimizer does it.
pub(in crate::ops) fn wgrad(
    to: &mut Lowering<'_>,
    g: &Geometry,
    [x, dy]: [Region; 2],
    dw: Region,
    db: Option<Region>,
) -> Result<(), PlanError> {
    let columns = g.gradient_columns();
    let (splits, partial) = match method(to, Direction::Wgrad, g) {
        Method::Columns(product) => {
            let splits = columns::splits(g, product, &to.options().limits);
            let partial = to.parts("partial_dw", splits * g.k * columns);
            columns::wgrad(to, g, product, splits, [x, dy, partial])?;
            (splits, partial)
        }
        Method::Winograd(product) => {
            let partial = to.parts("partial_dw", g.k * columns);
            winograd::wgrad(to, g, product, [x, dy, partial])?;
            (1, partial)
        }
        Method::Depthwise => {
            let kernel = depthwise::kernel(Direction::Wgrad);
            let (workgroups, turn) = (depthwise::over_filters(g), depthwise::LANES);
            whole::in_splits(to, g, (kernel, Variant::Plain), workgroups, turn, [x, dy])?
        }
        Method::Whole(family, variant, block) => {
            let workgroups = whole::workgroups(to, g, variant, block, [columns, g.k])?;
            let turn = match variant {
                Variant::Tile(tile) => tile.k.into(),
                _ => 1,
            };
            whole::in_splits(to, g, (&family.wgrad, variant), workgroups, turn, [x, dy])?
        }
    };
    let parts = Parts {
        partial,
        splits: splits as u32,
        weights: dw,
        bias: db,
    };
    sum_parts(to, parts)
}

/// Sums a gradient in parts, in order, unless the optimizer does.
pub(in crate::ops) fn sum_parts(to: &mut Lowering<'_>, parts: Parts) -> Result<(), PlanError> {
    if to.leave_parts(parts) {
        return Ok(());
    }
    let elements = |region: Region| (region.bytes / 4) as usize;
    let (len, k) = (elements(parts.weights), parts.bias.map_or(0, elements));
    let uniform = ReduceUniform {
        splits: parts.splits,
        len: len as u32,
        k: k as u32,
    };
    // A buffer that is written may be bound only once, so one that nothing is written to is its own.
    let bias = parts.bias.unwrap_or_else(|| to.scratch("no bias", 1));
    to.elementwise(
        &REDUCE,
        Variant::Plain,
        uniform.words(),
        &[parts.partial, parts.weights, bias],
        len + k,
    )
}
