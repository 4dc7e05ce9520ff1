//! Reader for MATLAB 5 files, as far as published data sets need one: whole variables of real numbers,
//! compressed or not.
//!
//! A file is a header of 128 bytes and then elements, each a type, a length and so many bytes. An element
//! of type 14 is a variable: its class, dimensions, name and numbers, elements themselves. One of
//! type 15 is such an element packed by zlib. Only little-endian files are read (so are all
//! published ones); those of MATLAB 7.3 are HDF5 and are not.
//!
//! Memory is taken for the numbers of the variables asked for, as many as come out of the file and no
//! more than is allowed for; for all else some kilobytes. A length in the file alone takes none.
//!
//! Source: MathWorks, MAT-File Format, 2019, chapter 1.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::bufread::ZlibDecoder;

use super::DataError;
use super::error::Fault;

const HEADER: usize = 128;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;
/// The class of an array of bytes.
pub(super) const BYTES: u8 = 9;
/// Classes of numbers: doubles to unsigned 64-bit integers.
const NUMBERS: std::ops::RangeInclusive<u8> = 6..=15;
const COMPLEX: u8 = 0x08;

/// A variable to read.
pub(super) struct Wanted {
    pub(super) name: &'static str,
    /// The most numbers that it may have, and the most bytes: what is packed may unpack to thousands of times its size.
    pub(super) most: usize,
}

/// A variable: its first dimension runs fastest.
pub(super) struct Variable {
    /// The class of its numbers.
    pub(super) class: u8,
    pub(super) dims: Vec<usize>,
    /// How the numbers are stored, perhaps in less space than their class has.
    storage: u32,
    /// The numbers as they are stored.
    pub(super) bytes: Vec<u8>,
}

impl Variable {
    /// The numbers, if they are bytes and stored as such.
    pub(super) fn into_bytes(self) -> Result<Vec<u8>, Fault> {
        if (self.class, self.storage) != (BYTES, 2) {
            let got = format!("numbers of class {} stored as {}", self.class, self.storage);
            return Err(Fault::new(got, "bytes: class 9 stored as 2"));
        }
        Ok(self.bytes)
    }

    /// The numbers.
    pub(super) fn numbers(&self) -> Vec<f64> {
        let chunks = self.bytes.chunks_exact(width(self.storage).unwrap_or(1));
        let number = |bytes: &[u8]| match (self.storage, bytes) {
            (1, &[a]) => f64::from(a as i8),
            (2, &[a]) => f64::from(a),
            (3, &[a, b]) => f64::from(i16::from_le_bytes([a, b])),
            (4, &[a, b]) => f64::from(u16::from_le_bytes([a, b])),
            (5, &[a, b, c, d]) => f64::from(i32::from_le_bytes([a, b, c, d])),
            (6, &[a, b, c, d]) => f64::from(u32::from_le_bytes([a, b, c, d])),
            (7, &[a, b, c, d]) => f64::from(f32::from_le_bytes([a, b, c, d])),
            (9, &[a, b, c, d, e, f, g, h]) => f64::from_le_bytes([a, b, c, d, e, f, g, h]),
            _ => f64::NAN,
        };
        chunks.map(number).collect()
    }
}

/// Bytes of a number as it is stored, of the types that are read.
fn width(storage: u32) -> Option<usize> {
    match storage {
        1 | 2 => Some(1),
        3 | 4 => Some(2),
        5..=7 => Some(4),
        9 => Some(8),
        _ => None,
    }
}

/// Reads the variables of these names, in this order. Others are passed over.
///
/// # Errors
///
/// [`DataError::Read`] if the file cannot be read, [`DataError::Truncated`] if it is cut off,
/// [`DataError::Inflate`] if a part is damaged or ends too soon, and [`DataError::Format`] if the
/// file is no MATLAB 5 file, lacks a variable, or has one that is not wanted so.
pub(super) fn read<const N: usize>(
    path: &Path,
    wanted: &[Wanted; N],
) -> Result<[Variable; N], DataError> {
    let read_error = |source| DataError::Read {
        path: path.into(),
        source,
    };
    let fault = |fault: Fault| fault.at(path, "a MATLAB 5 file");
    let mut file = BufReader::new(File::open(path).map_err(read_error)?);
    let len = file.get_ref().metadata().map_err(read_error)?.len();
    let truncated = |want| DataError::Truncated {
        path: path.into(),
        got: len,
        want,
    };
    let mut header = [0; HEADER];
    if len < HEADER as u64 {
        return Err(truncated(HEADER as u64));
    }
    file.read_exact(&mut header).map_err(read_error)?;
    if header[124..] != *b"\x00\x01IM" {
        let got = format!("version and byte order {:02x?}", &header[124..]);
        return Err(fault(Fault::new(got, "[00, 01, 49, 4d], little-endian")));
    }

    let mut found = [const { None }; N];
    let mut at = HEADER as u64;
    while at < len {
        let mut tag = [0; 8];
        if len - at < 8 {
            return Err(truncated(at + 8));
        }
        file.read_exact(&mut tag).map_err(read_error)?;
        let [kind, size] = words(tag);
        at += 8;
        let end = at + u64::from(size);
        if end > len {
            return Err(truncated(end));
        }
        let variable = match kind {
            MATRIX => {
                let mut bytes = (&mut file).take(size.into());
                variable(&mut bytes, wanted)
            }
            COMPRESSED => {
                let mut bytes = ZlibDecoder::new((&mut file).take(size.into()));
                packed(&mut bytes, wanted)
            }
            _ => Ok(None),
        };
        let variable = variable.map_err(|stop| match stop {
            Stop::Fault(wrong) => fault(wrong),
            Stop::Io(source) => DataError::Inflate {
                path: path.into(),
                source,
            },
        })?;
        if let Some((index, variable)) = variable {
            if found[index].is_some() {
                let got = format!("`{}` twice", wanted[index].name);
                return Err(fault(Fault::new(got, "it once")));
            }
            found[index] = Some(variable);
        }
        file.seek(SeekFrom::Start(end)).map_err(read_error)?;
        at = end;
    }
    if let Some(lacks) = found.iter().position(Option::is_none) {
        let got = format!("no variable `{}`", wanted[lacks].name);
        return Err(fault(Fault::new(got, "one")));
    }
    let mut found = found.into_iter().flatten();
    let variables: Vec<Variable> = found.by_ref().collect();
    // As many as are wanted: none is lacking.
    variables
        .try_into()
        .map_err(|_| fault(Fault::new("too few variables", format!("{N}"))))
}

/// Why reading a part stopped.
enum Stop {
    Io(io::Error),
    Fault(Fault),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn stop(got: impl Into<String>, want: impl Into<String>) -> Stop {
    Stop::Fault(Fault::new(got, want))
}

/// Which of the wanted variables this is, and what it holds.
type Found = Option<(usize, Variable)>;

/// Reads the element that was packed.
fn packed(bytes: &mut impl Read, wanted: &[Wanted]) -> Result<Found, Stop> {
    let mut tag = [0; 8];
    bytes.read_exact(&mut tag)?;
    let [kind, size] = words(tag);
    if kind != MATRIX {
        return Ok(None);
    }
    let found = variable(&mut bytes.take(size.into()), wanted)?;
    // Reading to the end lets zlib check its checksum.
    if let Some((index, _)) = found
        && bytes.read(&mut [0])? != 0
    {
        let got = format!("more than the {size} bytes of `{}`", wanted[index].name);
        return Err(stop(got, "no more"));
    }
    Ok(found)
}

/// Reads a variable to its end, or no further than its name if it is not wanted.
fn variable(bytes: &mut impl Read, wanted: &[Wanted]) -> Result<Found, Stop> {
    let flags = small(bytes, 6, "flags")?;
    let dims = small(bytes, 5, "dimensions")?;
    let name = small(bytes, 1, "a name")?;
    let Some(index) = wanted.iter().position(|w| w.name.as_bytes() == name) else {
        return Ok(None);
    };
    let Wanted { name, most } = wanted[index];
    let &[class, flags, ..] = flags.as_slice() else {
        return Err(stop(format!("`{name}` without flags"), "8 bytes of them"));
    };
    if !NUMBERS.contains(&class) || flags & COMPLEX != 0 {
        let complex = if flags & COMPLEX != 0 {
            ", complex"
        } else {
            ""
        };
        let got = format!("`{name}` of class {class}{complex}");
        return Err(stop(got, "real numbers, class 6 to 15"));
    }
    let dims = dims.chunks_exact(4);
    let dims: Vec<usize> = dims
        .map(|d| u32::from_le_bytes([d[0], d[1], d[2], d[3]]) as usize)
        .collect();
    let count = dims.iter().try_fold(1_usize, |n, &dim| n.checked_mul(dim));
    let Some(count) = count.filter(|&count| count <= most) else {
        let got = format!("`{name}` of dimensions {dims:?}");
        return Err(stop(got, format!("{most} numbers at most")));
    };
    let (storage, values) = element(bytes, most)?;
    if width(storage).and_then(|width| count.checked_mul(width)) != Some(values.len()) {
        let got = format!(
            "{} bytes of type {storage} for `{name}` {dims:?}",
            values.len()
        );
        return Err(stop(got, "as many numbers as the dimensions say"));
    }
    let variable = Variable {
        class,
        dims,
        storage,
        bytes: values,
    };
    Ok(Some((index, variable)))
}

/// Reads a part of at most 64 bytes that must have this type.
fn small(bytes: &mut impl Read, want: u32, what: &str) -> Result<Vec<u8>, Stop> {
    match element(bytes, 64)? {
        (kind, values) if kind == want => Ok(values),
        (kind, _) => Err(stop(
            format!("a variable with type {kind} for {what}"),
            format!("type {want}"),
        )),
    }
}

/// Reads a part of a variable: its type and at most so many bytes.
fn element(bytes: &mut impl Read, most: usize) -> Result<(u32, Vec<u8>), Stop> {
    let mut tag = [0; 8];
    bytes.read_exact(&mut tag)?;
    let [kind, size] = words(tag);
    // Up to four bytes lie in the tag itself.
    if kind >> 16 != 0 {
        let (kind, size) = (kind & 0xffff, (kind >> 16) as usize);
        let values = tag[4..].get(..size);
        let values = values.ok_or_else(|| stop(format!("{size} bytes in a tag"), "4 at most"))?;
        return Ok((kind, values.to_vec()));
    }
    if size as usize > most {
        let got = format!("a part of {size} bytes");
        return Err(stop(got, format!("{most} at most")));
    }
    let mut values = Vec::new();
    bytes.take(size.into()).read_to_end(&mut values)?;
    if values.len() < size as usize {
        let got = format!("{} bytes in a part", values.len());
        return Err(stop(got, format!("{size} by its length")));
    }
    // Filled up to eight bytes.
    let mut fill = [0; 8];
    bytes.read_exact(&mut fill[..values.len().wrapping_neg() % 8])?;
    Ok((kind, values))
}

fn words(tag: [u8; 8]) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = tag;
    [
        u32::from_le_bytes([a, b, c, d]),
        u32::from_le_bytes([e, f, g, h]),
    ]
}
