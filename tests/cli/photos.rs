//! Pictures of one's own through the programs: what becomes of them is said, and nothing is left out in silence.

use std::path::Path;

use image::{GrayImage, ImageFormat, Luma};

use crate::made::{photo, save};
use crate::programs::{
    assert_says, classify, classify_with, config, example, named_bad, new_folder, ok, refused, run,
    train_on, write_classes,
};

fn jpegs(folder: &Path, each: u32) {
    for class in ["cat", "dog"] {
        for i in 0..each {
            let path = folder.join(class).join(format!("{i}.jpg"));
            save(photo(90, 70 + i, i), &path, ImageFormat::Jpeg);
        }
    }
}

#[test]
fn brightness_alone_tells_classes_apart_since_polarity_is_one_choice_for_a_set() {
    let folder = new_folder();
    for (class, base) in [("dark", 40), ("light", 200)] {
        for i in 0..60_u8 {
            let picture = GrayImage::from_pixel(28, 28, Luma([base + i % 16]));
            let path = folder.path().join(format!("polar/{class}/{i}.png"));
            save(picture, &path, ImageFormat::Png);
        }
    }
    let mut command = train_on(&folder.path().join("polar"), &folder.path().join("run"));
    let text = ok(command.args(["--epochs", "8"]));
    assert_says(&text, &["test accuracy 100.00 %"]);
}

#[test]
fn what_is_left_out_is_counted_by_reason_and_listed_when_asked() {
    let folder = new_folder();
    let data = folder.path().join("data");
    jpegs(&data, 10);
    std::fs::rename(data.join("dog/0.jpg"), data.join("dog/0.JFIF")).expect("renamed");
    std::fs::create_dir(data.join("dog/more")).expect("made");
    std::fs::rename(data.join("dog/1.jpg"), data.join("dog/more/1.jpg")).expect("renamed");
    for name in ["cat/notes.txt", "cat/._1.jpg", "cat/empty.png"] {
        let text = if name.ends_with("png") { "" } else { "text" };
        std::fs::write(data.join(name), text).expect("written");
    }
    let mut command = train_on(&data, &folder.path().join("run"));
    let text = ok(command.arg("--verbose"));
    assert_says(
        &text,
        &[
            "16 training and 4 test images",
            "pictures of 28x28, in colour, crop",
            "left out: 1 file with other endings (.txt 1), 1 hidden, 1 of 0 bytes",
            "cat/notes.txt: not a picture's ending",
        ],
    );
}

#[test]
fn photos_are_brought_to_the_networks_size_and_streamed_and_that_is_said() {
    let folder = new_folder();
    let data = folder.path().join("data");
    jpegs(&data, 5);
    let out = folder.path().join("run");
    let mut command = train_on(&data, &out);
    command.args(["--model", "nin", "--batch-size", "2", "--max-steps", "2"]);
    let text = ok(command.arg("--augment"));
    assert_says(
        &text,
        &[
            "pictures of 224x224, in colour, crop; streamed to the device, 4 batches ahead",
            "random parts of 8 % to 100 % of each picture, half of them mirrored",
        ],
    );
    assert_eq!(config(&out)["dataset"], "folder");
}

#[test]
fn photos_that_are_told_to_lie_on_the_device_are_cropped_there_and_that_is_said() {
    let folder = new_folder();
    let data = folder.path().join("data");
    jpegs(&data, 5);
    let mut command = train_on(&data, &folder.path().join("run"));
    let flags = "--data-home resident --augment --batch-size 4 --max-steps 2";
    let text = ok(command.args(flags.split_whitespace()));
    assert_says(
        &text,
        &[
            "MB resident on the device",
            "random parts of 8 % to 100 % of each picture, half of them mirrored",
        ],
    );
}

#[test]
fn layouts_are_taken_as_they_lie_or_explained() {
    let folder = new_folder();
    let path = |name: &str| folder.path().join(name);
    for part in ["a/train", "a/val", "a/test", "b/train", "b/valid"] {
        write_classes(&path(part), 10);
    }
    for (name, says) in [
        ("a", "20 training, 20 validation and 20 test images"),
        ("b", "valid/ is what the best epoch is chosen by"),
    ] {
        let text = ok(&mut train_on(&path(name), &path(&format!("run-{name}"))));
        assert_says(&text, &[says]);
    }
    for part in ["train", "val"] {
        save(
            photo(9, 9, 1),
            &path("c").join(part).join("1.png"),
            ImageFormat::Png,
        );
    }
    let error = refused(&mut train_on(&path("c"), &path("run-c")));
    assert_says(
        &error,
        &["c has 0 folders in train/", "pets/train/cat/1.jpg"],
    );
}

#[test]
fn a_run_goes_on_with_its_table_and_never_with_folders_of_other_names() {
    let folder = new_folder();
    let path = |name: &str| folder.path().join(name);
    write_classes(&path("data"), 20);
    let lines = (0..20)
        .flat_map(|i| ["left", "right"].map(|class| format!("data/{class}/{i}.png,{class}\n")));
    let table: String = std::iter::once("path,label\n".to_owned())
        .chain(lines)
        .collect();
    std::fs::write(path("table.csv"), &table).expect("written");
    for (data, name) in [("table.csv", "csv"), ("data", "folder")] {
        let out = path(name);
        let mut command = train_on(&path(data), &out);
        ok(command.args(["--epochs", "2", "--max-steps", "3"]));
        assert_eq!(config(&out)["dataset"], name);
        let mut resume = example("train");
        resume.args(["--device", "cpu", "--resume"]).arg(&out);
        assert_says(&ok(&mut resume), &["resumed after step 3", "steps    8"]);
    }
    std::fs::rename(path("data/left"), path("data/up")).expect("renamed");
    let mut resume = example("train");
    resume.args(["--device", "cpu", "--epochs", "3", "--resume"]);
    let error = refused(resume.arg(path("folder")));
    assert_says(
        &error,
        &["the classes left, right", "the data has right, up"],
    );

    std::fs::rename(path("data/up"), path("data/left")).expect("renamed");
    for (bad, says) in [
        (table + "data/right/none.png,right\n", "line 42: "),
        (
            "path,label,split\ndata/right/1.png,right,tset\n".into(),
            "split is `tset`",
        ),
    ] {
        std::fs::write(path("table.csv"), bad).expect("written");
        let error = refused(&mut train_on(&path("table.csv"), &path("run")));
        assert_says(&error, &[&path("table.csv").display().to_string(), says]);
    }
}

#[test]
fn a_cut_jpeg_ends_the_run_by_name_or_is_left_out_and_listed() {
    let folder = new_folder();
    let data = folder.path().join("data");
    jpegs(&data, 12);
    let cut = data.join("dog/3.jpg");
    let bytes = std::fs::read(&cut).expect("readable");
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).expect("written");
    let error = refused(&mut train_on(&data, &folder.path().join("stops")));
    assert_says(&error, &["dog/3.jpg", "want a whole"]);
    for home in ["resident", "stream"] {
        let out = folder.path().join(home);
        let mut command = train_on(&data, &out);
        command.args(["--on-bad", "skip", "--data-home", home]);
        let ended = run(command.args(["--batch-size", "4"]));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_says(&ended.stderr, &["warning: left out", "dog/3.jpg"]);
        let list = std::fs::read_to_string(out.join("bad-pictures.txt")).expect("written");
        assert_eq!(list.lines().count(), 1, "{list}");
        assert_says(&list, &["dog/3.jpg"]);
    }
}

#[test]
fn classify_sees_pictures_as_they_were_trained_on() {
    let folder = new_folder();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    // Bright borders, all of them: the set is swapped, and a picture to classify as well.
    for (class, column) in [("left", 20), ("right", 70)] {
        for i in 0..40 {
            let picture = GrayImage::from_fn(100, 80, |x, y| {
                let inside = x.abs_diff(column) < 12 && y.abs_diff(40) < 12;
                Luma([if inside { 10 + i as u8 } else { 240 }])
            });
            let path = data.join(format!("{class}/{i}.png"));
            save(picture, &path, ImageFormat::Png);
        }
    }
    for fit in ["crop", "pad", "stretch"] {
        let out = out.join(fit);
        let mut command = train_on(&data, &out);
        let text = ok(command.args(["--epochs", "6", "--fit", fit]));
        let says = format!("pictures of 28x28, grey, {fit}, light and dark swapped");
        assert_says(&text, &[&says, "test accuracy 100.00 %"]);
        for class in ["left", "right"] {
            let mut command = classify_with(&out.join("best.safetensors"));
            let text = ok(command.args(["--top", "1"]).arg(data.join(class)));
            assert_eq!(text.matches(&format!("%  {class}")).count(), 40, "{text}");
        }
    }
}

#[test]
fn classify_answers_for_many_pictures_and_names_the_one_that_is_bad() {
    let folder = new_folder();
    for i in 0..70 {
        let path = folder.path().join(format!("{i:02}.png"));
        save(photo(20, 20, i), &path, ImageFormat::Png);
    }
    std::fs::write(folder.path().join("33.png"), "text").expect("written");
    std::fs::write(folder.path().join("._34.png"), "text").expect("written");
    let error = named_bad(classify().arg(folder.path()));
    assert_says(&error, &["33.png"]);
    let ended = run(classify().arg("--json").arg(folder.path()));
    let lines: Vec<serde_json::Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!((ended.code, lines.len()), (Some(1), 70));
    let answered = lines.iter().filter(|line| line["top"].is_array());
    assert_eq!(answered.count(), 69);
}

#[test]
fn the_data_program_shows_classes_sizes_and_what_is_the_same_and_draws_a_sheet() {
    let folder = new_folder();
    let data = folder.path().join("data");
    jpegs(&data.join("train"), 6);
    jpegs(&data.join("test"), 2);
    let sheet = folder.path().join("sheet.png");
    let mut command = example("data");
    command.arg(&data).arg("--out").arg(&sheet);
    let text = ok(command.args(["--model", "nin-small", "--pictures", "7"]));
    assert_says(
        &text,
        &[
            "12 training, 4 test, 2 classes",
            "sees 28x28, in colour (crop)",
            "cat            6          2",
            "stored   0 in grey, 16 in colour",
            "2 of them in more than one part",
        ],
    );
    let drawn = image::open(&sheet).expect("a picture");
    assert!(drawn.width() > 7 * 100, "{}", drawn.width());
    let mut command = example("data");
    let error = refused(command.arg(folder.path().join("none")));
    assert_says(&error, &["unknown data set"]);
}

#[test]
fn impossible_sizes_are_refused_by_the_flag() {
    for size in ["0", "100000", "12x", "axb"] {
        let mut command = example("train");
        let error = refused(command.args(["--dataset", "synthetic", "--image-size", size]));
        assert_says(&error, &["--image-size", "1 to 16384"]);
    }
}
