//! Train and run Network in Network (Lin, Chen, Yan, [arXiv:1312.4400](https://arxiv.org/abs/1312.4400)) and small
//! convolutional networks like it on any GPU that wgpu reaches, and on the CPU.
//!
//! # A network of your own
//!
//! Define, train, save, load, predict:
//!
//! ```
//! use nin_wgpu::classifier::Classifier;
//! use nin_wgpu::data::Dataset;
//! use nin_wgpu::device::{Device, DeviceChoice};
//! use nin_wgpu::models::Model;
//! use nin_wgpu::ops::{Conv2d, Pool2d};
//! use nin_wgpu::train::{TrainOptions, fit};
//!
//! // 40 grey pictures of 8x8: dark ones of class 0, bright ones of class 1.
//! let pixels: Vec<u8> = (0..40u8).flat_map(|i| [100 * (i % 2) + i; 64]).collect();
//! let labels = (0..40).map(|i| i % 2).collect();
//! let classes = ["dark", "bright"].map(String::from).to_vec();
//! let split = Dataset::new("mine", pixels, labels, [1, 8, 8], classes)?.split(0.2, 1)?;
//!
//! const TINY: Model = Model::new("tiny", |net, x, classes| {
//!     let x = net.conv2d("conv1", x, 16, Conv2d::new(3, 1, 1)?)?;
//!     let x = net.relu(x)?;
//!     let x = net.max_pool2d(x, Pool2d::new(2, 2)?)?;
//!     let x = net.conv2d("conv2", x, classes, Conv2d::new(1, 1, 0)?)?;
//!     net.global_avg_pool(x)
//! });
//!
//! let device = Device::open(DeviceChoice::Auto)?; // a GPU, else the CPU
//! let options = TrainOptions { batch_size: 8, epochs: 20, learning_rate: 0.03, ..TrainOptions::default() };
//! let fitted = fit(&device, &TINY, &split, &options)?;
//! assert!(fitted.summary.best_accuracy > 0.8);
//!
//! let path = std::env::temp_dir().join("mine.safetensors");
//! fitted.save(&path)?;
//! let mut classifier = Classifier::open_as(&device, &path, &TINY, 1)?;
//! let class = classifier.predict(&[[130; 64]])?[0].ranked()[0];
//! assert_eq!(classifier.metadata().classes[class], "bright");
//! # Ok::<(), nin_wgpu::Error>(())
//! ```
//!
//! A [`train::Trainer`] does the same and tells of every step on the way; with a [`train::RunFolder`] a run can be
//! stopped and resumed. [`program::Program`] is a single step, for a loop of your own.
//!
//! # How it works
//!
//! A network becomes a training step in five plain steps, each a module:
//!
//! 1. [`graph`]: a forward graph, every shape inferred as it is built.
//! 2. [`autodiff`]: the backward nodes are appended.
//! 3. [`fuse`](mod@fuse): bias, ReLU and ReLU masks ride in the op beside them.
//! 4. [`plan`]: dispatches over slots of memory, as plain data.
//! 5. [`gpu`]: the plan runs as one compute pass and one submit. Or [`mod@reference`]: the same graph on the CPU.
//!
//! [`ops`] holds what a graph is made of, one file an op: its shapes, its gradient, its kernels and its reference.
//!
//! # Shapes
//!
//! Everything is NCHW, the last index running fastest. The letters are those of the field: a batch of `N` images has
//! `C` channels of `H x W`; a convolution has `K` filters `[K,C,R,S]` and makes `[N,K,P,Q]`; logits are `[N,L]`. A data
//! set is bytes, `images [M,C,H,W]` and `labels [M]`; it lies on the device, and a step picks its batch there, brings it
//! to the network's size and to 0..1. Shapes are checked as the graph is built, so a misfit is an error that names the
//! layer, before anything runs.
//!
//! # Devices
//!
//! [`device::Device::open`] takes a [`device::DeviceChoice`]: a hardware GPU through Vulkan, Metal or DX12, a software
//! Vulkan driver, or the CPU reference, which needs no driver. They compute the same within rounding; on one device the
//! same seed gives the same bits.
//!
//! The library reads no environment variable and looks for no home: which adapters are seen is told by
//! [`gpu::AdapterFilter`], and where measurements, compiled kernels and downloads are kept by [`gpu::Gpu::set_tune_cache`],
//! [`gpu::Gpu::set_pipeline_cache`] and [`data::Loader::cache_dir`].
//!
//! # Errors
//!
//! Every module has its own error type, and [`Error`] holds any of them. A missing adapter, a lost device, too little
//! memory, a truncated file or a loss that is no number any more is an ordinary `Err`; its text names what was found,
//! what was expected and the mend.

// Two modules hold the three calls that are unsafe (SECURITY.md); the others cannot even allow one.
#![deny(unsafe_code)]

#[forbid(unsafe_code)]
pub mod backend;
#[forbid(unsafe_code)]
pub mod classifier;
#[forbid(unsafe_code)]
pub mod data;
#[forbid(unsafe_code)]
mod error;
pub mod gpu;
#[forbid(unsafe_code)]
pub mod graph;
#[forbid(unsafe_code)]
pub mod models;
#[forbid(unsafe_code)]
pub mod ops;
#[forbid(unsafe_code)]
pub mod output;
#[forbid(unsafe_code)]
pub mod pictures;
#[forbid(unsafe_code)]
pub mod plan;
#[forbid(unsafe_code)]
pub mod program;
pub mod reference;
#[forbid(unsafe_code)]
pub mod self_test;
#[forbid(unsafe_code)]
pub mod train;

#[doc(no_inline)]
pub use backend::{device, peak, profile, runtime};
#[doc(no_inline)]
pub use graph::{autodiff, fuse, rng, shape, tensor};
#[doc(no_inline)]
pub use plan::shaders;
#[doc(no_inline)]
pub use train::{checkpoint, init};

pub use error::{Error, Result};

/// Compiles and runs the README's example.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
