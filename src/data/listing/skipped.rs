//! What was left out, and why.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::counted;

/// Why a file or folder was left out.
#[derive(Debug)]
pub(in crate::data) enum Reason {
    /// Its name begins with a dot, or is one that a system writes by itself.
    Hidden,
    /// Its ending is no picture's.
    Ending(String),
    /// It has 0 bytes.
    Empty,
    /// A link to a folder that was seen before.
    Again,
    /// It lies where only folders are looked at.
    Loose,
    /// It cannot be read.
    Unreadable(io::Error),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hidden => f.write_str("hidden, or a system's own"),
            Self::Ending(ending) if ending.is_empty() => f.write_str("no ending"),
            Self::Ending(ending) => write!(f, "not a picture's ending: .{ending}"),
            Self::Empty => f.write_str("0 bytes"),
            Self::Again => f.write_str("a link to a folder that is read already"),
            Self::Loose => f.write_str("in no class folder"),
            Self::Unreadable(error) => write!(f, "cannot be read: {error}"),
        }
    }
}

/// Everything that was left out.
#[derive(Debug, Default)]
pub(in crate::data) struct Skipped(Vec<(PathBuf, Reason)>);

impl Skipped {
    pub(super) fn push(&mut self, path: PathBuf, reason: Reason) {
        self.0.push((path, reason));
    }

    /// Each with its reason.
    pub(in crate::data) fn iter(&self) -> impl Iterator<Item = (&Path, &Reason)> {
        self.0.iter().map(|(path, reason)| (path.as_path(), reason))
    }

    /// How many, by reason, in one line; `None` if nothing was left out.
    pub(in crate::data) fn summary(&self) -> Option<String> {
        let mut endings: BTreeMap<&str, usize> = BTreeMap::new();
        let mut others: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, reason) in &self.0 {
            let of = match reason {
                Reason::Ending(ending) => {
                    *endings.entry(ending).or_default() += 1;
                    continue;
                }
                Reason::Hidden => "hidden",
                Reason::Empty => "of 0 bytes",
                Reason::Again => "linked again",
                Reason::Loose => "in no class folder",
                Reason::Unreadable(_) => "that cannot be read",
            };
            *others.entry(of).or_default() += 1;
        }
        let mut parts = Vec::new();
        if !endings.is_empty() {
            let each: Vec<_> = endings
                .iter()
                .map(|(ending, count)| match ending.is_empty() {
                    true => format!("none {count}"),
                    false => format!(".{ending} {count}"),
                })
                .collect();
            let count = counted(endings.values().sum(), "file", "files");
            parts.push(format!("{count} with other endings ({})", each.join(", ")));
        }
        parts.extend(others.iter().map(|(of, count)| format!("{count} {of}")));
        (!parts.is_empty())
            .then(|| format!("left out: {} (--verbose lists them)", parts.join(", ")))
    }
}
