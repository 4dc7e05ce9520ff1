//! How a network does on images that it was not trained on: which classes it takes for which, and its worst mistakes.

use nin_wgpu::classifier::Classifier;
use nin_wgpu::data::Dataset;
use serde_bytes::ByteBuf;

use crate::error::Result;
use crate::protocol::{Examined, Mistake};

/// Images that are classified at once.
pub(crate) const BATCH: usize = 50;
/// Mistakes that are shown.
const MISTAKES: usize = 12;

/// Classifies all images of `data`.
pub(crate) async fn examine(
    classifier: &mut Classifier,
    data: &Dataset,
    step: u64,
) -> Result<Examined> {
    let classes = data.classes().to_vec();
    let mut confusion = vec![vec![0; classes.len()]; classes.len()];
    let mut mistakes: Vec<Mistake> = Vec::new();
    let all: Vec<usize> = (0..data.len()).collect();
    for some in all.chunks(BATCH) {
        let images = some.iter().map(|&i| data.image(i));
        let images = images.collect::<Result<Vec<_>, _>>()?;
        let predictions = classifier.predict_async(&images).await?;
        for ((&i, pixels), prediction) in some.iter().zip(images).zip(predictions) {
            let (label, predicted) = (usize::from(data.label(i)?), prediction.ranked()[0]);
            confusion[label][predicted] += 1;
            if label != predicted {
                mistakes.push(Mistake {
                    label,
                    predicted,
                    probability: prediction.probabilities[predicted],
                    pixels: ByteBuf::from(pixels),
                });
            }
        }
        // The surest come first, and only they are kept.
        mistakes.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        mistakes.truncate(MISTAKES);
    }
    Ok(Examined {
        step,
        classes,
        confusion,
        mistakes,
        image: data.outline().image,
    })
}
