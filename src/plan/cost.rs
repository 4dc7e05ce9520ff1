//! What a convolution costs on a hardware GPU by each algorithm: enough to tell which are likely to be fastest.
//!
//! Fitted to the times of all algorithms in `nin` at batch 16 on an NVIDIA H100, `h100.txt` beside this: over its 23
//! computations the mean rank correlation of cost and time is 0.79, and the cheapest takes 1.3 % longer than the fastest, the
//! fastest of the cheapest three 0.2 %.

use super::{Conv2dAlgorithm, Direction, Tile};
use crate::ops::{Geometry, Minimal};

/// Multiply-adds that a device could do while a row or a column of a tile is copied to workgroup memory.
const COPY: f64 = 12.0;
/// The same for an element of a result.
const STORE: f64 = 8.0;
/// The same for each byte that is written to memory and read again.
const MOVED: f64 = 15.0;
/// The same for two more dispatches.
const DISPATCHES: f64 = 1e8;
/// The same while an invocation waits for what a term of its sums needs, in a workgroup of 64, in slabs of 16.
const WAIT: f64 = 1e6;
/// Invocations of twice the sums hold twice the registers, so fewer are at work at once …
const WIDE: f64 = 1.3;
/// … and so are workgroups that are twice as large.
const LARGE: f64 = 1.2;
/// Without workgroup memory more is loaded for each multiply-add, and fewer results than these take as long as these.
const DIRECT: (f64, f64) = (3.0, 8e6);

/// The tile of Winograd's products.
const PRODUCT: Tile = Tile {
    m: 64,
    n: 64,
    k: 16,
    micro: 4,
};

/// Products of matrices, `count` of them side by side.
struct Products {
    count: usize,
    rows: usize,
    columns: usize,
    terms: usize,
}

impl Products {
    /// Multiply-adds, and what could be done instead of all else; `split` says that a reduction is cut into as many parts as
    /// there must be.
    fn cost(&self, tile: Tile, split: bool) -> f64 {
        let [m, n] = [tile.m, tile.n].map(|side| side as usize);
        let tiles = self.count * self.rows.div_ceil(m) * self.columns.div_ceil(n);
        let outputs = (tiles * m * n) as f64;
        let invocations = (m * n) as f64 / f64::from(8 * tile.micro);
        let wide = if tile.micro == 8 { WIDE } else { 1.0 };
        let large = if m * n > 64 * 128 { LARGE } else { 1.0 };
        let terms = self.terms as f64;
        let term = (1.0 + COPY * (1.0 / m as f64 + 1.0 / n as f64)) * wide * large;
        // All invocations of a workgroup wait at each barrier, once a slab.
        let waits = WAIT * (0.75 + invocations / 270.0) * (16.0 / f64::from(tile.k)).sqrt();
        outputs * (terms * term + STORE) + if split { 0.0 } else { terms * term * waits }
    }
}

/// The product that a convolution is, of one group.
fn product(direction: Direction, g: &Geometry) -> Products {
    let Geometry { c, k, .. } = g.of_group();
    let (window, pixels) = (g.window(), g.n * g.pixels());
    let [rows, columns, terms] = match direction {
        Direction::Forward => [k, pixels, c * window],
        Direction::Dgrad => [c, g.n * g.h * g.w, k * window],
        Direction::Wgrad => [k, g.gradient_columns(), pixels],
    };
    Products {
        count: g.groups,
        rows,
        columns,
        terms,
    }
}

fn implicit(direction: Direction, g: &Geometry, tile: Tile) -> f64 {
    let slab = tile.k as usize;
    let Geometry { c, k, .. } = g.of_group();
    let mut product = product(direction, g);
    // Channels are walked in whole slabs, tap by tap.
    product.terms = match direction {
        Direction::Forward if c >= slab => g.window() * c.next_multiple_of(slab),
        Direction::Dgrad => g.window() * k.next_multiple_of(slab),
        _ => product.terms,
    };
    product.cost(tile, direction == Direction::Wgrad)
}

fn winograd(direction: Direction, g: &Geometry) -> Option<f64> {
    let (of, [rows, columns, terms]) = Minimal::products(direction, g, g.n)?;
    let count = of.points_of_tile();
    let products = Products {
        count,
        rows,
        columns,
        terms: terms.next_multiple_of(PRODUCT.k as usize),
    };
    let elements = count * (rows * terms + columns * terms + rows * columns);
    Some(products.cost(PRODUCT, false) + MOVED * (8 * elements) as f64 + DISPATCHES)
}

fn direct(direction: Direction, g: &Geometry) -> f64 {
    let Products {
        count,
        rows,
        columns,
        terms,
    } = product(direction, g);
    let (more, least) = DIRECT;
    more * ((count * rows * columns) as f64).max(least) * terms as f64
}

/// Multiply-adds that a hardware GPU could do in the time that one computation takes by an algorithm that serves it; `None` for
/// those that are made for other devices.
pub(crate) fn cost(algorithm: Conv2dAlgorithm, direction: Direction, g: &Geometry) -> Option<f64> {
    match algorithm {
        Conv2dAlgorithm::ImplicitGemm(tile) => Some(implicit(direction, g, tile)),
        Conv2dAlgorithm::Winograd(super::Product::Tiled) => winograd(direction, g),
        Conv2dAlgorithm::Direct => Some(direct(direction, g)),
        _ => None,
    }
}

/// The algorithms among `all` that serve one computation and have a cost, the cheapest first.
pub(crate) fn by_cost(
    all: impl IntoIterator<Item = Conv2dAlgorithm>,
    direction: Direction,
    g: &Geometry,
) -> Vec<Conv2dAlgorithm> {
    let mut costs: Vec<_> = all
        .into_iter()
        .filter(|algorithm| algorithm.serves(g))
        .filter_map(|algorithm| Some((cost(algorithm, direction, g)?, algorithm)))
        .collect();
    costs.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    costs.into_iter().map(|(_, algorithm)| algorithm).collect()
}

/// What of `all` an input gradient is computed by: what its filter gradient is, if both are one dispatch then and that is worth it.
pub(crate) fn beside_wgrad(
    all: impl IntoIterator<Item = Conv2dAlgorithm> + Clone,
    g: &Geometry,
) -> Option<Conv2dAlgorithm> {
    let first = |direction| by_cost(all.clone(), direction, g).into_iter().next();
    let alone = first(Direction::Dgrad)?;
    let beside = first(Direction::Wgrad)?;
    let cost = |algorithm| cost(algorithm, Direction::Dgrad, g);
    let tiles = [alone, beside].map(|of| matches!(of, Conv2dAlgorithm::ImplicitGemm(_)));
    let pays = cost(beside)? < cost(alone)? + DISPATCHES / 2.0;
    Some(if tiles == [true; 2] && pays {
        beside
    } else {
        alone
    })
}

/// Spearman's rank correlation of pairs: 1 where both are in the same order, −1 where they are in opposite ones. `None` for fewer
/// than two.
pub(crate) fn rank_correlation(pairs: &[(f64, f64)]) -> Option<f64> {
    let n = pairs.len() as f64;
    let rank = |x: f64, of: fn(&(f64, f64)) -> f64| {
        let below = pairs.iter().filter(|pair| of(pair) < x).count();
        let same = pairs.iter().filter(|pair| of(pair) == x).count();
        below as f64 + (same as f64 - 1.0) / 2.0
    };
    let squares = pairs.iter().map(|&(a, b)| {
        let apart = rank(a, |pair| pair.0) - rank(b, |pair| pair.1);
        apart * apart
    });
    (n >= 2.0).then(|| 1.0 - 6.0 * squares.sum::<f64>() / (n * (n * n - 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::shape::Shape;
    use crate::ops::Conv2d;
    use std::collections::BTreeMap;

    type Times = Vec<(Conv2dAlgorithm, f64)>;

    /// Algorithms and milliseconds of each computation on an H100.
    fn measured() -> BTreeMap<String, (Direction, Geometry, Times)> {
        let mut all = BTreeMap::new();
        for line in include_str!("h100.txt")
            .lines()
            .filter(|line| !line.starts_with('#'))
        {
            let fields: Vec<_> = line.split('\t').collect();
            let [direction, numbers, algorithm, milliseconds] = fields[..] else {
                panic!("{line}: wanted four fields");
            };
            let direction = [Direction::Forward, Direction::Dgrad, Direction::Wgrad]
                .into_iter()
                .find(|one| one.to_string() == direction)
                .expect("a direction");
            let numbers: Vec<usize> = numbers
                .split(' ')
                .map(|number| number.parse().expect("a number"))
                .collect();
            let [n, c, h, w, k, window, stride, pad] = numbers[..] else {
                panic!("{line}: wanted eight numbers");
            };
            let conv = Conv2d::new(window, stride, pad).expect("valid");
            let x = Shape::new(&[n, c, h, w]).expect("valid");
            let g = conv.geometry(x, k).expect("fits");
            let g = Geometry { biased: true, ..g };
            let algorithm = Conv2dAlgorithm::ALL
                .into_iter()
                .find(|one| one.to_string() == algorithm)
                .expect("an algorithm");
            let key = format!("{direction} {g}");
            let entry = all.entry(key).or_insert((direction, g, Vec::new()));
            entry
                .2
                .push((algorithm, milliseconds.parse().expect("a time")));
        }
        all
    }

    #[test]
    fn costs_are_in_the_order_of_times_on_a_real_gpu() {
        let all = measured();
        assert_eq!(all.len(), 23);
        let mut correlations = Vec::new();
        let mut slower = Vec::new();
        for (name, (direction, g, times)) in all {
            let pairs: Vec<_> = times
                .iter()
                .map(|&(algorithm, time)| (cost(algorithm, direction, &g).expect("for GPUs"), time))
                .collect();
            correlations.push(rank_correlation(&pairs).expect("several"));
            let time =
                |of: &Conv2dAlgorithm| times.iter().find(|(one, _)| one == of).expect("timed").1;
            let fastest = times
                .iter()
                .map(|(_, time)| *time)
                .fold(f64::INFINITY, f64::min);
            let order = by_cost(times.iter().map(|(one, _)| *one), direction, &g);
            slower.push(time(&order[0]) / fastest);
            let tried = order[..3].iter().map(time).fold(f64::INFINITY, f64::min);
            assert!(
                tried <= 1.1 * fastest,
                "{name}: {tried} ms, {fastest} ms at best"
            );
        }
        let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
        assert!(mean(&correlations) > 0.75, "{}", mean(&correlations));
        assert!(mean(&slower) < 1.02, "{}", mean(&slower));
    }

    /// On an H100 at batch 128 it took 2.3 times as long as a tile where filters are 1x1, and 1.4 times where they are 5x5.
    #[test]
    fn a_large_batch_is_not_left_to_the_kernels_without_workgroup_memory() {
        for (name, (direction, g, _)) in measured() {
            for n in [1, 16, 128, 512]
                .into_iter()
                .filter(|_| g.flops() > 1 << 20)
            {
                let cheapest = by_cost(Conv2dAlgorithm::ALL, direction, &Geometry { n, ..g })[0];
                assert_ne!(cheapest, Conv2dAlgorithm::Direct, "{name} at batch {n}");
            }
        }
    }

    #[test]
    fn ranks_correlate_as_spearman_has_it() {
        let up = [(1.0, 10.0), (2.0, 20.0), (3.0, 25.0)];
        assert_eq!(rank_correlation(&up), Some(1.0));
        let down = up.map(|(a, b)| (a, -b));
        assert_eq!(rank_correlation(&down), Some(-1.0));
        assert_eq!(
            rank_correlation(&[(1.0, 1.0), (2.0, 3.0), (3.0, 2.0)]),
            Some(0.5)
        );
        assert_eq!(rank_correlation(&up[..1]), None);
    }
}
