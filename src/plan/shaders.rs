//! The shader library: WGSL sources by name, linked with their imports and specialised by a variant's constants.
//!
//! Sources are WGSL with imports (`link/mod.rs` says which); `package::variant` is a source made of [`Variant::constants`].

use super::link::link;
use crate::plan::{Kernel, Variant};

/// Errors of linking a shader. They are bugs of this crate: a test links every kernel and variant.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
#[error("shader `{shader}` with entry point `{entry}` does not link: {message}")]
pub struct ShaderError {
    /// Stem of the file.
    pub shader: &'static str,
    /// Entry point.
    pub entry: &'static str,
    /// The linker's message.
    pub message: String,
}

macro_rules! sources {
    ($($path:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!("../../shaders/", $path, ".wgsl")))),+]
    };
}

/// Every file in `shaders/`, by path without ending.
pub const SOURCES: &[(&str, &str)] = sources![
    "activation",
    "add",
    "avg_pool2d",
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_eval",
    "batch_norm_eval_backward",
    "commit",
    "common/conv2d",
    "common/gemm",
    "common/gradient",
    "common/index",
    "common/log_softmax",
    "common/micro",
    "common/number",
    "common/pool2d",
    "common/rng",
    "common/winograd",
    "common/workgroup_sum",
    "concat",
    "conv2d_columns",
    "conv2d_columns_subgroup",
    "conv2d_columns_tiled",
    "conv2d_depthwise",
    "conv2d_direct",
    "conv2d_implicit_gemm",
    "conv2d_implicit_gemm_gradients",
    "conv2d_implicit_gemm_wgrad",
    "conv2d_naive",
    "conv2d_pack",
    "conv2d_reduce",
    "conv2d_unpack",
    "conv2d_winograd_gradients",
    "conv2d_winograd_in",
    "conv2d_winograd_out",
    "dropout",
    "ema",
    "gather",
    "global_avg_pool",
    "gradient_norm",
    "local_response_norm",
    "max_pool2d",
    "max_pool2d_general",
    "mean_squared_error",
    "one_hot",
    "optimizer",
    "peak_copy",
    "peak_fma",
    "relu",
    "soft_target_cross_entropy",
    "softmax",
    "softmax_cross_entropy",
];

/// The WGSL of one kernel in one variant: imports resolved, what it does not use left out.
///
/// # Errors
/// [`ShaderError`] if an import or a declaration is missing, or two have the same name.
pub fn wgsl(kernel: &Kernel, variant: Variant) -> Result<String, ShaderError> {
    wgsl_with(kernel, variant, None)
}

/// [`wgsl`], where the source of a path has another text: for tests of the tests.
///
/// # Errors
/// Those of [`wgsl`].
#[doc(hidden)]
pub fn wgsl_with(
    kernel: &Kernel,
    variant: Variant,
    replaced: Option<&(String, String)>,
) -> Result<String, ShaderError> {
    let constants = variant.constants();
    let source = |module: &str| match module {
        "variant" => Some(&*constants),
        _ => {
            let mut sources = SOURCES.iter();
            let found = sources.find(|(path, _)| path.split('/').eq(module.split("::")));
            found.map(|&(path, source)| match replaced {
                Some((of, text)) if of == path => text,
                _ => source,
            })
        }
    };
    link(source, kernel.shader, kernel.entry).map_err(|message| ShaderError {
        shader: kernel.shader,
        entry: kernel.entry,
        message,
    })
}
