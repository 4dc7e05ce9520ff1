//! Host tensors: what goes to a device and comes back from it.

use crate::graph::shape::{DType, Shape};

/// A dense `f32` tensor on the host, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Dimensions, outermost first.
    pub shape: Shape,
    /// `shape.len()` elements.
    pub data: Vec<f32>,
}

impl Tensor {
    /// A tensor of zeros.
    pub fn zeros(shape: Shape) -> Self {
        Self {
            shape,
            data: vec![0.0; shape.len()],
        }
    }
}

/// Borrowed host data to be written into a value.
#[derive(Clone, Copy, Debug)]
pub enum HostSlice<'a> {
    /// Floats.
    F32(&'a [f32]),
    /// Labels or indices.
    U32(&'a [u32]),
    /// Pixels.
    U8(&'a [u8]),
}

impl HostSlice<'_> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(s) => s.len(),
            Self::U32(s) => s.len(),
            Self::U8(s) => s.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Type of the elements.
    pub fn dtype(&self) -> DType {
        match self {
            Self::F32(_) => DType::F32,
            Self::U32(_) => DType::U32,
            Self::U8(_) => DType::U8,
        }
    }
}

impl<'a> From<&'a [f32]> for HostSlice<'a> {
    fn from(s: &'a [f32]) -> Self {
        Self::F32(s)
    }
}

impl<'a> From<&'a [u32]> for HostSlice<'a> {
    fn from(s: &'a [u32]) -> Self {
        Self::U32(s)
    }
}

impl<'a> From<&'a [u8]> for HostSlice<'a> {
    fn from(s: &'a [u8]) -> Self {
        Self::U8(s)
    }
}
