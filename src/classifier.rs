//! Classifying pictures with a trained network.

use std::path::Path;

use crate::backend::device::Device;
use crate::backend::wait::block_on;
use crate::data::DataError;
use crate::error::Result;
use crate::graph::GraphBuilder;
use crate::graph::shape::Shape;
use crate::models::Model;
use crate::ops::Normalize;
use crate::pictures::heatmap::{Network, Seen};
use crate::program::{LayerMaps, Parameters, Program, Run, Source};
use crate::train::checkpoint::{self, Metadata};

/// A trained network on a device, ready for pictures.
pub struct Classifier {
    run: Run,
    metadata: Metadata,
    input: [usize; 2],
}

/// What a network says of a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Probability of each class `[L]`.
    pub probabilities: Vec<f32>,
    /// Map of each class before global average pooling `[L,h,w]`; empty if the network keeps none.
    pub maps: Vec<f32>,
}

impl Prediction {
    /// The classes, the most probable first.
    pub fn ranked(&self) -> Vec<usize> {
        let mut ranked: Vec<usize> = (0..self.probabilities.len()).collect();
        ranked.sort_by(|&a, &b| self.probabilities[b].total_cmp(&self.probabilities[a]));
        ranked
    }

    /// For a heat map: the prediction beside its picture, under a name.
    pub fn seen(self, name: impl Into<String>, pixels: Vec<u8>) -> Seen {
        Seen {
            name: name.into(),
            pixels,
            probabilities: self.probabilities,
            maps: self.maps,
        }
    }
}

impl Classifier {
    /// Loads a checkpoint of a preset; up to `batch` pictures are classified at once.
    ///
    /// # Errors
    /// [`checkpoint::CheckpointError`] if the file is no whole checkpoint of the model that it names,
    /// [`crate::models::ModelError`] if that is no preset, and those of the device.
    pub fn open(device: &Device, path: &Path, batch: usize) -> Result<Self> {
        let trained = checkpoint::load_trained(path)?;
        let model = trained.1.preset()?;
        block_on(Self::new_async(device, path, &model, trained, batch))
    }

    /// Loads a checkpoint of a model of your own.
    ///
    /// # Errors
    /// As [`Classifier::open`].
    pub fn open_as(device: &Device, path: &Path, model: &Model, batch: usize) -> Result<Self> {
        let trained = checkpoint::load_trained(path)?;
        block_on(Self::new_async(device, path, model, trained, batch))
    }

    /// A trained `model`, to be awaited; `path` is what errors call it.
    ///
    /// # Errors
    /// As [`Classifier::open`].
    pub async fn new_async(
        device: &Device,
        path: &Path,
        model: &Model,
        trained: (Parameters, Metadata),
        batch: usize,
    ) -> Result<Self> {
        Self::build(device, path, model, trained, batch, false).await
    }

    /// The same for one picture at a time, of which [`Classifier::layers_async`] has the maps of every layer.
    ///
    /// # Errors
    /// As [`Classifier::open`].
    pub async fn inspecting_async(
        device: &Device,
        path: &Path,
        model: &Model,
        trained: (Parameters, Metadata),
    ) -> Result<Self> {
        Self::build(device, path, model, trained, 1, true).await
    }

    async fn build(
        device: &Device,
        path: &Path,
        model: &Model,
        (parameters, metadata): (Parameters, Metadata),
        batch: usize,
        inspects: bool,
    ) -> Result<Self> {
        let [_, height, width] = metadata.image;
        let normalize = Normalize::from_channels(&metadata.normalize);
        let source = Source::new(batch, metadata.image).with_normalize(normalize);
        let input = metadata.input.unwrap_or(model.input_size(height, width));
        let classes = metadata.classes.len();
        let network = |net: &mut GraphBuilder, x| model.build(net, x, classes);
        let program = match inspects {
            true => Program::inspection(&source, input, batch, network),
            false => Program::inference(&source, input, batch, network),
        }?;
        checkpoint::check(path, &parameters, program.graph())?;
        let mut run = program.load_async(device).await?;
        run.set_parameters(&parameters)?;
        Ok(Self {
            run,
            metadata,
            input,
        })
    }

    /// What the checkpoint says of itself: classes, shape of the pictures, and so on.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Height and width of the network's input, which pictures are scaled to.
    pub fn input(&self) -> [usize; 2] {
        self.input
    }

    /// Goes on with other parameters of the same network.
    ///
    /// # Errors
    /// [`crate::backend::runtime::RuntimeError`] if a shape differs or the device fails.
    pub fn set_parameters(&mut self, parameters: &Parameters) -> Result<()> {
        Ok(self.run.set_parameters(parameters)?)
    }

    /// Classifies pictures of `[C,H,W]` bytes, any number of them.
    ///
    /// # Errors
    /// [`DataError::PictureBytes`] if a picture has another length, [`crate::backend::runtime::RuntimeError`] if the device fails.
    pub fn predict(&mut self, pictures: &[impl AsRef<[u8]>]) -> Result<Vec<Prediction>> {
        block_on(self.predict_async(pictures))
    }

    /// [`Classifier::predict`] to be awaited.
    ///
    /// # Errors
    /// As [`Classifier::predict`].
    pub async fn predict_async(
        &mut self,
        pictures: &[impl AsRef<[u8]>],
    ) -> Result<Vec<Prediction>> {
        let len: usize = self.metadata.image.iter().product();
        if let Some(wrong) = pictures
            .iter()
            .find(|picture| picture.as_ref().len() != len)
        {
            return Err(DataError::PictureBytes {
                got: wrong.as_ref().len(),
                want: self.metadata.image,
            }
            .into());
        }
        let batch = self.run.program().batch();
        let indices: Vec<u32> = (0..batch as u32).collect();
        let mut predictions = Vec::new();
        for chunk in pictures.chunks(batch) {
            let mut bytes: Vec<u8> = chunk.iter().flat_map(AsRef::as_ref).copied().collect();
            // The last batch is filled up; what comes of its filling is left out by `take`.
            bytes.resize(batch * len, 0);
            self.run.set_data(&bytes, &vec![0; batch])?;
            let probabilities = self.run.probabilities_async(&indices).await?;
            let classes = self.metadata.classes.len();
            let maps = match self.map_shape() {
                Some(_) => self.run.maps_async().await?.data,
                None => Vec::new(),
            };
            let per_picture = maps.len() / batch;
            let rows = probabilities.data.chunks(classes).take(chunk.len());
            predictions.extend(rows.enumerate().map(|(i, row)| Prediction {
                probabilities: row.to_vec(),
                maps: maps[i * per_picture..][..per_picture].to_vec(),
            }));
        }
        Ok(predictions)
    }

    /// The maps behind every ReLU of the last picture, of a classifier that [inspects](Self::inspecting_async).
    ///
    /// # Errors
    /// [`crate::backend::runtime::RuntimeError`] if the device fails.
    pub async fn layers_async(&mut self) -> Result<Vec<LayerMaps>> {
        Ok(self.run.layers_async().await?)
    }

    /// Shape of the maps `[batch,L,h,w]`, if there are any.
    fn map_shape(&self) -> Option<Shape> {
        self.run.program().map_shape()
    }

    /// What heat maps need to know of the network; `None` if it keeps no maps.
    pub fn network(&self) -> Option<Network> {
        let [_, _, height, width] = self.map_shape()?.nchw("maps", "maps").ok()?;
        Some(Network {
            classes: self.metadata.classes.clone(),
            image: self.metadata.image,
            input: self.input,
            map: [height, width],
            grid: self.run.program().map_grid()?,
        })
    }
}
