//! Class maps: an inference program keeps what global average pooling reads, on every device.

mod cases;

use nin_wgpu::device::Device;
use nin_wgpu::graph::{GraphBuilder, GraphError, MapGrid, ValueId};
use nin_wgpu::init::Init;
use nin_wgpu::ops::{Adam, Conv2d, Pool2d};
use nin_wgpu::program::{Program, RunError, Source};

const CLASSES: usize = 5;
const BATCH: usize = 3;

/// The CPU, and the adapter under test.
fn devices() -> Vec<Device> {
    let gpu = cases::gpu().map(|gpu| Device::Gpu(gpu.clone()));
    std::iter::once(Device::Cpu).chain(gpu).collect()
}

fn source() -> Source {
    Source::new(BATCH, [1, 19, 21])
}

/// Maps of 7x8 with or without a ReLU behind them.
fn network(net: &mut GraphBuilder, x: ValueId, relu: bool) -> Result<ValueId, GraphError> {
    let x = net.conv2d("conv1", x, 8, Conv2d::new(5, 1, 1)?)?;
    let x = net.relu(x)?;
    let x = net.max_pool2d(x, Pool2d::new(3, 2)?)?;
    let x = net.conv2d("conv2", x, CLASSES, Conv2d::new(2, 1, 0)?)?;
    let x = if relu { net.relu(x)? } else { x };
    net.global_avg_pool(x)
}

#[test]
fn the_mean_of_each_map_is_the_logit_of_its_class() {
    let pixels: Vec<u8> = (0..BATCH * 19 * 21).map(|i| (i * 37 % 251) as u8).collect();
    let mut of_devices = Vec::new();
    for device in devices() {
        for relu in [true, false] {
            let program =
                Program::inference(&source(), [19, 21], BATCH, |net, x| network(net, x, relu))
                    .expect("fits");
            let mut run = program.load(&device).expect("loads");
            let parameters = Init::PyTorch.parameters(program.graph(), 3).expect("valid");
            run.set_parameters(&parameters).expect("fit");
            run.set_data(&pixels, &[0; BATCH]).expect("fit");
            run.probabilities(&[0, 1, 2]).expect("runs");
            let (maps, logits) = (run.maps().expect("kept"), run.logits().expect("kept"));
            assert_eq!(maps.shape.dims(), [BATCH, CLASSES, 7, 8], "{device}");
            assert_eq!(maps.data.iter().any(|&x| x < 0.0), !relu, "{device}");
            for (map, logit) in maps.data.chunks(7 * 8).zip(&logits.data) {
                let mean = map.iter().sum::<f32>() / map.len() as f32;
                assert!((mean - logit).abs() < 1e-5, "{device}: {mean} {logit}");
            }
            of_devices.push(maps.data);
        }
    }
    let (cpu, gpu) = of_devices.split_at(2);
    for (cpu, gpu) in cpu.iter().zip(gpu) {
        let worst = cpu.iter().zip(gpu).map(|(a, b)| (a - b).abs());
        assert!(worst.fold(0.0, f32::max) < 1e-5);
    }
}

#[test]
fn the_grid_follows_from_the_windows_before_the_maps() {
    let program = Program::inference(&source(), [19, 21], BATCH, |net, x| network(net, x, true));
    let grid = program.expect("fits").map_grid();
    // The first convolution is centred at 1, the pool's first window at 2, the second convolution between two.
    let want = MapGrid {
        first: [3.0; 2],
        step: [2.0; 2],
    };
    assert_eq!(grid, Some(want));
}

/// Two branches whose first convolutions have these filters and paddings, added and concatenated, and the maps behind them.
fn joined(
    net: &mut GraphBuilder,
    x: ValueId,
    windows: [[usize; 2]; 2],
) -> Result<ValueId, GraphError> {
    let [a, b] = windows;
    let a = net.conv2d("left", x, 4, Conv2d::new(a[0], 2, a[1])?)?;
    let b = net.conv2d("right", x, 4, Conv2d::new(b[0], 2, b[1])?)?;
    let x = net.add(a, b)?;
    let x = net.concat(&[x, a])?;
    let x = net.conv2d("maps", x, CLASSES, Conv2d::new(1, 1, 0)?)?;
    net.global_avg_pool(x)
}

#[test]
fn maps_behind_a_join_lie_where_what_was_joined_lies() {
    let program = Program::inference(&source(), [19, 21], BATCH, |net, x| {
        joined(net, x, [[3, 1], [5, 2]])
    });
    let want = MapGrid {
        first: [0.0; 2],
        step: [2.0; 2],
    };
    assert_eq!(program.expect("fits").map_grid(), Some(want));
}

/// All of them are maps of 9x10, but of windows half a pixel apart.
#[test]
fn maps_of_no_one_place_are_not_kept() {
    let apart = Program::inference(&source(), [19, 21], BATCH, |net, x| {
        joined(net, x, [[3, 0], [4, 1]])
    });
    let flat = Program::inference(&source(), [19, 21], BATCH, |net, x| {
        let x = net.flatten(x)?;
        let x = net.conv2d("dense", x, CLASSES, Conv2d::new(1, 1, 0)?)?;
        net.global_avg_pool(x)
    });
    for program in [apart, flat] {
        let program = program.expect("fits");
        assert_eq!(program.map_grid(), None);
        let mut run = program.load(&Device::Cpu).expect("loads");
        assert!(matches!(run.maps(), Err(RunError::NoMaps)));
    }
}

#[test]
fn average_pooling_moves_the_grid_as_max_pooling_does() {
    let mut net = GraphBuilder::new(nin_wgpu::graph::Phase::Eval);
    let x = net.input("images", &[1, 1, 20, 21]).expect("valid");
    let pool = Pool2d::rectangular([4, 3], [2, 3]).and_then(|pool| pool.with_padding([1, 0]));
    let pool = pool.expect("valid").with_ceil_mode();
    let (max, avg) = (net.max_pool2d(x, pool), net.avg_pool2d(x, pool));
    let (max, avg) = (max.expect("fits"), avg.expect("fits"));
    let want = MapGrid {
        first: [0.5, 1.0],
        step: [2.0, 3.0],
    };
    assert_eq!([net.grid(max), net.grid(avg)], [Some(want); 2]);
    let parts = net.adaptive_avg_pool2d(x, [5, 3]).expect("divides");
    assert_eq!(net.graph().value(parts).shape.dims(), [1, 1, 5, 3]);
    assert_eq!(
        net.grid(parts).map(|grid| (grid.first, grid.step)),
        Some(([1.5, 3.0], [4.0, 7.0]))
    );
    assert!(net.adaptive_avg_pool2d(x, [6, 3]).is_err());
}

/// The grid's first pixel is centred on the window's middle, gaps among its elements, less what lies above or on the left.
#[test]
fn a_dilated_convolution_moves_the_grid_by_all_that_it_reaches_over() {
    let mut net = GraphBuilder::new(nin_wgpu::graph::Phase::Eval);
    let x = net.input("images", &[1, 2, 20, 21]).expect("valid");
    let conv = Conv2d::rectangular([3, 2], [2, 3])
        .and_then(|conv| conv.with_dilation([4, 3]))
        .and_then(|conv| conv.with_paddings([[1, 5], [0, 2]]));
    let y = net
        .conv2d("conv", x, 3, conv.expect("valid"))
        .expect("fits");
    let want = MapGrid {
        first: [3.0, 1.5],
        step: [2.0, 3.0],
    };
    assert_eq!(net.grid(y), Some(want));
}

#[test]
fn a_program_that_keeps_no_maps_says_so() {
    let program = Program::training(&source(), [19, 21], BATCH, Adam::default(), |net, x| {
        network(net, x, true)
    })
    .expect("fits");
    assert_eq!(program.map_grid(), None);
    let mut run = program.load(&Device::Cpu).expect("loads");
    assert!(matches!(
        run.maps(),
        Err(RunError::WrongProgram("inference"))
    ));

    let program = Program::inference(&source(), [19, 21], BATCH, |net, x| {
        let x = network(net, x, true)?;
        net.relu(x)
    })
    .expect("fits");
    assert_eq!(program.map_grid(), None);
    let mut run = program.load(&Device::Cpu).expect("loads");
    assert!(matches!(run.maps(), Err(RunError::NoMaps)));
}
