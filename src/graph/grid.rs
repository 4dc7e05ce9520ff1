//! Where the pixels of an inner map lie on the network's input.

/// Pixel `i` of a map, in either direction, is centred at `first + step * i`, in pixels of the network's input, whose
/// own first pixel is centred at 0.
///
/// It follows from the strides and paddings before the map. A map of 6x6 over an input of 224x224 need not be the input
/// scaled down: pools that round down leave the right and bottom edge out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MapGrid {
    /// Centre of the first pixel.
    pub first: f64,
    /// Distance between the centres of neighbours.
    pub step: f64,
}

impl MapGrid {
    /// The input itself.
    pub const INPUT: Self = Self {
        first: 0.0,
        step: 1.0,
    };

    /// The grid behind a window (filter or pool) that slides over this one.
    #[must_use]
    pub fn behind_window(self, window: usize, stride: usize, pad: usize) -> Self {
        let centre = (window as f64 - 1.0) / 2.0 - pad as f64;
        Self {
            first: self.first + self.step * centre,
            step: self.step * stride as f64,
        }
    }

    /// The position on the map, in its pixels, of a point of the input, in the input's.
    pub fn position(&self, point: f64) -> f64 {
        (point - self.first) / self.step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_of_nin_is_centred_where_its_windows_are() {
        let pool = |grid: MapGrid| grid.behind_window(3, 2, 0);
        let conv1 = MapGrid::INPUT.behind_window(11, 4, 2);
        assert_eq!((conv1.first, conv1.step), (3.0, 4.0));
        // 5x5 with padding 2 and 1x1 move nothing.
        assert_eq!(conv1.behind_window(5, 1, 2).behind_window(1, 1, 0), conv1);
        let last = pool(pool(pool(conv1)));
        assert_eq!((last.first, last.step), (31.0, 32.0));
        assert_eq!(last.position(31.0), 0.0);
        assert_eq!(last.position(191.0), 5.0);
    }
}
