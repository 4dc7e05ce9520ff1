//! Both gradients of a convolution side by side: the kernels of wgrad that have those of dgrad in one dispatch with them.

use super::{IMPLICIT_GEMM, product, winograd};
use crate::plan::{Binding, Field, Joined, Kernel, Variant, joined_uniform, read, update, write};

const fn kernel(
    shader: &'static str,
    entry: &'static str,
    bindings: &'static [Binding],
    uniform: &'static [Field],
) -> Kernel {
    Kernel {
        shader,
        entry,
        bindings,
        uniform,
    }
}

const OP: &str = "conv2d.gradients";
const GEMM: &str = "conv2d_implicit_gemm_gradients";
const WINOGRAD: &str = "conv2d_winograd_gradients";

static GEMM_UNIFORM: [Field; 56] = joined_uniform(super::ConvUniform::FIELDS);
static WINOGRAD_UNIFORM: [Field; 56] = joined_uniform(winograd::UNIFORM);
static PRODUCT_UNIFORM: [Field; 16] = joined_uniform(product::TILED.kernel.uniform);

/// Each names the kernel of wgrad, that of dgrad, and the one that is both.
pub(crate) static JOINED: [Joined; 5] = [
    Joined {
        op: OP,
        sides: [&IMPLICIT_GEMM.wgrad, &IMPLICIT_GEMM.dgrad],
        kernel: kernel(
            GEMM,
            "gradients",
            &[
                read("x_1"),
                read("dy_in_1"),
                write("partial_dw_1"),
                read("dy_2"),
                read("w_2"),
                read("mask_2"),
                write("dx_2"),
            ],
            &GEMM_UNIFORM,
        ),
    },
    Joined {
        op: OP,
        sides: [&winograd::FILTERS_IN, &winograd::PIXELS_IN],
        kernel: kernel(
            WINOGRAD,
            "pack",
            &[
                read("maps_1"),
                read("dy_1"),
                write("a_1"),
                write("b_1"),
                read("maps_2"),
                read("w_2"),
                write("a_2"),
                write("b_2"),
            ],
            &WINOGRAD_UNIFORM,
        ),
    },
    Joined {
        op: OP,
        sides: [&product::TILED.kernel, &product::TILED.kernel],
        kernel: kernel(
            WINOGRAD,
            "product",
            &[
                read("a_1"),
                read("b_1"),
                write("c_1"),
                read("a_2"),
                read("b_2"),
                write("c_2"),
            ],
            &PRODUCT_UNIFORM,
        ),
    },
    Joined {
        op: OP,
        sides: [&winograd::FILTERS_OUT, &winograd::PIXELS_OUT],
        kernel: kernel(
            WINOGRAD,
            "unpack",
            &[
                read("c_1"),
                read("a_1"),
                write("partial_dw_1"),
                read("c_2"),
                read("other_2"),
                write("y_2"),
            ],
            &WINOGRAD_UNIFORM,
        ),
    },
    Joined {
        op: OP,
        sides: [&winograd::FILTERS_MORE, &winograd::PIXELS_OUT],
        kernel: kernel(
            WINOGRAD,
            "unpack",
            &[
                read("c_1"),
                read("a_1"),
                update("partial_dw_1"),
                read("c_2"),
                read("other_2"),
                write("y_2"),
            ],
            &WINOGRAD_UNIFORM,
        ),
    },
];

/// The joined kernels of which `kernel` is wgrad's, in a variant of it.
pub(super) fn with(
    kernel: &'static Kernel,
    variant: Variant,
) -> impl Iterator<Item = (&'static Kernel, Variant)> {
    let joined = JOINED
        .iter()
        .filter(move |joined| joined.sides[0] == kernel);
    joined.map(move |joined| (&joined.kernel, variant))
}
