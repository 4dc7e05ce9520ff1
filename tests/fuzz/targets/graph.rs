//! Networks out of any sequence of builder calls, planned for small and for large devices.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nin_wgpu::autodiff;
use nin_wgpu::fuse::fuse;
use nin_wgpu::graph::{GraphBuilder, Phase, Role, ValueId};
use nin_wgpu::ops::{Activation, BatchNorm, Conv2d, LocalResponseNorm, Pool2d};
use nin_wgpu::plan::{Conv2dAlgorithm, Plan, PlanLimits, PlanOptions};
use nin_wgpu::shape::DType;

/// What is left of the input: zeros behind its end.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> usize {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        usize::from(*first)
    }

    /// Mostly a small size, seldom one on an edge.
    fn size(&mut self) -> usize {
        match self.next() {
            small @ ..240 => small % 24,
            at => [
                64,
                224,
                255,
                256,
                1000,
                4096,
                65_535,
                65_536,
                1 << 20,
                1 << 24,
                1 << 31,
                u32::MAX as usize,
                1 << 32,
                1 << 48,
                isize::MAX as usize,
                usize::MAX,
            ][at - 240],
        }
    }

    fn pair(&mut self) -> [usize; 2] {
        [self.size(), self.size()]
    }
}

/// One call; `None` where it was refused.
fn call(net: &mut GraphBuilder, bytes: &mut Bytes<'_>, values: &[ValueId]) -> Option<ValueId> {
    let any = |bytes: &mut Bytes<'_>| {
        values
            .iter()
            .rev()
            .nth(bytes.next() % values.len().max(1))
            .copied()
    };
    let kind = bytes.next() % 16;
    if kind == 0 {
        let dims: Vec<usize> = (0..bytes.next() % 6).map(|_| bytes.size()).collect();
        return net.input("x", &dims).ok();
    }
    let x = any(bytes)?;
    let name = format!("layer{}", bytes.next() % 8);
    match kind {
        1..=4 => {
            let conv = Conv2d::rectangular(bytes.pair(), bytes.pair()).ok()?;
            let conv = conv.with_paddings([bytes.pair(), bytes.pair()]).ok()?;
            let how = bytes.next();
            let conv = if how & 1 == 0 {
                conv
            } else {
                conv.with_dilation(bytes.pair()).ok()?
            };
            let conv = if how & 2 == 0 {
                conv
            } else {
                conv.with_groups(bytes.size()).ok()?
            };
            let conv = if how & 4 == 0 {
                conv
            } else {
                conv.without_bias()
            };
            let k = bytes.size();
            net.conv2d(&name, x, k, conv).ok()
        }
        5 | 6 => {
            let pool = Pool2d::rectangular(bytes.pair(), bytes.pair()).ok()?;
            let pool = pool.with_paddings([bytes.pair(), bytes.pair()]).ok()?;
            let pool = if bytes.next() & 1 == 0 {
                pool
            } else {
                pool.with_ceil_mode()
            };
            match kind {
                5 => net.max_pool2d(x, pool).ok(),
                _ => net.avg_pool2d(x, pool).ok(),
            }
        }
        7 => net.adaptive_avg_pool2d(x, bytes.pair()).ok(),
        8 => net.global_avg_pool(x).ok(),
        9 => net.relu(x).ok(),
        10 => {
            let kinds = [
                Activation::Sigmoid,
                Activation::Silu,
                Activation::Gelu,
                Activation::Mish,
            ];
            net.activation(x, kinds[bytes.next() % 4]).ok()
        }
        11 => net.add(x, any(bytes)?).ok(),
        12 => net.concat(&[x, any(bytes)?, any(bytes)?]).ok(),
        13 => {
            let flat = net.flatten(x).ok()?;
            net.linear(&name, flat, bytes.size()).ok()
        }
        14 => net.batch_norm_by(&name, x, BatchNorm::default()).ok(),
        _ if bytes.next() & 1 == 0 => net.dropout(x, bytes.next() as f32 / 200.0).ok(),
        _ => {
            let norm = LocalResponseNorm::new(bytes.size()).ok()?;
            net.local_response_norm(x, norm).ok()
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = Bytes(bytes);
    let how = bytes.next();
    let trains = how & 1 == 1;
    let mut net = GraphBuilder::new(if trains { Phase::Train } else { Phase::Eval });
    let mut values = Vec::new();
    while !bytes.0.is_empty() && values.len() < 24 {
        values.extend(call(&mut net, &mut bytes, &values));
    }
    let Some(&output) = values.last() else {
        return;
    };
    let mut graph = net.finish();
    if trains {
        let shape = graph.value(output).shape;
        let gradient = graph.add_value("gradient", shape, DType::F32, Role::Input);
        if autodiff::backward(&mut graph, output, gradient).is_err() {
            return;
        }
        let gradients: Vec<_> = graph.gradients().map(|(_, gradient)| gradient).collect();
        gradients
            .into_iter()
            .for_each(|gradient| graph.keep(gradient));
    }
    graph.keep(output);
    if how & 2 == 2 {
        fuse(&mut graph);
    }
    let small = PlanLimits {
        max_binding: 1 << 20,
        max_workgroups: 1 << 10,
        ..PlanLimits::WEBGPU
    };
    let algorithms = Conv2dAlgorithm::ALL;
    let forced = PlanOptions {
        limits: small,
        conv2d: algorithms[how / 4 % algorithms.len()].into(),
    };
    for options in [PlanOptions::default(), PlanOptions::SOFTWARE, forced] {
        if let Ok(plan) = Plan::new(graph.clone(), &options) {
            let _ = (
                plan.bytes(),
                plan.flops(),
                plan.nominal_flops(),
                plan.to_string(),
            );
        }
    }
});
