//! Decoded, scaled-down copies of a folder's pictures in one file, so that only the first epoch decodes.
//!
//! The file is as large from the start as it will ever be; a picture is written into its place when it is decoded for the
//! first time, and then marked with its checksum. What is not marked, or does not fit its checksum, is decoded again: a file
//! that was cut off or torn costs time and nothing else. It is read and written by position, and not mapped into memory:
//! so a full disk and a file that someone cuts short are errors and not signals, and the pages that the system keeps of
//! it are not this process's.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

#[cfg(not(target_family = "wasm"))]
use fs4::available_space;
use rayon::prelude::*;

/// The beginning of every such file; another number for another layout.
const MAGIC: &[u8; 16] = b"nin-wgpu cache 2";
/// Magic, fingerprint, number of pictures.
const HEAD: u64 = 32;
/// Of a picture in the table: place, height, width, mark and checksum.
const ENTRY: u64 = 24;
/// Space that is left to others.
const SPARE: u64 = 1 << 30;

/// What a cache is of: files by path, length and time, and what is done to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint(u64);

impl Fingerprint {
    /// The name of a cache file that is of this, with `name` in it for people.
    pub(super) fn file_name(self, name: &str) -> String {
        format!("{name}-{:016x}.pictures", self.0)
    }

    pub(super) fn of(files: &[&Path], options: impl Hash) -> Self {
        let each: Vec<u64> = files
            .par_iter()
            .map(|path| {
                let mut hasher = DefaultHasher::new();
                path.hash(&mut hasher);
                if let Ok(metadata) = fs::metadata(path) {
                    let time = metadata.modified().ok();
                    let time = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
                    (metadata.len(), time).hash(&mut hasher);
                }
                hasher.finish()
            })
            .collect();
        let mut hasher = DefaultHasher::new();
        (each, options).hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Where a picture lies and how large it is.
#[derive(Clone, Copy, Debug)]
struct Entry {
    at: u64,
    size: [usize; 2],
    checksum: u32,
}

/// What is known of a picture's copy.
const ABSENT: u8 = 0;
/// Marked as whole, and not compared with its checksum yet.
const MARKED: u8 = 1;
const WHOLE: u8 = 2;

/// An open cache.
pub(super) struct Cache {
    file: File,
    path: PathBuf,
    channels: usize,
    entries: Vec<Entry>,
    state: Vec<AtomicU8>,
    /// Whether a write failed, so that no other is tried.
    full: AtomicBool,
    notices: Mutex<Vec<String>>,
}

impl Cache {
    /// Opens the cache at `path` if it is of `fingerprint`.
    pub(super) fn open(path: &Path, fingerprint: Fingerprint, channels: usize) -> Option<Self> {
        let file = File::options().read(true).write(true).open(path).ok()?;
        let mut head = [0; HEAD as usize];
        read_at(&file, 0, &mut head).ok()?;
        let word = |at: usize| -> Option<u64> {
            Some(u64::from_le_bytes(head.get(at..at + 8)?.try_into().ok()?))
        };
        let count = word(24)?;
        let length = file.metadata().ok()?.len();
        let fits = count.checked_mul(ENTRY)?.checked_add(HEAD)? <= length;
        if &head[..16] != MAGIC || word(16)? != fingerprint.0 || !fits {
            return None;
        }
        let mut table = vec![0; (count * ENTRY) as usize];
        read_at(&file, HEAD, &mut table).ok()?;
        let mut entries = Vec::with_capacity(count as usize);
        let mut state = Vec::with_capacity(count as usize);
        for entry in table.chunks_exact(ENTRY as usize) {
            let number = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| entry[at + i]));
            let at = u64::from(number(0)) | u64::from(number(4)) << 32;
            let size = [number(8), number(12)].map(|side| side as usize);
            let [h, w] = size.map(|side| side as u64);
            let bytes = (channels as u64).checked_mul(h)?.checked_mul(w)?;
            // A file that was cut short has lost its last pictures.
            let there = at.checked_add(bytes).is_some_and(|end| end <= length);
            let marked = there && number(16) == u32::from(MARKED);
            state.push(AtomicU8::new(if marked { MARKED } else { ABSENT }));
            entries.push(Entry {
                at,
                size,
                checksum: number(20),
            });
        }
        Some(Self::new(file, path, channels, entries, state))
    }

    /// Makes an empty cache at `path` for pictures of these sizes `[h,w]`, in place of one that may be there.
    ///
    /// # Errors
    /// If it cannot be written, or the disk has not the space that it will take.
    pub(super) fn create(
        path: &Path,
        fingerprint: Fingerprint,
        channels: usize,
        sizes: &[[usize; 2]],
    ) -> io::Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut at = HEAD + ENTRY * sizes.len() as u64;
        let mut table = Vec::with_capacity(at as usize);
        table.extend_from_slice(MAGIC);
        table.extend_from_slice(&fingerprint.0.to_le_bytes());
        table.extend_from_slice(&(sizes.len() as u64).to_le_bytes());
        let mut entries = Vec::with_capacity(sizes.len());
        for &size in sizes {
            table.extend_from_slice(&at.to_le_bytes());
            for side in size {
                table.extend_from_slice(&(side as u32).to_le_bytes());
            }
            table.extend_from_slice(&[0; 8]);
            entries.push(Entry {
                at,
                size,
                checksum: 0,
            });
            at += (channels * size[0] * size[1]) as u64;
        }
        // One that is there gives its space back.
        let had = fs::metadata(path).map_or(0, |metadata| metadata.len());
        let free = available_space(folder)?;
        if at + SPARE > free.saturating_add(had) {
            return Err(io::Error::other(format!(
                "it takes {:.1} GB, and {:.1} GB are free",
                at as f64 / 1e9,
                free as f64 / 1e9
            )));
        }
        // Whoever reads the old one goes on doing so.
        let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
        let make = || -> io::Result<File> {
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(&temporary)?;
            write_at(&file, 0, &table)?;
            file.set_len(at)?;
            fs::rename(&temporary, path)?;
            Ok(file)
        };
        let file = make().inspect_err(|_| {
            let _ = fs::remove_file(&temporary);
        })?;
        let state = sizes.iter().map(|_| AtomicU8::new(ABSENT)).collect();
        Ok(Self::new(file, path, channels, entries, state))
    }

    fn new(
        file: File,
        path: &Path,
        channels: usize,
        entries: Vec<Entry>,
        state: Vec<AtomicU8>,
    ) -> Self {
        Self {
            file,
            path: path.into(),
            channels,
            entries,
            state,
            full: AtomicBool::new(false),
            notices: Mutex::default(),
        }
    }

    /// Bytes of the file when it holds every picture.
    pub(super) fn bytes(&self) -> u64 {
        let end = |entry: &Entry| entry.at + self.len(entry) as u64;
        self.entries.last().map_or(HEAD, end)
    }

    /// How many pictures it holds.
    pub(super) fn held(&self) -> usize {
        let held = |state: &&AtomicU8| state.load(Ordering::Relaxed) != ABSENT;
        self.state.iter().filter(held).count()
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn shape(&self, entry: &Entry) -> [usize; 3] {
        [entry.size[0], entry.size[1], self.channels]
    }

    fn len(&self, entry: &Entry) -> usize {
        self.shape(entry).iter().product()
    }

    /// Height and width of picture `i`, if it could be read when the cache was made.
    pub(super) fn size(&self, i: usize) -> Option<[usize; 2]> {
        let size = self.entries.get(i)?.size;
        (!size.contains(&0)).then_some(size)
    }

    /// Reads `rows` of picture `i` into `bytes`, `[rows,w,C]`; whether there is a whole copy.
    pub(super) fn get(&self, i: usize, rows: Range<usize>, bytes: &mut Vec<u8>) -> bool {
        let (Some(entry), Some(state)) = (self.entries.get(i), self.state.get(i)) else {
            return false;
        };
        let known = state.load(Ordering::Acquire);
        if known == ABSENT || rows.end > entry.size[0] {
            return false;
        }
        let row = entry.size[1] * self.channels;
        let wanted = rows.start * row..rows.end * row;
        let is_read = if known == MARKED {
            // All of it once, to compare the checksum.
            bytes.resize(self.len(entry), 0);
            let is_whole = read_at(&self.file, entry.at, bytes).is_ok()
                && crc32fast::hash(bytes) == entry.checksum;
            bytes.truncate(wanted.end);
            bytes.drain(..wanted.start);
            is_whole
        } else {
            bytes.resize(wanted.len(), 0);
            read_at(&self.file, entry.at + wanted.start as u64, bytes).is_ok()
        };
        state.store(if is_read { WHOLE } else { ABSENT }, Ordering::Relaxed);
        is_read
    }

    /// Keeps picture `i`, unless it has another size than was said or the disk has no room.
    pub(super) fn put(&self, i: usize, shape: [usize; 3], bytes: &[u8]) {
        let Some(entry) = self.entries.get(i) else {
            return;
        };
        if shape != self.shape(entry) || self.full.load(Ordering::Relaxed) {
            return;
        }
        let mut mark = [0; 8];
        mark[0] = MARKED;
        mark[4..].copy_from_slice(&crc32fast::hash(bytes).to_le_bytes());
        let mark_at = HEAD + ENTRY * i as u64 + 16;
        let written = write_at(&self.file, entry.at, bytes)
            .and_then(|()| write_at(&self.file, mark_at, &mark));
        match written {
            Ok(()) => self.state[i].store(WHOLE, Ordering::Release),
            Err(error) if !self.full.swap(true, Ordering::Relaxed) => {
                let path = self.path.display();
                let notice = format!(
                    "cannot write {path}: {error}; the training goes on and decodes what is not in it anew"
                );
                let mut notices = self.notices.lock();
                let notices = notices.as_mut().unwrap_or_else(PoisonError::get_mut);
                notices.push(notice);
            }
            Err(_) => {}
        }
    }

    /// What happened since this was asked last.
    pub(super) fn take_notices(&self) -> Vec<String> {
        let mut notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut notices)
    }
}

#[cfg(unix)]
fn read_at(file: &File, at: u64, bytes: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(unix)]
fn write_at(file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

#[cfg(windows)]
fn read_at(file: &File, mut at: u64, mut bytes: &mut [u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, at)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                bytes = &mut bytes[n..];
                at += n as u64;
            }
        }
    }
    Ok(())
}

#[cfg(windows)]
fn write_at(file: &File, mut at: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_write(file, bytes, at)? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            n => {
                bytes = &bytes[n..];
                at += n as u64;
            }
        }
    }
    Ok(())
}

/// A browser has no folder to look at.
#[cfg(target_family = "wasm")]
fn available_space(_: &Path) -> io::Result<u64> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Where positions in a file cannot be read there is no cache.
#[cfg(not(any(unix, windows)))]
fn read_at(_: &File, _: u64, _: &mut [u8]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(any(unix, windows)))]
fn write_at(_: &File, _: u64, _: &[u8]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests;
