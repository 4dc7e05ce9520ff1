//! What `classify` prints, and which network it takes.

use crate::programs::{
    assert_says, classify, example, image, json, new_folder, ok, run, short_run,
};

#[test]
fn classify_prints_the_most_probable_classes_for_people_and_for_programs() {
    let text = ok(classify().args(["--top", "2"]).arg(image()));
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.starts_with(&image().display().to_string()), "{text}");
    assert!(text.contains(" %  grating "), "{text}");

    let lines = json(classify().args([image(), image()]));
    assert_eq!(lines.len(), 2);
    for line in lines {
        let top = line["top"].as_array().expect("a list");
        let probabilities: Vec<_> = top.iter().map(|one| one["probability"].as_f64()).collect();
        assert_eq!(probabilities.len(), 3);
        assert!(probabilities.is_sorted_by(|a, b| a >= b), "{line}");
    }
}

#[test]
fn without_a_run_classify_takes_the_network_that_comes_with_the_source() {
    let folder = new_folder();
    let ended = run(example("classify")
        .current_dir(folder.path())
        .args(["--device", "cpu"])
        .arg(image()));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_says(
        &ended.stderr,
        &["fashion-mnist.safetensors", "trained on fashion-mnist"],
    );
    let first = ended.stdout.lines().nth(1).expect("a class");
    assert!(first.ends_with("Ankle boot"), "{}", ended.stdout);
}

#[test]
fn classify_finds_the_newest_run_by_itself() {
    let folder = new_folder();
    for name in ["first", "second"] {
        ok(&mut short_run(&folder.path().join("runs").join(name)));
        let ended = run(example("classify")
            .current_dir(folder.path())
            .args(["--device", "cpu"])
            .arg(image()));
        assert_says(&ended.stdout, &["%  grating"]);
        assert_says(
            &ended.stderr,
            &[&format!("with runs/{name}/best.safetensors")],
        );
    }
}

#[test]
fn a_picture_of_one_pixel_is_a_picture() {
    let folder = new_folder();
    let path = folder.path().join("pixel.png");
    image::GrayImage::new(1, 1).save(&path).expect("written");
    assert_eq!(json(classify().arg(&path)).len(), 1);
}
