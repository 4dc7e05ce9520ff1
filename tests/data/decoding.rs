//! Picture files of every kind against Pillow's pixels; tests/fixtures/pictures.py wrote both.

use std::fs;
use std::path::PathBuf;

use nin_wgpu::data::DataError;
use nin_wgpu::data::image_file::{decode, head};
use safetensors::SafeTensors;

use crate::{assert_says, file};

/// The one kind that no decoder here knows: it is refused by name.
const UNKNOWN: &str = "palette.tif";

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// The files of which something is missing, or the others.
fn files(lacking: bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(fixtures().join("pictures")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let lacks = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("cut-") || name.starts_with("short-")
    };
    paths.filter(|path| lacks(path) == lacking).collect()
}

#[test]
fn every_kind_of_picture_has_the_pixels_of_pillow() {
    let bytes = fs::read(fixtures().join("pictures.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    assert!(expected.len() >= 40, "only {} pictures", expected.len());
    let mut wrong = Vec::new();
    for (name, want) in expected.iter() {
        let path = fixtures().join("pictures").join(name);
        if name == UNKNOWN {
            let error = decode(&path, 3, None).unwrap_err();
            assert_says(&error, &[path.to_str().unwrap(), "convert it first"]);
            continue;
        }
        let picture = match decode(&path, 3, None) {
            Ok(picture) => picture,
            Err(error) => {
                wrong.push(format!("{name}: {error:?}"));
                continue;
            }
        };
        let [height, width, channels] = picture.shape();
        assert_eq!([channels, height, width], *want.shape(), "{name}");
        let head = head(&path).unwrap();
        assert_eq!([head.height, head.width], [height, width], "{name}");
        let plane = |c| picture.pixels().iter().skip(c).step_by(channels);
        let off = (0..channels).flat_map(plane).zip(want.data());
        let off: Vec<u8> = off.map(|(a, b)| a.abs_diff(*b)).collect();
        let most = off.iter().copied().max().unwrap();
        let mean = off.iter().map(|&off| f64::from(off)).sum::<f64>() / off.len() as f64;
        if most > 4 {
            wrong.push(format!("{name}: {most} at most, {mean:.2} on average"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn file_that_lacks_pixels_is_refused_and_named() {
    let mut taken = Vec::new();
    let files = files(true);
    assert!(files.len() >= 10, "only {files:?}");
    for path in files {
        match decode(&path, 3, None) {
            Ok(_) => taken.push(path),
            Err(error) => {
                assert!(matches!(error, DataError::Picture { .. }), "{error:?}");
                assert_says(&error, &[path.to_str().unwrap()]);
            }
        }
    }
    assert!(taken.is_empty(), "{taken:#?}");
}

#[test]
fn file_cut_anywhere_is_refused_or_has_lost_no_pixel() {
    // What follows the pixels may be missing: a PNG's end chunk, later frames of a GIF, a byte of padding.
    let mut lost = Vec::new();
    let (_dir, cut) = file("cut", &[]);
    for path in files(false).iter().filter(|path| !path.ends_with(UNKNOWN)) {
        let whole = fs::read(path).unwrap();
        let picture = decode(path, 3, None).unwrap();
        for len in (0..whole.len()).step_by(11) {
            fs::write(&cut, &whole[..len]).unwrap();
            if decode(&cut, 3, None).is_ok_and(|got| got != picture) {
                lost.push(format!("{}: {len} of {}", path.display(), whole.len()));
            }
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
}
