//! Which pictures a folder or a table holds, of which class and part; nothing is decoded here.
//!
//! ```text
//! pets/cat/1.jpg, pets/cat/more/2.png, pets/dog/1.jpg …      split by seed, a fifth of each class to test on
//! pets/train/cat/1.jpg …, pets/val/…, pets/test/…            split as it lies there
//! pets.csv: path,label[,split]                               split as it says, or by seed
//! ```
//!
//! The same names and seed give the same parts in the same order. Classes are in the order of their names; pictures are
//! shuffled, so that any leading part holds all classes.

mod csv;
mod layout;
mod skipped;
mod walk;

use std::path::PathBuf;

pub(super) use csv::csv;
pub(super) use layout::folder;
pub(super) use skipped::Skipped;

use crate::graph::rng::pcg4d;

/// One picture of this many of each class is tested on, but at least one if there are two.
pub(super) const TEST_SHARE: usize = 5;

/// A picture file and its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) path: PathBuf,
    pub(super) label: u16,
}

/// What a folder or a table holds.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) classes: Vec<String>,
    pub(super) train: Vec<Item>,
    /// What the best epoch is chosen by, if that is not the test's part.
    pub(super) val: Option<Vec<Item>>,
    pub(super) test: Vec<Item>,
    /// What was left out.
    pub(super) skipped: Skipped,
    /// What there is to tell of how the parts came about.
    pub(super) notes: Vec<String>,
}

impl Listing {
    /// Parts `all` by seed: a fifth of each class to test on.
    fn split(&mut self, all: Vec<Item>, seed: u64) {
        let mut classes: Vec<Vec<Item>> = self.classes.iter().map(|_| Vec::new()).collect();
        for item in all {
            classes[usize::from(item.label)].push(item);
        }
        let mut single = Vec::new();
        for (label, mut items) in classes.into_iter().enumerate() {
            shuffle(&mut items, seed, 2 + label as u32);
            let count = match items.len() {
                0 | 1 => 0,
                len => (len / TEST_SHARE).max(1),
            };
            if items.len() == 1 {
                single.push(self.classes[label].as_str());
            }
            self.train.extend(items.split_off(count));
            self.test.extend(items);
        }
        if !single.is_empty() {
            let note = format!(
                "{} with 1 picture only, which is trained on and not tested: {}",
                counted(single.len(), "class", "classes"),
                some(&single)
            );
            self.notes.push(note);
        }
    }

    /// Tells of classes that are not on every side, and puts the pictures in order.
    fn finish(mut self, seed: u64) -> Self {
        shuffle(&mut self.train, seed, 0);
        shuffle(&mut self.test, seed, 1);
        if let Some(val) = &mut self.val {
            shuffle(val, seed, u32::MAX - 1);
        }
        self
    }
}

/// Shuffles by seed; each stream is another order.
fn shuffle(items: &mut [Item], seed: u64, stream: u32) {
    for last in (1..items.len()).rev() {
        let [word, ..] = pcg4d([last as u32, stream, seed as u32, (seed >> 32) as u32]);
        let other = (u64::from(word) * (last as u64 + 1)) >> 32;
        items.swap(last, other as usize);
    }
}

/// `1 file`, `2 files`.
pub(super) fn counted(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// The first few names.
pub(super) fn some(names: &[&str]) -> String {
    const NAMED: usize = 5;
    let named = names[..names.len().min(NAMED)].join(", ");
    match names.len().checked_sub(NAMED) {
        Some(more @ 1..) => format!("{named} and {more} more"),
        _ => named,
    }
}
