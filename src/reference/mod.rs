//! The CPU reference: the meaning of every op, the oracle of the tests, and the backend without a GPU.
//!
//! Generic over the float: in `f64` plain loops define each op; in `f32` convolutions run as blocked GEMMs on all
//! cores. Both run the same [`Graph`](crate::graph::Graph), node by node.

pub(crate) mod activation;
pub(crate) mod add;
pub(crate) mod avg_pool2d;
pub(crate) mod batch_norm;
pub(crate) mod commit;
pub(crate) mod concat;
pub(crate) mod conv2d;
pub(crate) mod conv2d_gemm;
mod convolving;
pub(crate) mod dropout;
pub(crate) mod ema;
pub(crate) mod gather;
pub(crate) mod global_avg_pool;
pub(crate) mod gradient_norm;
mod io;
pub(crate) mod linear;
pub(crate) mod local_response_norm;
pub(crate) mod max_pool2d;
pub(crate) mod mean_squared_error;
pub(crate) mod one_hot;
pub(crate) mod optimizer;
mod peak;
mod plan;
mod real;
pub(crate) mod relu;
mod run;
pub(crate) mod soft_target_cross_entropy;
pub(crate) mod softmax;
pub(crate) mod softmax_cross_entropy;
mod sum;

#[doc(hidden)]
pub use conv2d_gemm::Need;
#[doc(hidden)]
pub use convolving::Convolving;
pub(crate) use io::Io;
pub use peak::peak;
pub use plan::CpuPlan;
pub use real::Real;
pub use run::Reference;

/// Runs on a thread of the pool: of any other thread, every loop would be handed over to the pool and waited for.
fn pooled<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| work())
}

/// Runs loops that the compiler makes vectors of in the widest that this CPU has. Results are the same in any. `work` must be
/// inlined, always: what is called stays in the target's own vectors. It must own what its loops read again and again: what is
/// captured by reference may change with every store, for all the compiler knows.
#[inline]
pub(crate) fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// Elements below which elementwise work is not worth another thread.
pub(crate) const GRAIN: usize = 1 << 14;
