//! The order of the images of an epoch.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// Indices of the `len` images in the order of `epoch`: shuffled by seed and epoch, or as they lie.
pub(super) fn epoch_order(len: usize, seed: u64, epoch: u64, shuffle: bool) -> Vec<u32> {
    let mut order: Vec<u32> = (0..len as u32).collect();
    if shuffle {
        // Each epoch's order depends on seed and epoch alone, so that a run can be taken up at any epoch.
        order.shuffle(&mut StdRng::seed_from_u64(
            seed ^ epoch.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        ));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_epoch_visits_every_image_once_in_an_order_of_its_own() {
        let (a, b) = (epoch_order(100, 1, 1, true), epoch_order(100, 1, 2, true));
        assert_ne!(a, b);
        assert_eq!(a, epoch_order(100, 1, 1, true));
        for mut order in [a, b] {
            order.sort_unstable();
            assert_eq!(order, epoch_order(100, 1, 1, false));
        }
    }
}
