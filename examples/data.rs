//! Looks at a data set before it is trained on: `cargo run --release --example data -- photos`.

#![forbid(unsafe_code)]

#[path = "data/args.rs"]
mod args;
#[path = "common/cache.rs"]
mod cache;
#[path = "common/pictures.rs"]
mod flags;
#[path = "common/sets.rs"]
mod sets;
#[path = "common/size.rs"]
mod size;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use args::Args;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use nin_wgpu::data::{Dataset, Draw, Loader, Split, identical, image_file};
use nin_wgpu::models::Model;
use nin_wgpu::output;
use nin_wgpu::pictures::{save_png, sheet};

/// Pictures side by side on the sheet.
const COLUMNS: usize = 10;
/// Sizes, and groups of identical files, that are listed.
const LISTED: usize = 8;
/// Width of a bar, in letters.
const BAR: usize = 24;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    output::check(&args.out).context("--out")?;
    let model = Model::find(&args.model)?;
    let mut loader = Loader::at(&args.dataset);
    if let Some(folder) = &args.data_dir {
        loader = loader.data_dir(Some(folder));
    }
    let loader = loader
        .seed(args.seed)
        .image_size(args.image_size)
        .native_size(model.native_size)
        .fit(args.fit.into())
        .invert(args.invert.into())
        .pictures_cache(args.cache.clone());
    let split = sets::load(loader, args.mirror.as_ref())?;
    let mut out = std::io::stdout().lock();
    // Before anything else loads the pictures, and fills the cache.
    if args.speed {
        for pass in ["first", "second"] {
            let seconds = load_all(args, &split.train)?;
            let rate = split.train.len() as f64 / seconds;
            writeln!(out, "speed    {rate:.0} images/s, {pass} pass").context("cannot print")?;
        }
    }
    let printed = report(&mut out, args, &split);
    // Whoever reads no further has seen enough.
    match printed {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        other => other.context("cannot print")?,
    }
    draw(args, &split.train)?;
    let _ = writeln!(out, "sheet    {}", args.out.display());
    Ok(())
}

fn parts(split: &Split) -> Vec<(&'static str, &Dataset)> {
    let val = split.val.as_ref().map(|val| ("validation", val));
    let train = std::iter::once(("training", &split.train));
    train.chain(val).chain([("test", &split.test)]).collect()
}

fn report(out: &mut impl Write, args: &Args, split: &Split) -> std::io::Result<()> {
    let train = &split.train;
    let parts = parts(split);
    let counts: Vec<_> = parts
        .iter()
        .map(|(name, data)| format!("{} {name}", data.len()))
        .collect();
    let classes = train.classes().len();
    writeln!(
        out,
        "data     {}: {}, {classes} classes",
        args.dataset,
        counts.join(", ")
    )?;
    let [c, h, w] = train.outline().image;
    let colour = if c == 1 { "grey" } else { "in colour" };
    write!(out, "network  sees {h}x{w}, {colour}")?;
    match train.path(0) {
        Some(_) => {
            let preparation = train.preparation();
            let swapped = match preparation.invert {
                image_file::Invert::Yes => ", light and dark swapped",
                _ => "",
            };
            let fit = format!("{:?}", preparation.fit).to_lowercase();
            writeln!(out, " ({fit}{swapped})")?;
        }
        None => writeln!(out)?,
    }
    for note in &split.notes {
        writeln!(out, "         {note}")?;
    }
    if args.verbose {
        for (path, reason) in &split.left_out {
            writeln!(out, "         {}: {reason}", path.display())?;
        }
    }
    list_classes(out, &parts)?;
    list_files(out, args, &parts)?;
    for (channel, (mean, deviation)) in train.mean_std().into_iter().enumerate() {
        writeln!(
            out,
            "channel  {channel}: mean {mean:.4}, deviation {deviation:.4} (of values in 0..1)"
        )?;
    }
    Ok(())
}

fn list_classes(out: &mut impl Write, parts: &[(&str, &Dataset)]) -> std::io::Result<()> {
    let counts: Vec<_> = parts.iter().map(|(_, data)| data.class_counts()).collect();
    let names = parts[0].1.classes();
    let longest = names.iter().map(|name| name.chars().count()).max();
    let longest = longest.unwrap_or(0).clamp(5, 32);
    let total = |class: usize| counts.iter().map(|counts| counts[class]).sum::<usize>();
    let most = (0..names.len()).map(total).max().unwrap_or(1).max(1);
    write!(out, "\n{:<longest$}", "class")?;
    for (name, _) in parts {
        write!(out, " {name:>10}")?;
    }
    writeln!(out)?;
    for (class, name) in names.iter().enumerate() {
        let name: String = name.chars().take(longest).collect();
        write!(out, "{name:<longest$}")?;
        for counts in &counts {
            write!(out, " {:>10}", counts[class])?;
        }
        writeln!(out, "  {}", bar(total(class), most))?;
    }
    writeln!(out)
}

fn bar(count: usize, most: usize) -> String {
    "█".repeat((BAR * count).div_ceil(most).min(BAR))
}

/// What only files have: sizes, colours, others that are the same.
fn list_files(
    out: &mut impl Write,
    args: &Args,
    parts: &[(&str, &Dataset)],
) -> std::io::Result<()> {
    let mut files: Vec<(PathBuf, usize)> = Vec::new();
    for (part, (_, data)) in parts.iter().enumerate() {
        files.extend((0..data.len()).filter_map(|i| Some((data.path(i)?, part))));
    }
    if files.is_empty() {
        return Ok(());
    }
    let progress = ProgressBar::new(files.len() as u64);
    if let Ok(style) =
        ProgressStyle::with_template("looking at files {bar:24} {pos}/{len}  {eta} left")
    {
        progress.set_style(style);
    }
    let mut sizes: BTreeMap<[usize; 2], usize> = BTreeMap::new();
    let (mut grey, mut bad) = (0, Vec::new());
    for (path, _) in &files {
        match image_file::head(path) {
            Ok(head) => {
                *sizes.entry([head.height, head.width]).or_default() += 1;
                grey += usize::from(head.grey);
            }
            Err(error) => bad.push(error),
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    let mut by_count: Vec<_> = sizes.iter().collect();
    by_count.sort_by_key(|(size, count)| (std::cmp::Reverse(**count), **size));
    let most = by_count.first().map_or(1, |(_, count)| **count);
    writeln!(out, "sizes    {} of them (height x width)", by_count.len())?;
    for ([h, w], count) in by_count.iter().take(LISTED) {
        writeln!(
            out,
            "         {:>11} {count:>7}  {}",
            format!("{h}x{w}"),
            bar(**count, most)
        )?;
    }
    if let Some(more) = by_count.len().checked_sub(LISTED).filter(|more| *more > 0) {
        writeln!(out, "         and {more} more")?;
    }
    writeln!(
        out,
        "stored   {grey} in grey, {} in colour",
        files.len() - grey - bad.len()
    )?;
    for error in bad
        .iter()
        .take(if args.verbose { usize::MAX } else { LISTED })
    {
        writeln!(out, "broken   {error}")?;
    }
    if bad.len() > LISTED && !args.verbose {
        writeln!(
            out,
            "broken   and {} more (--verbose lists them)",
            bad.len() - LISTED
        )?;
    }
    let paths: Vec<PathBuf> = files.iter().map(|(path, _)| path.clone()).collect();
    let groups = identical(&paths);
    let across = |group: &Vec<usize>| group.iter().any(|&i| files[i].1 != files[group[0]].1);
    let both_sides = groups.iter().filter(|group| across(group)).count();
    writeln!(
        out,
        "same     {} groups of identical files, {both_sides} of them in more than one part",
        groups.len()
    )?;
    let mut listed: Vec<_> = groups.iter().collect();
    // A picture that is both trained and tested on flatters the test.
    listed.sort_by_key(|group| !across(group));
    for group in listed
        .iter()
        .take(if args.verbose { usize::MAX } else { LISTED })
    {
        let names: Vec<_> = group
            .iter()
            .map(|&i| format!("{} ({})", files[i].0.display(), parts[files[i].1].0))
            .collect();
        writeln!(out, "         {}", names.join(" = "))?;
    }
    Ok(())
}

/// Loads every picture once, changed at random if its source does that; the seconds that it took.
fn load_all(args: &Args, data: &Dataset) -> Result<f64> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = args.workers.map_or(cores, usize::from);
    let outline = data.outline();
    let next = AtomicUsize::new(0);
    let start = Instant::now();
    let work = || -> Result<()> {
        let mut pixels = vec![0; outline.image.iter().product()];
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= data.len() {
                return Ok(());
            }
            let draw = outline.draws.then_some(Draw {
                n: i as u32,
                step: 1,
                seed: args.seed as u32,
                crop: true,
                flip: true,
            });
            data.load(i, draw, &mut pixels)?;
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut ended = workers.into_iter().map(|worker| worker.join());
        ended.try_for_each(|ended| ended.expect("invariant: loading a picture does not panic"))
    })?;
    Ok(start.elapsed().as_secs_f64())
}

/// The sheet: pictures in turn of all classes, as training with `--augment` sees them if they are photos.
fn draw(args: &Args, train: &Dataset) -> Result<()> {
    let mut of_class: Vec<Vec<usize>> = vec![Vec::new(); train.classes().len()];
    let labels = train.labels();
    for (i, &label) in labels.iter().enumerate() {
        of_class[usize::from(label)].push(i);
    }
    let most = of_class.iter().map(Vec::len).max().unwrap_or(0);
    let in_turn = (0..most).flat_map(|at| of_class.iter().filter_map(move |class| class.get(at)));
    let outline = train.outline();
    let mut pictures = Vec::new();
    for &i in in_turn.take(usize::from(args.pictures)) {
        let mut pixels = vec![0; outline.image.iter().product()];
        let draw = Draw {
            n: pictures.len() as u32,
            step: 1,
            seed: args.seed as u32,
            crop: true,
            flip: true,
        };
        // A broken one was told of above.
        if train
            .load(i, outline.draws.then_some(draw), &mut pixels)
            .is_ok()
        {
            let caption = train.classes()[usize::from(labels[i])].clone();
            pictures.push(sheet::Captioned { caption, pixels });
        }
    }
    let drawn = sheet::sheet(outline.image, &pictures, COLUMNS)?;
    save_png(&args.out, &drawn).context("--out")
}
