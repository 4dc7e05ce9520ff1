//! The network in `models/`: as small and as right as the README says.

use std::path::Path;

use nin_wgpu::checkpoint;
use nin_wgpu::data;
use nin_wgpu::device::Device;
use nin_wgpu::models::Model;
use nin_wgpu::ops::Normalize;
use nin_wgpu::train::{TrainOptions, evaluate};

#[test]
fn the_shipped_network_is_small_and_names_91_percent_of_the_test_set() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/fashion-mnist.safetensors");
    let bytes = path.metadata().expect("it is there").len();
    assert!(bytes <= 4_000_000, "{bytes} bytes");

    let (parameters, metadata) = checkpoint::load_trained(&path).expect("a whole file");
    let test = data::load("fashion-mnist", None).expect("./scripts/setup installs it");
    let options = TrainOptions {
        batch_size: 100,
        normalize: Normalize::from_channels(&metadata.normalize),
        ..TrainOptions::default()
    };
    let model = Model::find(&metadata.model).expect("a preset");
    let metrics = evaluate(&Device::Cpu, model, &parameters, &test.test, &options);
    let accuracy = metrics.expect("evaluates").accuracy();
    eprintln!("{:.2} %", 100.0 * accuracy);
    assert!(accuracy >= 0.91, "{accuracy}");
}
