//! Drivers that fail: a device that is lost while it computes, and one that has no more memory. `faults/vulkan.c` is put between the
//! programs and the driver as a layer.

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use nin_wgpu::checkpoint;

use crate::parts::assert_same;
use crate::programs::{assert_says, compile, new_folder, ok, refused, run, short_run, without_gpu};

/// The folder with the layer, built once by the compiler that links Rust's programs.
static LAYER: LazyLock<std::path::PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults");
    std::fs::create_dir_all(&folder).expect("made");
    let library = folder.join("libfault.so");
    compile("tests/cli/faults/vulkan.c", &library);
    let manifest = serde_json::json!({ "file_format_version": "1.2.0", "layer": {
        "name": "VK_LAYER_NIN_fault", "type": "GLOBAL", "library_path": library, "api_version": "1.4.0",
        "implementation_version": "1", "description": "fails on purpose" } });
    std::fs::write(folder.join("fault.json"), manifest.to_string()).expect("written");
    folder
});

/// 24 steps on a GPU whose driver fails.
fn faulty(out: &Path, fault: &str, at: u32) -> Command {
    let mut command = on_gpu(out);
    command
        .env("VK_LAYER_PATH", LAYER.as_path())
        .env("VK_ADD_LAYER_PATH", LAYER.as_path())
        .env("VK_INSTANCE_LAYERS", "VK_LAYER_NIN_fault")
        .env(fault, at.to_string());
    command
}

fn on_gpu(out: &Path) -> Command {
    let mut command = short_run(out);
    let flags = "--device gpu:0 --batch-size 8 --log-every 2 --checkpoint-every 4";
    command.args(flags.split(' ')).env("WGPU_BACKEND", "vulkan");
    command
}

/// What fails, and which time: while a training begins, before its first checkpoint, and behind it.
const LOSSES: [(&str, u32); 7] = [
    (SUBMIT, 1),
    (SUBMIT, 4),
    (SUBMIT, 30),
    (SUBMIT, SAVED),
    (WAIT, 1),
    (WAIT, 9),
    (WAIT, 100),
];
const SUBMIT: &str = "NIN_FAULT_SUBMIT";
const WAIT: &str = "NIN_FAULT_WAIT";
/// A submission behind the first checkpoint.
const SAVED: u32 = 80;

#[test]
fn a_driver_that_loses_the_device_ends_a_training_with_a_whole_checkpoint() {
    if without_gpu() {
        return;
    }
    let folder = new_folder();
    for (fault, at) in LOSSES {
        let out = folder.path().join(format!("{fault} {at}"));
        let error = refused(&mut faulty(&out, fault, at));
        assert_says(&error, &["error: the GPU device was lost", "checkpoint"]);
        let saved = out.join("resume.safetensors");
        if fault == SUBMIT {
            assert_eq!(saved.exists(), at == SAVED, "{at}");
        }
        if saved.exists() {
            checkpoint::load_trained(&saved).expect("whole");
        }
    }
}

#[test]
fn a_device_that_a_driver_lost_is_opened_again_and_the_run_is_that_of_one_that_never_was() {
    if without_gpu() {
        return;
    }
    let folder = new_folder();
    let one = folder.path().join("one");
    ok(&mut on_gpu(&one));
    for (fault, at) in LOSSES {
        let out = folder.path().join(format!("{fault} {at}"));
        let mut command = faulty(&out, fault, at);
        let ended = run(command.args(["--retries", "1"]));
        assert_eq!(ended.code, Some(0), "{at}: {}", ended.stderr);
        assert_says(&ended.stderr, &["the device is opened again"]);
        assert_same(&out, &one);
    }
}

#[test]
fn a_driver_without_memory_ends_a_training_with_an_error_that_says_so() {
    if without_gpu() {
        return;
    }
    let folder = new_folder();
    // The device's own first, then what the training and the test of a network take.
    for at in 1..=4 {
        let out = folder.path().join(format!("{at}"));
        let mut command = faulty(&out, "NIN_FAULT_ALLOCATE", at);
        let error = refused(command.args(["--model", "nin", "--batch-size", "32"]));
        assert!(error.to_lowercase().contains("memory"), "{at}: {error}");
    }
    for at in [1, 30, SAVED] {
        let out = folder.path().join(format!("submission {at}"));
        let mut command = faulty(&out, "NIN_FAULT_MEMORY", at);
        // There would be no more of it the next time.
        let error = refused(command.args(["--retries", "1"]));
        assert_says(&error, &["error: the GPU is out of memory while running"]);
        assert_eq!(out.join("resume.safetensors").exists(), at == SAVED);
    }
}
