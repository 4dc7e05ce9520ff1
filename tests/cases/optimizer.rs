//! Optimizers over parameters of odd sizes and two groups, at the first step and late, on parts of a batch and clipped.

use super::{Case, CaseBuilder, floats};
use nin_wgpu::graph::{Role, ValueId};
use nin_wgpu::ops::{Adam, Group, Optimizer, Sgd, Update};

const SIZES: [usize; 4] = [1, 17, 64, 1000];

/// Every rule, with its groups.
fn updates() -> Vec<(&'static str, Update)> {
    let groups = [0.01, 0.0, 0.0, 0.02].map(|decay| Group {
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

fn case(name: &str, update: &Update, step: u64, batch: Batch) -> Case {
    let optimizer = &update.optimizer;
    let mut case = CaseBuilder::new();
    let hyper = match batch {
        Batch::Whole => optimizer.hyper(1e-3, step).to_vec(),
        Batch::First | Batch::Last | Batch::Clipped | Batch::Held => {
            let first = matches!(batch, Batch::First | Batch::Held);
            let last = !first;
            let numbers = optimizer.hyper_of_part(1e-3, step, first, 0.4, last);
            numbers.to_vec()
        }
    };
    let hyper = case.input(&[hyper.len()], hyper);
    let parameters = SIZES.map(|n| case.with_role(&[n], Role::Parameter, floats(n, n as u32)));
    let beside = |case: &mut CaseBuilder, role: RoleOf, scale: f32, shift: f32| {
        let all = SIZES.iter().zip(&parameters).map(|(&n, &parameter)| {
            let data = floats(n, 2).iter().map(|x| scale * (x + shift)).collect();
            case.with_role(&[n], role(parameter), data)
        });
        all.collect::<Vec<ValueId>>()
    };
    let mut inputs = vec![hyper];
    inputs.extend(beside(&mut case, Role::Gradient, 0.1, 0.0));
    let mut updates = parameters.to_vec();
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
            cases.push(case(name, &update, step, Batch::Whole));
        }
        for batch in [Batch::First, Batch::Last, Batch::Clipped, Batch::Held] {
            cases.push(case(name, &update, 7, batch));
        }
    }
    cases
}
