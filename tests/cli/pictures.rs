//! The pictures that `classify` reads and draws: heat maps, folders of images, light and dark.

use std::path::Path;

use crate::programs::{assert_says, classify, json, new_folder, refused, run, samples};

#[test]
fn heat_maps_have_a_row_a_picture_and_maps_a_place_a_class() {
    let folder = new_folder();
    let out = |name: &str| folder.path().join(name);
    let size = |path: &Path| image::image_dimensions(path).expect("a PNG file");
    let one = samples().join("bag.png");
    let draw = |images: &[&Path], heatmap: &str, maps: &str| {
        let mut command = classify();
        command.args(images);
        command.arg("--heatmap").arg(out(heatmap));
        let ended = run(command.arg("--maps").arg(out(maps)));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let (note, warning) = ended
            .stderr
            .split_once("\n\n")
            .expect("a note of the network");
        assert_says(note, &["best.safetensors: nin-small trained on synthetic"]);
        (ended.stdout, warning.to_owned())
    };
    let (text, _) = draw(&[&one], "one.png", "one maps.PNG");
    assert!(text.contains('%'), "{text}");
    // As many as need two batches.
    let (_, warning) = draw(&[samples().as_path(); 3], "many.png", "many maps.png");
    assert_eq!(warning, "");
    let [(width, height), (all_width, all_height)] =
        ["many.png", "many maps.png"].map(|name| size(&out(name)));
    let [(one_width, one_height), (all_one_width, all_one_height)] =
        ["one.png", "one maps.PNG"].map(|name| size(&out(name)));
    assert_eq!((width, all_width), (one_width, all_one_width));
    assert!(all_width > 5 * 196 && all_one_height > 2 * 196);
    // 18 pictures.
    assert!(height > 18 * 224 && height < 18 * one_height, "{height}");
    assert!(all_height > 18 * 2 * 196 && all_height < 18 * all_one_height);

    let (_, warning) = draw(&[samples().as_path(); 11], "most.png", "most maps.png");
    assert!(warning.contains("the first 64 of 66 pictures"), "{warning}");
}

#[test]
fn a_folder_stands_for_its_pictures_in_order() {
    let folder = new_folder();
    let copy = |from: &str, to: &str| {
        std::fs::copy(samples().join(from), folder.path().join(to)).expect("copied");
    };
    copy("dress.png", "b.png");
    copy("bag.png", "a.PNG");
    copy("README.md", "README.md");
    std::fs::create_dir(folder.path().join("c.png")).expect("made");
    let shoe = samples().join("ankle_boot.png");
    let lines = json(classify().arg(folder.path()).arg(&shoe));
    let names: Vec<_> = lines.iter().map(|line| line["image"].as_str()).collect();
    let want = [
        folder.path().join("a.PNG"),
        folder.path().join("b.png"),
        shoe,
    ];
    let want: Vec<_> = want.iter().map(|path| path.to_str()).collect();
    assert_eq!(names, want);

    let empty = new_folder();
    let error = refused(classify().arg(empty.path()));
    let named = empty.path().display().to_string();
    assert_says(&error, &["holds no pictures", ".png", &named]);
}

#[test]
fn light_and_dark_are_swapped_where_asked_and_where_the_border_is_bright() {
    let folder = new_folder();
    let dark = samples().join("trouser.png");
    let bright = folder.path().join("bright.png");
    let mut picture = image::open(&dark).expect("a picture").into_luma8();
    picture
        .pixels_mut()
        .for_each(|pixel| pixel.0[0] = 255 - pixel.0[0]);
    picture.save(&bright).expect("written");
    let top = |path: &Path, flags: &[&str]| {
        let mut lines = json(classify().args(flags).args(["--top", "10"]).arg(path));
        lines.remove(0)["top"].take()
    };
    let upright = top(&dark, &["--invert", "no"]);
    let swapped = top(&bright, &["--invert", "no"]);
    assert_ne!(upright, swapped);
    assert_eq!(top(&dark, &["--invert", "yes"]), swapped);
    assert_eq!(top(&bright, &["--invert", "yes"]), upright);
    for flags in [&[][..], &["--invert", "auto"]] {
        assert_eq!(top(&dark, flags), upright);
        assert_eq!(top(&bright, flags), upright);
    }
    assert_eq!(upright.as_array().map(Vec::len), Some(10));
}

#[test]
fn outputs_that_cannot_be_are_refused_and_nothing_is_written_over() {
    let folder = new_folder();
    let picture = folder.path().join("bag.png");
    std::fs::copy(samples().join("bag.png"), &picture).expect("copied");
    let before = std::fs::read(&picture).expect("readable");
    let same = picture.to_str().expect("UTF-8");
    let detour = format!("{}/./bag.png", folder.path().display());
    let other = format!("{}/other.png", folder.path().display());
    let cases: &[(&[&str], &[&str])] = &[
        (&["--heatmap", same], &["--heatmap", "one of the pictures"]),
        (&["--maps", &detour], &["--maps", "one of the pictures"]),
        (
            &["--heatmap", &other, "--maps", &other],
            &["--heatmap and --maps are both", "two files"],
        ),
        (&["--maps", "out.jpg"], &["--maps", "ends in .png"]),
        (
            &["--heatmap", "/dev/null/out.png"],
            &["--heatmap", "cannot write /dev/null/out.png"],
        ),
        (&["--invert", "perhaps"], &["--invert", "auto, yes, no"]),
        (&["--top", "many"], &["--top"]),
    ];
    for (flags, parts) in cases {
        let error = refused(classify().args(*flags).arg(&picture));
        assert_says(&error, parts);
    }
    assert_eq!(std::fs::read(&picture).expect("readable"), before);
    let left = std::fs::read_dir(folder.path()).expect("readable").count();
    assert_eq!(left, 1, "something was written");
}
