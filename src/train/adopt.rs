//! Starting a network from the parameters of another: PyTorch's, or one with other classes.

use std::collections::HashMap;
use std::path::Path;

use super::checkpoint::{Checkpoint, CheckpointError};
use crate::graph::tensor::Tensor;
use crate::program::Parameters;

/// A network's parameters after [`adopt`].
#[derive(Clone, Debug)]
pub struct Adopted {
    /// All of them.
    pub parameters: Parameters,
    /// How many came from the file.
    pub taken: usize,
    /// Those that did not, each with what the file has instead.
    pub fresh: Vec<(String, String)>,
    /// Tensors of floats in the file that no parameter is named like.
    pub left_out: Vec<String>,
}

/// What PyTorch's wrappers put before a name: `DataParallel` and `torch.compile`.
const WRAPPERS: [&str; 2] = ["module.", "_orig_mod."];
/// What a module that holds the network as `self.model` puts before all names.
const HOLDER: &str = "model.";

/// Takes every tensor of the file at `path` that has name and shape of one of `initial`, a network's parameters as they would
/// start; the others stay.
///
/// Names may have a prefix that PyTorch's wrappers put there (`module.`, `_orig_mod.`), or `model.` if all have it.
///
/// # Errors
/// [`CheckpointError::NothingFits`].
pub fn adopt(
    path: &Path,
    file: &Checkpoint,
    initial: Parameters,
) -> Result<Adopted, CheckpointError> {
    let is_wanted = |name: &str| initial.iter().any(|(wanted, _)| wanted == name);
    let floats: Vec<&str> = file.parameters.iter().map(|(n, _)| n.as_str()).collect();
    let others: Vec<&str> = file.others.iter().map(|(n, _)| n.as_str()).collect();
    let all: Vec<&str> = floats.iter().chain(&others).copied().collect();
    let names = plain(&all, is_wanted);
    let (of_floats, of_others) = names.split_at(floats.len());
    let tensors: HashMap<&str, &Tensor> = of_floats
        .iter()
        .copied()
        .zip(file.parameters.iter().map(|(_, tensor)| tensor))
        .collect();
    let kinds: HashMap<&str, &str> = of_others
        .iter()
        .copied()
        .zip(file.others.iter().map(|(_, kind)| kind.as_str()))
        .collect();
    let (mut taken, mut fresh) = (0, Vec::new());
    let mut parameters = Parameters::with_capacity(initial.len());
    for (name, start) in &initial {
        let found = tensors.get(name.as_str());
        match found.filter(|tensor| tensor.shape == start.shape) {
            Some(&tensor) => {
                taken += 1;
                parameters.push((name.clone(), tensor.clone()));
            }
            None => {
                let kind = kinds.get(name.as_str());
                let missing = kind.map_or("missing", |kind| kind).to_owned();
                let got = found.map_or(missing, |tensor| tensor.shape.to_string());
                fresh.push((name.clone(), got));
                parameters.push((name.clone(), start.clone()));
            }
        }
    }
    if taken == 0
        && let (Some((name, start)), Some((_, got))) = (initial.first(), fresh.first())
    {
        return Err(CheckpointError::NothingFits {
            path: path.to_owned(),
            tensors: file.parameters.len(),
            name: name.clone(),
            got: got.clone(),
            want: start.shape.to_string(),
        });
    }
    let unknown = of_floats.iter().zip(&floats);
    let left_out = unknown
        .filter(|(name, _)| !is_wanted(name))
        .map(|(_, name)| (*name).to_owned())
        .collect();
    Ok(Adopted {
        parameters,
        taken,
        fresh,
        left_out,
    })
}

/// The names without what PyTorch's wrappers put before them, unless it is wanted as it is.
fn plain<'a>(names: &[&'a str], is_wanted: impl Fn(&str) -> bool) -> Vec<&'a str> {
    let unwrapped = |name: &'a str| {
        let mut plain = name;
        while !is_wanted(plain)
            && let Some(rest) = WRAPPERS
                .iter()
                .find_map(|prefix| plain.strip_prefix(prefix))
        {
            plain = rest;
        }
        plain
    };
    let mut names: Vec<&str> = names.iter().copied().map(unwrapped).collect();
    let held = |name: &&str| name.starts_with(HOLDER) && !is_wanted(name);
    while !names.is_empty() && names.iter().all(held) {
        for name in &mut names {
            *name = unwrapped(&name[HOLDER.len()..]);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::shape::Shape;

    fn zeros(names: &[(&str, &[usize])]) -> Parameters {
        let zero = |(name, dims): &(&str, &[usize])| {
            let shape = Shape::new(dims).expect("valid");
            ((*name).to_owned(), Tensor::zeros(shape))
        };
        names.iter().map(zero).collect()
    }

    fn file(parameters: Parameters) -> Checkpoint {
        Checkpoint {
            parameters,
            metadata: None,
            others: Vec::new(),
        }
    }

    /// What `tests/fixtures/make.py` wrote by torch and safetensors.
    fn wrapped() -> (std::path::PathBuf, Checkpoint) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wrapped.safetensors");
        let file = Checkpoint::open(&path).expect("the fixture is committed");
        (path, file)
    }

    #[test]
    fn a_file_of_pytorchs_wrappers_in_four_types_gives_its_parameters()
    -> Result<(), Box<dyn std::error::Error>> {
        let (path, file) = wrapped();
        let others: Vec<_> = file.others.iter().map(|(_, kind)| kind.as_str()).collect();
        assert_eq!(others, ["BOOL", "I64"]);
        let wanted: [(&str, &[usize]); 4] = [
            ("conv1.weight", &[4, 1, 3, 3]),
            ("conv1.bias", &[4]),
            ("conv2.weight", &[2, 4, 1, 1]),
            ("conv2.bias", &[2]),
        ];
        let adopted = adopt(&path, &file, zeros(&wanted))?;
        assert_eq!((adopted.taken, adopted.fresh.len()), (4, 0));
        for (name, tensor) in &adopted.parameters {
            let want = (0..tensor.data.len()).map(|i| i as f32 / 8.0 - 1.0);
            assert!(tensor.data.iter().copied().eq(want), "{name}");
        }
        let left: Vec<_> = ["bias", "running_mean", "running_var", "weight"]
            .map(|name| format!("_orig_mod.module.norm.{name}"))
            .into();
        assert_eq!(adopted.left_out, left);
        Ok(())
    }

    #[test]
    fn what_does_not_fit_starts_anew_and_says_what_the_file_has()
    -> Result<(), Box<dyn std::error::Error>> {
        let (path, file) = wrapped();
        let wanted: [(&str, &[usize]); 4] = [
            ("conv1.bias", &[4]),
            ("conv2.weight", &[3, 4, 1, 1]),
            ("mask", &[2]),
            ("conv3.bias", &[3]),
        ];
        let adopted = adopt(&path, &file, zeros(&wanted))?;
        assert_eq!(adopted.taken, 1);
        let pairs = [
            ("conv2.weight", "2x4x1x1"),
            ("mask", "BOOL"),
            ("conv3.bias", "missing"),
        ];
        let fresh = pairs.map(|(name, got)| (name.to_owned(), got.to_owned()));
        assert_eq!(adopted.fresh, fresh);
        let error = adopt(&path, &file, zeros(&wanted[1..])).expect_err("nothing fits");
        assert!(
            matches!(error, CheckpointError::NothingFits { .. }),
            "{error}"
        );
        Ok(())
    }

    #[test]
    fn prefixes_are_taken_off_where_that_makes_names_fit() {
        let path = Path::new("some.safetensors");
        let taken = |names: &[&str], wanted: &str| {
            let names: Vec<(&str, &[usize])> = names.iter().map(|&name| (name, &[1][..])).collect();
            let adopted = adopt(path, &file(zeros(&names)), zeros(&[(wanted, &[1])]));
            adopted.map_or(0, |adopted| adopted.taken)
        };
        for (names, wanted, count) in [
            (&["module.a"][..], "a", 1),
            (&["module._orig_mod.a", "b"], "a", 1),
            (&["model.a", "model.b"], "a", 1),
            (&["model.module.a", "_orig_mod.model.b"], "a", 1),
            // Not all have it, so it is a part of their names.
            (&["model.a", "b"], "a", 0),
            // It is wanted as it is.
            (&["module.a"], "module.a", 1),
            (&["model.a"], "model.a", 1),
        ] {
            assert_eq!(taken(names, wanted), count, "{names:?} for {wanted}");
        }
    }
}
