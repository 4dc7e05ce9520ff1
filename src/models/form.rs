//! What may differ between two networks of one preset, and the parts that presets are built of.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::graph::{GraphBuilder, GraphError, ValueId};
use crate::ops::{Conv2d, Pool2d};

/// Width of a preset, and whether it has batch norm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Form {
    /// Factor on the channels of every layer but the classes.
    pub width: f64,
    /// Whether batch norm stands behind every convolution.
    pub batch_norm: bool,
    /// Probability of dropout where the preset has it; `None` is the preset's own.
    pub dropout: Option<f32>,
}

impl Default for Form {
    fn default() -> Self {
        Self::PLAIN
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let norm = if self.batch_norm { "with" } else { "without" };
        write!(f, "of width {}, {norm} batch norm", self.width)?;
        match self.dropout {
            Some(p) => write!(f, ", with dropout {p}"),
            None => Ok(()),
        }
    }
}

impl Form {
    /// At full width, without batch norm.
    pub const PLAIN: Self = Self {
        width: 1.0,
        batch_norm: false,
        dropout: None,
    };

    /// At full width, with batch norm.
    pub const NORMED: Self = Self {
        width: 1.0,
        batch_norm: true,
        dropout: None,
    };

    /// Channels of a layer that has `k` at full width: at least one.
    pub(super) fn channels(&self, k: usize) -> usize {
        ((self.width * k as f64).round() as usize).max(1)
    }

    /// Dropout in a place where the preset has it with probability `p`; there is none if that is 0.
    pub(super) fn dropout(
        &self,
        net: &mut GraphBuilder,
        x: ValueId,
        p: f32,
    ) -> Result<ValueId, GraphError> {
        match self.dropout.unwrap_or(p) {
            0.0 => Ok(x),
            p => net.dropout(x, p),
        }
    }

    /// Layers of a [`block`], as PyTorch's `Sequential` counts them.
    pub(super) fn layers(&self) -> usize {
        if self.batch_norm { 3 } else { 2 }
    }
}

/// A convolution of `k` channels, batch norm if the form has it, and ReLU; under these names.
pub(super) fn block(
    net: &mut GraphBuilder,
    [conv_name, norm_name]: [&str; 2],
    x: ValueId,
    k: usize,
    conv: Conv2d,
    form: Form,
) -> Result<ValueId, GraphError> {
    let mut x = net.conv2d(conv_name, x, k, conv)?;
    if form.batch_norm {
        x = net.batch_norm(norm_name, x)?;
    }
    net.relu(x)
}

/// The convolutions of AlexNet and VGG, `features.0` and so on: output channels at full width, filter, stride and padding of
/// each, and whether `pool` follows.
pub(super) fn features(
    net: &mut GraphBuilder,
    images: ValueId,
    layers: &[(usize, [usize; 3], bool)],
    pool: Pool2d,
    form: Form,
) -> Result<ValueId, GraphError> {
    let mut x = images;
    let mut position = 0;
    for &(k, [filter, stride, pad], pooled) in layers {
        let [conv, norm] = [0, 1].map(|i| format!("features.{}", position + i));
        let window = Conv2d::new(filter, stride, pad)?;
        x = block(net, [&conv, &norm], x, form.channels(k), window, form)?;
        position += form.layers();
        if pooled {
            x = net.max_pool2d(x, pool)?;
            position += 1;
        }
    }
    Ok(x)
}

/// The head of AlexNet and VGG: maps of `side x side`, as far as they are larger, and three dense layers with dropout
/// between them, for AlexNet in front of the first too.
pub(super) fn dense_head(
    net: &mut GraphBuilder,
    x: ValueId,
    side: usize,
    classes: usize,
    [first, second, last]: [&str; 3],
    dropout_first: bool,
    form: Form,
) -> Result<ValueId, GraphError> {
    let shape = net.graph().value(x).shape;
    let pooled = [2, 3].map(|i| shape.dims()[i].min(side));
    let mut x = x;
    if pooled != shape.dims()[2..] {
        x = net.adaptive_avg_pool2d(x, pooled)?;
    }
    x = net.flatten(x)?;
    for name in [first, second] {
        if dropout_first {
            x = form.dropout(net, x, 0.5)?;
        }
        x = net.linear(name, x, form.channels(4096))?;
        x = net.relu(x)?;
        if !dropout_first {
            x = form.dropout(net, x, 0.5)?;
        }
    }
    net.linear(last, x, classes)
}
