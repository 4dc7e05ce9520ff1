//! Writes what all peers start from: `weights.safetensors`, initial parameters of a network under PyTorch's names, and
//! `images.safetensors`, a batch of synthetic pictures.

#[path = "../../../turns.rs"]
#[allow(dead_code, reason = "what is shared with the program that is timed")]
mod turns;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use nin_wgpu::checkpoint;
use nin_wgpu::data::synthetic::Synthetic;
use nin_wgpu::init::Init;
use nin_wgpu::models::Model;
use nin_wgpu::program::{Program, Source};
use nin_wgpu::shape::Shape;
use nin_wgpu::tensor::Tensor;

#[derive(Parser)]
struct Args {
    /// The network: nin, vgg11 or resnet18.
    #[arg(long, default_value = "nin")]
    model: String,
    /// Images of the batch.
    #[arg(long, default_value_t = 16)]
    batch: usize,
    /// Folder to write to; it must exist.
    out: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let size = turns::size(&args.model);
    let [height, width] = size;
    let source = Source::new(1, [1, height, width]);
    let model = Model::find(&args.model)?;
    let program = Program::inference(&source, size, 1, |net, x| model.build(net, x, 10))?;
    let parameters = Init::Kaiming.parameters(program.graph(), 1)?;
    checkpoint::save(&args.out.join("weights.safetensors"), &parameters, None)?;

    let synthetic = Synthetic {
        shape: [1, height, width],
        train: args.batch,
        test: 1,
        ..Synthetic::default()
    };
    let pictures = synthetic.generate()?.train;
    let images = pictures.images()?;
    let images = images.iter().map(|&x| f32::from(x) / 255.0);
    let labels = pictures.labels().into_iter().map(f32::from);
    let tensors = vec![
        tensor("images", &[args.batch, 1, height, width], images.collect())?,
        tensor("labels", &[args.batch], labels.collect())?,
    ];
    Ok(checkpoint::save(
        &args.out.join("images.safetensors"),
        &tensors,
        None,
    )?)
}

fn tensor(name: &str, dims: &[usize], data: Vec<f32>) -> Result<(String, Tensor)> {
    let shape = Shape::new(dims)?;
    Ok((name.to_owned(), Tensor { shape, data }))
}
