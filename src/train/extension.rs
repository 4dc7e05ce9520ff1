//! A run that goes on for other epochs than it was started for.

use super::{TrainError, TrainOptions};
use crate::models::At;

/// A schedule that has an end is another one if there are more epochs, or less: refuses one that would raise a learning rate
/// which came to its end, and says of any other how it goes on. `next` is the next step, in all epochs that there are now.
///
/// # Errors
/// [`TrainError::Resume`].
pub(super) fn check(
    was: &TrainOptions,
    now: &TrainOptions,
    next: At,
) -> Result<Option<String>, TrainError> {
    let schedule = now.schedule;
    if !schedule.ends() || was.epochs == now.epochs {
        return Ok(None);
    }
    let before = At {
        steps: was.epochs * next.per_epoch,
        ..next
    };
    // What differs are the epochs alone.
    let [old, new] = [before, next].map(|at| now.learning_rate_at(at));
    if now.epochs > was.epochs && next.step > before.steps {
        return Err(TrainError::Resume(format!(
            "the learning rate ({schedule}) has come to its end after the {} epochs that the run was for; with {} it would jump \
             to {new:.2e}. Start a new run from its last.safetensors by --init, with --lr and --epochs of its own",
            was.epochs, now.epochs
        )));
    }
    let mut notice = format!(
        "the learning rate ({schedule}) is laid over {} epochs now, and was over {}",
        now.epochs, was.epochs
    );
    if old != new {
        notice += &format!("; it goes on at {new:.2e} instead of {old:.2e}");
    }
    Ok(Some(notice))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::Schedule;

    /// The check of a run for 4 epochs of 10 steps that goes on for `epochs` after `step`.
    fn extended(schedule: Schedule, step: u64, epochs: u64) -> Result<Option<String>, TrainError> {
        let of = |epochs| TrainOptions {
            learning_rate: 0.1,
            warmup_steps: 0,
            epochs,
            schedule,
            ..TrainOptions::default()
        };
        let next = At {
            step: step + 1,
            per_epoch: 10,
            steps: 10 * epochs,
            drops: 0,
        };
        check(&of(4), &of(epochs), next)
    }

    #[test]
    fn only_a_rate_that_came_to_its_end_is_refused_to_rise() {
        for schedule in [Schedule::Cosine, Schedule::OneCycle] {
            let error = extended(schedule, 40, 8).expect_err("it would rise");
            assert!(error.to_string().contains("would jump"), "{error}");
            let told = extended(schedule, 39, 8).expect("it goes on");
            assert!(told.is_some_and(|told| told.contains("instead of")));
            assert!(extended(schedule, 40, 4).expect("as it was").is_none());
            assert!(extended(schedule, 40, 3).is_ok(), "it is over");
        }
        let told = extended(Schedule::Cosine, 19, 8).expect("it goes on");
        assert!(told.is_some_and(|told| told.ends_with("goes on at 8.54e-2 instead of 5.00e-2")));
        let step = Schedule::Step {
            every: 2,
            gamma: 0.1,
        };
        for schedule in [Schedule::Constant, step] {
            assert!(extended(schedule, 40, 8).expect("it has no end").is_none());
        }
    }
}
