//! The windows of pooling: what max and average pooling share.

use std::iter::StepBy;
use std::ops::Range;

use crate::graph::shape::{Shape, ShapeError};
use crate::plan::{Field, uniforms};

/// A pooling window: height and width of window, stride and dilation and the padding on each side, each its own.
///
/// A rest that the windows do not cover is left out, or covered by windows that end beyond the padding
/// ([`Pool2d::with_ceil_mode`]).
///
/// ```
/// use nin_wgpu::ops::Pool2d;
/// use nin_wgpu::shape::Shape;
///
/// let pool = Pool2d::rectangular([3, 2], [2, 1])?.with_padding([1, 0])?.with_ceil_mode();
/// let g = pool.geometry(Shape::new(&[16, 8, 12, 10])?)?;
/// assert_eq!([g.p, g.q], [7, 9]);
/// # Ok::<(), nin_wgpu::shape::ShapeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2d {
    window: [usize; 2],
    stride: [usize; 2],
    pad: [[usize; 2]; 2],
    dilation: [usize; 2],
    ceil_mode: bool,
}

/// The largest window, stride and dilation.
const LARGEST: usize = 65_535;

fn refuse(what: impl Into<String>) -> ShapeError {
    ShapeError::Parameter {
        op: "pool2d",
        what: what.into(),
    }
}

impl Pool2d {
    /// A `window x window` pool without padding.
    ///
    /// # Errors
    /// [`ShapeError::Parameter`] if window or stride is zero.
    pub fn new(window: usize, stride: usize) -> Result<Self, ShapeError> {
        Self::rectangular([window; 2], [stride; 2])
    }

    /// A pool of `window` rows and columns, `stride` rows and columns apart, without padding.
    ///
    /// # Errors
    /// [`ShapeError::Parameter`] if a side of window or stride is zero or above 65,535.
    pub fn rectangular(window: [usize; 2], stride: [usize; 2]) -> Result<Self, ShapeError> {
        for sides in [window, stride] {
            if sides.iter().any(|side| !(1..=LARGEST).contains(side)) {
                return Err(refuse(format!(
                    "window and stride must be at least 1 and at most {LARGEST}"
                )));
            }
        }
        Ok(Self {
            window,
            stride,
            pad: [[0; 2]; 2],
            dilation: [1; 2],
            ceil_mode: false,
        })
    }

    /// The windows that cut maps of `x [N,C,H,W]` into `output` rows and columns of equal parts.
    ///
    /// # Errors
    /// [`ShapeError::Operand`] if `x` has not four dimensions, [`ShapeError::Parameter`] if the parts would not be equal.
    pub fn adaptive(x: Shape, output: [usize; 2]) -> Result<Self, ShapeError> {
        let [.., h, w] = x.nchw("pool2d", "x")?;
        let [p, q] = output;
        if p == 0 || q == 0 || h % p != 0 || w % q != 0 {
            let what = format!(
                "{p}x{q} outputs do not divide maps of {h}x{w}; pool or crop them to multiples"
            );
            return Err(refuse(what));
        }
        Self::rectangular([h / p, w / q], [h / p, w / q])
    }

    /// The same with `pad` rows and columns of padding on each side: minus infinity to max pooling, zero to average
    /// pooling.
    ///
    /// # Errors
    /// [`ShapeError::Parameter`] if the padding is as large as the window.
    pub fn with_pad(self, pad: usize) -> Result<Self, ShapeError> {
        self.with_padding([pad; 2])
    }

    /// The same with `pad[0]` rows of padding above and below and `pad[1]` columns on the left and right.
    ///
    /// # Errors
    /// [`ShapeError::Parameter`] if the padding is as large as the window.
    pub fn with_padding(self, pad: [usize; 2]) -> Result<Self, ShapeError> {
        self.with_paddings(pad.map(|both| [both; 2]))
    }

    /// The same with a padding for each side: `[[top, bottom], [left, right]]`.
    ///
    /// # Errors
    /// [`ShapeError::Parameter`] if the padding is as large as the window.
    pub fn with_paddings(self, pad: [[usize; 2]; 2]) -> Result<Self, ShapeError> {
        for (axis, sides) in ["above and below", "on the left and right"]
            .iter()
            .enumerate()
        {
            let ([before, behind], window) = (pad[axis], self.window[axis]);
            if before.max(behind) >= window {
                return Err(refuse(format!(
                    "padding of {before} and {behind} {sides} must be smaller than the window, which is {window} there"
                )));
            }
        }
        Ok(Self { pad, ..self })
    }

    /// The same with `dilation` rows and columns from one of a window's elements to the next.
    ///
    /// # Errors
    /// [`ShapeError::Parameter`] if one is zero or above 65,535.
    pub fn with_dilation(self, dilation: [usize; 2]) -> Result<Self, ShapeError> {
        if dilation.iter().any(|side| !(1..=LARGEST).contains(side)) {
            return Err(refuse(format!(
                "dilation must be at least 1 and at most {LARGEST}"
            )));
        }
        Ok(Self { dilation, ..self })
    }

    /// The same, but a rest is covered too, by windows that end beyond the padding; one that would begin there is dropped.
    #[must_use]
    pub fn with_ceil_mode(self) -> Self {
        Self {
            ceil_mode: true,
            ..self
        }
    }

    /// Elements of a window.
    pub(super) fn window_len(&self) -> usize {
        self.window.iter().product()
    }

    /// Rows and columns that a window reaches over, gaps among them.
    fn extent(&self) -> [usize; 2] {
        [0, 1].map(|axis| (self.window[axis] - 1) * self.dilation[axis] + 1)
    }

    /// Outputs along an axis of `size`; none if no window fits.
    fn outputs(&self, axis: usize, size: usize) -> Option<usize> {
        let (stride, [pad, behind]) = (self.stride[axis], self.pad[axis]);
        let rest = if self.ceil_mode { stride - 1 } else { 0 };
        let free = (size + pad + behind + rest).checked_sub(self.extent()[axis])?;
        let last = free / stride;
        // The padding behind the map is no place to begin.
        let begins_behind = self.ceil_mode && last * stride >= size + pad;
        Some(if begins_behind { last } else { last + 1 })
    }

    /// Whether each of `outputs` windows along an axis of `size` has an element on the map.
    fn touches(&self, axis: usize, outputs: usize, size: usize) -> bool {
        let (stride, [pad, _]) = (self.stride[axis], self.pad[axis]);
        let elements =
            |p| (0..self.window[axis]).map(move |i| p * stride + i * self.dilation[axis]);
        (0..outputs).all(|p| elements(p).any(|at| at >= pad && at < size + pad))
    }

    /// All dimensions, given those of `x [N,C,H,W]`.
    ///
    /// # Errors
    /// [`ShapeError::Operand`] if `x` has not four dimensions, [`ShapeError::Window`] if the window does not fit,
    /// [`ShapeError::Parameter`] if one has no element but in the padding.
    pub fn geometry(&self, x: Shape) -> Result<PoolGeometry, ShapeError> {
        let [n, c, h, w] = x.nchw("pool2d", "x")?;
        let (Some(p), Some(q)) = (self.outputs(0, h), self.outputs(1, w)) else {
            return Err(ShapeError::Window {
                op: "pool2d",
                window: self.extent(),
                pad: self.pad.map(|sides| sides.map(|side| side as u32)),
                got: x,
            });
        };
        if !(self.touches(0, p, h) && self.touches(1, q, w)) {
            let what = format!("a window lies in the padding alone on {x}; use less padding");
            return Err(refuse(what));
        }
        let Self {
            window,
            stride,
            pad,
            dilation,
            ..
        } = *self;
        Ok(PoolGeometry {
            maps: n * c,
            n,
            c,
            h,
            w,
            window,
            stride,
            pad: pad.map(|[before, _]| before),
            pad_behind: pad.map(|[_, behind]| behind),
            dilation,
            extent: self.extent(),
            p,
            q,
        })
    }

    pub(super) fn checked(&self, x: Shape) -> PoolGeometry {
        self.geometry(x)
            .expect("invariant: shapes were inferred when the node was added")
    }
}

/// Every dimension of one pooling; what has two has them for rows and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolGeometry {
    /// Maps: batch times channels.
    pub maps: usize,
    /// Batch.
    pub n: usize,
    /// Channels.
    pub c: usize,
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Elements of the window.
    pub window: [usize; 2],
    /// Stride.
    pub stride: [usize; 2],
    /// Padding above and on the left.
    pub pad: [usize; 2],
    /// Padding below and on the right.
    pub pad_behind: [usize; 2],
    /// From one element of the window to the next.
    pub dilation: [usize; 2],
    /// What the window reaches over: `(window - 1) dilation + 1`.
    pub extent: [usize; 2],
    /// Output height.
    pub p: usize,
    /// Output width.
    pub q: usize,
}

uniforms! {
    struct PoolUniform {
        maps: u32, h: u32, w: u32, p: u32, q: u32, window_h: u32, window_w: u32, stride_h: u32, stride_w: u32, pad_h: u32,
        pad_w: u32, padded_h: u32, padded_w: u32, dilation_h: u32, dilation_w: u32, count_include_pad: u32, divisor: f32,
        masked: u32,
    }
}

/// By what the sum over a window is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Divisor {
    /// Its elements, those in the padding too.
    Padded,
    /// Its elements on the map.
    OnMap,
    /// The same for all windows; not zero.
    Fixed(i32),
}

impl PoolGeometry {
    /// Rows or columns of the map with the padding around it.
    pub(crate) fn padded(&self, axis: usize) -> usize {
        [self.h, self.w][axis] + self.pad[axis] + self.pad_behind[axis]
    }

    /// Places on the map, along an axis, of the elements of the window at output `at`.
    pub(crate) fn places(&self, axis: usize, at: usize) -> StepBy<Range<usize>> {
        let (start, pad) = (at * self.stride[axis], self.pad[axis]);
        let dilation = self.dilation[axis];
        let first = start + pad.saturating_sub(start).next_multiple_of(dilation) - pad;
        let end = (start + self.extent[axis] - pad).min([self.h, self.w][axis]);
        (first..end).step_by(dilation)
    }

    /// Members of the uniform struct of `shaders/common/pool2d.wgsl`.
    pub(super) const FIELDS: &'static [Field] = PoolUniform::FIELDS;

    /// Its words.
    pub(super) fn words(&self, divisor: Divisor, masked: bool) -> Vec<u32> {
        let uniform = PoolUniform {
            maps: self.maps as u32,
            h: self.h as u32,
            w: self.w as u32,
            p: self.p as u32,
            q: self.q as u32,
            window_h: self.window[0] as u32,
            window_w: self.window[1] as u32,
            stride_h: self.stride[0] as u32,
            stride_w: self.stride[1] as u32,
            pad_h: self.pad[0] as u32,
            pad_w: self.pad[1] as u32,
            padded_h: self.padded(0) as u32,
            padded_w: self.padded(1) as u32,
            dilation_h: self.dilation[0] as u32,
            dilation_w: self.dilation[1] as u32,
            count_include_pad: u32::from(divisor == Divisor::Padded),
            divisor: match divisor {
                Divisor::Fixed(divisor) => divisor as f32,
                Divisor::Padded | Divisor::OnMap => 0.0,
            },
            masked: u32::from(masked),
        };
        uniform.words()
    }

    /// Side, stride and padding before the map, if they are the same both ways and nothing is dilated.
    pub(super) fn square(&self) -> Option<[usize; 3]> {
        let is_square = self.dilation == [1; 2]
            && [self.window, self.stride, self.pad]
                .iter()
                .all(|[a, b]| a == b);
        is_square.then_some([self.window[0], self.stride[0], self.pad[0]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(pool: Pool2d, h: usize, w: usize) -> Option<[usize; 2]> {
        let shape = Shape::new(&[1, 1, h, w]).expect("valid");
        pool.geometry(shape).ok().map(|g| [g.p, g.q])
    }

    #[test]
    fn a_window_past_the_end_needs_ceil_mode_and_may_not_begin_in_the_padding() {
        let pool = Pool2d::new(3, 2).expect("valid");
        assert_eq!(outputs(pool, 8, 2), None);
        assert_eq!(outputs(pool.with_ceil_mode(), 8, 2), Some([4, 1]));
        let padded = Pool2d::new(2, 3).and_then(|pool| pool.with_pad(1));
        let padded = padded.expect("valid").with_ceil_mode();
        // A third window would begin at 6, on the padding behind five pixels.
        assert_eq!(outputs(padded, 5, 6), Some([2, 3]));
    }

    #[test]
    fn padding_is_smaller_than_the_window_and_no_window_lies_in_it_alone() {
        let pool = Pool2d::rectangular([3, 2], [1, 1]).expect("valid");
        let padded = pool.with_paddings([[2, 0], [1, 1]]).expect("valid");
        assert_eq!(outputs(padded, 4, 4), Some([4, 5]));
        assert!(pool.with_paddings([[0, 3], [1, 1]]).is_err());
        assert!(pool.with_padding([2, 2]).is_err());
        // Of a map of two rows its elements would lie on both sides, at -1 and 2.
        let apart = Pool2d::new(2, 1).and_then(|pool| pool.with_dilation([3, 3]));
        let apart = apart.and_then(|pool| pool.with_pad(1)).expect("valid");
        assert_eq!(outputs(apart, 1, 9), None);
        assert_eq!(outputs(apart, 2, 9), None);
        assert_eq!(outputs(apart, 3, 9), Some([2, 8]));
    }
}
