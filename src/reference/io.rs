//! Values on the host, and the operands of one node: what an op's reference reads and writes.

use super::{Convolving, Real};
use crate::graph::shape::{DType, Shape};

/// Elements of one value.
#[derive(Clone, Debug)]
pub(super) enum Data<T> {
    Real(Vec<T>),
    U32(Vec<u32>),
    U8(Vec<u8>),
}

impl<T: Real> Data<T> {
    pub(super) fn zeros(shape: Shape, dtype: DType) -> Self {
        match dtype {
            DType::F32 => Self::Real(vec![T::default(); shape.len()]),
            DType::U32 => Self::U32(vec![0; shape.len()]),
            DType::U8 => Self::U8(vec![0; shape.len()]),
        }
    }
}

const TYPED: &str = "invariant: shape inference checked the element types";

/// Operands of one node during its run.
pub(crate) struct Io<'a, T> {
    pub(super) shapes: Vec<Shape>,
    pub(super) inputs: Vec<&'a Data<T>>,
    pub(super) written: Vec<Data<T>>,
    pub(super) convolving: Convolving<T>,
}

impl<'a, T: Real> Io<'a, T> {
    /// Shape of an input.
    pub(crate) fn shape(&self, input: usize) -> Shape {
        self.shapes[input]
    }

    /// Number of inputs.
    pub(crate) fn inputs(&self) -> usize {
        self.inputs.len()
    }

    /// Number of outputs and updates.
    pub(crate) fn outputs(&self) -> usize {
        self.written.len()
    }

    /// How to convolve; to be handed back.
    pub(crate) fn convolving(&mut self) -> &mut Convolving<T> {
        &mut self.convolving
    }

    /// A float input.
    pub(crate) fn input(&self, index: usize) -> &'a [T] {
        let Data::Real(data) = self.inputs[index] else {
            panic!("{TYPED}")
        };
        data
    }

    /// Labels or indices.
    pub(crate) fn input_u32(&self, index: usize) -> &'a [u32] {
        let Data::U32(data) = self.inputs[index] else {
            panic!("{TYPED}")
        };
        data
    }

    /// Pixels.
    pub(crate) fn input_u8(&self, index: usize) -> &'a [u8] {
        let Data::U8(data) = self.inputs[index] else {
            panic!("{TYPED}")
        };
        data
    }

    /// A float output, or an update after the outputs.
    pub(crate) fn output(&mut self, index: usize) -> &mut [T] {
        let Data::Real(data) = &mut self.written[index] else {
            panic!("{TYPED}")
        };
        data
    }

    /// Two float outputs at once.
    pub(crate) fn outputs2(&mut self, a: usize, b: usize) -> (&mut [T], &mut [T]) {
        match self.written.get_disjoint_mut([a, b]) {
            Ok([Data::Real(a), Data::Real(b)]) => (a, b),
            _ => panic!("{TYPED}"),
        }
    }

    /// Three float outputs at once.
    pub(crate) fn outputs3(&mut self, indices: [usize; 3]) -> [&mut [T]; 3] {
        match self.written.get_disjoint_mut(indices) {
            Ok([Data::Real(a), Data::Real(b), Data::Real(c)]) => [a, b, c],
            _ => panic!("{TYPED}"),
        }
    }

    /// A float output and an integer output at once.
    pub(crate) fn outputs_with_u32(&mut self, real: usize, int: usize) -> (&mut [T], &mut [u32]) {
        match self.written.get_disjoint_mut([real, int]) {
            Ok([Data::Real(a), Data::U32(b)]) => (a, b),
            _ => panic!("{TYPED}"),
        }
    }
}
