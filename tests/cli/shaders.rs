//! `shaders`: the kernels as files, and a training step as data.

use std::collections::BTreeSet;

use nin_wgpu::plan::Conv2dAlgorithm;
use serde_json::Value;

use crate::programs::{assert_says, contents, example, new_folder, ok, refused};

#[test]
fn each_kernel_is_a_file_in_each_language_that_was_asked_for() {
    let folder = new_folder();
    let out = folder.path().join("new/kernels");
    let text = ok(example("shaders")
        .arg("--out")
        .arg(&out)
        .args(["--format", "msl,wgsl"]));
    let files = contents(&out);
    let of = |ending: &str| -> BTreeSet<_> {
        let names = files.keys().filter_map(|path| path.to_str());
        names
            .filter_map(|name| Some(name.strip_suffix(ending)?.to_owned()))
            .collect()
    };
    let kernels = of(".wgsl");
    assert_eq!(of(".metal"), kernels);
    assert_eq!(files.len(), 2 * kernels.len());
    assert!(
        kernels
            .iter()
            .any(|name| name.ends_with("optimizer.step[adam]"))
    );
    let counts = format!("{} kernels in {} files", kernels.len(), files.len());
    assert_says(&text, &[&counts, "new/kernels"]);
}

#[test]
fn a_folder_that_cannot_be_made_is_named_with_its_flag() {
    let folder = new_folder();
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("writable");
    for flag in ["--out", "--step"] {
        let text = refused(example("shaders").arg(flag).arg(file.join("kernels")));
        assert_says(&text, &[flag, "file/kernels"]);
    }
    assert_says(&refused(&mut example("shaders")), &["--out"]);
}

#[test]
fn a_step_names_only_what_its_files_hold() {
    let folder = new_folder();
    ok(example("shaders").arg("--step").arg(folder.path()));
    let plans: Vec<_> = folder.path().read_dir().expect("made").flatten().collect();
    assert_eq!(plans.len(), Conv2dAlgorithm::ALL.len());
    for plan in plans {
        let text = std::fs::read(plan.path().join("step.json")).expect("readable");
        let step: Value = serde_json::from_slice(&text).expect("JSON");
        let data = std::fs::metadata(plan.path().join("step.bin")).expect("written");
        let list = |name: &str| step[name].as_array().expect("a list").clone();
        let number = |value: &Value| value.as_u64().expect("a number");
        let slots = list("slots");
        let slot = |value: &Value| number(&slots[number(value) as usize]);
        for part in list("writes").iter().chain(&list("results")) {
            let (start, length) = (number(&part["data"][0]), number(&part["data"][1]));
            assert!(length > 0 && start + length <= data.len(), "{part}");
            assert!(
                number(&part["offset"]) + length <= slot(&part["slot"]),
                "{part}"
            );
        }
        let kernels = list("kernels");
        for dispatch in list("dispatches") {
            let kernel = &kernels[number(&dispatch["kernel"]) as usize];
            let bindings = dispatch["bindings"].as_array().expect("a list");
            let declared = kernel["bindings"].as_array().expect("a list");
            assert_eq!(bindings.len() + 1, declared.len(), "{}", kernel["name"]);
            for binding in bindings {
                assert!(number(&binding[1]) + number(&binding[2]) <= slot(&binding[0]));
            }
        }
    }
}
