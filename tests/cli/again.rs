//! Trainings that go on by themselves: after the device was lost, and after they diverged.

use crate::parts::assert_same;
use crate::programs::{assert_says, metrics, new_folder, ok, refused, run, short_run, without_gpu};

#[test]
fn a_lost_device_is_opened_again_and_the_run_is_that_of_one_that_never_was() {
    if without_gpu() {
        return;
    }
    let folder = new_folder();
    let [one, lost, ended] = ["one", "lost", "ended"].map(|name| folder.path().join(name));
    let flags = ["--device", "gpu:0", "--batch-size", "8", "--log-every", "2"];
    let flags = flags.iter().chain(&["--checkpoint-every", "4"]);
    ok(short_run(&one).args(flags.clone()));
    let mut command = short_run(&lost);
    command.args(flags.clone());
    let again = run(command.args(["--lose-device-at", "10", "--retries", "1"]));
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    let says = [
        "warning: the GPU device was lost",
        "the device is opened again",
    ];
    assert_says(&again.stderr, &says);
    assert_same(&lost, &one);
    let mut command = short_run(&ended);
    command.args(flags);
    let error = refused(command.args(["--lose-device-at", "10"]));
    assert_says(&error, &["error: the GPU device was lost"]);
    assert!(ended.join("resume.safetensors").exists());
}

#[test]
fn a_device_that_is_lost_before_the_first_checkpoint_is_opened_again_for_a_run_from_its_beginning()
{
    if without_gpu() {
        return;
    }
    let folder = new_folder();
    let [one, lost, ended] = ["one", "lost", "ended"].map(|name| folder.path().join(name));
    let flags = "--device gpu:0 --batch-size 8 --log-every 2 --checkpoint-every 100";
    let flags: Vec<&str> = flags.split(' ').collect();
    ok(short_run(&one).args(&flags));
    let faulty = [&flags[..], &["--lose-device-at", "4"]].concat();
    let again = run(short_run(&lost).args(&faulty).args(["--retries", "1"]));
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    let says = [
        "warning: the GPU device was lost",
        "beginning anew, the device is opened again (0 more times)",
    ];
    assert_says(&again.stderr, &says);
    assert_same(&lost, &one);
    let error = refused(short_run(&ended).args(&faulty));
    assert_says(&error, &["error: the GPU device was lost"]);
    assert!(!ended.join("resume.safetensors").exists());
    // Its folder is free for the next.
    ok(short_run(&ended).args(&flags));
    assert_same(&ended, &one);
}

#[cfg(unix)]
#[test]
fn a_training_on_a_device_that_was_opened_again_is_stopped_as_any() {
    use std::process::{Command, Stdio};

    if without_gpu() {
        return;
    }
    let folder = new_folder();
    let out = folder.path().join("run");
    let flags = "--device gpu:0 --batch-size 8 --log-every 1 --epochs 1000000 --lose-device-at 2 --retries 1";
    let mut command = short_run(&out);
    command.args(flags.split(' ')).stdout(Stdio::null());
    let child = command.stderr(Stdio::piped()).spawn().expect("starts");
    let started = std::time::Instant::now();
    let lines = || std::fs::read_to_string(out.join("metrics.jsonl")).unwrap_or_default();
    while lines().lines().count() < 8 {
        // Not how fast it is, but that this test ends.
        assert!(started.elapsed().as_secs() < 300, "no lines");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let mut kill = Command::new("kill");
    kill.args(["-INT", &child.id().to_string()]);
    assert!(kill.status().expect("kill runs").success());
    let ended = child.wait_with_output().expect("ends");
    let text = String::from_utf8(ended.stderr).expect("UTF-8");
    assert_eq!(ended.status.code(), Some(130), "{text}");
    assert_says(&text, &["the device is opened again"]);
    assert_eq!(
        text.matches("stopping after this step").count(),
        1,
        "{text}"
    );
}

#[test]
fn a_training_that_diverges_goes_back_to_its_checkpoint_at_half_the_rate() {
    let folder = new_folder();
    let [stops, back] = ["stops", "back"].map(|name| folder.path().join(name));
    // The rate rises from nothing, so that there is a checkpoint before it is far too large.
    let flags = "--optimizer sgd --lr 3e5 --warmup 24 --schedule constant --batch-size 8 --log-every 1 --checkpoint-every 1";
    let flags: Vec<&str> = flags.split(' ').collect();
    let error = refused(short_run(&stops).args(&flags));
    assert_says(&error, &["error: ", "step ", "lower learning rate"]);
    let named = folder.path().join("named");
    let error = refused(short_run(&named).args(&flags).arg("--debug-nan"));
    let says = [
        "error: --debug-nan: step ",
        "not finite is of `",
        "lower learning rate",
    ];
    assert_says(&error, &says);
    let ended = run(short_run(&back).args(&flags).args(["--on-nan", "rollback"]));
    let warnings = ended.stderr.lines();
    let warnings = warnings.filter(|line| line.contains("at half the learning rate"));
    assert!((1..=5).contains(&warnings.count()), "{}", ended.stderr);
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    // Whether five halvings are enough or not, what was saved is numbers.
    let steps = metrics(&back, "step");
    assert!(steps.iter().all(|line| line["loss"].is_number()));
    for name in ["stops", "named", "back"] {
        let path = folder.path().join(name).join("resume.safetensors");
        if let Ok((tensors, _)) = nin_wgpu::checkpoint::load_trained(&path) {
            let finite = |x: &f32| x.is_finite();
            assert!(
                tensors
                    .iter()
                    .all(|(_, tensor)| tensor.data.iter().all(finite))
            );
        }
    }
}
