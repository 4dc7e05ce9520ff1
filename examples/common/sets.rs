//! Loading a data set: from where it lies, or else downloaded to the user's cache folder.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use nin_wgpu::data::{DataError, Loader, Split, download};

use crate::cache;

/// Loads a data set, downloading from `mirror` rather than the official address if one is named, and shows on stderr how far it is.
pub(crate) fn load(loader: Loader<'_>, mirror: Option<&String>) -> Result<Split, DataError> {
    let loader = match mirror {
        Some(url) => loader.mirror(url),
        None => loader,
    };
    let loader = match cache::data() {
        Some(folder) => loader.cache_dir(folder),
        None => loader,
    };
    let bar = ProgressBar::new_spinner().with_message("reading");
    bar.enable_steady_tick(Duration::from_millis(200));
    let split = loader.on_download(|progress| show(&bar, progress)).load();
    bar.finish_and_clear();
    split
}

fn show(bar: &ProgressBar, progress: &download::Progress<'_>) {
    let name = progress.url.rsplit('/').next().unwrap_or(progress.url);
    if bar.message() != name {
        bar.reset();
        bar.set_message(name.to_owned());
        // The template is a constant of this program.
        if let Ok(style) = ProgressStyle::with_template(
            "{msg} {bar:24} {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left",
        ) {
            bar.set_style(style);
        }
        if bar.is_hidden() {
            eprintln!(
                "downloading {} ({:.1} MB)",
                progress.url,
                progress.total as f64 / 1e6
            );
        }
    }
    bar.set_length(progress.total);
    bar.set_position(progress.done);
}
