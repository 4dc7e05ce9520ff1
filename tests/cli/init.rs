//! `train --init`: from a network of other classes, and from PyTorch's files.

use std::path::{Path, PathBuf};

use nin_wgpu::checkpoint;
use nin_wgpu::program::Parameters;

use crate::programs::{assert_says, new_folder, refused, run, short_run, trained, write_classes};

fn parameters(path: &Path) -> Parameters {
    checkpoint::load(path).expect("whole").0
}

/// Stderr of a step at a rate that changes nothing, and the parameters behind it.
fn step(out: &Path, init: &Path, flags: &[&str]) -> (String, Parameters) {
    let mut command = short_run(out);
    let still = ["--batch-size", "8", "--max-steps", "1", "--lr", "1e-12"];
    let ended = run(command.args(still).args(flags).arg("--init").arg(init));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    (ended.stderr, parameters(&out.join("last.safetensors")))
}

fn near(got: &Parameters, want: &Parameters, name: &str) -> bool {
    let of = |all: &Parameters| {
        let named = all.iter().find(|(other, _)| other == name);
        named.expect("it is there").1.data.clone()
    };
    let (got, want) = (of(got), of(want));
    got.len() == want.len() && got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6)
}

#[test]
fn a_network_of_other_classes_is_trained_on_from_all_layers_that_fit() {
    let folder = new_folder();
    let (data, best) = (
        folder.path().join("two"),
        trained().join("best.safetensors"),
    );
    write_classes(&data, 10);
    let flags = ["--dataset", data.to_str().expect("UTF-8")];
    let (said, got) = step(&folder.path().join("run"), &best, &flags);
    assert_says(
        &said,
        &[
            "warning: --init: 12 of the 18 parameters are from ",
            "these start anew: conv.4.0.weight (10x64x3x3 in the file, 2x64x3x3 here), conv.4.0.bias",
            "conv.4.4.bias (10 in the file, 2 here)\n",
        ],
    );
    let want = parameters(&best);
    for name in ["conv.0.0.weight", "conv.2.4.bias"] {
        assert!(near(&got, &want, name), "{name}");
    }
}

#[test]
fn names_as_pytorchs_wrappers_write_them_are_understood() {
    let folder = new_folder();
    let want = parameters(&trained().join("best.safetensors"));
    for prefix in ["module.", "_orig_mod.module.", "model."] {
        let renamed =
            |(name, tensor): &(String, _)| (format!("{prefix}{name}"), Clone::clone(tensor));
        let renamed: Parameters = want.iter().map(renamed).collect();
        let file = folder.path().join(format!("{prefix}safetensors"));
        checkpoint::save(&file, &renamed, None).expect("written");
        let (said, got) = step(&folder.path().join(prefix), &file, &[]);
        assert!(!said.contains("warning"), "{said}");
        assert!(
            want.iter().all(|(name, _)| near(&got, &want, name)),
            "{prefix}"
        );
    }
}

#[test]
fn a_file_of_which_nothing_fits_or_that_torch_saved_is_refused() {
    let folder = new_folder();
    let out = folder.path().join("run");
    let fixture = |name: &str| -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(name)
    };
    for (name, parts) in [
        (
            "wrapped.safetensors",
            [
                "a network that it does not name",
                "none of its",
                "`conv.0.0.weight` is missing",
            ],
        ),
        (
            "wrapped.pt",
            ["a file of torch.save", "python -c", "wrapped.safetensors"],
        ),
    ] {
        let file = fixture(name);
        let error = refused(short_run(&out).arg("--init").arg(&file));
        assert_says(&error, &parts);
        assert_says(&error, &["--init: ", &file.display().to_string()]);
    }
    assert!(!out.exists());
}
