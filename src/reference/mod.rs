//! The CPU reference: the meaning of every op, the oracle of the tests, and the backend without a GPU.
//!
//! Generic over the float: in `f64` plain loops define each op; in `f32` convolutions run as blocked GEMMs on all
//! cores. Both run the same [`Graph`], node by node.

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
pub(crate) mod linear;
pub(crate) mod local_response_norm;
pub(crate) mod max_pool2d;
pub(crate) mod mean_squared_error;
pub(crate) mod one_hot;
pub(crate) mod optimizer;
mod peak;
mod plan;
pub(crate) mod relu;
pub(crate) mod soft_target_cross_entropy;
pub(crate) mod softmax;
pub(crate) mod softmax_cross_entropy;
mod sum;

#[doc(hidden)]
pub use conv2d_gemm::Need;
#[doc(hidden)]
pub use convolving::Convolving;
pub use peak::peak;
pub use plan::CpuPlan;

use std::fmt::Debug;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

use web_time::Instant;

use crate::backend::profile::{Entry, medians};
use crate::backend::runtime::{
    Reading, Runtime, RuntimeError, check_read, check_write, check_write_rows,
};
use crate::graph::shape::{DType, Shape};
use crate::graph::tensor::HostSlice;
use crate::graph::{Graph, Node, Role, ValueId};
use crate::ops::{Definition, Geometry};
use plan::unread_places;

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

/// Elements of one value.
#[derive(Clone, Debug)]
enum Data<T> {
    Real(Vec<T>),
    U32(Vec<u32>),
    U8(Vec<u8>),
}

impl<T: Real> Data<T> {
    fn zeros(shape: Shape, dtype: DType) -> Self {
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
    shapes: Vec<Shape>,
    inputs: Vec<&'a Data<T>>,
    written: Vec<Data<T>>,
    convolving: Convolving<T>,
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

/// Runs a graph on the CPU.
#[derive(Debug)]
pub struct Reference<T = f32> {
    graph: Graph,
    data: Vec<Data<T>>,
    /// How many nodes, the first ones, run only after a parameter or statistic was written, and whether one was.
    prologue: usize,
    is_stale: bool,
    /// Of each node.
    convolving: Vec<Convolving<T>>,
    snapshots: Vec<Vec<f32>>,
    steps: u64,
}

impl<T: Real> Reference<T> {
    /// Memory for every value of `graph`, zeroed.
    pub fn new(graph: Graph) -> Self {
        let used = graph.used();
        let places = unread_places(&graph);
        let data = graph
            .ids()
            .map(|id| match graph.value(id) {
                _ if places.contains(&id) => Data::U32(Vec::new()),
                value if used[id.index()] => Data::zeros(value.shape, value.dtype),
                _ => Data::Real(Vec::new()),
            })
            .collect();
        Self {
            prologue: graph.prologue(),
            is_stale: true,
            convolving: convolving::of_nodes(&graph, false),
            graph,
            data,
            snapshots: Vec::new(),
            steps: 0,
        }
    }

    /// The same, with convolutions by sums of all terms as they are: Winograd's method, which rounds more, is left out.
    #[must_use]
    pub fn precise(mut self) -> Self {
        self.convolving = convolving::of_nodes(&self.graph, true);
        self
    }

    /// A float value in the reference's own precision; empty if `id` holds integers, is used by no node, or is another graph's.
    pub fn real(&self, id: ValueId) -> &[T] {
        match self.data.get(id.index()) {
            Some(Data::Real(data)) => data,
            _ => &[],
        }
    }

    /// Overwrites a float value in the reference's own precision.
    ///
    /// # Errors
    /// [`RuntimeError::Write`] if `id` holds integers or `data` has another length, [`RuntimeError::Unused`] if no node uses it, and
    /// [`RuntimeError::Graph`] if it is another graph's.
    pub fn set_real(&mut self, id: ValueId, data: &[T]) -> Result<(), RuntimeError> {
        check_read(&self.graph, id)?;
        let value = self.graph.value(id);
        match &mut self.data[id.index()] {
            Data::Real(to) if to.len() == data.len() => to.copy_from_slice(data),
            _ => {
                return Err(RuntimeError::Write {
                    name: value.name.clone(),
                    want_len: value.shape.len(),
                    want: value.dtype,
                    got_len: data.len(),
                    got: DType::F32,
                });
            }
        }
        self.note_write(id);
        Ok(())
    }

    /// Has the prologue run again if it reads `id`.
    fn note_write(&mut self, id: ValueId) {
        self.is_stale |= self.graph.value(id).role.is_state();
    }

    /// Runs the prologue if what it reads was written.
    fn run_prologue(&mut self) {
        if std::mem::take(&mut self.is_stale) {
            let kept = self.convolving.iter_mut();
            kept.flat_map(|how| &mut how.filters).for_each(Vec::clear);
            let nodes = self.graph.nodes()[..self.prologue].to_vec();
            let each = nodes.iter().enumerate();
            each.for_each(|(i, node)| self.run_node(i, node));
        }
    }

    /// Runs node number `i`.
    fn run_node(&mut self, i: usize, node: &Node) {
        let empty = || Data::Real(Vec::new());
        let written: Vec<ValueId> = node.outputs.iter().chain(&node.updates).copied().collect();
        let taken = written
            .iter()
            .map(|id| std::mem::replace(&mut self.data[id.index()], empty()))
            .collect();
        let mut io = Io {
            shapes: node
                .inputs
                .iter()
                .map(|&id| self.graph.value(id).shape)
                .collect(),
            inputs: node
                .inputs
                .iter()
                .map(|id| &self.data[id.index()])
                .collect(),
            written: taken,
            convolving: std::mem::take(&mut self.convolving[i]),
        };
        node.op.reference(&mut io);
        let results = io.written;
        self.convolving[i] = io.convolving;
        for (id, data) in written.into_iter().zip(results) {
            self.data[id.index()] = data;
        }
    }
}

impl<T: Real> Runtime for Reference<T> {
    fn graph(&self) -> &Graph {
        &self.graph
    }

    fn write(&mut self, id: ValueId, data: HostSlice<'_>) -> Result<(), RuntimeError> {
        check_write(&self.graph, id, data)?;
        self.note_write(id);
        match (&mut self.data[id.index()], data) {
            (Data::Real(to), HostSlice::F32(from)) => {
                for (to, &from) in to.iter_mut().zip(from) {
                    *to = T::from_f64(f64::from(from));
                }
            }
            (Data::U32(to), HostSlice::U32(from)) => to.copy_from_slice(from),
            (Data::U8(to), HostSlice::U8(from)) => to.copy_from_slice(from),
            _ => {} // a value that no node uses has no memory
        }
        Ok(())
    }

    fn write_rows(
        &mut self,
        id: ValueId,
        first: usize,
        data: HostSlice<'_>,
    ) -> Result<(), RuntimeError> {
        let row = check_write_rows(&self.graph, id, first, data)?;
        self.note_write(id);
        let span = first * row..first * row + data.len();
        match (&mut self.data[id.index()], data) {
            (Data::Real(to), HostSlice::F32(from)) => {
                for (to, &from) in to.iter_mut().skip(span.start).zip(from) {
                    *to = T::from_f64(f64::from(from));
                }
            }
            (Data::U32(to), HostSlice::U32(from)) => to[span].copy_from_slice(from),
            (Data::U8(to), HostSlice::U8(from)) => to[span].copy_from_slice(from),
            _ => {} // a value that no node uses has no memory
        }
        Ok(())
    }

    fn run(&mut self) -> Result<(), RuntimeError> {
        pooled(|| {
            self.run_prologue();
            let nodes = std::mem::take(self.graph.nodes_mut());
            for (i, node) in nodes.iter().enumerate().skip(self.prologue) {
                self.run_node(i, node);
            }
            *self.graph.nodes_mut() = nodes;
        });
        self.steps += 1;
        Ok(())
    }

    fn profile(&mut self, runs: usize) -> Result<Vec<Entry>, RuntimeError> {
        pooled(|| self.run_prologue());
        let nodes = std::mem::take(self.graph.nodes_mut());
        let each_run = &nodes[self.prologue..];
        let seconds = pooled(|| {
            let run = |_| {
                let time = |(i, node)| {
                    let start = Instant::now();
                    self.run_node(self.prologue + i, node);
                    start.elapsed().as_secs_f64()
                };
                each_run.iter().enumerate().map(time).collect()
            };
            medians(&(0..runs.max(1)).map(run).collect::<Vec<_>>())
        });
        let entries = each_run.iter().zip(seconds).map(|(node, seconds)| Entry {
            layer: node.layer.clone(),
            op: node.op.name(),
            kernel: "cpu".to_owned(),
            shapes: self.graph.shapes(node),
            seconds,
            flops: node.op.flops(node, &|id| self.graph.shape(id)),
            bytes: self.graph.moved(node),
        });
        let entries = entries.collect();
        *self.graph.nodes_mut() = nodes;
        Ok(entries)
    }

    fn queue_read(&mut self, id: ValueId) -> Result<Reading, RuntimeError> {
        check_read(&self.graph, id)?;
        let data = match &self.data[id.index()] {
            Data::Real(data) => data.iter().map(|x| x.to_f64() as f32).collect(),
            Data::U32(data) => data.iter().map(|&x| x as f32).collect(),
            Data::U8(data) => data.iter().map(|&x| f32::from(x)).collect(),
        };
        Ok(Box::pin(std::future::ready(Ok(data))))
    }

    fn run_and_snapshot(&mut self, of: &[ValueId]) -> Result<(), RuntimeError> {
        of.iter().try_for_each(|&id| check_read(&self.graph, id))?;
        self.run()?;
        let mut snapshot = Vec::new();
        for &id in of {
            snapshot.extend(self.read(id)?);
            if let (Role::Accumulator, Data::Real(data)) =
                (self.graph.value(id).role, &mut self.data[id.index()])
            {
                data.fill(T::default());
            }
        }
        self.snapshots.push(snapshot);
        Ok(())
    }

    fn take_snapshots(&mut self, _wait: bool) -> Result<Vec<Vec<f32>>, RuntimeError> {
        Ok(std::mem::take(&mut self.snapshots))
    }

    fn poll(&mut self) -> Result<(), RuntimeError> {
        Ok(())
    }

    fn completed(&self) -> u64 {
        self.steps
    }
}
