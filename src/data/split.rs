//! The parts of a data set, and parting one so that every class is on both sides.

use std::cmp::Ordering;
use std::path::PathBuf;

use super::listing::{counted, some};
use super::{DataError, Dataset};
use crate::graph::rng::pcg4d;

/// A data set in its usual parts.
#[derive(Clone, Debug)]
pub struct Split {
    /// What to train on.
    pub train: Dataset,
    /// What to choose the best epoch by, if it is not to be chosen by the test set.
    pub val: Option<Dataset>,
    /// What to test on, never trained on.
    pub test: Dataset,
    /// What there is to tell of how the parts came about.
    pub notes: Vec<String>,
    /// Files that were left out, each with the reason.
    pub left_out: Vec<(PathBuf, String)>,
    /// A checksum of the pictures' names and classes, in their order, by which a run knows its data again; `None` for a
    /// published set.
    pub names: Option<u32>,
}

impl Split {
    /// Without a validation set.
    pub fn new(train: Dataset, test: Dataset) -> Self {
        Self {
            train,
            val: None,
            test,
            notes: Vec::new(),
            left_out: Vec::new(),
            names: None,
        }
    }

    /// Moves `count` pictures, chosen by `seed`, from the training set to a validation set. At least one stays, so of a
    /// single one there is no validation set.
    #[must_use]
    pub fn hold_out(self, count: usize, seed: u64) -> Self {
        if count == 0 || self.train.len() < 2 {
            return self;
        }
        let (train, val) = self.train.split_off(count, seed);
        let mut notes = self.notes;
        let lacking: Vec<&str> = (train.classes().iter().zip(train.class_counts()))
            .zip(val.class_counts())
            .filter(|((_, trained), held)| *trained > 0 && *held == 0)
            .map(|((class, _), _)| class.as_str())
            .collect();
        if !lacking.is_empty() {
            notes.push(format!(
                "the validation set has no picture of {}: {}",
                counted(lacking.len(), "class", "classes"),
                some(&lacking)
            ));
        }
        Self {
            train,
            val: Some(val),
            notes,
            ..self
        }
    }
}

impl Dataset {
    /// Splits off a share of the pictures, chosen by `seed`, to test on. At least one is on each side.
    ///
    /// # Errors
    ///
    /// [`DataError::Form`] if there is only one picture.
    pub fn split(self, share: f64, seed: u64) -> Result<Split, DataError> {
        if self.len() < 2 {
            return Err(DataError::Form {
                name: self.name().into(),
                what: "pictures",
                got: "1".into(),
                want: "at least 2, to train on and to test on".into(),
            });
        }
        let count = (self.len() as f64 * share).round() as usize;
        let (train, test) = self.split_off(count, seed);
        Ok(Split::new(train, test))
    }

    /// All but `count` of at least two pictures, and `count` pictures chosen by `seed`; both parts keep the order. Each
    /// class is parted in the same proportion, and one of two pictures or more is on both sides as far as `count` goes.
    fn split_off(self, count: usize, seed: u64) -> (Self, Self) {
        let mut classes: Vec<Vec<usize>> = vec![Vec::new(); self.classes().len()];
        for (i, label) in self.labels().into_iter().enumerate() {
            classes[usize::from(label)].push(i);
        }
        let sizes: Vec<usize> = classes.iter().map(Vec::len).collect();
        let counts = strata(&sizes, count.clamp(1, self.len() - 1));
        let (mut off, mut rest) = (Vec::new(), Vec::new());
        for (mut class, count) in classes.into_iter().zip(counts) {
            // A few keys may be equal: the index decides between them.
            class.sort_by_cached_key(|&i| {
                let word = [i as u32, u32::MAX, seed as u32, (seed >> 32) as u32];
                (pcg4d(word), i)
            });
            rest.extend(class.split_off(count));
            off.extend(class);
        }
        off.sort_unstable();
        rest.sort_unstable();
        (self.select(&rest), self.select(&off))
    }
}

/// How many of each class are split off, `count` in all: in proportion to `sizes`, one at least and one fewer than there are
/// at most, as far as `count` allows.
fn strata(sizes: &[usize], count: usize) -> Vec<usize> {
    let len: usize = sizes.iter().sum();
    let most: Vec<usize> = sizes.iter().map(|&n| n.saturating_sub(1)).collect();
    // Only classes of one picture, or more wanted than that leaves: then a class may go whole.
    let most = if most.iter().sum::<usize>() < count {
        sizes.to_vec()
    } else {
        most
    };
    let parted = most.iter().filter(|&&most| most > 0).count();
    let least = usize::from(count >= parted);
    let share = |k: usize| count as f64 * sizes[k] as f64 / len as f64;
    let mut counts: Vec<usize> = (0..sizes.len())
        .map(|k| (share(k) as usize).clamp(least.min(most[k]), most[k]))
        .collect();
    let classes = || 0..sizes.len();
    loop {
        let lack = |k: usize| share(k) - counts[k] as f64;
        let by_lack = |&a: &usize, &b: &usize| lack(a).total_cmp(&lack(b)).then(b.cmp(&a));
        let sum: usize = counts.iter().sum();
        let at = match sum.cmp(&count) {
            Ordering::Less => classes().filter(|&k| counts[k] < most[k]).max_by(by_lack),
            Ordering::Greater => classes().filter(|&k| counts[k] > least).min_by(by_lack),
            Ordering::Equal => None,
        };
        match at {
            Some(k) if sum < count => counts[k] += 1,
            Some(k) => counts[k] -= 1,
            None => return counts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strata_follow_the_sizes_and_keep_every_class_on_both_sides() {
        assert_eq!(strata(&[95, 95, 3], 97), [48, 48, 1]);
        assert_eq!(strata(&[10, 10], 5), [3, 2]);
        assert_eq!(strata(&[10, 30], 8), [2, 6]);
        assert_eq!(strata(&[30, 10, 20], 12), [6, 2, 4]);
        assert_eq!(strata(&[1, 9, 1], 3), [0, 3, 0]);
        assert_eq!(strata(&[100, 2, 2], 3), [1, 1, 1]);
        assert_eq!(strata(&[100, 2, 2], 2), [2, 0, 0]);
        assert_eq!(strata(&[1, 1, 1], 2), [1, 1, 0]);
        assert_eq!(strata(&[4, 4], 7), [4, 3]);
    }
}
