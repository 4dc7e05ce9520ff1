//! Tensor shapes: at most four dimensions, every product checked.

use std::fmt;

/// Errors of shape inference: an op was given operands that do not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// A shape with no dimensions, or more than four.
    #[error("a shape has 1 to 4 dimensions, got {0}")]
    Rank(usize),
    /// A dimension is zero, or the element count overflows 32 bits (the index type of WGSL).
    #[error("dimensions {0:?} are empty or hold more than 2^32 - 1 elements")]
    Size(Vec<usize>),
    /// An operand has the wrong shape.
    #[error("{op}: {what} has shape {got}, expected {want}")]
    Operand {
        /// The op that was being built.
        op: &'static str,
        /// Which operand.
        what: &'static str,
        /// Its shape.
        got: Shape,
        /// What the op expects, in words.
        want: String,
    },
    /// Values that are to be joined, but whose shapes do not go together.
    #[error("{op}: {first} and {second} do not go together; {want}")]
    Join {
        /// The op that was being built.
        op: &'static str,
        /// The first value, by name and shape.
        first: String,
        /// The one that does not go with it, likewise.
        second: String,
        /// What must be the same.
        want: &'static str,
    },
    /// An operand holds another type of element than the op works on.
    #[error("{op}: {what} holds {got:?}, expected {want:?}")]
    Type {
        /// The op that was being built.
        op: &'static str,
        /// Which operand.
        what: &'static str,
        /// Its element type.
        got: DType,
        /// The type that the op expects.
        want: DType,
    },
    /// A window (filter or pool) that does not fit in its padded input.
    #[error(
        "{op}: a {}x{} window does not fit in {got} with padding {}; use a smaller window or a larger image",
        window[0], window[1], sides(pad)
    )]
    Window {
        /// The op that was being built.
        op: &'static str,
        /// Height and width of the window, gaps of its dilation among them.
        window: [usize; 2],
        /// Padding above and below, and on the left and right.
        pad: [[u32; 2]; 2],
        /// The input's shape.
        got: Shape,
    },
    /// An op was given too few operands or too many.
    #[error("{op}: takes {want} {what}, got {got}")]
    Count {
        /// The op that was being built.
        op: &'static str,
        /// Inputs, or values that it updates.
        what: &'static str,
        /// How many were given.
        got: usize,
        /// How many it takes, in words.
        want: String,
    },
    /// A hyper-parameter outside its range.
    #[error("{op}: {what}")]
    Parameter {
        /// The op that was being built.
        op: &'static str,
        /// What is wrong, and the mend.
        what: String,
    },
}

/// Padding as an error says it: `1x2`, or `1+0x2+2` where the sides of an axis differ.
fn sides(pad: &[[u32; 2]; 2]) -> String {
    let [down, across] = pad.map(|[before, behind]| match before == behind {
        true => before.to_string(),
        false => format!("{before}+{behind}"),
    });
    format!("{down}x{across}")
}

/// Type of a value's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// 32-bit float (the reference backend may compute it in `f64`).
    F32,
    /// 32-bit unsigned integer: labels, indices, argmax.
    U32,
    /// Byte: the pixels of a data set. Four to a word on the GPU.
    U8,
}

impl DType {
    /// Bytes that `len` elements take, rounded up to whole 32-bit words.
    pub fn bytes(self, len: usize) -> u64 {
        match self {
            Self::F32 | Self::U32 => 4 * len as u64,
            Self::U8 => (len as u64).next_multiple_of(4),
        }
    }
}

/// The dimensions of a tensor, outermost first: `[N,C,H,W]`, `[K,C,R,S]`, `[N,L]`, …
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    dims: [usize; 4],
    rank: usize,
}

impl Shape {
    /// A shape of 1 to 4 non-zero dimensions.
    ///
    /// # Errors
    /// [`ShapeError::Rank`] and [`ShapeError::Size`].
    pub fn new(dims: &[usize]) -> Result<Self, ShapeError> {
        if dims.is_empty() || dims.len() > 4 {
            return Err(ShapeError::Rank(dims.len()));
        }
        let len = dims
            .iter()
            .try_fold(1u32, |len, &d| len.checked_mul(u32::try_from(d).ok()?));
        if !matches!(len, Some(1..)) {
            return Err(ShapeError::Size(dims.to_vec()));
        }
        let mut all = [1; 4];
        all[..dims.len()].copy_from_slice(dims);
        Ok(Self {
            dims: all,
            rank: dims.len(),
        })
    }

    /// The dimensions, outermost first.
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank]
    }

    /// Number of elements; never zero.
    #[expect(clippy::len_without_is_empty, reason = "a shape is never empty")]
    pub fn len(&self) -> usize {
        self.dims().iter().product()
    }

    /// The dimensions as `[N,C,H,W]`, or an error that names the operand.
    ///
    /// # Errors
    /// [`ShapeError::Operand`] if the rank is not 4.
    pub fn nchw(&self, op: &'static str, what: &'static str) -> Result<[usize; 4], ShapeError> {
        if self.rank == 4 {
            Ok(self.dims)
        } else {
            Err(self.mismatch(op, what, "four dimensions [N,C,H,W]"))
        }
    }

    /// The error that says that two named values cannot be joined.
    pub(crate) fn apart(
        op: &'static str,
        first: (&str, Self),
        second: (&str, Self),
        want: &'static str,
    ) -> ShapeError {
        let [first, second] = [first, second].map(|(name, shape)| format!("`{name}` {shape}"));
        ShapeError::Join {
            op,
            first,
            second,
            want,
        }
    }

    /// The error that says this shape is not the one wanted.
    pub(crate) fn mismatch(
        &self,
        op: &'static str,
        what: &'static str,
        want: impl fmt::Display,
    ) -> ShapeError {
        ShapeError::Operand {
            op,
            what,
            got: *self,
            want: want.to_string(),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, d) in self.dims().iter().enumerate() {
            write!(f, "{}{d}", if i == 0 { "" } else { "x" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_oversized_and_overlong_shapes_are_refused() {
        assert_eq!(Shape::new(&[]), Err(ShapeError::Rank(0)));
        assert_eq!(Shape::new(&[1; 5]), Err(ShapeError::Rank(5)));
        assert!(matches!(Shape::new(&[3, 0]), Err(ShapeError::Size(_))));
        assert!(matches!(
            Shape::new(&[1 << 16, 1 << 16]),
            Err(ShapeError::Size(_))
        ));
        assert!(matches!(
            Shape::new(&[usize::MAX, 2]),
            Err(ShapeError::Size(_))
        ));
    }

    #[test]
    fn a_shape_prints_its_dimensions() {
        let shape = Shape::new(&[16, 96, 55, 55]).expect("valid");
        assert_eq!(shape.to_string(), "16x96x55x55");
        assert_eq!(shape.len(), 16 * 96 * 55 * 55);
    }
}
