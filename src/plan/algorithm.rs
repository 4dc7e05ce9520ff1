//! How convolutions are computed: the algorithms, and which one serves which layer.

use std::fmt;

use super::cost::{beside_wgrad, by_cost};
use super::{PlanLimits, Tile};
use crate::ops::{Geometry, Minimal};

/// How a convolution is computed on the GPU. Every algorithm yields the same result within the op's tolerance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conv2dAlgorithm {
    /// One invocation per output, no reuse: the baseline of the benches.
    Naive,
    /// One invocation per 4 columns and 8 rows, no barriers, nothing packed.
    Direct,
    /// A GEMM over packed panels, no barriers, a lane owns 16 rows and 8 columns: for devices that run lanes on CPU
    /// cores.
    Columns,
    /// The same with 32 rows and 4 columns a lane; the lanes of a subgroup share what they loaded. Needs subgroups of
    /// 8 lanes.
    ColumnsSubgroup,
    /// Implicit GEMM over tiles in workgroup memory: for hardware GPUs.
    ImplicitGemm(Tile),
    /// Winograd's minimal filtering: for 3x3 and 5x5 filters of stride 1, whose tiles are multiplied point by point, by a GEMM over
    /// packed panels each. Fewer multiplications, and rounding errors of 2 to 6 times those of the others.
    Winograd(Product),
    /// Four pixels of a map an invocation, four elements of a filter a workgroup: for as many groups as channels only.
    Depthwise,
}

/// How packed panels are multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Product {
    /// As by [`Conv2dAlgorithm::Columns`].
    Plain,
    /// As by [`Conv2dAlgorithm::ColumnsSubgroup`].
    Subgroup,
    /// Through workgroup memory: for hardware GPUs.
    Tiled,
}

const fn tile(m: u32, n: u32, k: u32, micro: u32) -> Conv2dAlgorithm {
    Conv2dAlgorithm::ImplicitGemm(Tile { m, n, k, micro })
}

impl Conv2dAlgorithm {
    /// Every algorithm and tile that can be chosen, for tests, benches and the tuner.
    pub const ALL: [Self; 15] = [
        Self::Naive,
        Self::Direct,
        Self::Columns,
        Self::ColumnsSubgroup,
        tile(64, 64, 16, 4),
        tile(64, 64, 16, 8),
        tile(64, 128, 16, 4),
        tile(96, 64, 12, 8),
        tile(32, 64, 16, 4),
        tile(128, 128, 8, 8),
        tile(32, 32, 8, 4),
        Self::Winograd(Product::Plain),
        Self::Winograd(Product::Subgroup),
        Self::Winograd(Product::Tiled),
        Self::Depthwise,
    ];

    /// What usually serves on a hardware GPU.
    pub const HARDWARE: Self = tile(64, 128, 16, 4);

    /// Those of [`Conv2dAlgorithm::ALL`] that a device with these limits can run.
    pub fn available(limits: PlanLimits) -> Vec<Self> {
        let fits = |algorithm: &Self| match algorithm {
            Self::ColumnsSubgroup | Self::Winograd(Product::Subgroup) => {
                limits.subgroup >= Self::SUBGROUP
            }
            _ => true,
        };
        Self::ALL.into_iter().filter(fits).collect()
    }

    /// Whether it computes this convolution. What does not is never tried; a plan takes [`Conv2dAlgorithm::Direct`] instead.
    pub fn serves(self, g: &Geometry) -> bool {
        match self {
            Self::Columns | Self::ColumnsSubgroup => g.groups == 1,
            Self::Depthwise => g.is_depthwise(),
            Self::Winograd(_) => {
                let single = g.groups == 1 && g.stride == [1; 2] && g.dilation == [1; 2];
                single && g.r == g.s && Minimal::of(g.r, [g.p, g.q]).is_some()
            }
            Self::Naive | Self::Direct | Self::ImplicitGemm(_) => true,
        }
    }

    /// Lanes that [`Conv2dAlgorithm::ColumnsSubgroup`] needs in every subgroup.
    pub const SUBGROUP: u32 = 8;
}

impl fmt::Display for Conv2dAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Naive => f.write_str("naive"),
            Self::Direct => f.write_str("direct"),
            Self::Columns => f.write_str("columns"),
            Self::ColumnsSubgroup => f.write_str("columns_subgroup"),
            Self::ImplicitGemm(tile) => write!(f, "implicit_gemm {tile}"),
            Self::Depthwise => f.write_str("depthwise"),
            Self::Winograd(Product::Plain) => f.write_str("winograd"),
            Self::Winograd(Product::Subgroup) => f.write_str("winograd_subgroup"),
            Self::Winograd(Product::Tiled) => f.write_str("winograd_tiled"),
        }
    }
}

/// One of the three computations of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Outputs.
    Forward,
    /// Gradient with respect to the input.
    Dgrad,
    /// Gradient with respect to filters and bias.
    Wgrad,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forward => "forward",
            Self::Dgrad => "dgrad",
            Self::Wgrad => "wgrad",
        })
    }
}

/// What the tiles of [`Rule::Hardware`] take of a device: invocations, and bytes of workgroup memory.
const TILES: [u32; 2] = [256, 14_848];

/// Which algorithm serves a convolution of which nothing was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// This one.
    Always(Conv2dAlgorithm),
    /// What usually serves on a hardware GPU.
    Hardware,
    /// What serves on one where the tiles do not fit.
    SmallHardware,
    /// What usually serves on a software adapter.
    Software,
}

impl Rule {
    fn of(
        self,
        direction: Direction,
        g: &Geometry,
        limits: PlanLimits,
        precise: bool,
    ) -> Conv2dAlgorithm {
        let winograd = Conv2dAlgorithm::Winograd(match limits.subgroup {
            lanes if lanes < Conv2dAlgorithm::SUBGROUP => Product::Plain,
            _ => Product::Subgroup,
        });
        match self {
            Self::Always(algorithm) => algorithm,
            _ if g.is_depthwise() => Conv2dAlgorithm::Depthwise,
            Self::SmallHardware => Conv2dAlgorithm::Direct,
            Self::Software
                if !precise && winograd.serves(g) && super::winograd::pays(direction, g) =>
            {
                winograd
            }
            Self::Software if limits.subgroup < Conv2dAlgorithm::SUBGROUP => {
                Conv2dAlgorithm::Columns
            }
            Self::Software => Conv2dAlgorithm::ColumnsSubgroup,
            Self::Hardware => {
                let rounds =
                    |algorithm: &Conv2dAlgorithm| matches!(algorithm, Conv2dAlgorithm::Winograd(_));
                let mut all = Conv2dAlgorithm::ALL.to_vec();
                all.retain(|algorithm| !(precise && rounds(algorithm)));
                let chosen = match direction {
                    Direction::Dgrad => beside_wgrad(all, g),
                    _ => by_cost(all, direction, g).into_iter().next(),
                };
                chosen.unwrap_or(Conv2dAlgorithm::HARDWARE)
            }
        }
    }
}

/// The algorithm of every convolution of a plan: by a rule, except where another was measured to be faster.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv2dChoices {
    rule: Rule,
    precise: bool,
    tuned: Vec<(Direction, Geometry, Conv2dAlgorithm)>,
}

impl From<Conv2dAlgorithm> for Conv2dChoices {
    fn from(algorithm: Conv2dAlgorithm) -> Self {
        Self::by(Rule::Always(algorithm))
    }
}

impl Conv2dChoices {
    /// What usually serves on a hardware GPU.
    pub const HARDWARE: Self = Self::by(Rule::Hardware);

    /// What usually serves on a software adapter.
    pub const SOFTWARE: Self = Self::by(Rule::Software);

    /// What usually serves on a hardware GPU of such limits: kernels without workgroup memory where the tiles do not fit.
    pub fn of_hardware(limits: &PlanLimits) -> Self {
        let [invocations, bytes] = TILES;
        if limits.max_invocations < invocations || limits.workgroup_memory < bytes {
            return Self::by(Rule::SmallHardware);
        }
        Self::HARDWARE
    }

    const fn by(rule: Rule) -> Self {
        Self {
            rule,
            precise: false,
            tuned: Vec::new(),
        }
    }

    /// The same without what rounds more than sums do: Winograd's convolutions, unless one is asked for by name.
    #[must_use]
    pub fn precise(self) -> Self {
        Self {
            precise: true,
            ..self
        }
    }

    /// The algorithm of one computation on a device with these limits.
    pub fn of(
        &self,
        direction: Direction,
        geometry: &Geometry,
        limits: PlanLimits,
    ) -> Conv2dAlgorithm {
        let tuned = self.tuned.iter();
        tuned
            .filter(|(of, shape, _)| (*of, shape) == (direction, geometry))
            .map(|&(.., algorithm)| algorithm)
            .next_back()
            .unwrap_or_else(|| self.rule.of(direction, geometry, limits, self.precise))
    }

    /// Whether a device gains by two computations side by side: one that runs its lanes on CPU cores has none that wait for work.
    pub(super) fn joins(&self) -> bool {
        self.rule != Rule::Software
    }

    /// Lets `algorithm` serve one computation.
    pub fn set(&mut self, direction: Direction, geometry: Geometry, algorithm: Conv2dAlgorithm) {
        self.tuned.push((direction, geometry, algorithm));
    }
}
