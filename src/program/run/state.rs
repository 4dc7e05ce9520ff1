//! What a training moves: parameters, running statistics, moments, averages and gradients, written and read back.

use super::{Result, Run};
use crate::backend::wait::block_on;
use crate::graph::{Role, ValueId};
use crate::program::{Goal, Parameters};

/// What a training leaves behind.
pub(crate) struct Weights {
    /// The parameters and running statistics for use: averages, if there are any.
    pub(crate) used: Parameters,
    /// Those that training goes on with, if they are others.
    pub(crate) trained: Option<Parameters>,
    /// As [`Run::moments`].
    pub(crate) moments: Parameters,
}

impl Run {
    /// Writes every parameter and running statistic that the program has and `parameters` names; an average of it begins there, and a
    /// step that is skipped goes back to it.
    ///
    /// # Errors
    /// [`RuntimeError`](crate::backend::runtime::RuntimeError) if a shape differs.
    pub fn set_parameters(&mut self, parameters: &Parameters) -> Result<()> {
        for (name, tensor) in parameters {
            if let Some(id) = self.program.graph.find(name) {
                for id in [Some(id), self.average_of(id), self.kept_of(id)]
                    .into_iter()
                    .flatten()
                {
                    self.runtime.write(id, tensor.data.as_slice().into())?;
                }
            }
        }
        Ok(())
    }

    fn average_of(&self, parameter: ValueId) -> Option<ValueId> {
        self.of_role(Role::Average(parameter))
    }

    fn kept_of(&self, statistic: ValueId) -> Option<ValueId> {
        self.of_role(Role::Kept(statistic))
    }

    fn of_role(&self, role: Role) -> Option<ValueId> {
        let graph = &self.program.graph;
        let mut ids = graph.ids();
        ids.find(|&id| graph.value(id).role == role)
    }

    /// Reads every parameter and running statistic back, waiting for the device.
    ///
    /// # Errors
    /// [`RuntimeError`](crate::backend::runtime::RuntimeError) if the device fails.
    pub fn parameters(&mut self) -> Result<Parameters> {
        block_on(self.parameters_async())
    }

    /// [`Run::parameters`] to be awaited.
    ///
    /// # Errors
    /// As [`Run::parameters`].
    pub async fn parameters_async(&mut self) -> Result<Parameters> {
        let ids: Vec<ValueId> = self.program.graph.state().collect();
        self.tensors(ids.into_iter().map(|id| (self.name(id), id)).collect())
            .await
    }

    /// As [`Run::parameters`], with the moving averages of those that have one.
    ///
    /// # Errors
    /// [`RuntimeError`](crate::backend::runtime::RuntimeError) if the device fails.
    pub fn averaged(&mut self) -> Result<Parameters> {
        let ids = self.program.graph.state();
        let read = |id| (self.name(id), self.average_of(id).unwrap_or(id));
        let named = ids.map(read).collect();
        block_on(self.tensors(named))
    }

    /// Whether the program keeps a moving average of its parameters.
    pub fn averages(&self) -> bool {
        let averaging =
            |goal: &Goal| matches!(goal, Goal::Train { averaging, .. } if averaging.is_some());
        averaging(&self.program.goal)
    }

    /// Reads all that a checkpoint holds back, each tensor once.
    ///
    /// # Errors
    /// [`RuntimeError`](crate::backend::runtime::RuntimeError) if the device fails.
    pub(crate) async fn weights(&mut self) -> Result<Weights> {
        let trained = self.parameters_async().await?;
        let moments = self.moments_async().await?;
        if !self.averages() {
            return Ok(Weights {
                used: trained,
                trained: None,
                moments,
            });
        }
        let average_of = |name: &str| {
            let of = |other: &str| other.strip_suffix(".ema") == Some(name);
            moments.iter().find(|(other, _)| of(other))
        };
        let used = trained.iter().map(|(name, tensor)| {
            let average = average_of(name).map(|(_, average)| average);
            (name.clone(), average.unwrap_or(tensor).clone())
        });
        Ok(Weights {
            used: used.collect(),
            trained: Some(trained),
            moments,
        })
    }

    /// Reads back what the optimizer keeps of each parameter that it moves: its moments, `{name}.moment1` and
    /// `{name}.moment2`, as many as there are, and `{name}.ema` if it is averaged. [`Run::set_parameters`] writes them too.
    ///
    /// # Errors
    /// [`RuntimeError`](crate::backend::runtime::RuntimeError) if the device fails.
    pub fn moments(&mut self) -> Result<Parameters> {
        block_on(self.moments_async())
    }

    async fn moments_async(&mut self) -> Result<Parameters> {
        let graph = &self.program.graph;
        let is_kept = |id: &ValueId| {
            matches!(
                graph.value(*id).role,
                Role::Moment(_, 0 | 1) | Role::Average(_)
            )
        };
        let ids = graph.ids().filter(is_kept);
        let named = ids.map(|id| (self.name(id), id)).collect();
        self.tensors(named).await
    }

    /// Reads the gradient of every parameter that is trained back, under the parameter's name: as it is before clipping.
    ///
    /// # Errors
    /// [`RuntimeError`](crate::backend::runtime::RuntimeError) if the device fails.
    pub fn gradients(&mut self) -> Result<Parameters> {
        block_on(self.gradients_async())
    }

    /// [`Run::gradients`] to be awaited.
    ///
    /// # Errors
    /// As [`Run::gradients`].
    pub async fn gradients_async(&mut self) -> Result<Parameters> {
        let graph = &self.program.graph;
        let mut ids: Vec<_> = match self.program.parts() {
            1 => graph.gradients().collect(),
            // What is left of each part is only its own.
            _ => graph
                .ids()
                .filter_map(|id| match graph.value(id).role {
                    Role::Moment(parameter, 2) => Some((parameter, id)),
                    _ => None,
                })
                .collect(),
        };
        ids.sort_by_key(|(parameter, _)| *parameter);
        let named = ids.into_iter().map(|(of, id)| (self.name(of), id));
        self.tensors(named.collect()).await
    }
}
