//! What a network makes of images: logits, probabilities, and the maps that they come from.

use std::sync::Arc;

use super::{Result, Run, RunError, wrong_goal};
use crate::backend::wait::block_on;
use crate::graph::MapGrid;
use crate::graph::tensor::Tensor;
use crate::program::Goal;

/// The maps of one layer, and where they lie on the images.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerMaps {
    /// The layer.
    pub name: String,
    /// Its maps `[batch,K,h,w]`.
    pub maps: Tensor,
    /// Where their pixels lie.
    pub grid: MapGrid,
}

impl Run {
    /// The logits `[batch,L]` of the last run; of a batch that is run in parts, those of the last part.
    ///
    /// # Errors
    /// [`RuntimeError`](crate::backend::runtime::RuntimeError) if the device fails.
    pub fn logits(&mut self) -> Result<Tensor> {
        block_on(self.logits_async())
    }

    /// [`Run::logits`] to be awaited.
    ///
    /// # Errors
    /// As [`Run::logits`].
    pub async fn logits_async(&mut self) -> Result<Tensor> {
        self.tensor(self.program.logits).await
    }

    /// Class probabilities `[batch,L]` of the images at `indices`.
    ///
    /// # Errors
    /// As [`Run::queue_train_step`].
    pub fn probabilities(&mut self, indices: &[u32]) -> Result<Tensor> {
        block_on(self.probabilities_async(indices))
    }

    /// [`Run::probabilities`] to be awaited.
    ///
    /// # Errors
    /// As [`Run::probabilities`].
    pub async fn probabilities_async(&mut self, indices: &[u32]) -> Result<Tensor> {
        let Goal::Infer { probabilities, .. } = *self.program.goal else {
            return Err(wrong_goal("inference"));
        };
        self.queue(indices, &[])?;
        self.tensor(probabilities).await
    }

    /// Each class's map `[batch,L,h,w]` of the last run: what global average pooling made the logits of. Where a map
    /// is high, the network sees its class (arXiv:1312.4400, section 4.6).
    ///
    /// # Errors
    /// [`RunError::NoMaps`] if the logits come from something else, [`RunError::WrongProgram`] if this is no
    /// program for inference, and [`RuntimeError`](crate::backend::runtime::RuntimeError) if the device fails.
    pub fn maps(&mut self) -> Result<Tensor> {
        block_on(self.maps_async())
    }

    /// [`Run::maps`] to be awaited.
    ///
    /// # Errors
    /// As [`Run::maps`].
    pub async fn maps_async(&mut self) -> Result<Tensor> {
        let Goal::Infer { maps, .. } = *self.program.goal else {
            return Err(wrong_goal("inference"));
        };
        let (maps, _) = maps.ok_or(RunError::NoMaps)?;
        self.tensor(maps).await
    }

    /// The maps behind every ReLU of the last run, from the first layer on; empty unless the program is one of
    /// [`Program::inspection`](crate::program::Program::inspection).
    ///
    /// # Errors
    /// [`RuntimeError`](crate::backend::runtime::RuntimeError) if the device fails.
    pub async fn layers_async(&mut self) -> Result<Vec<LayerMaps>> {
        let goal = Arc::clone(&self.program.goal);
        let Goal::Infer { layers, .. } = &*goal else {
            return Err(wrong_goal("inference"));
        };
        let mut read = Vec::with_capacity(layers.len());
        for layer in layers {
            read.push(LayerMaps {
                name: layer.name.clone(),
                maps: self.tensor(layer.maps).await?,
                grid: layer.grid,
            });
        }
        Ok(read)
    }
}
