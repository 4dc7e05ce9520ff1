//! Stopping `train` and going on: by Ctrl-C, by a number of steps, and what cannot be gone on with.

use std::path::Path;
use std::process::Command;
#[cfg(unix)]
use std::process::Stdio;
#[cfg(unix)]
use std::time::{Duration, Instant};

use nin_wgpu::checkpoint;

use crate::programs::{
    assert_says, contents, example, metrics, new_folder, ok, refused, short_run, trained,
    write_classes,
};

fn resume(out: &Path) -> Command {
    let mut command = example("train");
    command.args(["--device", "cpu", "--resume"]).arg(out);
    command
}

fn steps(run: &Path) -> Vec<u64> {
    let lines = metrics(run, "step");
    lines
        .iter()
        .filter_map(|line| line["step"].as_u64())
        .collect()
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_and_the_run_can_be_taken_up() {
    saves_and_can_be_taken_up("-INT", 130);
}

#[cfg(unix)]
#[test]
fn a_run_that_the_system_ends_or_whose_terminal_is_gone_is_saved_too() {
    for (signal, code) in [("-TERM", 143), ("-HUP", 129)] {
        saves_and_can_be_taken_up(signal, code);
    }
}

#[cfg(unix)]
#[test]
fn a_run_whose_reader_has_seen_enough_goes_on_and_is_saved() {
    let folder = new_folder();
    let mut child = short_run(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    // From now on nobody reads what it prints.
    drop(child.stdout.take());
    assert!(child.wait().expect("ends").success());
    let saved = checkpoint::load_trained(&folder.path().join("best.safetensors"));
    assert!(saved.expect("whole").1.step > 0);
}

#[cfg(unix)]
fn saves_and_can_be_taken_up(signal: &str, code: i32) {
    let folder = new_folder();
    let out = folder.path();
    let flags = "--batch-size 8 --limit-train 6000 --limit-test 16 --log-every 1 --epochs 40";
    let child = short_run(out)
        .args(flags.split_whitespace())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let started = Instant::now();
    let lines =
        || std::fs::read_to_string(out.join("metrics.jsonl")).map(|text| text.lines().count());
    while lines().unwrap_or(0) < 3 {
        // Not how fast it is, but that this test ends.
        assert!(started.elapsed() < Duration::from_secs(300), "no step");
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut kill = Command::new("kill");
    kill.args([signal, &child.id().to_string()]);
    assert!(kill.status().expect("kill runs").success());
    let output = child.wait_with_output().expect("ends");
    assert_eq!(output.status.code(), Some(code));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let next = format!(
        "next     cargo run --release --example train -- --resume {}\n",
        out.display()
    );
    assert_says(
        &text,
        &[
            "best     not tested yet",
            ": last.safetensors, metrics.jsonl\n",
            &next,
        ],
    );
    let (_, saved) = checkpoint::load_trained(&out.join("resume.safetensors")).expect("whole");
    assert!(saved.step >= 3, "{}", saved.step);

    let until = (saved.step + 4).to_string();
    let text = ok(resume(out).args(["--max-steps", &until]));
    assert_says(&text, &[&format!("resumed after step {}", saved.step)]);
    let (_, now) = checkpoint::load_trained(&out.join("last.safetensors")).expect("whole");
    assert_eq!(now.step, saved.step + 4);
    assert!(
        steps(out).into_iter().eq(1..=now.step),
        "each step once, in order"
    );
}

/// Trains in one part and in two, and compares; the learning rates of the epochs.
fn in_two_parts(flags: &[&str]) -> Vec<f64> {
    let folder = new_folder();
    let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
    let both = ["--log-every", "1", "--batch-size", "8"];
    ok(short_run(&one).args(both).args(flags));
    ok(short_run(&two)
        .args(both)
        .args(flags)
        .args(["--max-steps", "2"]));
    let text = ok(&mut resume(&two));
    assert_says(&text, &["resumed after step 2", "steps    "]);
    for name in ["last.safetensors", "best.safetensors"] {
        let read = |run: &Path| std::fs::read(run.join(name)).expect("written");
        assert!(read(&one) == read(&two), "{name} differs");
    }
    assert_eq!(steps(&one), steps(&two));
    let rates = |run: &Path| -> Vec<f64> {
        let lines = metrics(run, "epoch");
        let rates = lines.iter().map(|line| line["learning_rate"].as_f64());
        rates.map(|rate| rate.expect("a number")).collect()
    };
    // One that was stopped within an epoch was tested there too.
    assert!(rates(&two).ends_with(&rates(&one)), "{:?}", rates(&two));
    let tests = |run: &Path| metrics(run, "test");
    assert_eq!(tests(&one), tests(&two));
    rates(&one)
}

#[test]
fn a_run_with_a_validation_split_holds_the_same_images_out_when_it_goes_on() {
    in_two_parts(&["--val-split", "0.25"]);
}

#[test]
fn a_run_that_accumulates_and_lowers_its_rate_goes_on_bit_for_bit() {
    in_two_parts(&["--accumulate", "3"]);
    // Too small a rate to change any answer: the second epoch, before the stop, and the third bring no progress.
    let flags =
        "--schedule plateau --patience-lr 2 --epochs 4 --limit-train 8 --warmup 0 --lr 1e-12";
    let flags: Vec<&str> = flags.split_whitespace().collect();
    let rates = in_two_parts(&flags);
    assert!(
        rates.len() == 4 && rates[2] == rates[0] && rates[3] < rates[0],
        "{rates:?}"
    );
}

#[test]
fn a_run_with_another_loss_goes_on_with_it() {
    in_two_parts(&["--label-smoothing", "0.1", "--class-weights", "balanced"]);
}

#[test]
fn a_run_on_a_folder_of_pictures_finds_them_again() {
    let data = new_folder();
    write_classes(data.path(), 15);
    let path = data.path().to_str().expect("UTF-8");
    in_two_parts(&["--dataset", path]);
}

#[test]
fn a_finished_run_can_be_exported() {
    let folder = new_folder();
    let (out, half) = (
        folder.path().join("run"),
        folder.path().join("half.safetensors"),
    );
    ok(short_run(&out).args(["--val-split", "0.25", "--batch-size", "8"]));
    let best = std::fs::read(out.join("best.safetensors")).expect("written");
    let tests = metrics(&out, "test");
    ok(resume(&out).arg("--export").arg(&half));
    checkpoint::load_trained(&half).expect("whole");
    assert!(std::fs::read(out.join("best.safetensors")).expect("written") == best);
    assert_eq!(metrics(&out, "test"), tests, "tested once, as before");
}

#[test]
fn what_is_no_run_and_flags_that_would_change_a_run_are_refused() {
    let folder = new_folder();
    for path in [folder.path(), &folder.path().join("missing")] {
        let named = path.display().to_string();
        let error = refused(&mut resume(path));
        assert_says(
            &error,
            &[
                "--resume: ",
                &named,
                "holds no run",
                "name the folder of one",
            ],
        );
    }
    let before = contents(trained());
    let error = refused(resume(trained()).args(["--lr", "1"]));
    assert_says(&error, &["--resume", "--lr", "cannot be used"]);
    let error = refused(resume(trained()).args(["--epochs", "0"]));
    assert_says(&error, &["--epochs", "'0'", "at least 1"]);
    assert!(contents(trained()) == before);

    let broken = folder.path().join("resume.safetensors");
    std::fs::write(&broken, "no run").expect("written");
    let error = refused(&mut resume(folder.path()));
    assert_says(&error, &["--resume: ", "resume.safetensors is not a whole"]);
    assert_eq!(std::fs::read(&broken).expect("there"), b"no run");
}
