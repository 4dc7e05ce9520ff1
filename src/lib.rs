//! Train and run Network in Network (Lin, Chen, Yan, [arXiv:1312.4400](https://arxiv.org/abs/1312.4400)) and small
//! convolutional networks like it on any GPU that wgpu reaches.
//!
//! A network becomes a training step in five plain steps, each a module:
//!
//! 1. [`graph`]: a forward graph, every shape inferred as it is built.
//! 2. [`autodiff`]: the backward nodes are appended.
//! 3. [`fuse`](mod@fuse): bias, ReLU and ReLU masks ride in the op beside them.
//! 4. [`plan`]: dispatches over slots of memory, as plain data.
//! 5. [`gpu`]: the plan runs as one compute pass and one submit. Or [`mod@reference`]: the same graph on the CPU.
//!
//! [`program`] puts them together; [`train`] drives a whole training; [`models`] holds the presets.
//!
//! ```
//! use nin_wgpu::device::{Device, DeviceChoice};
//! use nin_wgpu::init::Init;
//! use nin_wgpu::ops::{Adam, Conv2d};
//! use nin_wgpu::program::{Program, Source};
//!
//! // A data set of four 8x8 images, two classes: dark and bright.
//! let pixels: Vec<u8> = [10u8, 240, 30, 250].iter().flat_map(|&v| [v; 64]).collect();
//! let source = Source::new(4, [1, 8, 8]);
//! let program = Program::training(&source, [8, 8], 4, Adam::default(), |net, x| {
//!     let x = net.conv2d("conv1", x, 8, Conv2d::new(3, 1, 1)?)?;
//!     let x = net.relu(x)?;
//!     let x = net.conv2d("conv2", x, 2, Conv2d::new(1, 1, 0)?)?;
//!     Ok(net.global_avg_pool(x)?)
//! })?;
//!
//! let mut run = program.load(&Device::open(DeviceChoice::Cpu)?)?;
//! run.set_parameters(&Init::Kaiming.parameters(program.graph(), 1)?)?;
//! run.set_data(&pixels, &[0, 1, 0, 1])?;
//! let losses: Vec<f64> = (1..=20)
//!     .map(|step| run.train_step(&[0, 1, 2, 3], 0.01, step).map(|metrics| metrics.loss()))
//!     .collect::<Result<_, _>>()?;
//! assert!(losses[19] < losses[0]);
//! # Ok::<(), nin_wgpu::Error>(())
//! ```

pub mod autodiff;
pub mod checkpoint;
pub mod classifier;
pub mod data;
pub mod device;
mod error;
pub mod fuse;
pub mod gpu;
pub mod graph;
pub mod init;
pub mod models;
pub mod ops;
pub mod output;
pub mod pictures;
pub mod plan;
pub mod program;
pub mod reference;
pub mod rng;
pub mod runtime;
pub mod shaders;
pub mod shape;
pub mod tensor;
pub mod train;

pub use error::{Error, Result};

/// Compiles and runs the README's example.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
