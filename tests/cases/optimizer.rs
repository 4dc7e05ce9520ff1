//! Optimizers over parameters of odd sizes and two groups, at the first step and late, on parts of a batch and clipped.

use super::{Case, CaseBuilder, Data, floats};
use nin_wgpu::autodiff;
use nin_wgpu::graph::{GraphBuilder, Phase, Role, ValueId};
use nin_wgpu::ops::{Adam, Conv2d, Group, Optimizer, Sgd, Update};

const SIZES: [usize; 4] = [1, 17, 64, 1000];

/// Every rule, with its groups.
fn updates() -> Vec<(&'static str, Update)> {
    // So large that what goes wrong with it is seen beside a step.
    let groups = [0.5, 0.0, 0.0, 0.2].map(|decay| Group {
        rate: 1.0 + 10.0 * decay,
        decay,
    });
    let grouped = |optimizer: Optimizer| Update {
        optimizer,
        groups: groups.to_vec(),
        clip_norm: None,
    };
    let momentum = Sgd {
        momentum: 0.9,
        dampening: 0.1,
        ..Sgd::default()
    };
    let nesterov = Sgd {
        dampening: 0.0,
        nesterov: true,
        ..momentum
    };
    vec![
        ("adam", Adam::default().into()),
        ("adam of groups", grouped(Adam::default().into())),
        ("adamw", grouped(Adam::adamw().into())),
        ("sgd", grouped(Sgd::default().into())),
        ("momentum", grouped(momentum.into())),
        ("nesterov", grouped(nesterov.into())),
    ]
}

/// The role of what belongs to a parameter.
type RoleOf = fn(ValueId) -> Role;

/// How the gradients come.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Batch {
    Whole,
    /// The first part; parameters do not move.
    First,
    Last,
    Clipped,
    /// Clipped, of a part that is not the last.
    Held,
}

/// Parameters and their gradients.
type Trained = Vec<(ValueId, ValueId)>;

/// Gradients that a caller wrote.
fn written(case: &mut CaseBuilder) -> Trained {
    let parameters = SIZES.map(|n| case.with_role(&[n], Role::Parameter, floats(n, n as u32)));
    let trained = parameters.iter().zip(SIZES).map(|(&parameter, n)| {
        let data = floats(n, 2).iter().map(|x| 0.1 * x).collect();
        let gradient = case.with_role(&[n], Role::Gradient(parameter), data);
        (parameter, gradient)
    });
    trained.collect()
}

/// Gradients of two convolutions, which come in parts that the optimizer sums.
fn summed(case: &mut CaseBuilder) -> Trained {
    let mut net = GraphBuilder::new(Phase::Train);
    let x = net.input("x", &[3, 2, 7, 5]).expect("valid");
    let wide = Conv2d::new(3, 1, 1).expect("valid");
    let y = net.conv2d("conv1", x, 5, wide).expect("fits");
    let narrow = Conv2d::new(1, 1, 0).expect("valid");
    let y = net.conv2d("conv2", y, 3, narrow).expect("fits");
    case.graph = net.finish();
    let dims = case.graph.value(y).shape.dims().to_vec();
    let dy = case.random(&dims);
    autodiff::backward(&mut case.graph, y, dy).expect("differentiable");
    let given: Vec<ValueId> = case.graph.parameters().chain([x]).collect();
    for id in given {
        let len = case.graph.value(id).shape.len();
        case.data.push((id, Data::F32(floats(len, len as u32))));
    }
    case.graph.gradients().collect()
}

fn case(
    name: &str,
    update: &Update,
    step: u64,
    batch: Batch,
    trained: fn(&mut CaseBuilder) -> Trained,
) -> Case {
    let optimizer = &update.optimizer;
    let mut case = CaseBuilder::new();
    let trained = trained(&mut case);
    let hyper = match batch {
        Batch::Whole => optimizer.hyper(1e-3, step).to_vec(),
        Batch::First | Batch::Last | Batch::Clipped | Batch::Held => {
            let first = matches!(batch, Batch::First | Batch::Held);
            let numbers = optimizer.hyper_of_part(1e-3, step, first, 0.4, !first);
            numbers.to_vec()
        }
    };
    let hyper = case.input(&[hyper.len()], hyper);
    let beside = |case: &mut CaseBuilder, role: RoleOf, scale: f32, shift: f32| {
        let all = trained.iter().map(|&(parameter, _)| {
            let shape = case.graph.value(parameter).shape;
            let numbers = floats(shape.len(), 2);
            let data = numbers.iter().map(|x| scale * (x + shift)).collect();
            case.with_role(shape.dims(), role(parameter), data)
        });
        all.collect::<Vec<ValueId>>()
    };
    let mut inputs = vec![hyper];
    inputs.extend(trained.iter().map(|&(_, gradient)| gradient));
    let mut updates: Vec<ValueId> = trained.iter().map(|&(parameter, _)| parameter).collect();
    let moments: [(RoleOf, f32, f32); 2] = [
        (|p| Role::Moment(p, 0), 0.1, 0.5),
        (|p| Role::Moment(p, 1), 0.01, 1.0),
    ];
    for (role, scale, shift) in &moments[..optimizer.moments()] {
        updates.extend(beside(&mut case, *role, *scale, *shift));
    }
    let mut op = update.clone();
    match batch {
        Batch::Whole => {}
        Batch::First | Batch::Last => {
            updates.extend(beside(&mut case, |p| Role::Moment(p, 2), 0.2, 0.3));
        }
        Batch::Clipped | Batch::Held => {
            inputs.push(case.input(&[1], vec![1.7]));
            op.clip_norm = Some(0.5);
        }
    }
    case.op(op, &inputs, &updates);
    case.case(format!("{name} step {step} {batch:?}"))
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, update) in updates() {
        for step in [1, 10_000] {
            cases.push(case(name, &update, step, Batch::Whole, written));
        }
        for batch in [Batch::First, Batch::Last, Batch::Clipped, Batch::Held] {
            cases.push(case(name, &update, 7, batch, written));
        }
    }
    cases
}

/// Optimizers that sum the gradients themselves.
pub fn of_parts() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, update) in updates() {
        for batch in [Batch::Whole, Batch::First, Batch::Last] {
            let name = format!("{name} of parts");
            cases.push(case(&name, &update, 7, batch, summed));
        }
    }
    cases
}
