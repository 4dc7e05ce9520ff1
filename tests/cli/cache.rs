//! The file that decoded pictures are kept in: whatever becomes of it, a run trains on the same pictures.

use std::path::{Path, PathBuf};

use image::ImageFormat;
use serde_json::Value;

use crate::made::{photo, save};
use crate::programs::{assert_says, example, metrics, new_folder, ok};

/// Pictures to train on and to test on, of two classes each. At the size that they are brought to they are worth keeping.
const TRAIN: usize = 2 * 226;
const TEST: usize = 2 * 2;
const SIDE: usize = 224;
/// How many of the first are trained on.
const SEEN: usize = 8;
const _: () = assert!(3 * SIDE * SIDE * (TRAIN + TEST) > 64 << 20);

/// Bytes of the cache's head and table, and of a picture's copy, which is not enlarged.
const TABLE: usize = 32 + 24 * (TRAIN + TEST);
const COPY: usize = 3 * 40 * 30;

fn write_pictures(data: &Path) {
    for (part, count) in [("train", TRAIN), ("test", TEST)] {
        for (class, first) in [("cat", 0), ("dog", 37)] {
            for i in 0..count / 2 {
                let path = data.join(format!("{part}/{class}/{i}.jpg"));
                save(photo(40, 30, first + i as u32), &path, ImageFormat::Jpeg);
            }
        }
    }
}

/// Two epochs on the first few pictures: what is printed, and the metrics without the times.
fn train(data: &Path, cache: &Path, out: &Path) -> (String, Vec<Value>) {
    let mut command = example("train");
    let flags = "--model nin-small --device cpu --batch-size 4 --epochs 2 --log-every 1";
    command.args(flags.split_whitespace());
    command.args(["--image-size", &SIDE.to_string()]);
    command.args(["--limit-train", &SEEN.to_string()]);
    command.arg("--dataset").arg(data).arg("--out").arg(out);
    let text = ok(command.arg("--cache").arg(cache));
    let mut lines = metrics(out, "step");
    lines.extend(metrics(out, "epoch"));
    for line in &mut lines {
        let line = line.as_object_mut().expect("an object");
        line.remove("seconds").expect("it is there");
        line.remove("waited").expect("it is there");
    }
    assert_eq!(lines.len(), 4 + 2);
    (text, lines)
}

/// The one file in a folder.
fn only_file(folder: &Path) -> PathBuf {
    let entries = std::fs::read_dir(folder).expect("readable");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("readable").path())
        .collect();
    assert_eq!(paths.len(), 1, "{paths:?}");
    paths.remove(0)
}

#[test]
fn a_cache_that_was_cut_or_torn_is_made_whole_and_changes_no_loss() {
    let folder = new_folder();
    let path = |name: &str| folder.path().join(name);
    write_pictures(&path("data"));
    let (_, without) = train(&path("data"), Path::new("off"), &path("without"));
    let run = |name: &str| {
        let (text, lines) = train(&path("data"), &path("cache"), &path(name));
        assert_eq!(lines, without, "{name}");
        text
    };
    assert_says(&run("first"), &["decoded pictures are kept in "]);
    let file = only_file(&path("cache"));
    let whole = std::fs::read(&file).expect("readable");
    assert_eq!(whole.len(), TABLE + COPY * (TRAIN + TEST));
    let held = |count: usize| format!("{count} of {} decoded pictures are in ", TRAIN + TEST);
    assert_says(&run("second"), &[&held(SEEN + TEST)]);

    let new = "decoded pictures are kept in ".to_owned();
    for (len, says) in [
        (0, new.clone()),
        (20, new.clone()),
        (TABLE / 2, new),
        (TABLE, held(0)),
        (TABLE + 4 * COPY + COPY / 2, held(4)),
        (whole.len() - 1, held(SEEN + TEST - 1)),
    ] {
        std::fs::write(&file, &whole[..len]).expect("written");
        assert_says(&run(&format!("cut at {len}")), &[&says]);
        assert_eq!(only_file(&path("cache")), file);
        let now = std::fs::read(&file).expect("readable");
        assert!(now == whole, "cut at {len}: not whole again");
    }
    let mut torn = whole.clone();
    torn[TABLE + COPY / 2] ^= 0x55;
    std::fs::write(&file, &torn).expect("written");
    assert_says(&run("torn"), &[&held(SEEN + TEST)]);
    assert!(std::fs::read(&file).expect("readable") == whole, "torn");
}

#[test]
fn without_a_place_for_a_cache_the_training_goes_on_and_says_so() {
    let folder = new_folder();
    let path = |name: &str| folder.path().join(name);
    write_pictures(&path("data"));
    std::fs::write(path("file"), "mine").expect("written");
    let (_, without) = train(&path("data"), Path::new("off"), &path("without"));
    let place = path("file").join("cache");
    let (text, lines) = train(&path("data"), &place, &path("run"));
    let named = format!("no cache of decoded pictures at {}", place.display());
    assert_says(&text, &[&named, "each epoch decodes them anew"]);
    assert_eq!(lines, without);
    assert_eq!(std::fs::read(path("file")).expect("there"), b"mine");
}
