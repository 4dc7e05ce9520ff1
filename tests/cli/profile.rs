//! `train --profile`.

use serde_json::Value;

use crate::programs::{assert_says, metrics, new_folder, ok, short_run};

/// The CPU and, unless it is left out, the best adapter.
fn devices() -> Vec<&'static str> {
    let without_gpu = std::env::var("NIN_TEST_GPU").is_ok_and(|value| value == "off");
    if without_gpu {
        vec!["cpu"]
    } else {
        vec!["cpu", "gpu:0"]
    }
}

#[test]
fn a_profile_is_printed_and_written_and_leaves_the_training_as_it_is() {
    for device in devices() {
        let folder = new_folder();
        let [plain, profiled] = ["plain", "profiled"].map(|name| folder.path().join(name));
        let flags = ["--device", device, "--max-steps", "3", "--log-every", "1"];
        let without = ok(short_run(&plain).args(flags));
        let text = ok(short_run(&profiled).args(flags).arg("--profile"));

        assert!(!without.contains("of peak"), "{without}");
        assert_says(&text, &["of peak", "of step", "conv2d.wgrad", "optimizer"]);
        assert_says(&text, &["total ", "GFLOP/s", "profile.json"]);
        let trace = std::fs::read(profiled.join("profile.json")).expect("written");
        let trace: Value = serde_json::from_slice(&trace).expect("JSON");
        let events = trace["traceEvents"].as_array().expect("events");
        let table = text.lines().skip_while(|line| !line.contains("of peak"));
        let rows = table.skip(1).take_while(|line| !line.contains(" total "));
        assert_eq!(
            rows.count(),
            events.len() - 1,
            "a row for each span: {text}"
        );

        let losses = |run| -> Vec<_> {
            let steps = metrics(run, "step");
            steps.iter().map(|step| step["loss"].clone()).collect()
        };
        assert_eq!(losses(&plain).len(), 3);
        assert_eq!(losses(&plain), losses(&profiled), "{device}");
        let [a, b] = [&plain, &profiled]
            .map(|run| std::fs::read(run.join("resume.safetensors")).expect("written"));
        assert!(a == b, "{device}: parameters or moments differ");
    }
}

#[test]
fn a_run_that_goes_on_can_be_profiled_too_and_a_quiet_one_prints_no_table() {
    let folder = new_folder();
    ok(short_run(folder.path()).args(["--max-steps", "2"]));
    assert!(!folder.path().join("profile.json").exists());
    let mut command = crate::programs::example("train");
    command.args(["--device", "cpu", "--quiet", "--profile", "--resume"]);
    let text = ok(command.arg(folder.path()));
    assert!(!text.contains("of peak"), "{text}");
    assert!(folder.path().join("profile.json").exists());
}
