//! The order of the images of an epoch.

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::TrainOptions;
use crate::data::Dataset;

/// Indices of the images of `epoch`, as many as there are: each once, shuffled by seed and epoch or as they lie; or, to
/// balance the classes, of each as many.
pub(super) fn epoch_order(data: &Dataset, options: &TrainOptions, epoch: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..data.len() as u32).collect();
    // Each epoch's order depends on seed and epoch alone, so that a run can be taken up at any epoch.
    let seed = options.seed ^ epoch.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut rng = StdRng::seed_from_u64(seed);
    if options.balance {
        return balanced(data, &mut rng);
    }
    if options.shuffle {
        order.shuffle(&mut rng);
    }
    order
}

/// Classes drawn with equal chances, and of each its images in turn, in an order of chance.
fn balanced(data: &Dataset, rng: &mut StdRng) -> Vec<u32> {
    let mut classes: Vec<Vec<u32>> = vec![Vec::new(); data.classes().len()];
    for (i, label) in data.labels().into_iter().enumerate() {
        classes[usize::from(label)].push(i as u32);
    }
    classes.retain(|class| !class.is_empty());
    classes.iter_mut().for_each(|class| class.shuffle(rng));
    let mut done = vec![0; classes.len()];
    let mut draw = |_| {
        let class = rng.random_range(0..classes.len());
        let image = classes[class][done[class] % classes[class].len()];
        done[class] += 1;
        image
    };
    (0..data.len()).map(&mut draw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(labels: Vec<u16>) -> Dataset {
        let classes = ["a", "b"].map(String::from).to_vec();
        Dataset::new("toy", vec![0; labels.len()], labels, [1, 1, 1], classes).expect("a set")
    }

    fn options(shuffle: bool, balance: bool) -> TrainOptions {
        TrainOptions {
            shuffle,
            balance,
            ..TrainOptions::default()
        }
    }

    #[test]
    fn each_epoch_visits_every_image_once_in_an_order_of_its_own() {
        let data = data(vec![0; 100]);
        let order = |epoch| epoch_order(&data, &options(true, false), epoch);
        let as_they_lie = epoch_order(&data, &options(false, false), 1);
        let (a, b) = (order(1), order(2));
        assert_ne!(a, b);
        assert_eq!(a, order(1));
        for mut order in [a, b] {
            order.sort_unstable();
            assert_eq!(order, as_they_lie);
        }
    }

    #[test]
    fn balanced_classes_come_equally_often_and_none_of_their_images_is_forgotten() {
        let labels: Vec<u16> = (0..1000).map(|i| u16::from(i % 10 == 0)).collect();
        let data = data(labels);
        let order = epoch_order(&data, &options(true, true), 3);
        let labels = data.labels();
        let of_b = order.iter().filter(|&&i| labels[i as usize] == 1);
        let mut of_b: Vec<u32> = of_b.copied().collect();
        assert!((440..560).contains(&of_b.len()), "{}", of_b.len());
        of_b.sort_unstable();
        of_b.dedup();
        assert_eq!(of_b.len(), 100);
        assert_ne!(order, epoch_order(&data, &options(true, true), 4));
    }
}
