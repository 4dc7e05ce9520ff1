//! Reader for idx, the format of MNIST and its relatives.
//!
//! An idx file is a magic number (two zero bytes, the element type, the number of dimensions), the
//! dimensions as big-endian `u32`, then the elements. Plain files and gzip are told apart by content.
//! [`read`] takes unsigned bytes (type 8) only, [`read_labels`] integers of other types too. What
//! they mean is the business of the data set.
//!
//! Source: <http://yann.lecun.com/exdb/mnist/>.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::DataError;

/// Type code of unsigned bytes in a magic number.
const UNSIGNED_BYTE: u32 = 8;
/// Type codes of integers, and their bytes: `u8`, `i8`, `i16` and `i32`.
const INTEGERS: [(u32, usize); 4] = [(UNSIGNED_BYTE, 1), (9, 1), (11, 2), (12, 4)];
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// The most bytes that are unpacked: twice the largest published, EMNIST's `byclass`. A few megabytes of gzip unpack to more than
/// memory holds, and nothing but their end would tell.
const MOST_UNPACKED: u64 = 1 << 30;

/// An array of bytes, slowest dimension first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idx {
    /// The dimensions.
    pub dims: Vec<usize>,
    /// As many values as the dimensions' product.
    pub values: Vec<u8>,
}

/// Reads an idx file of unsigned bytes with `rank` dimensions.
///
/// # Errors
///
/// [`DataError::Read`] and [`DataError::Gzip`] if the file cannot be read or unpacked,
/// [`DataError::Magic`] if it is no idx file of bytes with that rank, [`DataError::TooLong`] if more than 1 GiB would be unpacked, and
/// [`DataError::Truncated`], [`DataError::TrailingBytes`] or [`DataError::Dimensions`] if its
/// length disagrees with its header.
pub fn read(path: &Path, rank: usize) -> Result<Idx, DataError> {
    let (_, idx) = unpack(path, &[rank], &INTEGERS[..1], open(path)?)?;
    Ok(idx)
}

/// Reads an idx file of one dimension whose integers, of 8, 16 or 32 bits, are labels.
///
/// # Errors
///
/// As [`read`], and [`DataError::Format`] if a label is not in 0..=65,535.
pub fn read_labels(path: &Path) -> Result<Vec<u16>, DataError> {
    let (code, Idx { values, .. }) = unpack(path, &[1], &INTEGERS, open(path)?)?;
    let width = INTEGERS
        .iter()
        .find(|(known, _)| *known == code)
        .map_or(1, |(_, width)| *width);
    let labels = values.chunks_exact(width).enumerate().map(|(i, bytes)| {
        let label = match *bytes {
            [a] if code == UNSIGNED_BYTE => i32::from(a),
            [a] => i32::from(a as i8),
            [a, b] => i32::from(i16::from_be_bytes([a, b])),
            [a, b, c, d] => i32::from_be_bytes([a, b, c, d]),
            _ => -1,
        };
        u16::try_from(label).map_err(|_| DataError::Format {
            path: path.into(),
            format: "idx",
            got: format!("label {label} at {i}"),
            want: "0 to 65535".into(),
        })
    });
    labels.collect()
}

/// Reads an idx file of unsigned bytes with three or four dimensions.
pub(super) fn read_pictures(path: &Path) -> Result<Idx, DataError> {
    let (_, idx) = unpack(path, &[3, 4], &INTEGERS[..1], open(path)?)?;
    Ok(idx)
}

/// As [`read`], from what has a file's bytes, such as a member of an archive: 1 GiB at most. `path` is what errors call it.
///
/// # Errors
///
/// Those of [`read`].
pub fn read_from(path: &Path, rank: usize, bytes: impl Read) -> Result<Idx, DataError> {
    let (_, idx) = unpack(path, &[rank], &INTEGERS[..1], (bytes, MOST_UNPACKED))?;
    Ok(idx)
}

/// A file, and how much it holds.
fn open(path: &Path) -> Result<(File, u64), DataError> {
    let read_error = |source| DataError::Read {
        path: path.into(),
        source,
    };
    let file = File::open(path).map_err(read_error)?;
    // What is no file, such as a pipe, has no length.
    let len = file.metadata().map_err(read_error)?.len();
    Ok((file, len.max(MOST_UNPACKED)))
}

/// Reads a file that may be packed, of one of these numbers of dimensions and types; where it is not packed, it may hold as much as
/// is given beside it. Also returns the type.
fn unpack(
    path: &Path,
    ranks: &[usize],
    types: &[(u32, usize)],
    (bytes, most): (impl Read, u64),
) -> Result<(u32, Idx), DataError> {
    let read_error = |source| DataError::Read {
        path: path.into(),
        source,
    };
    let mut bytes = BufReader::new(bytes);
    if bytes.fill_buf().map_err(read_error)?.starts_with(&GZIP) {
        let unpacked = (MultiGzDecoder::new(bytes), MOST_UNPACKED);
        parse(path, ranks, types, unpacked, |source| DataError::Gzip {
            path: path.into(),
            source,
        })
    } else {
        parse(path, ranks, types, (bytes, most), read_error)
    }
}

fn parse(
    path: &Path,
    ranks: &[usize],
    types: &[(u32, usize)],
    (mut bytes, most): (impl Read, u64),
    on_error: impl Fn(io::Error) -> DataError,
) -> Result<(u32, Idx), DataError> {
    let truncated = |got, want| DataError::Truncated {
        path: path.into(),
        got,
        want,
    };
    let magic = read_up_to(&mut bytes, 4).map_err(&on_error)?;
    let first_rank = ranks[0];
    let (rank, width, code) = match *magic.as_slice() {
        [a, b, c, d] => {
            // The magic number is checked before the length: a short file of another kind is told so.
            let (got, code, rank) = (u32::from_be_bytes([a, b, c, d]), c.into(), d.into());
            let known = types.iter().find(|(known, _)| *known == code);
            match known {
                Some((_, width)) if [a, b] == [0, 0] && ranks.contains(&rank) => {
                    (rank, *width, code)
                }
                _ => {
                    return Err(DataError::Magic {
                        path: path.into(),
                        got,
                        want: (UNSIGNED_BYTE << 8) | first_rank as u32,
                        rank: first_rank,
                    });
                }
            }
        }
        _ => return Err(truncated(magic.len() as u64, 4 + 4 * first_rank as u64)),
    };
    let header_len = 4 + 4 * rank as u64;
    let header = read_up_to(&mut bytes, header_len - 4).map_err(&on_error)?;
    if header.len() as u64 != header_len - 4 {
        return Err(truncated(4 + header.len() as u64, header_len));
    }
    let words = header.chunks_exact(4);
    let dims: Vec<usize> = words
        .map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]) as usize)
        .collect();
    let want = dims
        .iter()
        .try_fold(width, |product, &dim| product.checked_mul(dim))
        .filter(|&product| product <= isize::MAX as usize - 64)
        .ok_or_else(|| DataError::Dimensions {
            path: path.into(),
            dims: dims.clone(),
        })? as u64;

    if want > most {
        return Err(DataError::TooLong {
            path: path.into(),
            got: want,
            most,
        });
    }
    // One byte more than wanted shows whether the file goes on, and reading to the end lets gzip
    // check its checksum. The header alone never decides how much memory is taken.
    let values = read_up_to(&mut bytes, want + 1).map_err(&on_error)?;
    let got = values.len() as u64;
    if got < want {
        return Err(truncated(header_len + got, header_len + want));
    }
    if got > want {
        return Err(DataError::TrailingBytes {
            path: path.into(),
            want: header_len + want,
        });
    }
    Ok((code, Idx { dims, values }))
}

fn read_up_to(bytes: &mut impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    bytes.take(limit).read_to_end(&mut read)?;
    Ok(read)
}
