//! A graph made of a case's tensors.

use nin_wgpu::autodiff;
use nin_wgpu::graph::{Graph, Role, ValueId};
use nin_wgpu::ops::Op;
use nin_wgpu::shape::{DType, Shape};
use nin_wgpu::tensor::HostSlice;

use crate::Failure;
use crate::cases::Data;
use crate::suite::{Case, Tensor, Tensors};

/// What a case is built into.
pub(crate) struct Net<'a> {
    pub(crate) graph: Graph,
    case: &'a Case,
    tensors: &'a Tensors,
    /// What the host writes.
    pub(crate) data: Vec<(ValueId, Data)>,
    /// What is compared, by the exporter's name.
    pub(crate) results: Vec<(String, ValueId)>,
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
        let tensor = self.tensors.get(self.case, name)?;
        let shape = Shape::new(&tensor.dims)?;
        let id = self.graph.add_value(name, shape, DType::F32, role);
        let data = tensor.values.iter().map(|&x| x as f32).collect();
        self.data.push((id, Data::F32(data)));
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
        self.results.push((name.to_owned(), id));
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
