//! Checkpoints, and the networks that their metadata asks for.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use nin_wgpu::graph::{GraphBuilder, Phase};
use nin_wgpu::train::checkpoint::{Checkpoint, check, to_bytes};

fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("fuzz.safetensors");
    let Ok(found) = Checkpoint::from_bytes(path, bytes) else {
        return;
    };
    // What was read can be written, and is read as the same.
    let written = to_bytes(&found.parameters, found.metadata.as_ref()).expect("written");
    let again = Checkpoint::from_bytes(path, &written).expect("read again");
    assert_eq!(again.parameters.len(), found.parameters.len());
    let Ok((parameters, metadata)) = found.trained(path) else {
        return;
    };
    let Ok(model) = metadata.preset() else {
        return;
    };
    let [c, h, w] = metadata.image;
    let [h, w] = metadata.input.unwrap_or(model.input_size(h, w));
    let mut net = GraphBuilder::new(Phase::Eval);
    let Ok(x) = net.input("images", &[1, c, h, w]) else {
        return;
    };
    if model.build(&mut net, x, metadata.classes.len()).is_ok() {
        let _ = check(path, &parameters, net.graph());
    }
});
