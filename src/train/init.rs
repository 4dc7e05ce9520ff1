//! Initial parameters.

use std::f32::consts::TAU;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::graph::shape::ShapeError;
use crate::graph::tensor::Tensor;
use crate::graph::{Graph, Role, Value};
use crate::program::Parameters;

/// How parameters start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// Made for deep stacks of small convolutions that end in a ReLU, in closed form:
    ///
    /// - a square 1x1 layer is the identity plus a tenth of Kaiming noise, so that signals pass it unmixed at first;
    /// - any other layer, linear ones too, is Kaiming normal, `N(0, 2 / (C*R*S))` (He et al., arXiv:1502.01852);
    /// - a filter larger than 1x1 has its mean taken off, so that it answers to contrast and not to brightness;
    /// - biases are 0, but 0.3 in the last layer larger than 1x1: its maps, one a class in `nin`, then start alive.
    ///
    /// Normalisations start as the identity of what they normalise, either way: weights 1 and biases 0, with a running mean
    /// of 0 and a running variance of 1.
    Kaiming,
    /// PyTorch's default: weights and biases uniform in `±1 / sqrt(C*R*S)`.
    PyTorch,
}

/// Part of Kaiming noise in a near-identity layer.
const NOISE: f32 = 0.1;
/// Bias of the last layer larger than 1x1.
const LAST_BIAS: f32 = 0.3;

impl Init {
    /// A value for every parameter and running statistic of a graph, from a seed.
    ///
    /// # Errors
    /// [`ShapeError`] for a parameter that is neither a filter bank `[K,C,R,S]`, nor a weight `[K,C]`, nor a bias behind one, nor
    /// of a normalisation.
    pub fn parameters(self, graph: &Graph, seed: u64) -> Result<Parameters, ShapeError> {
        let mut rng = StdRng::seed_from_u64(seed);
        let values: Vec<&Value> = graph.state().map(|id| graph.value(id)).collect();
        let is_wide = |value: &Value| matches!(value.shape.dims(), [_, _, r, s] if r * s > 1);
        let last_wide = values.iter().rposition(|value| is_wide(value));
        let mut fan_in = 1;
        let mut parameters = Parameters::new();
        for (i, value) in values.iter().enumerate() {
            let mut tensor = Tensor::zeros(value.shape);
            if let Some(constant) = of_normalisation(value, &values[..i]) {
                tensor.data.fill(constant);
                parameters.push((value.name.clone(), tensor));
                continue;
            }
            match *value.shape.dims() {
                [k, c, r, s] => {
                    fan_in = c * r * s;
                    match self {
                        Self::Kaiming => kaiming([k, c, r * s], &mut tensor.data, &mut rng),
                        Self::PyTorch => uniform(fan_in, &mut tensor.data, &mut rng),
                    }
                }
                [_, c] => {
                    fan_in = c;
                    match self {
                        Self::Kaiming => {
                            let std = (2.0 / c as f32).sqrt();
                            tensor.data.fill_with(|| std * normal(&mut rng));
                        }
                        Self::PyTorch => uniform(fan_in, &mut tensor.data, &mut rng),
                    }
                }
                [_] => match self {
                    Self::Kaiming if i > 0 && last_wide == Some(i - 1) => {
                        tensor.data.fill(LAST_BIAS)
                    }
                    Self::Kaiming => {}
                    Self::PyTorch => uniform(fan_in, &mut tensor.data, &mut rng),
                },
                _ => {
                    let want = "a filter bank [K,C,R,S], a weight [K,C] or a bias [K]";
                    return Err(value.shape.mismatch("init", "parameter", want));
                }
            }
            parameters.push((value.name.clone(), tensor));
        }
        Ok(parameters)
    }
}

/// What a parameter or statistic of a normalisation starts as; `None` for what is none. `before` are those before it.
fn of_normalisation(value: &Value, before: &[&Value]) -> Option<f32> {
    let is_weight =
        |value: &Value| value.shape.dims().len() == 1 && value.name.ends_with(".weight");
    match value.role {
        Role::Statistic => Some(if value.name.ends_with("var") {
            1.0
        } else {
            0.0
        }),
        _ if is_weight(value) => Some(1.0),
        _ => before
            .last()
            .is_some_and(|before| is_weight(before))
            .then_some(0.0),
    }
}

fn uniform(fan_in: usize, data: &mut [f32], rng: &mut StdRng) {
    let bound = 1.0 / (fan_in as f32).sqrt();
    data.fill_with(|| rng.random_range(-bound..bound));
}

fn kaiming([k, c, window]: [usize; 3], filters: &mut [f32], rng: &mut StdRng) {
    let terms = filters.len() / k;
    let std = (2.0 / terms as f32).sqrt();
    let near_identity = window == 1 && k == c;
    let std = if near_identity { NOISE * std } else { std };
    filters.fill_with(|| std * normal(rng));
    for (i, filter) in filters.chunks_mut(terms).enumerate() {
        if near_identity {
            filter[i] += 1.0;
        } else if window > 1 {
            let mean = filter.iter().sum::<f32>() / terms as f32;
            filter.iter_mut().for_each(|w| *w -= mean);
        }
    }
}

/// A standard normal number, by Box and Muller.
fn normal(rng: &mut StdRng) -> f32 {
    // 1 - [0,1) keeps the logarithm finite.
    let radius = (-2.0 * (1.0 - rng.random::<f32>()).ln()).sqrt();
    radius * (TAU * rng.random::<f32>()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{GraphBuilder, Phase};
    use crate::ops::Conv2d;

    fn graph() -> Result<Graph, Box<dyn std::error::Error>> {
        let mut net = GraphBuilder::new(Phase::Eval);
        let x = net.input("images", &[1, 3, 32, 32])?;
        let x = net.conv2d("a", x, 64, Conv2d::new(5, 1, 2)?)?;
        let x = net.conv2d("b", x, 64, Conv2d::new(1, 1, 0)?)?;
        let x = net.conv2d("c", x, 10, Conv2d::new(3, 1, 1)?)?;
        net.conv2d("d", x, 10, Conv2d::new(1, 1, 0)?)?;
        Ok(net.finish())
    }

    #[test]
    fn linear_weights_spread_by_their_inputs_and_square_ones_are_no_identity()
    -> Result<(), Box<dyn std::error::Error>> {
        let mut net = GraphBuilder::new(Phase::Eval);
        let x = net.input("images", &[1, 60, 1, 1])?;
        let x = net.linear("a", x, 60)?;
        net.linear("b", x, 100)?;
        let graph = net.finish();
        let kaiming = Init::Kaiming.parameters(&graph, 7)?;
        for (_, w) in kaiming.iter().step_by(2) {
            let want = (2.0f32 / 60.0).sqrt();
            assert!((std(&w.data) / want - 1.0).abs() < 0.05);
        }
        for (_, tensor) in Init::PyTorch.parameters(&graph, 7)? {
            let bound = 1.0 / 60f32.sqrt();
            assert!(tensor.data.iter().all(|w| w.abs() <= bound));
            assert!(tensor.data.iter().any(|w| w.abs() > 0.8 * bound));
        }
        Ok(())
    }

    fn std(data: &[f32]) -> f32 {
        (data.iter().map(|x| x * x).sum::<f32>() / data.len() as f32).sqrt()
    }

    #[test]
    fn kaiming_has_its_deviation_zero_mean_filters_and_near_identities()
    -> Result<(), Box<dyn std::error::Error>> {
        let parameters = Init::Kaiming.parameters(&graph()?, 7)?;
        let get = |name: &str| {
            &parameters
                .iter()
                .find(|(n, _)| n == name)
                .expect("exists")
                .1
                .data
        };
        let want = (2.0f32 / 75.0).sqrt();
        assert!((std(get("a.weight")) / want - 1.0).abs() < 0.05);
        assert!(
            get("a.weight")
                .chunks(75)
                .all(|f| f.iter().sum::<f32>().abs() < 1e-5)
        );
        assert!(
            get("b.weight")
                .iter()
                .step_by(65)
                .all(|w| (w - 1.0).abs() < 0.2)
        );
        assert!(get("a.bias").iter().chain(get("d.bias")).all(|&b| b == 0.0));
        assert!(get("c.bias").iter().all(|&b| b == 0.3));
        Ok(())
    }

    #[test]
    fn pytorch_is_uniform_within_its_bound_and_seeds_differ()
    -> Result<(), Box<dyn std::error::Error>> {
        let graph = graph()?;
        let parameters = Init::PyTorch.parameters(&graph, 7)?;
        let a = &parameters[0].1.data;
        let bound = 1.0 / 75f32.sqrt();
        assert!(a.iter().all(|w| w.abs() <= bound));
        assert!((std(a) / (bound / 3f32.sqrt()) - 1.0).abs() < 0.05);
        assert_eq!(parameters, Init::PyTorch.parameters(&graph, 7)?);
        assert_ne!(parameters, Init::PyTorch.parameters(&graph, 8)?);
        Ok(())
    }
}
