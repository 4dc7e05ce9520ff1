//! The learning rate of `train`: its schedules, a test that finds one, and steps of several batches.

use std::path::Path;

use nin_wgpu::checkpoint;

use crate::programs::{
    assert_says, config, contents, example, metrics, new_folder, ok, refused, run, short_run,
};

/// The learning rate of every line of one kind.
fn rates(run: &Path, kind: &str) -> Vec<f64> {
    let lines = metrics(run, kind);
    let rates = lines.iter().map(|line| line["learning_rate"].as_f64());
    rates.map(|rate| rate.expect("a number")).collect()
}

fn close(got: &[f64], want: &[f64]) {
    let near = |(got, want): (&f64, &f64)| (got / want - 1.0).abs() < 1e-9;
    let all = got.len() == want.len() && got.iter().zip(want).all(near);
    assert!(all, "{got:?} instead of {want:?}");
}

#[test]
fn every_schedule_is_chosen_by_flag_and_its_rates_are_recorded() {
    let folder = new_folder();
    let run = |name: &str, flags: &str, said: &str| {
        let out = folder.path().join(name);
        let both = ["--schedule", name, "--log-every", "1"];
        let text = ok(short_run(&out).args(both).args(flags.split_whitespace()));
        assert_says(
            &text,
            &[&format!("learning rate {said}, 0 steps of warm-up")],
        );
        [rates(&out, "step"), rates(&out, "epoch")]
    };
    let said = "0.002 (times 0.5 every 1 epochs)";
    let flags = "--warmup 0 --step-every 1 --gamma 0.5";
    let [steps, epochs] = run("step", flags, said);
    close(&steps, &[2e-3, 2e-3, 2e-3, 1e-3, 1e-3, 1e-3]);
    close(&epochs, &[2e-3, 1e-3]);
    let [steps, _] = run("one-cycle", "", "0.002 (one cycle)");
    close(&[steps[0], steps[5]], &[2e-3 / 25.0, 2e-3 / 25e4]);
    // Too small a rate to change any answer, so that no epoch is better than the first.
    let flags = "--warmup 0 --lr 1e-12 --patience-lr 1 --epochs 5";
    let said = "0.000000000001 (times 0.1 after 1 epochs without progress, at most 2 times)";
    let [_, epochs] = run("plateau", flags, said);
    close(&epochs, &[1e-12, 1e-12, 1e-13, 1e-14, 1e-14]);
}

#[test]
fn the_papers_recipe_has_its_rate_and_schedule() {
    let folder = new_folder();
    let flags = ["--recipe", "paper", "--max-steps", "1"];
    let text = ok(short_run(folder.path()).args(flags));
    let schedule = "(times 0.1 after 10 epochs without progress, at most 2 times)";
    assert_says(&text, &[&format!("learning rate 0.1 {schedule}, 0 steps")]);
    assert_eq!(config(folder.path())["recipe"], "paper");
}

#[test]
fn numbers_of_another_schedule_and_out_of_range_are_refused() {
    let folder = new_folder();
    let cases: &[(&str, &[&str])] = &[
        (
            "--schedule step",
            &["--schedule step", "--step-every EPOCHS"],
        ),
        (
            "--step-every 2",
            &["--step-every is for --schedule step", "cosine"],
        ),
        (
            "--schedule step --step-every 2 --patience-lr 1",
            &["--patience-lr is for --schedule plateau"],
        ),
        (
            "--schedule one-cycle --gamma 0.5",
            &["--gamma is for --schedule step or plateau", "one cycle"],
        ),
        (
            "--schedule one-cycle --warmup 5",
            &[
                "--warmup",
                "one cycle begins with a rise",
                "leave --warmup out",
            ],
        ),
        (
            "--schedule plateau --gamma 1",
            &["'1'", "--gamma", "between 0 and 1"],
        ),
        ("--schedule plateau --gamma -1", &["'-1'", "--gamma"]),
        ("--schedule plateau --patience-lr 0", &["'0'", "at least 1"]),
        ("--schedule step --step-every 0", &["'0'", "at least 1"]),
        ("--accumulate 0", &["'0'", "--accumulate", "at least 1"]),
        (
            "--accumulate 4",
            &[
                "a batch of 128 is larger than the 96",
                "smaller --batch-size or --accumulate",
            ],
        ),
        (
            "--find-lr --plan",
            &["--find-lr", "--plan", "cannot be used"],
        ),
    ];
    for (flags, parts) in cases {
        let mut command = short_run(&folder.path().join("run"));
        let error = refused(command.args(flags.split_whitespace()));
        assert_says(&error, parts);
    }
    let error = refused(example("train").args(["--resume", "x", "--find-lr"]));
    assert_says(
        &error,
        &["'--find-lr'", "'--resume <DIR>'", "cannot be used"],
    );
    assert!(contents(folder.path()).is_empty(), "something was written");
}

#[test]
fn steps_of_several_batches_are_those_of_one_large_batch_but_for_rounding() {
    let folder = new_folder();
    let [whole, parts] = ["whole", "parts"].map(|name| folder.path().join(name));
    let every = ["--log-every", "1"];
    ok(short_run(&whole).args(every));
    let flags = ["--batch-size", "8", "--accumulate", "4"];
    let text = ok(short_run(&parts).args(every).args(flags));
    assert_says(
        &text,
        &["recipe   batch 32 in 4 parts, 2 epochs", "steps    6 in"],
    );
    assert_eq!(config(&parts)["accumulate"], 4);
    let losses = |run: &Path| -> Vec<f64> {
        let lines = metrics(run, "step");
        lines
            .iter()
            .filter_map(|line| line["loss"].as_f64())
            .collect()
    };
    let [want, got] = [losses(&whole), losses(&parts)];
    assert_eq!((want.len(), got.len()), (6, 6));
    for (got, want) in got.iter().zip(&want) {
        assert!((got - want).abs() < 1e-4, "{got}, {want}");
    }
    let last = |run: &Path| {
        let path = run.join("last.safetensors");
        checkpoint::load(&path).expect("whole").0
    };
    for ((name, got), (_, want)) in last(&parts).iter().zip(&last(&whole)) {
        for (got, want) in got.data.iter().zip(&want.data) {
            assert!((got - want).abs() < 2e-4, "{name}: {got}, {want}");
        }
    }
}

#[test]
fn a_rate_is_found_nothing_is_overwritten_and_the_command_it_names_trains() {
    let folder = new_folder();
    let (out, after) = (folder.path().join("a run"), folder.path().join("a run-2"));
    ok(&mut short_run(&out));
    let before = contents(&out);
    let text = ok(short_run(&out).args(["--lr", "0.123", "--find-lr"]));
    let again = ok(short_run(&out).args(["--find-lr", "--quiet"]));
    assert_says(
        &text,
        &[
            "model    nin-small",
            "learning rate 1.0e-6  loss 2.",
            "saved    ",
        ],
    );
    let line = |text: &str, start: &str| {
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(start));
        lines.next().expect("it is said").to_owned()
    };
    let said = line(&text, "suggest  a learning rate of ");
    assert_eq!(
        said,
        line(&again, "suggest  a learning rate of "),
        "it repeats"
    );
    let (suggestion, _) = said.split_once(':').expect("a rate");
    let rate: f64 = suggestion.parse().expect("a number");
    assert!((1e-4..1e-1).contains(&rate), "{rate}");

    let mut now = contents(&out);
    now.retain(|path, _| !before.contains_key(path));
    let new: Vec<_> = now
        .keys()
        .filter_map(|path| path.file_name()?.to_str())
        .collect();
    assert_eq!(
        new,
        [
            "find-lr-2.csv",
            "find-lr-2.svg",
            "find-lr.csv",
            "find-lr.svg"
        ]
    );
    assert!(
        before
            .iter()
            .all(|(path, bytes)| contents(&out).get(path) == Some(bytes))
    );
    let table = std::fs::read_to_string(out.join("find-lr.csv")).expect("written");
    let mut rows = csv::Reader::from_reader(table.as_bytes());
    let rows: Vec<[f64; 3]> = rows
        .deserialize()
        .map(|row| row.expect("numbers"))
        .collect();
    assert!(
        rows.len() > 50 && (rows[0][0] - 1e-6).abs() < 1e-15,
        "{rows:?}"
    );

    let next = line(&text, "next     cargo run --release --example train -- ");
    assert!(next.contains("'") && !next.contains("--find-lr") && !next.contains("0.123"));
    assert!(next.ends_with(&format!(" --lr {suggestion}")), "{next}");
    let flags = next.replace(&format!("'{}'", after.display()), "OUT");
    let mut command = example("train");
    let flags = flags.split(' ').map(|flag| match flag {
        "OUT" => after.as_os_str(),
        flag => flag.as_ref(),
    });
    assert_says(&ok(command.args(flags)), &["steps    6 in "]);
    assert_eq!(config(&after)["learning_rate"], rate);
}

#[test]
fn a_rate_that_came_to_its_end_is_not_raised_again_by_more_epochs() {
    let folder = new_folder();
    let path = |name: &str| folder.path().join(name);
    let resume = |out: &Path, epochs: &str| {
        let mut command = example("train");
        command
            .args(["--device", "cpu", "--epochs", epochs, "--resume"])
            .arg(out);
        command
    };
    for name in ["cosine", "one-cycle"] {
        let out = path(name);
        ok(short_run(&out).args(["--schedule", name]));
        let before = contents(&out);
        let error = refused(&mut resume(&out, "3"));
        assert_says(
            &error,
            &[
                "cannot resume: the learning rate",
                "after the 2 epochs",
                "--init",
            ],
        );
        assert!(contents(&out) == before, "a file changed");
    }
    let out = path("stopped");
    ok(short_run(&out).args(["--max-steps", "4"]));
    let ended = run(&mut resume(&out, "3"));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let says = [
        "warning: the learning rate (cosine) is laid over 3 epochs",
        "and was over 2",
    ];
    assert_says(&ended.stderr, &says);
    let out = path("constant");
    ok(short_run(&out).args(["--schedule", "constant"]));
    assert_says(&ok(&mut resume(&out, "3")), &["steps    9 in "]);
}
