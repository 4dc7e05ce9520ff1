//! How `train` moves the parameters: its flags, what is recorded of them, and what they refuse.

use std::path::Path;

use nin_wgpu::checkpoint;

use crate::programs::{assert_says, config, example, metrics, new_folder, ok, refused, short_run};

#[test]
fn a_run_under_every_flag_is_recorded_goes_on_bit_for_bit_and_keeps_the_average() {
    let folder = new_folder();
    let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
    let flags = "--optimizer sgd --momentum 0.9 --nesterov --weight-decay 0.001 --lr-of conv.0=0.5 --lr-of conv.0.2=0.25 \
                 --clip-norm 1 --ema 0.5 --freeze conv.4 --lr 0.01 --warmup 0";
    let flags: Vec<&str> = flags.split_whitespace().collect();
    let text = ok(short_run(&one).args(&flags));
    assert_says(
        &text,
        &[
            "updates  sgd, Nesterov's momentum 0.9, weight decay 0.001 of filters, 0.5 times the rate for conv.0, \
             0.25 times the rate for conv.0.2, gradients clipped to 1, a moving average of decay 0.5, conv.4 frozen",
        ],
    );
    let recorded = &config(&one)["training"];
    assert_eq!(recorded["optimizer"]["sgd"]["nesterov"], true, "{recorded}");
    assert_eq!(recorded["frozen"][0], "conv.4", "{recorded}");
    // After an epoch: one that is stopped within is tested there too.
    ok(short_run(&two).args(&flags).args(["--max-steps", "3"]));
    ok(example("train")
        .args(["--device", "cpu", "--resume"])
        .arg(&two));
    for name in ["last.safetensors", "best.safetensors"] {
        let read = |run: &Path| std::fs::read(run.join(name)).expect("written");
        assert!(read(&one) == read(&two), "{name} differs");
    }
    let intervals = metrics(&one, "step");
    assert!(intervals.len() > 1, "{intervals:?}");
    for line in &intervals {
        assert!(line["grad_norm"].as_f64() > Some(0.0), "{line}");
        assert!(line["learning_rate"].is_f64(), "{line}");
    }
    let load = |name: &str| checkpoint::load(&one.join(name)).expect("readable").0;
    let (last, resume) = (load("last.safetensors"), load("resume.safetensors"));
    let find = |name: &str| resume.iter().find(|(other, _)| other == name);
    let mut averaged = 0;
    for (name, tensor) in &last {
        let Some((_, average)) = find(&format!("{name}.ema")) else {
            assert!(name.starts_with("conv.4."), "{name}");
            continue;
        };
        assert_eq!(average, tensor, "{name}");
        averaged += 1;
    }
    assert!(averaged > 0 && averaged < last.len());
}

#[test]
fn each_optimizer_trains_and_plain_adam_says_nothing_new() {
    let folder = new_folder();
    for (name, says) in [
        ("adam", None),
        (
            "adamw",
            Some("updates  adamw, weight decay 0.01 of filters\n"),
        ),
        ("sgd", Some("updates  sgd\n")),
    ] {
        let out = folder.path().join(name);
        let flags = ["--optimizer", name, "--max-steps", "2"];
        let text = ok(short_run(&out).args(flags));
        match says {
            Some(says) => assert_says(&text, &[says]),
            None => assert!(!text.contains("updates"), "{text}"),
        }
    }
    let default = folder.path().join("default");
    ok(short_run(&default).args(["--max-steps", "2"]));
    let read = |run: &str| std::fs::read(folder.path().join(run).join("last.safetensors"));
    assert!(read("adam").expect("written") == read("default").expect("written"));
    for line in metrics(&default, "step") {
        assert!(line.get("grad_norm").is_none(), "{line}");
    }
}

#[test]
fn what_the_flags_name_wrongly_is_refused_with_what_there_is() {
    let folder = new_folder();
    let cases: &[(&[&str], &[&str])] = &[
        (
            &["--optimizer", "rmsprop"],
            &["rmsprop", "--optimizer", "adam, adamw, sgd"],
        ),
        (
            &["--freeze", "conv.9"],
            &["--freeze: ", "`conv.9`", "the layers are conv.0.0, "],
        ),
        (
            &["--lr-of", "dense=0.1"],
            &["--lr-of: ", "`dense`", "the layers are conv.0.0, "],
        ),
        (
            &["--lr-of", "conv.0"],
            &["--lr-of", "expected the first parts", "conv.0=0.1"],
        ),
        (&["--freeze", "conv"], &["no parameter to train"]),
        (
            &["--momentum", "0.9"],
            &["--momentum is for --optimizer sgd"],
        ),
        (&["--optimizer", "sgd", "--nesterov"], &["--momentum"]),
        (
            &["--optimizer", "sgd", "--momentum", "1"],
            &["--momentum", "from 0 to 1"],
        ),
        (&["--ema", "1.5"], &["--ema", "from 0 to 1"]),
        (&["--clip-norm", "0"], &["--clip-norm", "above 0"]),
        (
            &["--weight-decay", "-1"],
            &["--weight-decay", "0 or a number"],
        ),
    ];
    for (flags, parts) in cases {
        let out = folder.path().join("run");
        let text = refused(short_run(&out).args(*flags));
        assert_says(&text, parts);
        assert!(!out.exists(), "{flags:?} left a folder");
    }
    let mut resume = example("train");
    resume.args(["--resume", "runs/none", "--ema", "0.9"]);
    let text = refused(&mut resume);
    assert_says(&text, &["cannot be used with", "--ema"]);
}

#[test]
fn the_plan_of_a_training_shows_its_optimizer() {
    let mut command = example("train");
    let flags =
        "--plan --dataset synthetic --model nin-small --optimizer sgd --clip-norm 1 --ema 0.9";
    let text = ok(command.args(flags.split_whitespace()));
    assert_says(
        &text,
        &[
            "gradient_norm.root",
            "optimizer.clip_step[sgd_groups]",
            "ema.update",
        ],
    );
}
