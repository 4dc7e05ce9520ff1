//! `train --on-nan skip`: a step whose gradient is not finite is left out, counted and told of.

use std::path::{Path, PathBuf};

use image::{ImageFormat, Rgb, RgbImage};
use nin_wgpu::checkpoint;
use nin_wgpu::data::Outline;
use nin_wgpu::init::Init;
use nin_wgpu::models::Model;
use nin_wgpu::train::{TrainOptions, training_program};

use crate::made::save;
use crate::parts::assert_same;
use crate::programs::{
    assert_says, config, example, metrics, new_folder, ok, refused, run, train_on, without_gpu,
};

/// Pictures without any blue but one of those to train on, and parameters whose filters for blue are so large that the squares of that
/// one's gradients overflow.
fn write(folder: &Path) -> [PathBuf; 2] {
    let pictures = folder.join("pictures");
    for (part, each) in [("train", 16), ("test", 4)] {
        for (class, bright) in [("left", 0..14), ("right", 14..28)] {
            for i in 0..each {
                let blue = if (part, class, i) == ("train", "left", 5) {
                    200
                } else {
                    0
                };
                let picture = RgbImage::from_fn(28, 28, |x, y| {
                    let value = if bright.contains(&x) { 200 } else { 20 };
                    Rgb([value + ((x + y + i) % 20) as u8, value, blue])
                });
                let path = pictures.join(part).join(class).join(format!("{i}.png"));
                save(picture, &path, ImageFormat::Png);
            }
        }
    }
    let outline = Outline {
        len: 32,
        image: [3, 28, 28],
        classes: 2,
        draws: false,
    };
    let model = Model::find("nin-small").expect("exists");
    let program = training_program(model, &outline, &TrainOptions::default()).expect("builds");
    let mut parameters = Init::Kaiming
        .parameters(program.graph(), 1)
        .expect("initialises");
    let (_, filters) = &mut parameters[0];
    let taps: usize = filters.shape.dims()[2..].iter().product();
    for of_blue in filters.data.chunks_mut(taps).skip(2).step_by(3) {
        of_blue.fill(1e34);
    }
    let init = folder.join("init.safetensors");
    checkpoint::save(&init, &parameters, None).expect("written");
    [pictures, init]
}

/// Four steps an epoch, of which one sees the picture.
fn in_parts(device: &str) {
    let folder = new_folder();
    let [pictures, init] = write(folder.path());
    let [stops, one, parts] = ["stops", "one", "parts"].map(|name| folder.path().join(name));
    let train = |out: &Path, flags: &str| {
        let mut command = train_on(&pictures, out);
        command.args(["--device", device, "--init"]).arg(&init);
        let flags = format!("--optimizer sgd --epochs 2 --log-every 1 --warmup 0 {flags}");
        command.args(flags.split_whitespace());
        command
    };
    let error = refused(&mut train(&stops, ""));
    assert_says(&error, &["error: ", "step ", "lower learning rate"]);

    let says = ok(&mut train(&one, "--on-nan skip"));
    let wanted = [
        "steps skipped whose gradients are not finite",
        "no loss, since every step was skipped",
        ", 1 step skipped",
        "skipped  2 steps, whose gradients were not finite",
    ];
    assert_says(&says, &wanted);
    let steps = metrics(&one, "step");
    assert_eq!(steps.len(), 8);
    let (skipped, others): (Vec<_>, Vec<_>) =
        steps.into_iter().partition(|line| line["skipped"] == 1);
    assert_eq!(skipped.len(), 2);
    assert!(skipped.iter().all(|line| line["loss"].is_null()));
    for line in others {
        assert!(line["loss"].is_number() && line["skipped"] == 0, "{line}");
    }
    for line in metrics(&one, "epoch") {
        assert!(
            line["train_loss"].is_number() && line["skipped"] == 1,
            "{line}"
        );
    }
    assert_eq!(config(&one)["training"]["skip_non_finite"], true);

    // It goes on so though nobody says so again.
    for until in ["1", "3", "6"] {
        let mut command = match parts.exists() {
            false => train(&parts, "--on-nan skip"),
            true => {
                let mut command = example("train");
                command.args(["--device", device, "--resume"]).arg(&parts);
                command
            }
        };
        ok(command.args(["--max-steps", until]));
    }
    let mut command = example("train");
    command
        .args(["--device", device, "--quiet", "--resume"])
        .arg(&parts);
    let says = ok(&mut command);
    assert_says(
        &says,
        &["skipped  2 steps, whose gradients were not finite"],
    );
    assert_same(&parts, &one);
}

#[test]
fn a_picture_that_overflows_is_left_out_and_counted_in_one_run_and_in_parts() {
    in_parts("cpu");
}

#[test]
fn so_it_is_on_a_gpu() {
    if !without_gpu() {
        in_parts("gpu:0");
    }
}

#[test]
fn a_run_that_began_to_skip_may_go_on_to_stop() {
    let folder = new_folder();
    let [pictures, init] = write(folder.path());
    let out = folder.path().join("run");
    let mut command = train_on(&pictures, &out);
    command.arg("--init").arg(&init);
    let flags = "--optimizer sgd --epochs 4 --log-every 1 --warmup 0 --on-nan skip --max-steps 4";
    ok(command.args(flags.split(' ')));
    let resume = |on_nan: &str, until: &str| {
        let mut command = example("train");
        command.args(["--device", "cpu", "--resume"]).arg(&out);
        run(command.args(["--on-nan", on_nan, "--max-steps", until]))
    };
    let ended = resume("skip", "8");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_says(&ended.stdout, &["skipped  2 steps"]);
    let ended = resume("stop", "16");
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert_says(&ended.stderr, &["lower learning rate"]);
}
