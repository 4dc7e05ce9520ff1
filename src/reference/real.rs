//! The floats that the reference computes in, and what each takes for convolutions and products.

use std::fmt::Debug;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

use super::{Convolving, Need, conv2d, conv2d_gemm, linear};
use crate::graph::{Graph, Node};
use crate::ops::Geometry;

/// The float that the reference computes in: `f32` or `f64`.
pub trait Real:
    Copy
    + Debug
    + Default
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + AddAssign
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + Sum
    + sealed::Sealed
    + 'static
{
    /// Conversion from `f64`, rounding.
    fn from_f64(x: f64) -> Self;
    /// Conversion to `f64`.
    fn to_f64(self) -> f64;
    /// Square root.
    fn sqrt(self) -> Self;
    /// Exponential.
    fn exp(self) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// Power.
    fn powf(self, exponent: Self) -> Self;
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
    /// Complementary error function, `1 - erf(x)`.
    fn erfc(self) -> Self;
    /// Convolution in this float's best algorithm; see [`conv2d`](crate::reference).
    #[doc(hidden)]
    fn conv2d_forward(
        g: &Geometry,
        how: &mut Convolving<Self>,
        relu: bool,
        x: &[Self],
        w: &[Self],
        b: Option<&[Self]>,
        y: &mut [Self],
    );
    /// Its gradient with respect to `x`, masked by `x > 0` if `mask` is given.
    #[doc(hidden)]
    fn conv2d_dgrad(
        g: &Geometry,
        how: &Convolving<Self>,
        dy: &[Self],
        w: &[Self],
        mask: Option<&[Self]>,
        dx: &mut [Self],
    );
    /// Its gradients with respect to `w` and, if there is one, `b`.
    #[doc(hidden)]
    fn conv2d_wgrad(
        g: &Geometry,
        how: &Convolving<Self>,
        x: &[Self],
        dy: &[Self],
        dw: &mut [Self],
        db: Option<&mut [Self]>,
    );
    /// What the three work in besides their operands, if `node` is one of them.
    #[doc(hidden)]
    fn conv2d_need(graph: &Graph, node: &Node, how: &Convolving<Self>) -> Need;
    /// `to [m,n] = a [m,k] * b [k,n]`, the sizes being `[m,n,k]`; each factor comes with the distances of its rows and columns.
    #[doc(hidden)]
    fn multiply(
        sizes: [usize; 3],
        a: (&[Self], [usize; 2]),
        b: (&[Self], [usize; 2]),
        to: &mut [Self],
    );
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

macro_rules! real {
    ($float:ty, $conv2d:path, $erfc:path, $multiply:path) => {
        impl Real for $float {
            fn from_f64(x: f64) -> Self {
                x as Self
            }
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            fn sqrt(self) -> Self {
                <$float>::sqrt(self)
            }
            fn exp(self) -> Self {
                <$float>::exp(self)
            }
            fn ln(self) -> Self {
                <$float>::ln(self)
            }
            fn powf(self, exponent: Self) -> Self {
                <$float>::powf(self, exponent)
            }
            fn tanh(self) -> Self {
                <$float>::tanh(self)
            }
            fn erfc(self) -> Self {
                $erfc(self)
            }
            fn conv2d_forward(
                g: &Geometry,
                how: &mut Convolving<Self>,
                relu: bool,
                x: &[Self],
                w: &[Self],
                b: Option<&[Self]>,
                y: &mut [Self],
            ) {
                use $conv2d as algorithm;
                algorithm::forward(g, how, relu, x, w, b, y);
            }
            fn conv2d_dgrad(
                g: &Geometry,
                how: &Convolving<Self>,
                dy: &[Self],
                w: &[Self],
                mask: Option<&[Self]>,
                dx: &mut [Self],
            ) {
                use $conv2d as algorithm;
                algorithm::dgrad(g, how, dy, w, mask, dx);
            }
            fn conv2d_wgrad(
                g: &Geometry,
                how: &Convolving<Self>,
                x: &[Self],
                dy: &[Self],
                dw: &mut [Self],
                db: Option<&mut [Self]>,
            ) {
                use $conv2d as algorithm;
                algorithm::wgrad(g, how, x, dy, dw, db);
            }
            fn conv2d_need(graph: &Graph, node: &Node, how: &Convolving<Self>) -> Need {
                use $conv2d as algorithm;
                algorithm::need(graph, node, how)
            }
            fn multiply(
                sizes: [usize; 3],
                a: (&[Self], [usize; 2]),
                b: (&[Self], [usize; 2]),
                to: &mut [Self],
            ) {
                $multiply(sizes, a, b, to);
            }
        }
    };
}

real!(f32, conv2d_gemm, libm::erfcf, conv2d_gemm::multiply);
real!(f64, conv2d, libm::erfc, linear::multiply);
