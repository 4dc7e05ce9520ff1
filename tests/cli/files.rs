//! Picture files that are cut, that unpack to too much or are stored in an unusual way, as `classify` meets them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use image::{ImageFormat, Rgb, RgbImage};
use serde_json::Value;

use crate::made::{Kind, black_png, photo, save};
use crate::programs::{
    assert_says, classify, classify_with, image, json, lines, named_bad, new_folder, ok, run,
    train_on,
};

fn fixture(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pictures");
    let path = folder.join(name);
    assert!(path.exists(), "{}", path.display());
    path
}

/// A network that tells warm colours from cool ones on the left: it has an eye for colour and for what lies where.
fn coloured(folder: &Path) -> Command {
    let data = folder.join("data");
    for (class, left) in [("cool", [50, 90, 200]), ("warm", [200, 90, 50])] {
        for i in 0..40 {
            let picture = RgbImage::from_fn(28, 28, |x, y| {
                let grain = ((x * 7 + y * 13 + i * 31) % 41) as u8;
                let [r, g, b] = if x < 14 { left } else { [120, 110, 120] };
                Rgb([r + grain, g + grain, b + grain])
            });
            let path = data.join(format!("{class}/{i}.png"));
            save(picture, &path, ImageFormat::Png);
        }
    }
    let out = folder.join("run");
    let mut command = train_on(&data, &out);
    assert_says(&ok(command.args(["--epochs", "6"])), &["in colour"]);
    classify_with(&out.join("best.safetensors"))
}

/// The probability of the class `warm` that is printed for each picture.
fn warmth(classify: &mut Command, paths: &[PathBuf]) -> Vec<f64> {
    let answers = json(classify.args(["--top", "2"]).args(paths));
    let answers: Vec<f64> = answers
        .iter()
        .map(|answer| of_class(answer, "warm"))
        .collect();
    assert_eq!(answers.len(), paths.len());
    answers
}

fn of_class(answer: &Value, class: &str) -> f64 {
    let top = answer["top"].as_array().expect("a list");
    let named = top.iter().find(|one| one["class"] == class);
    named.expect("it is listed")["probability"]
        .as_f64()
        .expect("a number")
}

#[test]
fn a_jpeg_in_separate_scans_is_answered_as_the_same_in_one() {
    let folder = new_folder();
    let mut classify = coloured(folder.path());
    let grey = folder.path().join("grey.png");
    let whole = image::open(fixture("420-odd.jpg")).expect("a picture");
    save(whole.into_luma8(), &grey, ImageFormat::Png);
    let paths = [
        fixture("420-odd.jpg"),
        fixture("scans.jpg"),
        fixture("444.jpg"),
        fixture("scans-444.jpg"),
        grey,
    ];
    let warm = warmth(&mut classify, &paths);
    // Decoders may round, and enlarge colours, in another way.
    for [one, scans] in [[0, 1], [2, 3]] {
        assert!((warm[one] - warm[scans]).abs() < 0.02, "{warm:?}");
    }
    assert!(
        (warm[0] - warm[4]).abs() > 0.1,
        "without its colours: {warm:?}"
    );
}

#[test]
fn pngs_that_note_their_orientation_in_either_way_are_answered_as_the_upright_one() {
    let folder = new_folder();
    let mut classify = coloured(folder.path());
    let upright = folder.path().join("upright.png");
    let stored = image::open(fixture("colour.png")).expect("a picture");
    save(stored.rotate90(), &upright, ImageFormat::Png);
    let paths = [
        upright,
        fixture("orient-chunk.png"),
        fixture("orient-text.png"),
        fixture("orient-packed-text.png"),
        fixture("colour.png"),
    ];
    let warm = warmth(&mut classify, &paths);
    assert_eq!(warm[1..4], [warm[1]; 3]);
    // Turned before it is scaled or after, which may round in another way.
    assert!((warm[1] - warm[0]).abs() < 0.005, "{warm:?}");
    assert!((warm[4] - warm[1]).abs() > 0.03, "on its side: {warm:?}");
}

#[test]
fn a_picture_that_unpacks_to_too_much_is_refused_by_name() {
    let folder = new_folder();
    let path = folder.path().join("bomb.png");
    // It is a whole picture: a smaller one of the kind, of more than a mebibyte, can be decoded.
    let small = image::load_from_memory(&black_png(700, 600, Kind::ColourAndAlpha, 8));
    let small = small.expect("a picture").into_rgba8().into_raw();
    assert!(small.len() == 4 * 700 * 600 && small.iter().all(|&value| value == 0));
    // A gibibyte of pixels.
    let bomb = black_png(16_384, 16_384, Kind::ColourAndAlpha, 8);
    assert!(bomb.len() < 4 << 20, "{}", bomb.len());
    std::fs::write(&path, bomb).expect("written");
    let named = path.display().to_string();
    let says = [&named, "16384x16384 pixels", "scale it first"];
    assert_says(&named_bad(classify().arg(&path)), &says);
    let ended = run(classify().arg(&path).arg(image()));
    assert_eq!(ended.code, Some(1));
    assert_says(&ended.stdout, &[&image().display().to_string(), " %  "]);
    if cfg!(target_os = "linux") {
        let mut limited = Command::new("sh");
        limited.args(["-c", "ulimit -v 1200000 && exec \"$0\" \"$@\""]);
        let classify = classify();
        limited
            .arg(classify.get_program())
            .args(classify.get_args());
        assert_says(&named_bad(limited.arg(&path)), &says);
    }
}

#[test]
fn pictures_that_are_cut_are_refused_by_name_and_not_answered_for() {
    let folder = new_folder();
    let cut = folder.path().join("cut.jpg");
    save(photo(88, 88, 1), &cut, ImageFormat::Jpeg);
    let bytes = std::fs::read(&cut).expect("readable");
    std::fs::write(&cut, &bytes[..bytes.len() * 6 / 10]).expect("written");
    let ended = run(classify().arg(&cut));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    let named = cut.display().to_string();
    assert_says(&ended.stderr, &["error: cannot decode", &named, "a whole"]);

    let entries = std::fs::read_dir(fixture("grey.png").parent().expect("a folder"));
    let paths = entries
        .expect("readable")
        .map(|entry| entry.expect("readable").path());
    let is_cut = |path: &PathBuf| {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .expect("UTF-8");
        name.starts_with("cut-") || name.starts_with("short-")
    };
    let mut paths: Vec<PathBuf> = paths.filter(is_cut).collect();
    assert!(paths.len() >= 15, "{paths:?}");
    paths.push(image());
    let ended = run(classify().arg("--json").args(&paths));
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let answers: BTreeMap<String, Value> = lines(&ended.stdout)
        .into_iter()
        .map(|line| (line["image"].as_str().expect("a name").to_owned(), line))
        .collect();
    assert_eq!(answers.len(), paths.len());
    for path in &paths {
        let named = path.display().to_string();
        let answer = &answers[&named];
        let good = *path == image();
        assert_eq!(answer["top"].is_array(), good, "{answer}");
        assert_eq!(answer["error"].is_string(), !good, "{answer}");
        let told = ended.stderr.lines().filter(|line| line.contains(&named));
        assert_eq!(told.count(), usize::from(!good), "{}", ended.stderr);
    }
}

#[test]
fn many_pictures_are_answered_for_in_their_order_and_long_before_the_last() {
    const COUNT: u32 = 2_000;
    const BAD: u32 = 1_003;
    let folder = new_folder();
    let pictures = folder.path().join("pictures");
    for i in 0..COUNT - 1 {
        let path = pictures.join(format!("{i:04}.png"));
        save(photo(8, 8, i), &path, ImageFormat::Png);
    }
    std::fs::write(pictures.join(format!("{BAD}.png")), "text").expect("written");
    // It is made only when there is an answer. The program cannot be so far by then: until its answers are read, the
    // pipe that they go into, which holds much less than all of them, is full.
    let last = folder.path().join("last.png");
    let mut command = classify();
    command.args(["--json", "--top", "10"]);
    command.arg(&pictures).arg(&last);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    let mut text = String::new();
    stdout.read_line(&mut text).expect("readable");
    save(photo(8, 8, 0), &last, ImageFormat::Png);
    stdout.read_to_string(&mut text).expect("readable");
    let ended = child.wait_with_output().expect("ends");
    assert_eq!(ended.status.code(), Some(1));
    assert!(text.len() > 1 << 19, "{}", text.len());

    let answers = lines(&text);
    let names: Vec<_> = answers.iter().map(|line| line["image"].as_str()).collect();
    let mut want: Vec<_> = (0..COUNT - 1)
        .map(|i| pictures.join(format!("{i:04}.png")))
        .collect();
    want.push(last);
    let want: Vec<_> = want.iter().map(|path| path.to_str()).collect();
    assert!(names == want, "another order");
    for (i, answer) in (0..).zip(&answers) {
        let bad = i == BAD;
        assert_eq!(answer["error"].is_string(), bad, "{answer}");
        assert_eq!(answer["top"].as_array().map(Vec::len), (!bad).then_some(10));
    }
    let error = String::from_utf8(ended.stderr).expect("UTF-8");
    assert_eq!(error.matches("error: ").count(), 1, "{error}");
    let named = format!("cannot decode {}", want[BAD as usize].expect("UTF-8"));
    assert_says(&error, &[&named, "1 of 2000 pictures"]);
}
