//! Where the pixels of an inner map lie on the network's input.

/// Pixel `i` of a map, down or across, is centred at `first + step * i`, in pixels of the network's input, whose own first
/// pixel is centred at 0. Each has two members: for rows, then for columns.
///
/// It follows from the strides and paddings before the map. A map of 6x6 over an input of 224x224 need not be the input
/// scaled down: pools that round down leave the right and bottom edge out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MapGrid {
    /// Centre of the first pixel.
    pub first: [f64; 2],
    /// Distance between the centres of neighbours.
    pub step: [f64; 2],
}

impl MapGrid {
    /// The input itself.
    pub const INPUT: Self = Self {
        first: [0.0; 2],
        step: [1.0; 2],
    };

    /// The grid behind a window (filter or pool, with the gaps of its dilation) that slides over this one, `pad` rows above and
    /// columns on the left of it.
    #[must_use]
    pub fn behind_window(self, window: [usize; 2], stride: [usize; 2], pad: [usize; 2]) -> Self {
        let centre = |axis: usize| (window[axis] as f64 - 1.0) / 2.0 - pad[axis] as f64;
        Self {
            first: [0, 1].map(|axis| self.first[axis] + self.step[axis] * centre(axis)),
            step: [0, 1].map(|axis| self.step[axis] * stride[axis] as f64),
        }
    }

    /// The position on the map, in its pixels, of a point of the input, in the input's: row and column.
    pub fn position(&self, point: [f64; 2]) -> [f64; 2] {
        [0, 1].map(|axis| (point[axis] - self.first[axis]) / self.step[axis])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_of_nin_is_centred_where_its_windows_are() {
        let pool = |grid: MapGrid| grid.behind_window([3; 2], [2; 2], [0; 2]);
        let conv1 = MapGrid::INPUT.behind_window([11; 2], [4; 2], [2; 2]);
        assert_eq!((conv1.first, conv1.step), ([3.0; 2], [4.0; 2]));
        // 5x5 with padding 2 and 1x1 move nothing.
        assert_eq!(
            conv1
                .behind_window([5; 2], [1; 2], [2; 2])
                .behind_window([1; 2], [1; 2], [0; 2]),
            conv1
        );
        let last = pool(pool(pool(conv1)));
        assert_eq!((last.first, last.step), ([31.0; 2], [32.0; 2]));
        assert_eq!(last.position([31.0, 191.0]), [0.0, 5.0]);
    }

    #[test]
    fn rows_and_columns_have_their_own_steps() {
        let grid = MapGrid::INPUT.behind_window([3, 6], [2, 3], [1, 0]);
        assert_eq!((grid.first, grid.step), ([0.0, 2.5], [2.0, 3.0]));
    }
}
