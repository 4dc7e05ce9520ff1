//! A graph made of a case's tensors.

use nin_wgpu::autodiff;
use nin_wgpu::graph::{Graph, Role, ValueId};
use nin_wgpu::ops::{IGNORE, Op};
use nin_wgpu::shape::{DType, Shape};
use nin_wgpu::tensor::HostSlice;

use crate::Failure;
use crate::cases::Data;
use crate::suite::{Case, Tensor, Tensors};

/// What of a value is compared.
#[derive(Clone, Copy)]
pub(crate) enum Reading {
    /// All of it.
    Whole,
    /// Of a loss's metrics the sum of all rows' losses.
    LossSum,
    /// The same divided by the sum of their weights, which the metrics end with.
    LossMean,
}

impl Reading {
    /// What is compared, with its shape.
    pub(crate) fn of(self, dims: &[usize], data: Vec<f32>) -> (Vec<usize>, Vec<f32>) {
        let last = data.len() - 1;
        match self {
            Self::Whole => (dims.to_vec(), data),
            Self::LossSum => (vec![1], vec![data[0]]),
            Self::LossMean => (vec![1], vec![data[0] / data[last]]),
        }
    }
}

/// What a case is built into.
pub(crate) struct Net<'a> {
    pub(crate) graph: Graph,
    case: &'a Case,
    tensors: &'a Tensors,
    /// What the host writes.
    pub(crate) data: Vec<(ValueId, Data)>,
    /// What is compared, by the exporter's name.
    pub(crate) results: Vec<(String, ValueId, Reading)>,
}

impl Data {
    pub(crate) fn slice(&self) -> HostSlice<'_> {
        match self {
            Self::F32(data) => HostSlice::F32(data),
            Self::U32(data) => HostSlice::U32(data),
            Self::U8(data) => HostSlice::U8(data),
        }
    }
}

impl<'a> Net<'a> {
    pub(crate) fn new(case: &'a Case, tensors: &'a Tensors) -> Self {
        Self {
            graph: Graph::default(),
            case,
            tensors,
            data: Vec::new(),
            results: Vec::new(),
        }
    }

    /// The case's tensor of that name, if it has one.
    pub(crate) fn tensor(&self, name: &str) -> Option<&'a Tensor> {
        self.tensors.find(self.case, name)
    }

    pub(crate) fn wants(&self, name: &str) -> bool {
        self.case.want.iter().any(|want| want == name)
    }

    /// A tensor of floats as a value: a parameter, if its gradient is wanted.
    pub(crate) fn value(&mut self, name: &str) -> Result<ValueId, Failure> {
        let is_parameter = self.case.gradients.iter().any(|of| of == name);
        let role = if is_parameter {
            Role::Parameter
        } else {
            Role::Input
        };
        self.value_as(name, role)
    }

    pub(crate) fn value_as(&mut self, name: &str, role: Role) -> Result<ValueId, Failure> {
        let tensor = self.tensors.get(self.case, name)?;
        let shape = Shape::new(&tensor.dims)?;
        let id = self.graph.add_value(name, shape, DType::F32, role);
        let data = tensor.values.iter().map(|&x| x as f32).collect();
        self.data.push((id, Data::F32(data)));
        Ok(id)
    }

    /// Integer labels; those that are `ignore` count for nothing.
    pub(crate) fn labels(&mut self, name: &str, ignore: Option<i64>) -> Result<ValueId, Failure> {
        let tensor = self.tensors.get(self.case, name)?;
        let shape = Shape::new(&tensor.dims)?;
        let id = self.graph.add_value(name, shape, DType::U32, Role::Input);
        let label = |&label: &f64| match label as i64 {
            label if Some(label) == ignore => IGNORE,
            label => label as u32,
        };
        let data = tensor.values.iter().map(label).collect();
        self.data.push((id, Data::U32(data)));
        Ok(id)
    }

    /// Numbers that the case has no tensor of.
    pub(crate) fn constant(&mut self, name: &str, data: Vec<f32>) -> Result<ValueId, Failure> {
        let shape = Shape::new(&[data.len()])?;
        let id = self.graph.add_value(name, shape, DType::F32, Role::Input);
        self.data.push((id, Data::F32(data)));
        Ok(id)
    }

    /// What accumulates from zero on.
    pub(crate) fn zeros(&mut self, name: &str, len: usize) -> Result<ValueId, Failure> {
        let shape = Shape::new(&[len])?;
        let role = Role::Accumulator;
        let id = self.graph.add_value(name, shape, DType::F32, role);
        self.data.push((id, Data::F32(vec![0.0; len])));
        Ok(id)
    }

    /// Those of `names` that the case has.
    pub(crate) fn values(&mut self, names: &[&str]) -> Result<Vec<ValueId>, Failure> {
        let there = names.iter().filter(|name| self.tensor(name).is_some());
        let there: Vec<_> = there.collect();
        there.into_iter().map(|name| self.value(name)).collect()
    }

    pub(crate) fn push(
        &mut self,
        op: impl Into<Op>,
        inputs: &[ValueId],
    ) -> Result<Vec<ValueId>, Failure> {
        Ok(self.graph.push("case", op, inputs, &[])?)
    }

    /// Compares `id` with the tensor `name`.
    pub(crate) fn result(&mut self, name: &str, id: ValueId) {
        self.read(name, id, Reading::Whole);
    }

    /// Compares what is read of `id` with the tensor `name`.
    pub(crate) fn read(&mut self, name: &str, id: ValueId, reading: Reading) {
        self.results.push((name.to_owned(), id, reading));
    }

    /// `y` is what the case is about: it is compared, and the gradients that are wanted are taken of it.
    pub(crate) fn finish(&mut self, y: ValueId) -> Result<(), Failure> {
        self.result("y", y);
        if self.case.gradients.is_empty() {
            return Ok(());
        }
        let dy = self.value("dy")?;
        autodiff::backward(&mut self.graph, y, dy)?;
        let gradients: Vec<_> = self.graph.gradients().collect();
        for (parameter, gradient) in gradients {
            let name = format!("d{}", self.graph.value(parameter).name);
            self.result(&name, gradient);
        }
        Ok(())
    }
}
