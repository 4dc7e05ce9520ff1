//! Reader for idx, the format of MNIST and its relatives.
//!
//! An idx file is a magic number (two zero bytes, the element type, the number of dimensions), the
//! dimensions as big-endian `u32`, then the elements. Only unsigned bytes (type 8) are read, plain
//! or as gzip, told apart by content. What the bytes mean is the business of the data set.
//!
//! Source: <http://yann.lecun.com/exdb/mnist/>.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::DataError;

/// Type code of unsigned bytes in a magic number.
const UNSIGNED_BYTE: u32 = 8;
const GZIP: [u8; 2] = [0x1f, 0x8b];

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
/// [`DataError::Magic`] if it is no idx file of bytes with that rank, and
/// [`DataError::Truncated`], [`DataError::TrailingBytes`] or [`DataError::Dimensions`] if its
/// length disagrees with its header.
pub fn read(path: &Path, rank: usize) -> Result<Idx, DataError> {
    let read_error = |source| DataError::Read {
        path: path.into(),
        source,
    };
    let mut file = BufReader::new(File::open(path).map_err(read_error)?);
    if file.fill_buf().map_err(read_error)?.starts_with(&GZIP) {
        parse(path, rank, MultiGzDecoder::new(file), |source| {
            DataError::Gzip {
                path: path.into(),
                source,
            }
        })
    } else {
        parse(path, rank, file, read_error)
    }
}

fn parse(
    path: &Path,
    rank: usize,
    mut bytes: impl Read,
    on_error: impl Fn(io::Error) -> DataError,
) -> Result<Idx, DataError> {
    let truncated = |got, want| DataError::Truncated {
        path: path.into(),
        got,
        want,
    };
    let header_len = 4 + 4 * rank as u64;
    let header = read_up_to(&mut bytes, header_len).map_err(&on_error)?;
    let mut words = header
        .chunks_exact(4)
        .map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]]));

    let want = (UNSIGNED_BYTE << 8) | rank as u32;
    // The magic number is checked before the length: a short file of another kind is told so.
    match words.next() {
        Some(got) if got != want => {
            return Err(DataError::Magic {
                path: path.into(),
                got,
                want,
                rank,
            });
        }
        Some(_) if header.len() as u64 == header_len => {}
        _ => return Err(truncated(header.len() as u64, header_len)),
    }
    let dims: Vec<usize> = words.map(|dim| dim as usize).collect();
    let want = dims
        .iter()
        .try_fold(1_usize, |product, &dim| product.checked_mul(dim))
        .filter(|&product| product <= isize::MAX as usize - 64)
        .ok_or_else(|| DataError::Dimensions {
            path: path.into(),
            dims: dims.clone(),
        })? as u64;

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
    Ok(Idx { dims, values })
}

fn read_up_to(bytes: &mut impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    bytes.take(limit).read_to_end(&mut read)?;
    Ok(read)
}
