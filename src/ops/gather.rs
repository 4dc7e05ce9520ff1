//! The batch: images picked by index out of the data set on the device, changed at random, resized and normalised.

use serde::{Deserialize, Serialize};

use super::{Definition, Tolerance, operand};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::plan::{Kernel, Lowering, Page, PlanError, Variant, read, uniforms, write};
use crate::reference::{Io, Real, gather};

/// The largest width and height of a picture that is read, and of a part that is scaled.
pub const MAX_EXTENT: u32 = 16_384;

/// A part of a picture, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CropBox {
    /// The first row.
    pub top: usize,
    /// The first column.
    pub left: usize,
    /// Rows, at least 1.
    pub height: usize,
    /// Columns, at least 1.
    pub width: usize,
}

/// Inputs `images [M,C,h,w]` (bytes), `labels [M]`, `indices [N]`, with augmentation also `random [3]` (seed, step, place of the
/// first image in its batch), and if that is [`resized`](Augment::resized) `boxes [N,4]` (top, left, height, width)
/// -> `images [N,C,H,W]`, `labels [N]`.
///
/// Bilinear with half-pixel centres and no anti-aliasing (PyTorch's `align_corners=False`); a byte `v` becomes
/// `(v / 255 - mean) / std`. An index of `M` or more yields a blank image with the label
/// [`IGNORE`](super::IGNORE): it fills up a last, smaller batch.
///
/// Boxes are scaled with anti-aliasing, as [`data::View`](crate::data::View) scales but without rounding to bytes. What of a
/// box lies outside of its image is left out, and each has a pixel at least.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gather {
    height: usize,
    width: usize,
    normalize: Normalize,
    augment: Augment,
}

/// Random changes to the images of a training step, drawn anew for each: a crop after padding or of a part, and a mirror image.
///
/// The words of image `n` of the whole batch are [`pcg4d`](crate::graph::rng::pcg4d)`(n, u32::MAX, step, seed)`: rows and columns to move by, and
/// the bit that mirrors. The part is [`resized_crop`](crate::data::resized_crop)'s of the same `n`, step and seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Augment {
    /// Pixels of the data set's images that each is moved by at most, up or down and left or right; zeros move in.
    pub crop: u32,
    /// Whether half of the images are mirrored, left to right.
    pub flip: bool,
    /// Whether images are not moved, whatever `crop` is, but a random part of each is scaled to the whole: torchvision's
    /// `RandomResizedCrop`.
    #[serde(default)]
    pub resized: bool,
}

impl Augment {
    /// No augmentation.
    pub const NONE: Self = Self {
        crop: 0,
        flip: false,
        resized: false,
    };

    /// The same for pictures of which parts are drawn: those that would be moved are cropped and resized instead.
    #[must_use]
    pub fn of_parts(self) -> Self {
        Self {
            crop: 0,
            resized: self.resized || self.crop > 0,
            ..self
        }
    }
}

/// Mean and standard deviation of each channel (of values in 0..1) that the input is normalised by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalize {
    /// Subtracted.
    pub mean: [f32; 4],
    /// Divided by.
    pub std: [f32; 4],
}

impl Default for Normalize {
    /// No normalisation: mean 0, standard deviation 1.
    fn default() -> Self {
        Self {
            mean: [0.0; 4],
            std: [1.0; 4],
        }
    }
}

impl Normalize {
    /// From a mean and a standard deviation for each channel, of which there are at most four. A deviation of 0 counts as 1.
    pub fn from_channels(channels: &[(f32, f32)]) -> Self {
        let mut this = Self::default();
        for (i, &(mean, std)) in channels.iter().take(4).enumerate() {
            // A channel that never changes says nothing: it becomes 0 and not not-a-number.
            let std = if std > 0.0 { std } else { 1.0 };
            (this.mean[i], this.std[i]) = (mean, std);
        }
        this
    }

    /// Mean and standard deviation of the first `count` channels.
    pub fn channels(&self, count: usize) -> Vec<(f32, f32)> {
        let both = self.mean.iter().copied().zip(self.std);
        both.take(count).collect()
    }
}

impl Gather {
    /// Resizes to `height x width`, then normalises.
    pub fn new(height: usize, width: usize, normalize: Normalize) -> Self {
        Self {
            height,
            width,
            normalize,
            augment: Augment::NONE,
        }
    }

    /// The same, with random changes.
    pub fn with_augment(self, augment: Augment) -> Self {
        Self { augment, ..self }
    }

    /// Whether it reads `random`.
    pub(crate) fn is_random(&self) -> bool {
        self.augment != Augment::NONE
    }

    /// Whether it reads `boxes`.
    pub(crate) fn is_resized(&self) -> bool {
        self.augment.resized
    }

    /// Whether the kernel's loops over a box of an image of `[h,w]` pixels end before a driver ends them.
    fn bounds_loops(&self, [h, w]: [usize; 2]) -> bool {
        let extent = 1..=MAX_EXTENT as usize;
        let sides = [h, w, self.height, self.width];
        // Pixels on a line that an output pixel takes in at most.
        let taps = |from: usize, to: usize| (2 * from.div_ceil(to)).min(from);
        sides.iter().all(|side| extent.contains(side))
            && taps(h, self.height) * (1 + taps(w, self.width)) <= MAX_TURNS
    }
}

/// Turns of all loops of an invocation together: Mesa 22.3's software driver ends them there, without a word.
const MAX_TURNS: usize = 65_535;

uniforms! {
    struct GatherUniform {
        first: u32, rows: u32, len: u32, c: u32, src_h: u32, src_w: u32, n: u32, h: u32, w: u32,
        scale_h: f32, scale_w: f32,
        mean0: f32, mean1: f32, mean2: f32, mean3: f32,
        std0: f32, std1: f32, std2: f32, std3: f32,
        crop: u32, flip: u32,
    }
}

static FORWARD: Kernel = Kernel {
    shader: "gather",
    entry: "forward",
    bindings: &[
        read("data_images"),
        read("data_labels"),
        read("indices"),
        write("images"),
        write("labels"),
    ],
    uniform: GatherUniform::FIELDS,
};

static AUGMENTED: Kernel = Kernel {
    shader: "gather",
    entry: "augmented",
    bindings: &[
        read("data_images"),
        read("data_labels"),
        read("indices"),
        write("images"),
        write("labels"),
        read("random"),
    ],
    uniform: GatherUniform::FIELDS,
};

static RESIZED: Kernel = Kernel {
    shader: "gather",
    entry: "resized",
    bindings: &[
        read("data_images"),
        read("data_labels"),
        read("indices"),
        write("images"),
        write("labels"),
        read("random"),
        read("boxes"),
    ],
    uniform: GatherUniform::FIELDS,
};

impl Definition for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let images = operand(operands, 0, "gather", "images", DType::U8)?;
        let labels = operand(operands, 1, "gather", "labels", DType::U32)?;
        let indices = operand(operands, 2, "gather", "indices", DType::U32)?;
        if self.is_random() {
            let random = operand(operands, 3, "gather", "random", DType::U32)?;
            super::same("gather", "random", random, Shape::new(&[3])?)?;
        }
        let [m, c, h, w] = images.nchw("gather", "images")?;
        if self.is_resized() {
            let boxes = operand(operands, 4, "gather", "boxes", DType::U32)?;
            super::same("gather", "boxes", boxes, Shape::new(&[indices.len(), 4])?)?;
            if !self.bounds_loops([h, w]) {
                let want = format!(
                    "at most {MAX_EXTENT} pixels a side, and for each pixel wanted fewer than {MAX_TURNS} of them"
                );
                return Err(images.mismatch("gather", "images", want));
            }
        } else if self.augment.crop as usize >= h.min(w) {
            return Err(images.mismatch("gather", "images", "sides above the pixels cropped"));
        }
        super::same("gather", "labels", labels, Shape::new(&[m])?)?;
        if c > 4 {
            return Err(images.mismatch("gather", "images", "at most 4 channels"));
        }
        let batch = Shape::new(&[indices.len(), c, self.height, self.width])?;
        Ok(vec![(batch, DType::F32), (indices, DType::U32)])
    }

    fn backward(&self, _: &Node, _: &mut Tape<'_>) -> Result<(), GraphError> {
        Err(GraphError::NotDifferentiable(self.name()))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let [images, labels, indices] = [node.inputs[0], node.inputs[1], node.inputs[2]];
        let source = to.shape(images);
        let [len, c, src_h, src_w] = [0, 1, 2, 3].map(|i| source.dims()[i]);
        let n = to.shape(indices).len();
        let [mean0, mean1, mean2, mean3] = self.normalize.mean;
        let [std0, std1, std2, std3] = self.normalize.std;
        let uniform = |page: &Page| GatherUniform {
            first: page.first as u32,
            rows: page.rows as u32,
            len: len as u32,
            c: c as u32,
            src_h: src_h as u32,
            src_w: src_w as u32,
            n: n as u32,
            h: self.height as u32,
            w: self.width as u32,
            scale_h: src_h as f32 / self.height as f32,
            scale_w: src_w as f32 / self.width as f32,
            mean0,
            mean1,
            mean2,
            mean3,
            std0,
            std1,
            std2,
            std3,
            crop: self.augment.crop,
            flip: self.augment.flip.into(),
        };
        let mut others = vec![labels, indices, node.outputs[0], node.outputs[1]];
        let mut kernel = &FORWARD;
        if self.is_random() {
            others.push(node.inputs[3]);
            kernel = &AUGMENTED;
        }
        if self.is_resized() {
            others.push(node.inputs[4]);
            kernel = &RESIZED;
        }
        let others: Vec<_> = others.into_iter().map(|id| to.value(id)).collect();
        let len = n * c * self.height * self.width;
        // Each page's dispatch writes the images whose pictures lie there.
        for page in to.pages(images) {
            let bindings: Vec<_> = std::iter::once(page.region).chain(others.clone()).collect();
            let words = uniform(&page).words();
            to.elementwise(kernel, Variant::Plain, words, &bindings, len)?;
        }
        Ok(())
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        8 * shape(node.outputs[0]).len() as u64
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let source = io.shape(0);
        let shape = gather::Geometry {
            source: [0, 1, 2, 3].map(|i| source.dims()[i]),
            size: [self.height, self.width],
            normalize: self.normalize,
        };
        let random = self.is_random().then(|| io.input_u32(3));
        let boxes = self.is_resized().then(|| io.input_u32(4));
        let change = gather::changes(self.augment, random, boxes);
        let (images, labels, indices) = (io.input_u8(0), io.input_u32(1), io.input_u32(2));
        let (out, out_labels) = io.outputs_with_u32(0, 1);
        gather::forward(&shape, change, images, labels, indices, out, out_labels);
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-5)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        [&FORWARD, &AUGMENTED, &RESIZED]
            .map(|kernel| (kernel, Variant::Plain))
            .into()
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;
    use crate::graph::{GraphBuilder, Phase};

    #[test]
    fn augmentation_of_a_run_before_there_were_parts_is_still_read() {
        let old: Augment = serde_json::from_str(r#"{"crop":3,"flip":true}"#).expect("is read");
        let want = Augment {
            crop: 3,
            flip: true,
            ..Augment::NONE
        };
        assert_eq!(old, want);
        let parts = old.of_parts();
        assert!(parts.resized && parts.flip && parts.crop == 0);
        assert_eq!(Augment::NONE.of_parts(), Augment::NONE);
    }

    #[test]
    fn parts_whose_loops_a_driver_would_end_early_are_refused() {
        let augment = Augment {
            resized: true,
            ..Augment::NONE
        };
        let gather = |image, size: usize, augment| {
            let op = Gather::new(size, size, Normalize::default()).with_augment(augment);
            GraphBuilder::new(Phase::Train)
                .gather(1, image, 1, op)
                .map(|_| ())
                .map_err(|error| error.source().map(ToString::to_string).unwrap_or_default())
        };
        assert_eq!(gather([3, 2800, 2800], 28, augment), Ok(()));
        for (image, size) in [([1, 9000, 9000], 28), ([1, 1, 16_385], 224)] {
            let error = gather(image, size, augment).expect_err("too many pixels for one");
            assert!(error.contains("16384 pixels a side"), "{error}");
            assert_eq!(gather(image, size, Augment::NONE), Ok(()));
        }
    }
}
