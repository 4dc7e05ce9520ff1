//! The flags of `train` that say how each step moves the parameters.

use anyhow::{Result, bail};
use clap::ValueEnum;
use nin_wgpu::ops::{Adam, Optimizer, Sgd};
use nin_wgpu::program::{Loss, Training};

/// How each step moves the parameters.
#[derive(Debug, clap::Args)]
#[group(conflicts_with = "resume", multiple = true)]
#[command(next_help_heading = "How each step moves the parameters")]
pub(crate) struct OptimizerArgs {
    /// Rule by which parameters follow from their gradients: adam, adamw (Adam whose weight decay is no part of the gradient)
    /// or sgd; each has PyTorch's defaults [default: the recipe's, adam unless it says otherwise]
    #[arg(long, value_enum, value_name = "NAME")]
    optimizer: Option<OptimizerName>,
    /// Part of its last direction that sgd keeps [default: 0, or the recipe's]
    #[arg(long, value_name = "PART", value_parser = part, allow_negative_numbers = true)]
    momentum: Option<f32>,
    /// Let sgd look ahead along its direction
    #[arg(long, requires = "momentum")]
    nesterov: bool,
    /// How strongly weights are drawn to zero [default: 0.01 for adamw, else 0]
    #[arg(long, value_name = "DECAY", value_parser = decay, allow_negative_numbers = true)]
    weight_decay: Option<f32>,
    /// Let biases and the parameters of normalisations decay too, and not only filters
    #[arg(long)]
    decay_all: bool,
    /// Multiply the learning rate of the parameters whose names begin so: conv.0=0.1 say; once for each prefix
    #[arg(long, value_name = "PREFIX=FACTOR", value_parser = factor)]
    lr_of: Vec<(String, f32)>,
    /// Scale gradients down whose norm, taken over all of them, is above this; metrics.jsonl has the norm as grad_norm
    #[arg(long, value_name = "NORM", value_parser = positive, allow_negative_numbers = true)]
    clip_norm: Option<f32>,
    /// Test and keep a moving average of the parameters, which decays by this factor a step: 0.999 say
    #[arg(long, value_name = "DECAY", value_parser = part, allow_negative_numbers = true)]
    ema: Option<f32>,
    /// Leave the parameters whose names begin so as they are; once for each prefix
    #[arg(long, value_name = "PREFIX")]
    freeze: Vec<String>,
}

/// An optimizer's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OptimizerName {
    Adam,
    Adamw,
    Sgd,
}

/// A number that `holds`.
fn number(s: &str, holds: impl Fn(f32) -> bool) -> Option<f32> {
    s.parse().ok().filter(|x: &f32| x.is_finite() && holds(*x))
}

fn part(s: &str) -> Result<f32, &'static str> {
    number(s, |x| (0.0..1.0).contains(&x)).ok_or("expected a number from 0 to 1, such as 0.9")
}

fn decay(s: &str) -> Result<f32, &'static str> {
    number(s, |x| x >= 0.0).ok_or("expected 0 or a number above it, such as 0.0005")
}

fn positive(s: &str) -> Result<f32, &'static str> {
    number(s, |x| x > 0.0).ok_or("expected a number above 0, such as 1")
}

fn factor(s: &str) -> Result<(String, f32), &'static str> {
    let pair = s.rsplit_once('=');
    let pair = pair.and_then(|(prefix, x)| Some((prefix.to_owned(), number(x, |x| x > 0.0)?)));
    pair.ok_or("expected the first parts of names and a factor above 0, such as conv.0=0.1")
}

impl OptimizerArgs {
    /// What the flags say, over a recipe's optimizer.
    pub(crate) fn training(&self, recipe: Optimizer) -> Result<Training> {
        let mut optimizer = match self.optimizer {
            None => recipe,
            Some(OptimizerName::Adam) => Adam::DEFAULT.into(),
            Some(OptimizerName::Adamw) => Adam::adamw().into(),
            Some(OptimizerName::Sgd) => Sgd::DEFAULT.into(),
        };
        match &mut optimizer {
            Optimizer::Sgd(sgd) => {
                sgd.momentum = self.momentum.unwrap_or(sgd.momentum);
                sgd.nesterov |= self.nesterov;
                sgd.weight_decay = self.weight_decay.unwrap_or(sgd.weight_decay);
            }
            Optimizer::Adam(_) if self.momentum.is_some() => {
                bail!("--momentum is for --optimizer sgd; Adam has one of its own")
            }
            Optimizer::Adam(adam) => {
                adam.weight_decay = self.weight_decay.unwrap_or(adam.weight_decay);
            }
        }
        Ok(Training {
            loss: Loss::default(),
            optimizer,
            decay_all: self.decay_all,
            rates: self.lr_of.clone(),
            frozen: self.freeze.clone(),
            clip_norm: self.clip_norm,
            ema: self.ema,
            skip_non_finite: false,
        })
    }
}

/// What sets a training apart from plain Adam, to be read by people; `None` if nothing does.
pub(crate) fn describe(training: &Training) -> Option<String> {
    if *training == Training::default() {
        return None;
    }
    let optimizer = &training.optimizer;
    let mut says = vec![optimizer.name().to_owned()];
    if let Optimizer::Sgd(Sgd {
        momentum, nesterov, ..
    }) = optimizer
        && *momentum > 0.0
    {
        let form = if *nesterov { "Nesterov's " } else { "" };
        says.push(format!("{form}momentum {momentum}"));
    }
    let decay = optimizer.weight_decay();
    if decay > 0.0 {
        let of = if training.decay_all {
            ""
        } else {
            " of filters"
        };
        says.push(format!("weight decay {decay}{of}"));
    }
    let rates = training.rates.iter();
    says.extend(rates.map(|(prefix, factor)| format!("{factor} times the rate for {prefix}")));
    says.extend(
        training
            .clip_norm
            .map(|norm| format!("gradients clipped to {norm}")),
    );
    says.extend(
        training
            .ema
            .map(|decay| format!("a moving average of decay {decay}")),
    );
    if training.skip_non_finite {
        says.push("steps skipped whose gradients are not finite".to_owned());
    }
    if !training.frozen.is_empty() {
        says.push(format!("{} frozen", training.frozen.join(", ")));
    }
    Some(says.join(", "))
}
