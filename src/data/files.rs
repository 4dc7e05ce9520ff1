//! The files of a published data set: finding them, and fetching them if that is allowed.

use std::path::{Path, PathBuf};

use super::{
    DataError, Loader, Outline, cifar10, cifar100, emnist, fashion_mnist, kmnist, mnist, svhn,
};

/// Every published set.
pub(super) static SETS: &[&FileSet] = &[
    &fashion_mnist::SET,
    &mnist::SET,
    &kmnist::SET,
    &emnist::BALANCED,
    &emnist::BYCLASS,
    &emnist::BYMERGE,
    &emnist::DIGITS,
    &emnist::LETTERS,
    &emnist::MNIST,
    &cifar10::SET,
    &cifar100::FINE,
    &cifar100::COARSE,
    &svhn::SET,
];

/// A file as it is published.
#[cfg_attr(
    not(feature = "download"),
    allow(dead_code, reason = "read by the downloader only")
)]
pub(super) struct Published {
    pub(super) name: &'static str,
    /// Length in bytes.
    pub(super) bytes: u64,
    /// SHA-256 in hexadecimal.
    pub(super) sha256: &'static str,
}

/// What is known of a data set's files without having them.
pub(super) struct FileSet {
    /// The data set.
    pub(super) name: &'static str,
    /// Its sub-folder in the system's and the cache folder: sets of the same files share one.
    pub(super) folder: &'static str,
    /// The size of the official training set.
    pub(super) outline: Outline,
    /// The number of pictures in the official test set.
    #[cfg_attr(not(test), allow(dead_code, reason = "the table of data sets has it"))]
    pub(super) test: usize,
    /// Finds the files in a folder, or tells which are missing.
    pub(super) locate: fn(&Path) -> Result<Vec<PathBuf>, Vec<&'static str>>,
    /// The files in words, for error messages.
    pub(super) want: &'static str,
    /// The package of Debian and Ubuntu that holds the files, if there is one.
    pub(super) package: Option<&'static str>,
    /// The official address, to which `/` and a file's name are added.
    pub(super) url: &'static str,
    /// The files at that address.
    #[cfg_attr(
        not(feature = "download"),
        allow(dead_code, reason = "read by the downloader only")
    )]
    pub(super) published: &'static [Published],
}

/// The paths of the files of these names, or the names of those that were not found.
pub(super) fn all_found(
    names: &[&'static str],
    paths: Vec<Option<PathBuf>>,
) -> Result<Vec<PathBuf>, Vec<&'static str>> {
    let named = names.iter().zip(&paths);
    let missing = named.filter(|(_, path)| path.is_none());
    let missing: Vec<_> = missing.map(|(name, _)| *name).collect();
    match missing.is_empty() {
        true => Ok(paths.into_iter().flatten().collect()),
        false => Err(missing),
    }
}

impl FileSet {
    /// The files, from the first place that has all of them.
    pub(super) fn find(&self, loader: &mut Loader<'_>) -> Result<Vec<PathBuf>, DataError> {
        if let Some(folder) = &loader.data_dir {
            if !folder.is_dir() {
                return Err(DataError::NoFolder {
                    folder: folder.clone(),
                });
            }
            return self.locate_in(folder);
        }
        let places: Vec<PathBuf> = [Some(&loader.system_dir), loader.cache_dir.as_ref()]
            .into_iter()
            .flatten()
            .map(|place| place.join(self.folder))
            .collect();
        for place in &places {
            if let Ok(paths) = (self.locate)(place) {
                return Ok(paths);
            }
        }
        #[cfg(feature = "download")]
        if let Some(paths) = self.download(loader)? {
            return Ok(paths);
        }
        let places: Vec<_> = places.iter().map(|p| p.display().to_string()).collect();
        Err(DataError::NotInstalled {
            name: self.name,
            places: places.join(", "),
            package: self.package,
            want: self.want,
            url: self.url,
        })
    }

    fn locate_in(&self, folder: &Path) -> Result<Vec<PathBuf>, DataError> {
        (self.locate)(folder).map_err(|missing| DataError::MissingFiles {
            folder: folder.into(),
            missing: missing.join(", "),
            want: self.want,
        })
    }

    /// Fetches the files to the cache folder, if that is allowed and there is one.
    #[cfg(feature = "download")]
    fn download(&self, loader: &mut Loader<'_>) -> Result<Option<Vec<PathBuf>>, DataError> {
        use super::download::{Remote, fetch};

        let (Some(report), Some(cache)) = (&mut loader.on_download, &loader.cache_dir) else {
            return Ok(None);
        };
        let folder = cache.join(self.folder);
        let site = loader.mirror.as_deref().unwrap_or(self.url);
        for file in self.published {
            let path = folder.join(file.name);
            // A file of that name is whole: it is given the name last.
            if path.is_file() {
                continue;
            }
            let remote = Remote {
                url: &format!("{}/{}", site.trim_end_matches('/'), file.name),
                bytes: file.bytes,
                sha256: file.sha256,
            };
            fetch(&remote, &path, report).map_err(|source| DataError::Download {
                name: self.name,
                package: self.package,
                want: self.want,
                url: self.url,
                folder: folder.clone(),
                source: Box::new(source),
            })?;
        }
        self.locate_in(&folder).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::SETS;

    #[test]
    fn published_files_have_an_address_and_whole_checksums() {
        for set in SETS {
            // The checksum guards what comes by HTTP: not every site has HTTPS.
            assert!(set.url.starts_with("http"), "{}", set.url);
            assert!(!set.url.ends_with('/'), "{}", set.url);
            for file in set.published {
                assert_eq!(file.sha256.len(), 64, "{}", file.name);
                let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
                assert!(file.sha256.chars().all(hex), "{}", file.name);
                assert!(file.bytes > 0 && !file.name.contains('/'), "{}", file.name);
            }
        }
    }

    /// 1234567 as 1,234,567.
    fn grouped(n: u64) -> String {
        let digits = n.to_string();
        let (mut out, len) = (String::new(), digits.len());
        for (i, digit) in digits.chars().enumerate() {
            if i > 0 && (len - i) % 3 == 0 {
                out.push(',');
            }
            out.push(digit);
        }
        out
    }

    #[test]
    fn table_of_data_sets_has_each_set_with_its_size_address_and_checksums() {
        let table = include_str!("../../docs/datasets.md");
        for name in super::super::DATASETS {
            let row = format!("| `{name}` |");
            let lines = table.lines().filter(|line| line.starts_with(&row)).count();
            assert!(lines > 0, "docs/datasets.md has no line for {name}");
        }
        for set in SETS {
            let row = format!("| `{}` |", set.name);
            let lines: Vec<_> = table
                .lines()
                .filter(|line| line.starts_with(&row))
                .collect();
            let [c, h, w] = set.outline.image;
            let size = format!(
                "| {} + {} | {c}x{h}x{w} | {} |",
                grouped(set.outline.len as u64),
                grouped(set.test as u64),
                set.outline.classes
            );
            assert!(
                lines.iter().any(|line| line.contains(&size)),
                "{}: {size}",
                set.name
            );
            assert!(!set.published.is_empty(), "{}", set.name);
            for file in set.published {
                let want = [
                    format!("`{}/{}`", set.url, file.name),
                    format!("| {} |", grouped(file.bytes)),
                    format!("`{}`", file.sha256),
                ];
                let has = |line: &&str| want.iter().all(|want| line.contains(want));
                assert!(
                    table.lines().any(|line| has(&line)),
                    "no line with {want:?}"
                );
            }
        }
    }

    #[cfg(feature = "download")]
    #[test]
    fn missing_files_are_downloaded_once_and_found_from_then_on() {
        use std::io::{Read, Write};
        use std::net::TcpListener;

        use super::{FileSet, Loader, Outline, Published};

        let set = FileSet {
            name: "tiny",
            folder: "tiny",
            outline: Outline {
                len: 1,
                image: [1, 1, 1],
                classes: 1,
                draws: false,
            },
            test: 1,
            locate: |folder| {
                let path = folder.join("abc");
                let found = path.is_file();
                found.then(|| vec![path]).ok_or_else(|| vec!["abc"])
            },
            want: "abc",
            package: None,
            url: "https://example.org",
            published: &[Published {
                name: "abc",
                bytes: 3,
                // Of FIPS 180-4's examples.
                sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            }],
        };
        let server = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let mirror = format!("http://{}", server.local_addr().expect("an address"));
        // One answer only: a second download would fail.
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = server.accept().expect("a request");
            let _ = stream.read(&mut [0; 1024]);
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n";
            stream.write_all(head.as_bytes()).expect("sent");
            stream.write_all(b"abc").expect("sent");
        });
        let dir = tempfile::tempdir().expect("a folder");
        let mut reports = Vec::new();
        let loader = Loader::new("tiny").system_dir(dir.path().join("none"));
        let mut loader = loader
            .cache_dir(dir.path())
            .mirror(mirror)
            .on_download(|progress| reports.push((progress.done, progress.total)));
        let want = vec![dir.path().join("tiny/abc")];
        assert_eq!(set.find(&mut loader).expect("downloaded"), want);
        thread.join().expect("served");
        assert_eq!(set.find(&mut loader).expect("found"), want);
        drop(loader);
        assert_eq!(reports, [(3, 3)]);
    }
}
