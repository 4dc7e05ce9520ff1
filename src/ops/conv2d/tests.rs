//! Shapes: what fits, what does not, and what is said of it.

use super::{Conv2d, Geometry};
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::graph::{Graph, GraphBuilder, GraphError, Phase, Role};
use crate::plan::Conv2dAlgorithm;

fn shape(dims: &[usize]) -> Shape {
    Shape::new(dims).expect("valid")
}

fn outputs(conv: Result<Conv2d, ShapeError>, h: usize, w: usize) -> Result<[usize; 2], ShapeError> {
    let g = conv?.geometry(shape(&[1, 1, h, w]), 1)?;
    Ok([g.p, g.q])
}

/// As general as one can be.
fn general() -> Result<Conv2d, ShapeError> {
    let conv = Conv2d::rectangular([3, 2], [2, 1])?.with_dilation([2, 4])?;
    let conv = conv.with_paddings([[1, 0], [2, 2]])?.with_groups(2)?;
    Ok(conv.without_bias())
}

#[test]
fn windows_leave_out_a_rest_and_must_fit_both_ways() {
    let conv = |pad| Conv2d::new(3, 2, pad);
    assert_eq!(outputs(conv(0), 8, 3), Ok([3, 1]));
    assert_eq!(outputs(conv(1), 8, 1), Ok([4, 1]));
    for (h, w) in [(2, 8), (8, 2)] {
        let error = outputs(conv(0), h, w);
        assert!(matches!(error, Err(ShapeError::Window { .. })));
    }
}

#[test]
fn dilation_widens_a_window_and_padding_may_hold_a_whole_one() {
    let dilated = || Conv2d::rectangular([3, 1], [1, 2])?.with_dilation([3, 5]);
    assert_eq!(outputs(dilated(), 7, 4), Ok([1, 2]));
    let error = outputs(dilated(), 6, 4).expect_err("seven rows do not fit in six");
    assert_eq!(
        error.to_string(),
        "conv2d: a 7x1 window does not fit in 1x1x6x4 with padding 0x0; use a smaller window or a larger image"
    );
    let apart = || dilated()?.with_paddings([[0, 1], [2, 2]]);
    assert_eq!(outputs(apart(), 6, 4), Ok([1, 4]));
    let error = outputs(apart(), 5, 4).expect_err("nor in five and one");
    assert!(error.to_string().contains("with padding 0+1x2;"), "{error}");
    assert_eq!(outputs(Conv2d::new(2, 1, 3), 1, 1), Ok([6, 6]));
}

#[test]
fn hyper_parameters_out_of_range_are_refused_by_name() {
    let conv = || Conv2d::new(3, 1, 1);
    let refused = [
        (Conv2d::new(0, 1, 0), "filter must be 1 to 65535, got 0x0"),
        (
            Conv2d::rectangular([3, 3], [1, 0]),
            "stride must be 1 to 65535, got 1x0",
        ),
        (
            conv().and_then(|conv| conv.with_dilation([usize::MAX, 1])),
            "dilation must be",
        ),
        (Conv2d::new(3, 1, usize::MAX), "padding must be at most"),
        (
            conv().and_then(|conv| conv.with_groups(0)),
            "at least 1 group",
        ),
    ];
    for (conv, why) in refused {
        let error = conv.expect_err(why).to_string();
        assert!(error.starts_with("conv2d: "), "{error}");
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn groups_that_do_not_divide_the_channels_are_refused_with_the_layer() {
    let conv = Conv2d::new(3, 1, 1).and_then(|conv| conv.with_groups(4));
    let conv = conv.expect("valid");
    for (c, k, why) in [(6, 8, "6 input"), (8, 6, "6 output")] {
        let mut net = GraphBuilder::new(Phase::Train);
        let x = net.input("images", &[2, c, 5, 5]).expect("valid");
        let error = net.conv2d("block.2", x, k, conv);
        let Err(GraphError::Shape { layer, source }) = error else {
            panic!("{error:?}")
        };
        assert_eq!(layer, "block.2");
        let source = source.to_string();
        let want = format!("conv2d: 4 groups do not divide {why} channels; ");
        assert!(source.starts_with(&want), "{source}");
    }
}

#[test]
fn operands_of_another_shape_or_number_are_refused() {
    let conv = general().expect("valid");
    let mut graph = Graph::default();
    let mut value =
        |dims: &[usize]| graph.add_value(format!("{dims:?}"), shape(dims), DType::F32, Role::Input);
    let x = value(&[1, 6, 9, 9]);
    let [w, other, b] = [&[4, 3, 3, 2][..], &[4, 6, 3, 2], &[4]].map(&mut value);
    graph.push("fits", conv, &[x, w], &[]).expect("fits");
    for (inputs, why) in [
        (vec![x, other], "w has shape 4x6x3x2, expected 4x3x3x2"),
        (vec![x, w, b], "its inputs are x and w, got 3"),
    ] {
        let Err(GraphError::Shape { source, .. }) = graph.push("layer", conv, &inputs, &[]) else {
            panic!("{why}")
        };
        assert!(source.to_string().contains(why), "{source}");
    }
}

#[test]
fn a_geometry_says_all_of_its_convolution() {
    let square = Conv2d::new(3, 2, 1).expect("valid");
    let g = square.geometry(shape(&[2, 4, 9, 8]), 6).expect("fits");
    assert_eq!(g.to_string(), "2x4x9x8 to 6, 3x3 stride 2 pad 1");
    assert_eq!(Conv2d::of(&g), Some(square));
    let conv = general().expect("valid");
    let g = conv.geometry(shape(&[2, 4, 9, 8]), 6).expect("fits");
    assert_eq!(
        g.to_string(),
        "2x4x9x8 to 6, 3x2 stride 2x1 dilation 2x4 pad 1+0x2+2 groups 2 no bias"
    );
    assert_eq!(Conv2d::of(&g), Some(conv));
    assert_eq!([g.terms(), g.p, g.q], [12, 3, 8]);
}

#[test]
fn an_algorithm_serves_what_it_was_made_for() {
    let of = |groups, k| {
        let conv = Conv2d::new(3, 1, 1).and_then(|conv| conv.with_groups(groups));
        let conv = conv.expect("valid");
        conv.geometry(shape(&[1, 6, 5, 5]), k).expect("fits")
    };
    let serves = |algorithm: Conv2dAlgorithm, groups, k| algorithm.serves(&of(groups, k));
    assert!(serves(Conv2dAlgorithm::Columns, 1, 4));
    assert!(!serves(Conv2dAlgorithm::Columns, 2, 4));
    assert!(!serves(Conv2dAlgorithm::Depthwise, 2, 4));
    assert!(serves(Conv2dAlgorithm::Depthwise, 6, 12));
    assert!(serves(Conv2dAlgorithm::HARDWARE, 6, 12));
}

/// A file of measurements of before there were two strides must not be taken for one of today.
#[test]
fn a_geometry_of_one_stride_is_not_read() {
    let g = Conv2d::new(3, 2, 1).and_then(|conv| conv.geometry(shape(&[2, 4, 9, 8]), 6));
    let json = serde_json::to_string(&g.expect("fits")).expect("written");
    assert!(serde_json::from_str::<Geometry>(&json).is_ok());
    let before = json.replace("\"stride\":[2,2]", "\"stride\":2");
    assert_ne!(before, json);
    assert!(serde_json::from_str::<Geometry>(&before).is_err());
}
