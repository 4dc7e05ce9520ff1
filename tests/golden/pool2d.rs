//! Pools of any window.

use crate::cases::CaseBuilder;
use crate::cases::fixture::Fixture;
use crate::check;
use nin_wgpu::ops::{AvgPool2d, AvgPool2dBackward, MaxPool2d, MaxPool2dBackward, Pool2d};

/// Of `POOLS` in `make.py`: name, window, stride, padding, dilation, and whether in ceil mode.
type Pooled = (&'static str, [[usize; 2]; 4], bool);

const POOLS: [Pooled; 10] = [
    ("max_ceil", [[3, 3], [2, 2], [0, 0], [1, 1]], true),
    ("max_ceil_dropped", [[2, 2], [3, 3], [1, 1], [1, 1]], true),
    ("max_rectangular", [[3, 2], [2, 3], [1, 0], [1, 1]], false),
    ("max_dilated", [[2, 3], [1, 2], [1, 1], [3, 2]], false),
    ("max_dilated_ceil", [[3, 3], [2, 2], [1, 1], [2, 2]], true),
    ("avg", [[3, 2], [2, 3], [1, 0], [1, 1]], false),
    (
        "avg_without_padding",
        [[3, 3], [2, 2], [1, 1], [1, 1]],
        false,
    ),
    ("avg_ceil", [[3, 3], [2, 2], [1, 1], [1, 1]], true),
    ("avg_ceil_dropped", [[2, 2], [3, 3], [1, 1], [1, 1]], true),
    (
        "avg_ceil_without_padding",
        [[2, 3], [3, 2], [1, 1], [1, 1]],
        true,
    ),
];

#[test]
fn pools_of_any_window_match_pytorch() {
    let fixture = Fixture::load("ops.safetensors");
    for (name, [window, stride, pad, dilation], ceil_mode) in POOLS {
        let at = |what: &str| format!("op.pool2d.{name}.{what}");
        let pool = Pool2d::rectangular(window, stride)
            .and_then(|pool| pool.with_dilation(dilation))
            .and_then(|pool| pool.with_padding(pad))
            .expect("valid");
        let pool = if ceil_mode {
            pool.with_ceil_mode()
        } else {
            pool
        };
        let &[_, _, h, w] = fixture.dims("op.pool2d.x") else {
            panic!("four dimensions")
        };
        let mut case = CaseBuilder::new();
        let [x, dy] = ["op.pool2d.x", at("dy").as_str()]
            .map(|name| case.input(fixture.dims(name), fixture.f32(name)));
        let outputs = if name.starts_with("max") {
            let outputs = case.op(MaxPool2d::new(pool), &[x], &[]);
            case.op(MaxPool2dBackward::new(pool, h, w), &[dy, outputs[1]], &[]);
            case.results.remove(1);
            outputs
        } else {
            let mut op = AvgPool2d::new(pool);
            if name.ends_with("without_padding") {
                op = op.without_padding_in_count();
            }
            let outputs = case.op(op, &[x], &[]);
            case.op(AvgPool2dBackward::new(op, h, w), &[dy], &[]);
            outputs
        };
        let case = case.case(name);
        let dims = case.graph.value(outputs[0]).shape;
        assert_eq!(dims.dims(), fixture.dims(&at("y")), "{name}");
        check(&case, 1e-6, &["y", "dx"].map(|what| fixture.get(&at(what))));
    }
}
