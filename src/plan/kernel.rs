//! Kernels as data: which shader, which bindings, which constants. Nothing here needs a GPU.

use std::fmt;

use super::transforms;
use crate::ops::winograd::Minimal;

/// How a kernel uses a storage buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`, never read before it is written.
    Write,
    /// `var<storage, read_write>`, updated in place.
    ReadWrite,
}

/// One storage buffer of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Binding {
    /// Name of the WGSL variable.
    pub name: &'static str,
    /// How it is used.
    pub access: Access,
}

pub(crate) const fn read(name: &'static str) -> Binding {
    Binding {
        name,
        access: Access::Read,
    }
}

pub(crate) const fn write(name: &'static str) -> Binding {
    Binding {
        name,
        access: Access::Write,
    }
}

pub(crate) const fn update(name: &'static str) -> Binding {
    Binding {
        name,
        access: Access::ReadWrite,
    }
}

/// One member of a kernel's uniform struct: its name and WGSL type (`u32` or `f32`).
pub type Field = (&'static str, &'static str);

/// A compute shader's entry point and its interface.
///
/// Storage buffers are bound at `@group(0) @binding(0..)` in order, the uniform struct `u` after them.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// Stem of the file in `shaders/`.
    pub shader: &'static str,
    /// Entry point in it.
    pub entry: &'static str,
    /// Storage buffers, in binding order.
    pub bindings: &'static [Binding],
    /// Members of the uniform struct, each four bytes wide.
    pub uniform: &'static [Field],
}

/// Shaders that take an index from what a caller wrote: pictures of a data set, labels, ranges of parameters.
const INDICES_FROM_DATA: [&str; 4] = ["gather", "one_hot", "optimizer", "softmax_cross_entropy"];

impl Kernel {
    /// Shader, entry point and variant: `conv2d_implicit_gemm.forward[64x64x16/8x4]` say.
    pub fn name(&self, variant: Variant) -> String {
        let Self { shader, entry, .. } = self;
        format!("{shader}.{entry}{variant}")
    }

    /// Whether every index in it is known to be in range, whatever the data: then a device may leave run-time checks out. Not so
    /// where an index is read from a buffer.
    pub fn is_trusted(&self) -> bool {
        !INDICES_FROM_DATA.contains(&self.shader)
    }

    /// Whether it uses subgroup operations: then its file is called so.
    pub fn uses_subgroups(&self) -> bool {
        self.shader.ends_with("_subgroup")
    }
}

/// Register and workgroup-memory tile of an implicit GEMM: a workgroup computes `m x n` outputs, `k` terms of the
/// reduction at a time; each of its `m/8 * n/micro` invocations owns 8 rows x `micro` columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Tile {
    /// Rows.
    pub m: u32,
    /// Columns.
    pub n: u32,
    /// Depth of a slab.
    pub k: u32,
    /// Columns of an invocation: 4 or 8.
    pub micro: u32,
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { m, n, k, micro } = self;
        write!(f, "{m}x{n}x{k}/8x{micro}")
    }
}

/// Sides of the packed panels of a GEMM without workgroup memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Panel {
    /// Rows of a panel of the first factor.
    pub rows: u32,
    /// Columns of a panel of the second.
    pub columns: u32,
}

impl fmt::Display for Panel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.rows, self.columns)
    }
}

/// What of a kernel is fixed when it is compiled: together they make one pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// No constants.
    Plain,
    /// A tiled GEMM.
    Tile(Tile),
    /// A GEMM over panels.
    Panel(Panel),
    /// Winograd's transforms of a size.
    Winograd(Minimal),
    /// A function of one element, `gelu` say.
    Function(&'static str),
    /// The rule of an optimizer, `adam` say.
    Optimizer {
        /// Its function in `shaders/optimizer.wgsl`.
        rule: &'static str,
        /// First binding of the gradient, behind those of the rule's state.
        gradient: u32,
    },
}

impl Variant {
    /// The constants and functions that the shader imports from `package::variant`, as WGSL.
    pub fn constants(self) -> String {
        match self {
            Self::Plain => String::new(),
            Self::Tile(Tile { m, n, k, micro }) => format!(
                "const TILE_M = {m}u;\nconst TILE_N = {n}u;\nconst TILE_K = {k}u;\nconst MICRO_N = {micro}u;\n"
            ),
            Self::Panel(Panel { rows, columns }) => {
                format!("const ROWS = {rows}u;\nconst COLUMNS = {columns}u;\n")
            }
            Self::Winograd(of) => transforms::wgsl(of),
            Self::Function(name) => format!(
                "fn activate(x: f32) -> f32 {{ return package::activation::{name}_value(x); }}\n\
                 fn differentiate(dy: f32, x: f32) -> f32 {{ return package::activation::{name}_gradient(dy, x); }}\n"
            ),
            Self::Optimizer { rule, gradient } => format!(
                "const GRADIENT = {gradient};\n\
                 fn move_parameter(i: u32, gradient: f32) {{ package::optimizer::{rule}(i, gradient); }}\n"
            ),
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain => Ok(()),
            Self::Tile(tile) => write!(f, "[{tile}]"),
            Self::Panel(panel) => write!(f, "[{panel}]"),
            Self::Winograd(of) => write!(f, "[{of}]"),
            Self::Function(name) | Self::Optimizer { rule: name, .. } => write!(f, "[{name}]"),
        }
    }
}

/// Declares a uniform struct once: its Rust fields, its WGSL members (checked by a test) and its words.
macro_rules! uniforms {
    ($(#[$meta:meta])* struct $name:ident { $($field:ident: $ty:ident),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug)]
        struct $name { $($field: $ty),+ }

        impl $name {
            const FIELDS: &'static [$crate::plan::Field] = &[$((stringify!($field), stringify!($ty))),+];

            fn words(self) -> Vec<u32> {
                vec![$($crate::plan::Word::word(self.$field)),+]
            }
        }
    };
}
pub(crate) use uniforms;

/// A four-byte uniform member.
pub(crate) trait Word {
    fn word(self) -> u32;
}

impl Word for u32 {
    fn word(self) -> u32 {
        self
    }
}

impl Word for f32 {
    fn word(self) -> u32 {
        self.to_bits()
    }
}
