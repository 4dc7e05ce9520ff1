//! The shader library: WGSL sources by name, linked with their imports and specialised by a variant's constants.
//!
//! Sources are WGSL with WESL imports; `package::variant` is a module made of [`Variant::constants`].

use wesl::{CompileOptions, EscapeMangler, ModulePath, VirtualResolver};

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
    "common/conv2d",
    "common/gradient",
    "common/index",
    "common/log_softmax",
    "common/micro",
    "common/number",
    "common/pool2d",
    "common/rng",
    "common/workgroup_sum",
    "concat",
    "conv2d_columns",
    "conv2d_columns_subgroup",
    "conv2d_depthwise",
    "conv2d_direct",
    "conv2d_implicit_gemm",
    "conv2d_naive",
    "conv2d_pack",
    "conv2d_reduce",
    "conv2d_unpack",
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

/// The WGSL of one kernel in one variant: imports resolved, other entry points left out.
///
/// # Errors
/// [`ShaderError`] if a source does not parse or an import is missing.
pub fn wgsl(kernel: &Kernel, variant: Variant) -> Result<String, ShaderError> {
    link(kernel, variant).map_err(|error| ShaderError {
        shader: kernel.shader,
        entry: kernel.entry,
        message: error.to_string(),
    })
}

fn link(kernel: &Kernel, variant: Variant) -> Result<String, wesl::Error> {
    let module = |path: &str| -> Result<ModulePath, wesl::Error> {
        let path = format!("package::{}", path.replace('/', "::"));
        path.parse()
            .map_err(|_| wesl::Error::Custom(format!("`{path}` is no module path")))
    };
    let mut resolver = VirtualResolver::new();
    for &(path, source) in SOURCES {
        resolver.add_module(module(path)?, source.into());
    }
    resolver.add_module(module("variant")?, variant.constants().into());
    let options = CompileOptions {
        keep: Some(vec![kernel.entry.to_owned()]),
        ..CompileOptions::default()
    };
    let linked = wesl::compile(&module(kernel.shader)?, &resolver, &EscapeMangler, &options)?;
    Ok(linked.to_string())
}
