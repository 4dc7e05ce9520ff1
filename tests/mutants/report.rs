//! What became of each mutant: a table on disk, a line as each is judged, and counts at the end.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::rules::Mutant;

const HEADER: [&str; 5] = ["shader", "line", "text", "fate", "seconds"];

/// Mutants by what became of them.
pub(crate) struct Report {
    /// In the order of the mutants.
    fates: Vec<(Key, Option<String>)>,
    table: Option<csv::Writer<File>>,
    start: Instant,
    /// Judged in this run.
    judged: usize,
}

/// What a mutant is known by in a table.
type Key = (String, String, String);

fn key(mutant: &Mutant) -> Key {
    let shader = mutant.path.to_owned();
    (shader, mutant.line.to_string(), mutant.text.clone())
}

/// `killed`, `survived` or `not compiled`, without what by.
fn column(fate: &str) -> usize {
    match fate.split(':').next() {
        Some("killed") => 0,
        Some("survived") => 1,
        _ => 2,
    }
}

impl Report {
    /// A report on these mutants, which goes on with a table if there is one.
    pub(crate) fn open(table: Option<&Path>, mutants: &[Mutant]) -> Result<Self> {
        let mut known = BTreeMap::new();
        let table = match table {
            None => None,
            Some(path) => {
                let context = || format!("the report {}", path.display());
                let is_new = !path.exists();
                if !is_new {
                    known = read(path).with_context(context)?;
                }
                let options = OpenOptions::new().create(true).append(true).open(path);
                let mut table = csv::Writer::from_writer(options.with_context(context)?);
                if is_new {
                    table.write_record(HEADER)?;
                }
                Some(table)
            }
        };
        let fates = mutants.iter().map(|mutant| {
            let key = key(mutant);
            let fate = known.get(&key).cloned();
            (key, fate)
        });
        Ok(Self {
            fates: fates.collect(),
            table,
            start: Instant::now(),
            judged: 0,
        })
    }

    /// The numbers of those that are not judged yet.
    pub(crate) fn missing(&self) -> VecDeque<usize> {
        let fates = self.fates.iter().enumerate();
        let missing = fates.filter(|(_, (_, fate))| fate.is_none());
        missing.map(|(i, _)| i).collect()
    }

    /// Says what became of a mutant, and after how long, and how long the others may take.
    pub(crate) fn add(&mut self, mutant: &Mutant, fate: &str, took: Duration) -> Result<()> {
        let key = key(mutant);
        let seconds = took.as_secs_f64();
        if let Some(table) = &mut self.table {
            let (shader, line, text) = &key;
            table.write_record([shader, line, text, fate, &format!("{seconds:.1}")])?;
            table.flush()?;
        }
        // Two rules may have made the same mistake.
        for (_, place) in self.fates.iter_mut().filter(|(other, _)| *other == key) {
            *place = Some(fate.to_owned());
        }
        self.judged += 1;
        let mut counts = [0; 3];
        let known = self.fates.iter().filter_map(|(_, fate)| fate.as_deref());
        known.for_each(|fate| counts[column(fate)] += 1);
        let (done, of) = (counts.iter().sum::<usize>(), self.fates.len());
        let each = self.start.elapsed().as_secs_f64() / self.judged as f64;
        let minutes = each * (of - done) as f64 / 60.0;
        let [killed, survived, _] = counts;
        eprintln!(
            "{} {fate} ({seconds:.1} s)\n[{done}/{of}: {killed} killed, {survived} survived; {minutes:.0} min left]",
            mutant.describe()
        );
        Ok(())
    }

    /// Prints the survivors, and how many of each shader were killed.
    pub(crate) fn print(self) {
        let mut fates = self.fates;
        fates.sort_by_key(|((shader, line, _), _)| (shader.clone(), line.parse::<usize>().ok()));
        let mut counts: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
        let mut total = [0; 3];
        println!("Survivors:");
        for ((shader, line, text), fate) in &fates {
            let Some(fate) = fate else { continue };
            let column = column(fate);
            counts.entry(shader).or_default()[column] += 1;
            total[column] += 1;
            if column == 1 {
                println!("  {} {fate}", describe(shader, line, text));
            }
        }
        println!("{:32} killed survived does not compile", "shader");
        for (shader, [killed, survived, failed]) in counts.into_iter().chain([("all", total)]) {
            println!("{shader:32} {killed:6} {survived:8} {failed:16}");
        }
    }
}

/// What became of the mutants of a table.
fn read(path: &Path) -> Result<BTreeMap<Key, String>> {
    let mut table = csv::Reader::from_path(path)?;
    if table.headers()? != HEADER[..] {
        bail!("is no table of mutants: its columns are not {HEADER:?}");
    }
    let rows = table.into_records().map(|row| {
        let row = row?;
        let cell = |i: usize| row[i].to_owned();
        Ok(((cell(0), cell(1), cell(2)), cell(3)))
    });
    rows.collect()
}

/// A mutant in words.
fn describe(shader: &str, line: &str, text: &str) -> String {
    let text = if text.is_empty() { "(dropped)" } else { text };
    format!("shaders/{shader}.wgsl:{line}: {text}")
}

impl Mutant {
    /// The mutant in words.
    pub(crate) fn describe(&self) -> String {
        describe(self.path, &self.line.to_string(), &self.text)
    }
}
