//! `train --tune`.

use std::path::Path;

use crate::programs::{assert_says, metrics, new_folder, ok, short_run};

/// Runs one step with the cache folder in `home`.
fn tuned(home: &Path, tune: &str) -> String {
    let mut command = short_run(&home.join(tune));
    command.args(["--device", "gpu:0", "--max-steps", "1", "--tune", tune]);
    ok(command
        .env("HOME", home)
        .env("XDG_CACHE_HOME", home.join("cache")))
}

#[test]
fn full_prints_and_keeps_what_it_measured_and_cached_measures_nothing_again() {
    if std::env::var("NIN_TEST_GPU").is_ok_and(|value| value == "off") {
        return;
    }
    let home = new_folder();
    let text = tuned(home.path(), "full");
    assert_says(
        &text,
        &["algorithm", "forward", "dgrad", "wgrad", "direct", " <\n"],
    );
    let folder = dirs_of(home.path());
    let files: Vec<_> = folder
        .read_dir()
        .expect("made")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let kept = std::fs::read_to_string(&files[0]).expect("readable");
    assert_says(&kept, &["adapter", "fastest", "geometry"]);

    let text = tuned(home.path(), "cached");
    assert!(!text.contains("algorithm"), "{text}");
    assert_eq!(std::fs::read_to_string(&files[0]).expect("readable"), kept);
    let losses = |run: &str| metrics(&home.path().join(run), "step")[0]["loss"].clone();
    assert_eq!(
        losses("full"),
        losses("cached"),
        "both take the kernels that were measured"
    );
}

/// Where the user's cache folder is, given their home.
fn dirs_of(home: &Path) -> std::path::PathBuf {
    let cache = if cfg!(target_os = "macos") {
        "Library/Caches"
    } else {
        "cache"
    };
    home.join(cache).join("nin-wgpu/tune")
}
