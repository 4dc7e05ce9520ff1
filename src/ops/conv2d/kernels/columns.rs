//! Convolution as a GEMM over packed panels: some images at a time are packed, then multiplied.

use std::ops::Range;

use super::product::{Finish, Product, panels};
use super::runs::{self, TERMS};
use super::{ConvUniform, Geometry};
use crate::graph::ValueId;
use crate::plan::{
    Binding, Direction, Kernel, Lowering, Panel, PlanError, PlanLimits, Region, Variant, read,
    update, write,
};

/// Columns or rows that a workgroup packs, as in the shader: a multiple of every panel's columns, so that it packs whole
/// panels.
const PACKED: usize = 64;
/// Bytes of panels that are packed at once, if more than one image: what a last-level cache holds.
pub(super) const CHUNK: u64 = 16 << 20;
/// Workgroups that a filter gradient is shared by, if it has that many images: its panels are few and deep.
const SHARES: usize = 8;

const fn pack(entry: &'static str, bindings: &'static [Binding]) -> Kernel {
    Kernel {
        shader: "conv2d_pack",
        entry,
        bindings,
        uniform: ConvUniform::FIELDS,
    }
}

const fn unpack(entry: &'static str, bindings: &'static [Binding]) -> Kernel {
    Kernel {
        shader: "conv2d_unpack",
        entry,
        bindings,
        uniform: ConvUniform::FIELDS,
    }
}

/// The kernels of one direction: packing both factors, and storing their product.
struct Kernels {
    a: Kernel,
    b: Kernel,
    out: Kernel,
}

static FORWARD: Kernels = Kernels {
    a: pack("forward_a", &[read("w"), write("a")]),
    b: pack("forward_b", &[read("x"), write("b")]),
    out: unpack("forward", &[read("c"), read("bias"), write("y")]),
};

static DGRAD: Kernels = Kernels {
    a: pack("dgrad_a", &[read("w"), write("a")]),
    b: pack("dgrad_b", &[read("dy"), write("b")]),
    out: unpack("dgrad", &[read("c"), read("mask"), write("dx")]),
};

static WGRAD: Kernels = Kernels {
    a: pack("wgrad_a", &[read("dy"), write("a")]),
    b: pack("wgrad_b", &[read("x"), write("b")]),
    out: unpack("wgrad", &[read("c"), write("partial_dw")]),
};

/// The same for all images but the first ones: it adds to their sums.
static WGRAD_MORE: Kernel = unpack("wgrad", &[read("c"), update("partial_dw")]);

pub(super) fn kernels(
    direction: Direction,
    product: &'static Product,
) -> Vec<(&'static Kernel, Variant)> {
    let Kernels { a, b, out } = match direction {
        Direction::Forward => &FORWARD,
        Direction::Dgrad => &DGRAD,
        Direction::Wgrad => &WGRAD,
    };
    [a, b, &product.kernel, out]
        .map(|kernel| (kernel, Variant::Panel(product.panel)))
        .to_vec()
}

/// Terms of a panel: the product takes them in pairs.
fn paired(depth: usize) -> usize {
    depth.next_multiple_of(2)
}

/// Bytes of the panels of `columns` columns, each `depth` deep.
fn panel_bytes(columns: usize, depth: usize) -> u64 {
    4 * columns.next_multiple_of(PACKED) as u64 * paired(depth) as u64
}

/// Bytes of the product of so many rows, in whole panels, and columns.
fn product_bytes(product: &Product, rows: usize, columns: usize) -> u64 {
    4 * product.whole(rows) as u64 * columns.next_multiple_of(PACKED) as u64
}

/// Rows, columns and terms of the product of so many images.
fn sizes(direction: Direction, g: &Geometry, images: usize) -> [usize; 3] {
    match direction {
        Direction::Forward => [g.k, images * g.pixels(), g.terms()],
        Direction::Dgrad => [g.c, images * g.h * g.w, g.window() * g.k],
        Direction::Wgrad => [g.k, g.gradient_columns(), images * g.pixels()],
    }
}

/// Whether both factors of so many images and their product fit in bindings of their own, the terms in a loop and the workgroups in
/// dispatches.
fn hold(
    direction: Direction,
    g: &Geometry,
    product: &Product,
    limits: &PlanLimits,
    images: usize,
) -> bool {
    let [rows, columns, terms] = sizes(direction, g, images);
    if terms > TERMS {
        return false;
    }
    let packed_rows = 4 * product.whole(rows) as u64 * paired(terms) as u64;
    let bytes = packed_rows
        .max(panel_bytes(columns, terms))
        .max(product_bytes(product, rows, columns));
    let Panel {
        rows: down,
        columns: across,
    } = product.panel;
    let parts = match direction {
        Direction::Forward | Direction::Dgrad => g.window(),
        Direction::Wgrad => images,
    };
    let workgroups = [panels(rows, down), panels(columns, across), parts];
    let most = limits.max_workgroups as usize;
    bytes <= limits.max_binding && workgroups.iter().all(|&n| n <= most)
}

/// Runs of images that are packed and multiplied at once.
pub(super) fn runs(
    direction: Direction,
    g: &Geometry,
    product: &'static Product,
    limits: &PlanLimits,
) -> impl ExactSizeIterator<Item = Range<usize>> + use<> {
    runs::runs(g.n, &|images| {
        let [_, columns, terms] = sizes(direction, g, images);
        panel_bytes(columns, terms) <= CHUNK && hold(direction, g, product, limits, images)
    })
}

/// Whether a device holds what one image takes, and all images are not too many runs.
pub(super) fn fits(
    direction: Direction,
    g: &Geometry,
    product: &'static Product,
    limits: &PlanLimits,
) -> bool {
    hold(direction, g, product, limits, 1)
        && runs(direction, g, product, limits).len() <= runs::MOST
}

/// One convolution while it is lowered.
struct Panels<'t, 'g> {
    to: &'t mut Lowering<'g>,
    kernels: &'static Kernels,
    product: &'static Product,
    flops_an_image: u64,
}

impl<'t, 'g> Panels<'t, 'g> {
    fn new(
        to: &'t mut Lowering<'g>,
        kernels: &'static Kernels,
        g: &Geometry,
        product: &'static Product,
    ) -> Result<Self, PlanError> {
        product.check(to.options().limits)?;
        Ok(Self {
            to,
            kernels,
            product,
            flops_an_image: g.flops() / g.n as u64,
        })
    }

    fn variant(&self) -> Variant {
        Variant::Panel(self.product.panel)
    }

    fn scratch_a(&mut self, rows: usize, depth: usize) -> Region {
        self.to
            .scratch("a", self.product.whole(rows) * paired(depth))
    }

    /// The same for filters that stay as they are, which are packed once.
    fn kept_a(&mut self, w: Region, rows: usize, depth: usize) -> Option<Region> {
        self.to
            .kept("a", w, self.product.whole(rows) * paired(depth))
    }

    fn scratch_b(&mut self, bytes: u64) -> Region {
        self.to.scratch("b", (bytes / 4) as usize)
    }

    fn scratch_c(&mut self, rows: usize, columns: usize) -> Region {
        self.to.scratch(
            "c",
            self.product.whole(rows) * columns.next_multiple_of(PACKED),
        )
    }

    /// Packs `len` rows or columns, in so many parts of the reduction.
    fn pack(
        &mut self,
        kernel: &'static Kernel,
        uniform: ConvUniform,
        [from, into]: [Region; 2],
        len: usize,
        parts: usize,
    ) -> Result<(), PlanError> {
        let workgroups = [len.div_ceil(PACKED) as u64, parts as u64, 1];
        let words = uniform.words();
        self.to
            .dispatch(kernel, self.variant(), words, &[from, into], workgroups)?;
        self.to.set_flops(0);
        Ok(())
    }

    /// Packs filters, once for all runs if they stay as they are.
    fn pack_filters(
        &mut self,
        uniform: ConvUniform,
        w: Region,
        [rows, depth]: [usize; 2],
        taps: usize,
    ) -> Result<Region, PlanError> {
        let kept = self.kept_a(w, rows, depth);
        let packed = kept.unwrap_or_else(|| self.scratch_a(rows, depth));
        self.pack(&self.kernels.a, uniform, [w, packed], rows, taps)?;
        if kept.is_some() {
            self.to.run_once();
        }
        Ok(packed)
    }

    /// Multiplies the panels `a` and `b` into `c`, each part of the reduction by itself, and stores that by the kernel `out`.
    fn multiply(
        &mut self,
        [a, b, c]: [Region; 3],
        [rows, columns, depth, parts]: [usize; 4],
        out: &'static Kernel,
        uniform: ConvUniform,
        others: &[Region],
    ) -> Result<(), PlanError> {
        let Product { panel, .. } = self.product;
        let down = panels(rows, panel.rows) as u64;
        let across = panels(columns, panel.columns) as u64;
        let sizes = [rows, columns, depth];
        self.product.dispatch(self.to, [a, b, c], sizes, parts)?;
        let images = u64::from(uniform.images);
        self.to.set_flops(self.flops_an_image * images);
        let bindings: Vec<_> = std::iter::once(&c).chain(others).copied().collect();
        self.to.dispatch(
            out,
            self.variant(),
            uniform.words(),
            &bindings,
            [across, down, parts as u64],
        )
    }
}

/// Forward and dgrad alike: filters are packed once, the maps some images at a time.
fn over_pixels(
    mut panels: Panels<'_, '_>,
    (direction, g): (Direction, &Geometry),
    uniform: ConvUniform,
    [maps, w, other, out]: [Region; 4],
    [down, taps]: [usize; 2],
) -> Result<(), PlanError> {
    let Kernels { b, out: store, .. } = panels.kernels;
    let [rows, _, depth] = sizes(direction, g, 1);
    let packed_w = panels.pack_filters(uniform, w, [rows, depth], taps)?;
    let mut scratch = None;
    let limits = panels.to.options().limits;
    for images in runs(direction, g, panels.product, &limits) {
        let [_, columns, _] = sizes(direction, g, images.len());
        // The first run of images is the longest.
        let [packed, product] = *scratch.get_or_insert_with(|| {
            [
                panels.scratch_b(panel_bytes(columns, depth)),
                panels.scratch_c(rows, columns),
            ]
        });
        let uniform = uniform.images(&images);
        panels.pack(b, uniform, [maps, packed], columns, down)?;
        let factors = [packed_w, packed, product];
        let sizes = [rows, columns, depth, 1];
        panels.multiply(factors, sizes, store, uniform, &[other, out])?;
    }
    Ok(())
}

/// What of a layer's maps lies in panels.
#[derive(Clone, Copy, Default)]
pub(super) struct Ends {
    /// The columns of `x`, where the layer before left them.
    pub(super) packed: Option<Region>,
    /// `y`, if its product is left to the layer behind.
    pub(super) passed_on: Option<ValueId>,
}

/// Lowers the forward pass over `x`, `y`, `w` and the bias. With an end in panels all images are packed at once.
pub(super) fn forward(
    to: &mut Lowering<'_>,
    g: &Geometry,
    product: &'static Product,
    uniform: ConvUniform,
    ([x, y], w, bias): ([Region; 2], Region, Option<Region>),
    ends: Ends,
) -> Result<(), PlanError> {
    let mut panels = Panels::new(to, &FORWARD, g, product)?;
    // Every binding must name some buffer; without a bias the kernel never reads this one.
    let bindings = [x, w, bias.unwrap_or(w), y];
    if ends.packed.is_none() && ends.passed_on.is_none() {
        let of = (Direction::Forward, g);
        return over_pixels(panels, of, uniform, bindings, [g.r, g.window()]);
    }
    let sizes = sizes(Direction::Forward, g, g.n);
    let [_, columns, _] = sizes;
    let packed_w = panels.pack_filters(uniform, w, [g.k, g.terms()], g.window())?;
    let packed = match ends.packed {
        Some(packed) => packed,
        None => {
            let packed = panels.scratch_b(panel_bytes(columns, g.terms()));
            panels.pack(&FORWARD.b, uniform, [x, packed], columns, g.r)?;
            packed
        }
    };
    let sums = panels.scratch_c(g.k, columns);
    let factors = [packed_w, packed, sums];
    let Some(passed_on) = ends.passed_on else {
        let [rows, columns, terms] = sizes;
        let sizes = [rows, columns, terms, 1];
        return panels.multiply(factors, sizes, &FORWARD.out, uniform, &bindings[2..]);
    };
    let relu = uniform.relu != 0;
    product.dispatch_finished(panels.to, factors, sizes, 1, Finish { bias, relu })?;
    panels.to.set_panels(passed_on, sums);
    Ok(())
}

/// Lowers the input gradient over `dy`, `w`, the mask and `dx`.
pub(super) fn dgrad(
    to: &mut Lowering<'_>,
    g: &Geometry,
    product: &'static Product,
    uniform: ConvUniform,
    bindings: [Region; 4],
) -> Result<(), PlanError> {
    let panels = Panels::new(to, &DGRAD, g, product)?;
    let of = (Direction::Dgrad, g);
    over_pixels(panels, of, uniform, bindings, [g.r, g.window()])
}

/// Parts of a filter gradient's reduction that are multiplied side by side, all of as many images: one, if there are several runs
/// of images.
pub(super) fn splits(g: &Geometry, product: &'static Product, limits: &PlanLimits) -> usize {
    let Panel { rows, columns } = product.panel;
    let workgroups = panels(g.k, rows) * panels(g.gradient_columns(), columns);
    let most = SHARES / workgroups;
    let mut counts = (1..=most.min(g.n)).rev();
    let even = counts.find(|splits| g.n.is_multiple_of(*splits));
    even.filter(|_| runs(Direction::Wgrad, g, product, limits).len() == 1)
        .unwrap_or(1)
}

/// Lowers the filter and bias gradients into so many parts, which lie in `partial`.
pub(super) fn wgrad(
    to: &mut Lowering<'_>,
    g: &Geometry,
    product: &'static Product,
    splits: usize,
    [x, dy, partial]: [Region; 3],
) -> Result<(), PlanError> {
    let columns = g.gradient_columns();
    let mut panels = Panels::new(to, &WGRAD, g, product)?;
    let sums = panels.scratch_c(g.k, splits * columns.next_multiple_of(PACKED));
    let mut packed = None;
    let limits = panels.to.options().limits;
    for images in runs(Direction::Wgrad, g, product, &limits) {
        let depth = images.len() / splits * g.pixels();
        let [dy_panels, x_panels] = *packed.get_or_insert_with(|| {
            [
                panels.scratch_a(g.k, splits * paired(depth)),
                panels.scratch_b(splits as u64 * panel_bytes(columns, depth)),
            ]
        });
        let uniform = ConvUniform {
            pixels_per_split: depth as u32,
            ..ConvUniform::new(g).images(&images)
        };
        panels.pack(&WGRAD.a, uniform, [dy, dy_panels], g.k, images.len())?;
        panels.pack(&WGRAD.b, uniform, [x, x_panels], columns, images.len())?;
        let store = if images.start == 0 {
            &WGRAD.out
        } else {
            &WGRAD_MORE
        };
        let factors = [dy_panels, x_panels, sums];
        let sizes = [g.k, columns, depth, splits];
        panels.multiply(factors, sizes, store, uniform, &[partial])?;
    }
    Ok(())
}
