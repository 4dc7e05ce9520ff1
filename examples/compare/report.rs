//! The table.

use std::fmt::Write;

use nin_wgpu::data::Split;
use nin_wgpu::device::Device;

use crate::args::Args;
use crate::measure::Row;

/// A number with a unit, in three digits.
fn scaled(value: f64, units: [&str; 3]) -> String {
    let (factor, unit) = match value {
        v if v >= 1e9 => (1e9, units[2]),
        v if v >= 1e6 => (1e6, units[1]),
        _ => (1e3, units[0]),
    };
    let value = value / factor;
    let decimals = if value < 10.0 {
        2
    } else {
        usize::from(value < 100.0)
    };
    format!("{value:.decimals$} {unit}")
}

/// All rows as Markdown, and below them the accuracy after each epoch.
pub(crate) fn markdown(args: &Args, device: &Device, split: &Split, rows: &[Row]) -> String {
    let [height, width] = args.image_size;
    let mut text = format!(
        "{}: {} training and {} test images, {height}x{width}; {} epochs in batches of {}; {device}.\n\n",
        split.train.name(),
        split.train.len(),
        split.test.len(),
        args.epochs,
        args.batch_size,
    );
    text += "| network | width | parameters | FLOP an image | memory of a step | training | inference | train accuracy | test accuracy | gap |\n";
    text += "|---|---|---|---|---|---|---|---|---|---|\n";
    for row in rows {
        let Some(last) = row.epochs.last() else {
            continue;
        };
        let memory = row.memory.map_or("-".to_owned(), |bytes| {
            scaled(bytes as f64, ["kB", "MB", "GB"])
        });
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {memory} | {:.0} images/s | {:.0} images/s | {:.1} % | {:.1} % | {:.1} |",
            row.model,
            row.width,
            scaled(row.parameters as f64, ["k", "M", "G"]),
            scaled(row.flops as f64, ["kFLOP", "MFLOP", "GFLOP"]),
            row.train_images_per_second,
            row.infer_images_per_second,
            100.0 * last.train,
            100.0 * last.test,
            100.0 * (last.train - last.test),
        );
    }
    for row in rows.iter().filter(|row| !row.dead_classes.is_empty()) {
        let _ = writeln!(
            text,
            "\nDead classes of {}, whose logits are zero for every image: {}.",
            row.model,
            row.dead_classes.len()
        );
    }
    text += "\nAccuracy on training / test images after each epoch, without dropout, in percent:\n\n| network |";
    for epoch in 1..=args.epochs {
        let _ = write!(text, " {epoch} |");
    }
    let _ = writeln!(
        text,
        " seconds of training |\n|---|{}---|",
        "---|".repeat(args.epochs as usize)
    );
    for row in rows {
        let _ = write!(text, "| {} |", row.model);
        for epoch in &row.epochs {
            let _ = write!(
                text,
                " {:.1} / {:.1} |",
                100.0 * epoch.train,
                100.0 * epoch.test
            );
        }
        let seconds = row.epochs.last().map_or(0.0, |last| last.seconds);
        let _ = writeln!(text, " {seconds:.0} |");
    }
    text
}
