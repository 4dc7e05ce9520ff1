//! A table of pictures: a line for each, with path, label and, if wanted, the part that it belongs to.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::{Item, Listing};
use crate::data::DataError;

/// The parts that a line may name.
const PARTS: [(&str, usize); 6] = [
    ("train", 0),
    ("training", 0),
    ("val", 1),
    ("valid", 1),
    ("validation", 1),
    ("test", 2),
];

struct Line {
    number: u64,
    path: PathBuf,
    label: String,
    part: Option<usize>,
}

/// Lists the pictures of a table: a heading `path,label` or `path,label,split`, then a line for each. Paths count from the
/// table's folder.
///
/// # Errors
/// [`DataError::Table`] if a line is not as it should be, with its number.
pub(in crate::data) fn csv(file: &Path, seed: u64) -> Result<Listing, DataError> {
    let lines = read(file)?;
    let mut classes: Vec<String> = lines.iter().map(|line| line.label.clone()).collect();
    classes.sort_unstable();
    classes.dedup();
    // 10 comes after 9 where all are numbers.
    if classes.iter().all(|class| class.parse::<i64>().is_ok()) {
        classes.sort_by_key(|class| class.parse::<i64>().unwrap_or(0));
    }
    let first = |problem: String| table(file, 1, problem);
    if !(2..=1 << 16).contains(&classes.len()) {
        let got = classes.len();
        return Err(first(format!(
            "the table has {got} different labels, want 2 to 65,536"
        )));
    }
    let labels: HashMap<&str, u16> = (0..=u16::MAX)
        .zip(&classes)
        .map(|(i, class)| (class.as_str(), i))
        .collect();
    let mut seen: HashMap<&Path, (&str, u64)> = HashMap::new();
    let mut missing = lines.iter().filter(|line| !line.path.is_file());
    if let Some(line) = missing.next() {
        let more = match missing.count() {
            0 => String::new(),
            more => format!(" (and {more} more files are not there)"),
        };
        let path = line.path.display();
        return Err(table(
            file,
            line.number,
            format!("{path} is not there{more}"),
        ));
    }
    let mut parts: [Vec<Item>; 3] = Default::default();
    let mut unsplit = Vec::new();
    for line in &lines {
        let known = seen.insert(&line.path, (&line.label, line.number));
        if let Some((label, number)) = known
            && label != line.label
        {
            let problem = format!(
                "{} is {} here and {label} in line {number}",
                line.path.display(),
                line.label
            );
            return Err(table(file, line.number, problem));
        }
        let item = Item {
            path: line.path.clone(),
            label: labels[line.label.as_str()],
        };
        match line.part {
            Some(part) => parts[part].push(item),
            None => unsplit.push(item),
        }
    }
    let mut listing = Listing {
        classes: classes.clone(),
        ..Listing::default()
    };
    if !unsplit.is_empty() {
        listing.split(unsplit, seed);
        return Ok(listing.finish(seed));
    }
    let [train, val, test] = parts;
    if train.is_empty() {
        return Err(first("no line is of split train".into()));
    }
    listing.train = train;
    match (val.is_empty(), test.is_empty()) {
        (_, false) => {
            listing.val = (!val.is_empty()).then_some(val);
            listing.test = test;
        }
        (false, true) => {
            listing
                .notes
                .push("no test lines: those of val are what is tested on".into());
            listing.test = val;
        }
        (true, true) => {
            listing
                .notes
                .push("no val or test lines: a fifth of each class is tested on".into());
            let all = std::mem::take(&mut listing.train);
            listing.split(all, seed);
        }
    }
    Ok(listing.finish(seed))
}

fn table(file: &Path, line: u64, problem: String) -> DataError {
    DataError::Table {
        path: file.into(),
        line,
        problem,
    }
}

fn read(file: &Path) -> Result<Vec<Line>, DataError> {
    let bytes = std::fs::read(file).map_err(|source| DataError::Read {
        path: file.into(),
        source,
    })?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(bytes);
    let broken = |error: csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        table(file, line, format!("not a table: {error}"))
    };
    let heading = reader.headers().map_err(broken)?.clone();
    let column = |name: &str| {
        heading
            .iter()
            .position(|one| one.eq_ignore_ascii_case(name))
    };
    let (Some(path), Some(label)) = (column("path"), column("label")) else {
        let got = heading.iter().collect::<Vec<_>>().join(",");
        return Err(table(
            file,
            1,
            format!("the heading is `{got}`, want path,label or path,label,split"),
        ));
    };
    let split = column("split");
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut lines = Vec::new();
    for record in reader.records() {
        let record = record.map_err(broken)?;
        let number = record.position().map_or(1, csv::Position::line);
        let field = |at: usize, name: &str| match record.get(at) {
            Some(field) if !field.is_empty() => Ok(field.to_owned()),
            _ => Err(table(file, number, format!("no {name}"))),
        };
        let part = match split {
            None => None,
            Some(at) => {
                let named = field(at, "split")?;
                let known = PARTS
                    .iter()
                    .find(|(name, _)| named.eq_ignore_ascii_case(name));
                let Some((_, part)) = known else {
                    let problem = format!("split is `{named}`, want train, val or test");
                    return Err(table(file, number, problem));
                };
                Some(*part)
            }
        };
        lines.push(Line {
            number,
            path: folder.join(field(path, "path")?),
            label: field(label, "label")?,
            part,
        });
    }
    Ok(lines)
}
