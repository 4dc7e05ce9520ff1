//! Reader for zip archives, as far as published data sets need one.
//!
//! A member is found by its file name in the directory at the archive's end and is unpacked while it
//! is read, so memory is taken for the directory only, 4 MiB at most. Members that are stored or
//! deflated are read; archives over 4 GiB (zip64) and encrypted members are not. The members of
//! data sets are gzip files, whose own checksums are checked, so the archive's are not.
//!
//! Source: PKWARE, APPNOTE.TXT, 4.3.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use flate2::bufread::DeflateDecoder;

use super::DataError;
use super::error::Fault;

const END: [u8; 4] = *b"PK\x05\x06";
const END_LEN: usize = 22;
const ENTRY: [u8; 4] = *b"PK\x01\x02";
const ENTRY_LEN: usize = 46;
const LOCAL: [u8; 4] = *b"PK\x03\x04";
const LOCAL_LEN: usize = 30;
/// The longest comment after the directory.
const COMMENT: u64 = 0xffff;
/// The longest directory that is read.
const DIRECTORY: u32 = 4 << 20;

/// Opens the member of this file name, in whatever folder of the archive. Also returns what to call it
/// in messages.
///
/// # Errors
///
/// [`DataError::Read`] if the archive cannot be read, [`DataError::Format`] if it is none that is read
/// here, and [`DataError::ArchiveLacks`] if it has no such member.
pub(super) fn open(archive: &Path, name: &str) -> Result<(PathBuf, Box<dyn Read>), DataError> {
    let read_error = |source| DataError::Read {
        path: archive.into(),
        source,
    };
    let fault = |fault: Fault| fault.at(archive, "zip");
    let mut file = File::open(archive).map_err(read_error)?;
    let directory = directory(&mut file).map_err(read_error)?.map_err(fault)?;
    let entry = find(&directory, name).map_err(fault)?;
    let Some(entry) = entry else {
        return Err(DataError::ArchiveLacks {
            path: archive.into(),
            missing: name.into(),
        });
    };
    let mut local = [0; LOCAL_LEN];
    file.seek(SeekFrom::Start(entry.at.into()))
        .map_err(read_error)?;
    let got = read_up_to(&mut file, &mut local).map_err(read_error)?;
    if got < LOCAL_LEN || !local.starts_with(&LOCAL) {
        return Err(fault(Fault::new(
            format!("no member at {}", entry.at),
            format!("{name} there"),
        )));
    }
    let skip = i64::from(word(&local, 26)) + i64::from(word(&local, 28));
    file.seek(SeekFrom::Current(skip)).map_err(read_error)?;
    let packed = BufReader::new(file).take(entry.packed.into());
    let bytes: Box<dyn Read> = match entry.method {
        0 => Box::new(packed),
        8 => Box::new(DeflateDecoder::new(packed).take(entry.unpacked.into())),
        method => {
            return Err(fault(Fault::new(
                format!("{name} packed by method {method}"),
                "method 0 (stored) or 8 (deflated)",
            )));
        }
    };
    Ok((archive.join(entry.inside), bytes))
}

/// Where a member lies and how it is packed.
struct Entry {
    inside: PathBuf,
    method: u16,
    packed: u32,
    unpacked: u32,
    at: u32,
}

/// The bytes of the archive's directory.
fn directory(file: &mut File) -> io::Result<Result<Vec<u8>, Fault>> {
    let len = file.seek(SeekFrom::End(0))?;
    let from = len.saturating_sub(COMMENT + END_LEN as u64);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.take(len - from).read_to_end(&mut tail)?;
    let end = tail
        .windows(END_LEN)
        .rposition(|window| window.starts_with(&END));
    let Some(end) = end else {
        let got = format!("no directory at its end, after {len} bytes");
        return Ok(Err(Fault::new(got, "a whole archive")));
    };
    let end = &tail[end..];
    let (size, at) = (long(end, 12), long(end, 16));
    if size > DIRECTORY || u64::from(at) + u64::from(size) > len {
        let got = format!("a directory of {size} bytes at {at}");
        let want = format!("{DIRECTORY} bytes at most within the file's {len}");
        return Ok(Err(Fault::new(got, want)));
    }
    file.seek(SeekFrom::Start(at.into()))?;
    let mut bytes = Vec::new();
    file.take(size.into()).read_to_end(&mut bytes)?;
    Ok(Ok(bytes))
}

/// The entry of this file name. Members outside of the archive's folders are passed over.
fn find(mut directory: &[u8], name: &str) -> Result<Option<Entry>, Fault> {
    while !directory.is_empty() {
        if directory.len() < ENTRY_LEN || !directory.starts_with(&ENTRY) {
            let got = format!(
                "{} bytes that are no entry of its directory",
                directory.len()
            );
            return Err(Fault::new(got, "a whole archive"));
        }
        let lens = [28, 30, 32].map(|at| usize::from(word(directory, at)));
        let rest = &directory[ENTRY_LEN..];
        if lens.iter().sum::<usize>() > rest.len() {
            return Err(Fault::new("a directory that is cut off", "a whole archive"));
        }
        let inside = PathBuf::from(String::from_utf8_lossy(&rest[..lens[0]]).into_owned());
        if is_within(&inside) && inside.file_name().is_some_and(|got| got == name) {
            if word(directory, 8) & 1 != 0 {
                return Err(Fault::new(format!("{name} encrypted"), "it plain"));
            }
            return Ok(Some(Entry {
                inside,
                method: word(directory, 10),
                packed: long(directory, 20),
                unpacked: long(directory, 24),
                at: long(directory, 42),
            }));
        }
        directory = &rest[lens.iter().sum()..];
    }
    Ok(None)
}

/// Whether a path leads nowhere else than into a folder below.
pub(super) fn is_within(path: &Path) -> bool {
    path.components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

fn read_up_to(file: &mut File, bytes: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < bytes.len() {
        match file.read(&mut bytes[got..])? {
            0 => break,
            n => got += n,
        }
    }
    Ok(got)
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
