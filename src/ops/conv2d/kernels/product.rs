//! Products of packed panels: the kernels that multiply them, and the layout that each wants.

use crate::plan::{
    Binding, Conv2dAlgorithm, Kernel, Lowering, Panel, PlanError, PlanLimits, Region, Tile,
    Variant, read, uniforms, write,
};

uniforms! {
    struct ProductUniform { depth: u32, rows: u32, biased: u32, relu: u32 }
}

uniforms! {
    struct TiledUniform { depth: u32, rows: u32 }
}

const fn kernel(shader: &'static str) -> Kernel {
    const BINDINGS: &[Binding] = &[read("a"), read("b"), write("c"), read("bias")];
    Kernel {
        shader,
        entry: "product",
        bindings: BINDINGS,
        uniform: ProductUniform::FIELDS,
    }
}

/// What a product does to its sums before it stores them, for a layer that takes them as its panels of columns.
#[derive(Clone, Copy, Default)]
pub(super) struct Finish {
    pub(super) bias: Option<Region>,
    pub(super) relu: bool,
}

/// A kernel that multiplies panels, and how it wants them.
pub(super) struct Product {
    pub(super) kernel: Kernel,
    pub(super) panel: Panel,
    /// Terms that a turn of its loop takes.
    turn: usize,
    /// The tile, if it works on one in workgroup memory.
    pub(super) tile: Option<Tile>,
    /// The same for few rows.
    narrow: Option<&'static Product>,
}

pub(super) static PLAIN: Product = Product {
    kernel: kernel("conv2d_columns"),
    panel: Panel {
        rows: 16,
        columns: 64,
    },
    turn: 2,
    tile: None,
    narrow: Some(&NARROW),
};

static NARROW: Product = Product {
    kernel: kernel("conv2d_columns"),
    panel: Panel {
        rows: 8,
        columns: 64,
    },
    turn: 2,
    tile: None,
    narrow: None,
};

pub(super) static SUBGROUP: Product = Product {
    kernel: kernel("conv2d_columns_subgroup"),
    panel: Panel {
        rows: 32,
        columns: 32,
    },
    turn: 2,
    tile: None,
    narrow: None,
};

pub(super) static TILED: Product = Product {
    kernel: Kernel {
        shader: "conv2d_columns_tiled",
        entry: "product",
        bindings: &[read("a"), read("b"), write("c")],
        uniform: TiledUniform::FIELDS,
    },
    panel: Panel {
        rows: 64,
        columns: 64,
    },
    turn: 16,
    tile: Some(Tile {
        m: 64,
        n: 64,
        k: 16,
        micro: 4,
    }),
    narrow: None,
};

pub(super) fn panels(len: usize, width: u32) -> usize {
    len.div_ceil(width as usize)
}

impl Product {
    /// The one whose panels are filled best by so many rows.
    pub(super) fn of_rows(&'static self, rows: usize) -> &'static Self {
        let narrow = self.narrow.filter(|of| rows <= of.panel.rows as usize);
        narrow.unwrap_or(self)
    }

    /// It, and what [`Product::of_rows`] may be.
    pub(super) fn all(&'static self) -> impl Iterator<Item = &'static Self> {
        std::iter::once(self).chain(self.narrow)
    }

    /// What its kernel is compiled with.
    pub(super) fn variant(&self) -> Variant {
        self.tile.map_or(Variant::Panel(self.panel), Variant::Tile)
    }

    /// Rows in whole panels.
    pub(super) fn whole(&self, rows: usize) -> usize {
        rows.next_multiple_of(self.panel.rows as usize)
    }

    /// Terms in whole turns of its loop; those past the last one are zeros.
    pub(super) fn depth(&self, terms: usize) -> usize {
        terms.next_multiple_of(self.turn)
    }

    /// Refuses it where a device does not have what it takes.
    pub(super) fn check(&self, limits: PlanLimits) -> Result<(), PlanError> {
        if let Some(tile) = self.tile {
            return super::whole::check_tile(tile, limits);
        }
        let (needs, has) = (Conv2dAlgorithm::SUBGROUP, limits.subgroup);
        if self.kernel.uses_subgroups() && has < needs {
            return Err(PlanError::Variant {
                kernel: self.kernel.shader.to_owned(),
                what: format!("subgroups of {needs} lanes, the device has {has}"),
            });
        }
        Ok(())
    }

    /// Multiplies the panels `a` and `b` of `batch` products into `c`.
    pub(super) fn dispatch(
        &'static self,
        to: &mut Lowering<'_>,
        factors: [Region; 3],
        sizes: [usize; 3],
        batch: usize,
    ) -> Result<(), PlanError> {
        self.dispatch_finished(to, factors, sizes, batch, Finish::default())
    }

    /// The same, with the end of a layer, which tiles have none of.
    pub(super) fn dispatch_finished(
        &'static self,
        to: &mut Lowering<'_>,
        [a, b, c]: [Region; 3],
        [rows, columns, terms]: [usize; 3],
        batch: usize,
        finish: Finish,
    ) -> Result<(), PlanError> {
        let [depth, whole] = [self.depth(terms), self.whole(rows)].map(|n| n as u32);
        let (words, bindings) = if self.tile.is_some() {
            let uniform = TiledUniform { depth, rows: whole };
            (uniform.words(), vec![a, b, c])
        } else {
            let uniform = ProductUniform {
                depth,
                rows: whole,
                biased: u32::from(finish.bias.is_some()),
                relu: u32::from(finish.relu),
            };
            // Every binding must name some buffer; without a bias the kernel never reads this one.
            (uniform.words(), vec![a, b, c, finish.bias.unwrap_or(a)])
        };
        let down = panels(rows, self.panel.rows);
        let across = panels(columns, self.panel.columns);
        let workgroups = [down, across, batch].map(|n| n as u64);
        to.dispatch(&self.kernel, self.variant(), words, &bindings, workgroups)?;
        to.set_flops(2 * (batch * rows * columns * terms) as u64);
        Ok(())
    }
}
