//! A network in this project, as the peers in a browser run it. It also says what all of them start from.

use nin_wgpu::data::synthetic::Synthetic;
use nin_wgpu::device::{Device, DeviceChoice};
use nin_wgpu::gpu::AdapterFilter;
use nin_wgpu::init::Init;
use nin_wgpu::models::Model;
use nin_wgpu::ops::Adam;
use nin_wgpu::program::{Parameters, Program, Run, Source};
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::wasm_bindgen;

const CLASSES: usize = 10;

/// A network that is loaded, its parameters and its batch.
#[wasm_bindgen]
pub struct Peer {
    device: Device,
    run: Run,
    parameters: Parameters,
    pixels: Vec<u8>,
    labels: Vec<u16>,
    indices: Vec<u32>,
    train: bool,
    step: u64,
}

#[wasm_bindgen]
impl Peer {
    /// Opens a device and loads a network with initial parameters.
    pub async fn open(cpu: bool, model: &str, batch: usize, train: bool) -> Result<Peer, JsError> {
        let choice = if cpu {
            DeviceChoice::Cpu
        } else {
            DeviceChoice::Adapter(0)
        };
        let device = Device::open_among_async(&AdapterFilter::default(), choice).await?;
        let model = Model::find(model)?;
        let [height, width] = model.size.unwrap_or([28, 28]);
        let data = Synthetic {
            shape: [1, height, width],
            train: batch,
            test: 1,
            ..Synthetic::default()
        };
        let data = data.generate()?.train;
        let (pixels, labels) = (data.images()?, data.labels());
        let source = Source::new(batch, [1, height, width]);
        let network = |net: &mut _, x| model.build(net, x, CLASSES);
        let size = [height, width];
        let program = match train {
            true => Program::training(&source, size, batch, Adam::default(), network)?,
            false => Program::inference(&source, size, batch, network)?,
        };
        let parameters = Init::Kaiming.parameters(program.graph(), 1)?;
        let mut run = program.load_async(&device).await?;
        run.set_parameters(&parameters)?;
        run.set_data(&pixels, &labels)?;
        Ok(Self {
            device,
            run,
            parameters,
            pixels,
            labels,
            indices: (0..batch as u32).collect(),
            train,
            step: 0,
        })
    }

    /// The device, for people.
    pub fn adapter(&self) -> String {
        self.device.to_string()
    }

    /// How many parameters there are, …
    pub fn parameters(&self) -> usize {
        self.parameters.len()
    }

    /// … their names, …
    pub fn name(&self, i: usize) -> String {
        self.parameters[i].0.clone()
    }

    /// … shapes, …
    pub fn shape(&self, i: usize) -> Vec<usize> {
        self.parameters[i].1.shape.dims().to_vec()
    }

    /// … and values.
    pub fn data(&self, i: usize) -> Vec<f32> {
        self.parameters[i].1.data.clone()
    }

    /// The batch's images `[N,1,H,W]` in 0..1.
    pub fn images(&self) -> Vec<f32> {
        let pixels = self.pixels.iter();
        pixels.map(|&x| f32::from(x) / 255.0).collect()
    }

    /// Its labels.
    pub fn labels(&self) -> Vec<u16> {
        self.labels.clone()
    }

    /// Trains so many steps, one queued behind the other, and gives their mean loss; or classifies so many times, and gives the
    /// logits.
    pub async fn turn(&mut self, count: u32, learning_rate: f64) -> Result<Vec<f32>, JsError> {
        let Self { run, indices, .. } = self;
        if !self.train {
            for _ in 0..count {
                run.probabilities_async(indices).await?;
            }
            return Ok(run.logits_async().await?.data);
        }
        for _ in 1..count {
            self.step += 1;
            run.queue_train_step(indices, learning_rate, self.step, 0, false)?;
        }
        self.step += 1;
        let metrics = run.train_step_async(indices, learning_rate, self.step);
        Ok(vec![metrics.await?.loss() as f32])
    }
}
