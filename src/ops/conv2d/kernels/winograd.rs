//! Winograd's convolution: tiles and filters at the points of F(m, r), a product of panels at each, and back.

use std::ops::Range;

use super::Geometry;
use super::columns::CHUNK;
use super::product::{Product, panels};
use super::runs::{self, TERMS};
use crate::ops::winograd::{Matrices, Matrix, Minimal};
use crate::plan::{
    Binding, Direction, Field, Kernel, Lowering, PlanError, PlanLimits, Region, Variant, read,
    uniforms, update, write,
};

uniforms! {
    struct WinogradUniform {
        c: u32, h: u32, w: u32, k: u32, p: u32, q: u32, pad_h: u32, pad_w: u32, tiles_h: u32, tiles_w: u32,
        first_image: u32, images: u32,
        filter_row: u32, filter_term: u32, flipped: u32,
        biased: u32, relu: u32, masked: u32,
        depth: u32, panel_rows: u32, panel_columns: u32, row_panels: u32, column_panels: u32, a_blocks: u32,
    }
}

const fn kernel(shader: &'static str, entry: &'static str, bindings: &'static [Binding]) -> Kernel {
    Kernel {
        shader,
        entry,
        bindings,
        uniform: WinogradUniform::FIELDS,
    }
}

pub(super) const UNIFORM: &[Field] = WinogradUniform::FIELDS;

const IN: &str = "conv2d_winograd_in";
const OUT: &str = "conv2d_winograd_out";

pub(super) static PIXELS_IN: Kernel = kernel(
    IN,
    "over_pixels",
    &[read("maps"), read("w"), write("a"), write("b")],
);
pub(super) static PIXELS_OUT: Kernel =
    kernel(OUT, "over_pixels", &[read("c"), read("other"), write("y")]);
pub(super) static FILTERS_IN: Kernel = kernel(
    IN,
    "over_filters",
    &[read("maps"), read("dy"), write("a"), write("b")],
);
pub(super) static FILTERS_OUT: Kernel = kernel(
    OUT,
    "over_filters",
    &[read("c"), read("a"), write("partial_dw")],
);
/// The same for all images but the first ones: it adds to their sums.
pub(super) static FILTERS_MORE: Kernel = kernel(
    OUT,
    "over_filters",
    &[read("c"), read("a"), update("partial_dw")],
);

/// Elements that a workgroup packs, or tiles or filters' gradients that it makes.
const LANES: usize = 64;

pub(super) fn kernels(
    direction: Direction,
    product: &'static Product,
) -> Vec<(&'static Kernel, Variant)> {
    let both: [&Kernel; 2] = match direction {
        Direction::Forward | Direction::Dgrad => [&PIXELS_IN, &PIXELS_OUT],
        Direction::Wgrad => [&FILTERS_IN, &FILTERS_OUT],
    };
    let sizes = [Minimal::F4_3, Minimal::F2_5, Minimal::F3_5].map(Variant::Winograd);
    let transforms = sizes
        .iter()
        .flat_map(|&size| both.map(|kernel| (kernel, size)));
    transforms
        .chain([(&product.kernel, product.variant())])
        .collect()
}

/// The correlation that a direction is, of maps that are read with filters of `r x r`.
#[derive(Clone, Copy)]
struct Correlation {
    direction: Direction,
    g: Geometry,
    of: Minimal,
    product: &'static Product,
    /// Maps that are read, and that are written: `[maps, rows, columns]`.
    input: [usize; 3],
    output: [usize; 3],
    pad: [usize; 2],
}

impl Correlation {
    /// `None` if filters are of another size.
    fn new(direction: Direction, g: &Geometry, product: &'static Product) -> Option<Self> {
        let (x, y) = ([g.c, g.h, g.w], [g.k, g.p, g.q]);
        let before = g.pad.map(|[before, _]| before);
        let (input, output, pad) = match direction {
            Direction::Forward | Direction::Wgrad => (x, y, before),
            // Below zero it wraps round, as in the shader: then `dy` is not read from its edge on.
            Direction::Dgrad => (y, x, before.map(|pad| (g.r - 1).wrapping_sub(pad))),
        };
        let (of, _) = Minimal::products(direction, g, g.n)?;
        Some(Self {
            direction,
            g: *g,
            of,
            product,
            input,
            output,
            pad,
        })
    }

    /// Rows, columns and terms of the products of so many images.
    fn sizes(&self, images: usize) -> [usize; 3] {
        let products = Minimal::products(self.direction, &self.g, images);
        products.expect("invariant: it has a size").1
    }

    /// Bytes of the largest buffer for so many images.
    fn bytes(&self, images: usize) -> u64 {
        let elements = self.elements(self.sizes(images));
        4 * elements.into_iter().max().unwrap_or(0) as u64
    }

    /// Whether so many images take no more than `most` bytes of any buffer, and their terms fit in a loop.
    fn hold(&self, images: usize, most: u64) -> bool {
        let [_, _, terms] = self.sizes(images);
        terms <= TERMS && self.bytes(images) <= most
    }

    /// Runs of images that are computed at once.
    fn runs(self, limits: &PlanLimits) -> impl ExactSizeIterator<Item = Range<usize>> + use<> {
        let most = most(self.product, limits);
        runs::runs(self.g.n, &|images| self.hold(images, most))
    }

    /// Elements of the panels of `len` rows or columns, of so many terms, at one point.
    fn packed(&self, len: usize, width: u32, terms: usize) -> usize {
        panels(len, width) * width as usize * self.product.depth(terms)
    }

    /// Elements of `a`, `b` and `c` at all points, of a product of so many rows, columns and terms.
    fn elements(&self, [rows, columns, terms]: [usize; 3]) -> [usize; 3] {
        let panel = self.product.panel;
        let points = self.of.points_of_tile();
        let product =
            panels(columns, panel.columns) * panel.columns as usize * self.product.whole(rows);
        [
            points * self.packed(rows, panel.rows, terms),
            points * self.packed(columns, panel.columns, terms),
            points * product,
        ]
    }

    fn uniform(
        &self,
        images: &Range<usize>,
        [rows, columns, terms]: [usize; 3],
    ) -> WinogradUniform {
        let m = self.of.m as usize;
        let ([c, h, w], [k, p, q]) = (self.input, self.output);
        let panel = self.product.panel;
        let word = |x: usize| x as u32;
        WinogradUniform {
            c: word(c),
            h: word(h),
            w: word(w),
            k: word(k),
            p: word(p),
            q: word(q),
            pad_h: word(self.pad[0]),
            pad_w: word(self.pad[1]),
            tiles_h: word(p.div_ceil(m)),
            tiles_w: word(q.div_ceil(m)),
            first_image: word(images.start),
            images: word(images.len()),
            filter_row: 0,
            filter_term: 0,
            flipped: 0,
            biased: 0,
            relu: 0,
            masked: 0,
            depth: word(self.product.depth(terms)),
            panel_rows: panel.rows,
            panel_columns: panel.columns,
            row_panels: word(panels(rows, panel.rows)),
            column_panels: word(panels(columns, panel.columns)),
            a_blocks: 0,
        }
    }

    /// Workgroups that pack the panels of `len` rows or columns.
    fn blocks(&self, len: usize, width: u32, terms: usize) -> usize {
        panels(len, width) * (width as usize * self.product.depth(terms)).div_ceil(LANES)
    }
}

/// Operations of a nested transform: a multiplication and an addition for every coefficient that is not zero, of each line.
fn work(matrix: &Matrix) -> u64 {
    let used = matrix.iter().flatten().filter(|x| **x != 0.0).count();
    2 * (used * (matrix.len() + matrix[0].len())) as u64
}

/// Bytes of panels or products at most, of images at once if there are several, where lanes do not run on CPU cores.
const HARDWARE_CHUNK: u64 = 96 << 20;

fn most(product: &Product, limits: &PlanLimits) -> u64 {
    let chunk = product.tile.map_or(CHUNK, |_| HARDWARE_CHUNK);
    chunk.min(limits.max_binding)
}

/// Whether what one image takes fits in bindings and a loop, and all images are not too many runs.
pub(super) fn fits(
    direction: Direction,
    g: &Geometry,
    product: &'static Product,
    limits: &PlanLimits,
) -> bool {
    Correlation::new(direction, g, product)
        .is_some_and(|of| of.hold(1, limits.max_binding) && of.runs(limits).len() <= runs::MOST)
}

/// One convolution while it is lowered.
struct Winograd<'t, 'g> {
    to: &'t mut Lowering<'g>,
    of: Correlation,
    matrices: Matrices,
}

impl<'t, 'g> Winograd<'t, 'g> {
    fn new(
        to: &'t mut Lowering<'g>,
        direction: Direction,
        g: &Geometry,
        product: &'static Product,
    ) -> Result<Self, PlanError> {
        product.check(to.options().limits)?;
        let of = Correlation::new(direction, g, product);
        let of = of.expect("invariant: `fits` said that there is one");
        let matrices = of.of.matrices();
        Ok(Self { to, of, matrices })
    }

    /// Panels and products of so many images; those of filters may be kept ones.
    fn scratch(&mut self, images: usize, a: Option<Region>) -> [Region; 3] {
        let [rows, columns, products] = self.of.elements(self.of.sizes(images));
        let a = a.unwrap_or_else(|| self.to.scratch("a", rows));
        let [b, c] = [("b", columns), ("c", products)];
        [a, self.to.scratch(b.0, b.1), self.to.scratch(c.0, c.1)]
    }

    /// Where the panels of filters that stay as they are may be kept.
    fn kept_a(&mut self, w: Region) -> Option<Region> {
        let [elements, ..] = self.of.elements(self.of.sizes(1));
        self.to.kept("a", w, elements)
    }

    /// Appends a dispatch of so many workgroups, folded over y where x would pass the limit.
    fn dispatch(
        &mut self,
        kernel: &'static Kernel,
        uniform: WinogradUniform,
        bindings: &[Region],
        workgroups: usize,
        flops: u64,
    ) -> Result<(), PlanError> {
        let variant = Variant::Winograd(self.of.of);
        let words = uniform.words();
        self.to
            .folded(kernel, variant, words, bindings, workgroups as u64)?;
        self.to.set_flops(flops);
        Ok(())
    }
}

/// Forward and dgrad alike, over the maps that are read, `w`, bias or mask, and the maps that are written.
fn over_pixels(
    mut winograd: Winograd<'_, '_>,
    like: impl Fn(WinogradUniform) -> WinogradUniform,
    [maps, w, other, out]: [Region; 4],
) -> Result<(), PlanError> {
    let of = winograd.of;
    let panel = of.product.panel;
    let Matrices {
        input,
        filter,
        output,
    } = winograd.matrices.clone();
    let kept = winograd.kept_a(w);
    if let Some(a) = kept {
        let sizes = of.sizes(1);
        let [rows, _, terms] = sizes;
        let mut uniform = like(of.uniform(&(0..1), sizes));
        let blocks = of.blocks(rows, panel.rows, terms);
        uniform.a_blocks = blocks as u32;
        let unused = winograd.to.scratch("no maps", 1);
        let flops = (rows * terms) as u64 * work(&filter);
        winograd.dispatch(&PIXELS_IN, uniform, &[w, w, a, unused], blocks, flops)?;
        winograd.to.run_once();
    }
    let mut scratch = None;
    for images in of.runs(&winograd.to.options().limits) {
        // The first run of images is the longest.
        let [a, b, c] = *scratch.get_or_insert_with(|| winograd.scratch(images.len(), kept));
        let sizes = of.sizes(images.len());
        let [rows, columns, terms] = sizes;
        let mut uniform = like(of.uniform(&images, sizes));
        // Filters that are not kept are packed with the first.
        let packs_filters = kept.is_none() && images.start == 0;
        let filters = if packs_filters { rows } else { 0 };
        let a_blocks = of.blocks(filters, panel.rows, terms);
        uniform.a_blocks = a_blocks as u32;
        let blocks = a_blocks + of.blocks(columns, panel.columns, terms);
        let before =
            (filters * terms) as u64 * work(&filter) + (columns * terms) as u64 * work(&input);
        let behind = (rows * columns) as u64 * work(&output);
        let bindings = match kept {
            Some(_) => [maps, maps, winograd.to.scratch("no filters", 1), b],
            None => [maps, w, a, b],
        };
        winograd.dispatch(&PIXELS_IN, uniform, &bindings, blocks, before)?;
        of.product
            .dispatch(winograd.to, [a, b, c], sizes, of.of.points_of_tile())?;
        let panel_of_product = panel.columns as usize * of.product.whole(rows);
        let blocks = panels(columns, panel.columns) * panel_of_product.div_ceil(LANES);
        winograd.dispatch(&PIXELS_OUT, uniform, &[c, other, out], blocks, behind)?;
    }
    Ok(())
}

/// Lowers the forward pass over `x`, `w`, the bias and `y`.
pub(super) fn forward(
    to: &mut Lowering<'_>,
    g: &Geometry,
    product: &'static Product,
    relu: bool,
    bindings: [Region; 4],
) -> Result<(), PlanError> {
    let like = |uniform| WinogradUniform {
        filter_row: (g.c * g.window()) as u32,
        filter_term: g.window() as u32,
        biased: u32::from(g.biased),
        relu: u32::from(relu),
        ..uniform
    };
    over_pixels(
        Winograd::new(to, Direction::Forward, g, product)?,
        like,
        bindings,
    )
}

/// Lowers the input gradient over `dy`, `w`, the mask and `dx`.
pub(super) fn dgrad(
    to: &mut Lowering<'_>,
    g: &Geometry,
    product: &'static Product,
    masked: bool,
    bindings: [Region; 4],
) -> Result<(), PlanError> {
    let like = |uniform| WinogradUniform {
        filter_row: g.window() as u32,
        filter_term: (g.c * g.window()) as u32,
        flipped: 1,
        masked: u32::from(masked),
        ..uniform
    };
    over_pixels(
        Winograd::new(to, Direction::Dgrad, g, product)?,
        like,
        bindings,
    )
}

/// Lowers the filter and bias gradients into one part, `partial`.
pub(super) fn wgrad(
    to: &mut Lowering<'_>,
    g: &Geometry,
    product: &'static Product,
    [x, dy, partial]: [Region; 3],
) -> Result<(), PlanError> {
    let mut winograd = Winograd::new(to, Direction::Wgrad, g, product)?;
    let of = winograd.of;
    let panel = product.panel;
    let mut scratch = None;
    for images in of.runs(&winograd.to.options().limits) {
        let [a, b, c] = *scratch.get_or_insert_with(|| winograd.scratch(images.len(), None));
        let sizes = of.sizes(images.len());
        let [rows, columns, terms] = sizes;
        let mut uniform = of.uniform(&images, sizes);
        uniform.biased = u32::from(g.biased);
        let a_blocks = of.blocks(rows, panel.rows, terms);
        uniform.a_blocks = a_blocks as u32;
        let blocks = a_blocks + of.blocks(columns, panel.columns, terms);
        let Matrices {
            input,
            filter,
            output,
        } = &winograd.matrices;
        let before = (rows * terms) as u64 * work(output) + (columns * terms) as u64 * work(input);
        let behind = (rows * columns) as u64 * work(filter);
        winograd.dispatch(&FILTERS_IN, uniform, &[x, dy, a, b], blocks, before)?;
        product.dispatch(winograd.to, [a, b, c], sizes, of.of.points_of_tile())?;
        let panel_of_product = panel.columns as usize * product.whole(rows);
        let biases = if g.biased { rows } else { 0 };
        let blocks = panels(columns, panel.columns) * panel_of_product / LANES + biases;
        let store = if images.start == 0 {
            &FILTERS_OUT
        } else {
            &FILTERS_MORE
        };
        winograd.dispatch(store, uniform, &[c, a, partial], blocks, behind)?;
    }
    Ok(())
}
