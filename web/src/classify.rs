//! Pictures to answers.

use std::path::Path;

use nin_wgpu::checkpoint::Metadata;
use nin_wgpu::classifier::{Classifier, Prediction};
use nin_wgpu::data::image_file::{self, Picture as Decoded};
use nin_wgpu::graph::MapGrid;
use nin_wgpu::program::{LayerMaps, Parameters};
use serde_bytes::ByteBuf;

use crate::error::Result;
use crate::protocol::{Classified, Filters, Maps, Picture};

/// Classifies one picture; with `layers`, every layer's maps are brought too.
pub(crate) async fn classify(
    classifier: &mut Classifier,
    picture: &Picture,
    layers: bool,
) -> Result<Classified> {
    let pixels = prepared(picture, classifier.metadata())?;
    let predicted = classifier.predict_async(&[&pixels]).await?;
    let prediction = predicted.into_iter().next();
    let prediction = prediction.expect("invariant: one picture has one prediction");
    let network = classifier.network();
    let input = classifier.input();
    let Metadata { classes, image, .. } = classifier.metadata().clone();
    let maps = network.map(|network| {
        let [height, width] = network.map;
        let shape = [classes.len(), height, width];
        maps("classes", shape, &prediction.maps, network.grid, input)
    });
    let layers = match layers {
        true => classifier.layers_async().await?,
        false => Vec::new(),
    };
    let Prediction { probabilities, .. } = prediction;
    Ok(Classified {
        id: 0,
        training: false,
        classes,
        probabilities,
        pixels: ByteBuf::from(pixels),
        image,
        maps,
        layers: layers.iter().map(|layer| of_layer(layer, input)).collect(),
        filters: None,
    })
}

/// The picture as the network takes it, brought in as those that it was trained on.
fn prepared(picture: &Picture, metadata: &Metadata) -> Result<Vec<u8>> {
    let (shape, how) = (metadata.image, metadata.preparation);
    Ok(match picture {
        Picture::File { name, bytes } => {
            image_file::load_bytes(Path::new(name), bytes, shape, how.fit, how.invert)?
        }
        Picture::Pixels {
            width,
            height,
            rgba,
        } => {
            let pixels: Vec<u8> = match shape[0] {
                1 => rgba.chunks_exact(4).map(grey).collect(),
                _ => {
                    let pixels = rgba.chunks_exact(4);
                    pixels.flat_map(|pixel| &pixel[..3]).copied().collect()
                }
            };
            let picture = Decoded::new([*height, *width, shape[0]], pixels)?;
            image_file::fitted(&picture, shape, how.fit, how.invert)?
        }
    })
}

/// Luma (ITU-R BT.601).
fn grey(pixel: &[u8]) -> u8 {
    let [r, g, b] = [0, 1, 2].map(|i| u32::from(pixel[i]));
    ((299 * r + 587 * g + 114 * b + 500) / 1000) as u8
}

fn of_layer(layer: &LayerMaps, input: [usize; 2]) -> Maps {
    let dims = layer.maps.shape.dims();
    let shape = [dims[1], dims[2], dims[3]];
    maps(&layer.name, shape, &layer.maps.data, layer.grid, input)
}

/// Maps as bytes from 0 to their highest, and their place in parts of the picture's sides.
fn maps(name: &str, shape: [usize; 3], values: &[f32], grid: MapGrid, input: [usize; 2]) -> Maps {
    let highest = values.iter().copied().fold(0.0, f32::max);
    let scale = if highest > 0.0 { 255.0 / highest } else { 0.0 };
    // A cast saturates, and makes 0 of what is no number.
    let bytes: Vec<u8> = values.iter().map(|x| (x * scale).round() as u8).collect();
    let part = |at: f64, axis: usize| at / input[axis] as f64;
    Maps {
        name: name.to_owned(),
        shape,
        values: ByteBuf::from(bytes),
        highest,
        // A pixel's centre is half a pixel from its edge.
        first: [0, 1].map(|axis| part(grid.first[axis] + 0.5, axis)),
        step: [0, 1].map(|axis| part(grid.step[axis], axis)),
    }
}

/// The first convolution's filters, to look at.
pub(crate) fn filters(parameters: &Parameters) -> Option<Filters> {
    let first = parameters
        .iter()
        .find_map(|(_, tensor)| match *tensor.shape.dims() {
            [k, c, r, s] if r * s > 1 => Some((&tensor.data, [k, c, r, s])),
            _ => None,
        });
    let (weights, [k, c, r, s]) = first?;
    let values = weights.chunks_exact(c * r * s).flat_map(|filter| {
        let mean = |at| filter.iter().skip(at).step_by(r * s).sum::<f32>() / c as f32;
        let means: Vec<f32> = (0..r * s).map(mean).collect();
        let largest = means
            .iter()
            .fold(f32::MIN_POSITIVE, |most, x| most.max(x.abs()));
        means
            .into_iter()
            .map(move |x| (127.5 + 127.5 * x / largest) as u8)
    });
    Some(Filters {
        shape: [k, r, s],
        values: ByteBuf::from(values.collect::<Vec<_>>()),
    })
}
