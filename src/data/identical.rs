//! Files that hold the same bytes: a picture that is trained and tested on flatters the test.

use std::collections::HashMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

use rayon::prelude::*;

/// Groups of files with the same contents, each by its places in `files`; files that cannot be read are in none.
pub fn identical(files: &[PathBuf]) -> Vec<Vec<usize>> {
    let mut by_length: HashMap<u64, Vec<usize>> = HashMap::new();
    for (i, path) in files.iter().enumerate() {
        if let Ok(metadata) = fs::metadata(path) {
            by_length.entry(metadata.len()).or_default().push(i);
        }
    }
    // Only those of one length can be the same.
    let alike: Vec<usize> = by_length
        .into_values()
        .filter(|of| of.len() > 1)
        .flatten()
        .collect();
    let hashes = alike.par_iter().filter_map(|&i| {
        let bytes = fs::read(&files[i]).ok()?;
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        Some(((bytes.len(), hasher.finish()), i))
    });
    let mut by_hash: HashMap<(usize, u64), Vec<usize>> = HashMap::new();
    for (hash, i) in hashes.collect::<Vec<_>>() {
        by_hash.entry(hash).or_default().push(i);
    }
    let mut groups: Vec<_> = by_hash.into_values().filter(|of| of.len() > 1).collect();
    groups.iter_mut().for_each(|group| group.sort_unstable());
    groups.sort_unstable();
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_same_bytes_are_found_whatever_they_are_called() {
        let folder = tempfile::tempdir().expect("a folder");
        let contents = ["one", "two", "one", "three", "two", "six", "one"];
        let files = (0..).zip(contents).map(|(i, text)| {
            let path = folder.path().join(format!("{i}.png"));
            fs::write(&path, text).expect("written");
            path
        });
        let mut files: Vec<_> = files.collect();
        files.push(folder.path().join("none.png"));
        assert_eq!(identical(&files), [vec![0, 2, 6], vec![1, 4]]);
    }
}
