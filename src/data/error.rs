//! Why data could not be loaded.

use std::io;
use std::path::PathBuf;

/// What went wrong with a data set or a picture.
///
/// Each message names the file or set, what was found, what was wanted and the mend. Causes (an
/// I/O or decoding error) are not repeated in the message but found through
/// [`source`](std::error::Error::source).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// No data set has this name.
    #[error("unknown data set `{got}`, want one of: {known}")]
    UnknownDataset {
        /// The name asked for.
        got: String,
        /// The known names, joined with commas.
        known: String,
    },
    /// A folder was given for a data set that is not read from files.
    #[error("data set `{name}` is not read from files, leave out the data folder {}", folder.display())]
    FolderUnused {
        /// The data set.
        name: String,
        /// The folder given.
        folder: PathBuf,
    },
    /// The data folder does not exist.
    #[error("data folder {} does not exist or is not a folder, check the path", folder.display())]
    NoFolder {
        /// The folder given.
        folder: PathBuf,
    },
    /// The data folder lacks files of the set.
    #[error("data folder {} lacks {missing}, want all of {want}, each plain or as .gz", folder.display())]
    MissingFiles {
        /// The folder searched.
        folder: PathBuf,
        /// The files not found, joined with commas.
        missing: String,
        /// All files of the set, joined with commas.
        want: String,
    },
    /// The data set is not installed on this system and no folder was given.
    #[error(
        "data set `{name}` not found in {}: on Debian or Ubuntu run `apt-get install {package}`, \
         elsewhere put {want} (plain or as .gz) from {url} in a folder and pass it with --data-dir",
        folder.display()
    )]
    NotInstalled {
        /// The data set.
        name: &'static str,
        /// Where it was looked for.
        folder: PathBuf,
        /// The package that holds it.
        package: &'static str,
        /// The files of the set, joined with commas.
        want: String,
        /// Where the files are published.
        url: &'static str,
    },
    /// A file could not be opened or read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A gzip file is damaged or cut off.
    #[error("cannot unpack {}, want a whole gzip file, get it anew", path.display())]
    Gzip {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// An idx file begins with the wrong magic number.
    #[error(
        "{} starts with {got:#010x}, want {want:#010x} (idx of bytes with {rank} dimension(s)), \
         check that it is the right file",
        path.display()
    )]
    Magic {
        /// The file.
        path: PathBuf,
        /// Its first four bytes, big-endian.
        got: u32,
        /// The number wanted.
        want: u32,
        /// The number of dimensions wanted.
        rank: usize,
    },
    /// An idx file ends before its header says.
    #[error(
        "{} holds {got} bytes when unpacked, want {want} by its header, get it anew",
        path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes found, header included.
        got: u64,
        /// Bytes wanted, header included.
        want: u64,
    },
    /// An idx file goes on after its header's count of bytes.
    #[error(
        "{} holds more than the {want} bytes of its header when unpacked, get it anew",
        path.display()
    )]
    TrailingBytes {
        /// The file.
        path: PathBuf,
        /// Bytes wanted, header included.
        want: u64,
    },
    /// The dimensions of an idx file multiply to more than fits in memory.
    #[error("{} has dimensions {dims:?}, more bytes than can be addressed, get it anew", path.display())]
    Dimensions {
        /// The file.
        path: PathBuf,
        /// The dimensions in its header.
        dims: Vec<usize>,
    },
    /// The pictures in a file do not have the size of the data set.
    #[error(
        "{} holds pictures of {}x{}, want {}x{}, check that it is the right file",
        path.display(), got[0], got[1], want[0], want[1]
    )]
    PictureSize {
        /// The file.
        path: PathBuf,
        /// Height and width found.
        got: [usize; 2],
        /// Height and width wanted.
        want: [usize; 2],
    },
    /// An image file and its label file disagree in their counts.
    #[error(
        "{} holds {got_images} images but {} holds {got_labels} labels, want as many of both, \
         take both from the same set",
        images.display(), labels.display()
    )]
    CountMismatch {
        /// The image file.
        images: PathBuf,
        /// The label file.
        labels: PathBuf,
        /// Images found.
        got_images: usize,
        /// Labels found.
        got_labels: usize,
    },
    /// A label is not the index of a class.
    #[error("label {index} of {name} is {got}, want less than {classes}, the number of classes")]
    Label {
        /// The data set or the label file.
        name: String,
        /// Which label.
        index: usize,
        /// The label found.
        got: u8,
        /// The number of classes.
        classes: usize,
    },
    /// A data set cannot have this form.
    #[error("data set `{name}` has {what} {got}, want {want}")]
    Form {
        /// The data set.
        name: String,
        /// What is wrong.
        what: &'static str,
        /// What was found.
        got: String,
        /// What was wanted.
        want: String,
    },
    /// A picture cannot be turned into this shape.
    #[error(
        "cannot turn a picture into {got:?}, want [1,H,W] or [3,H,W] with H and W in 1..={limit}"
    )]
    TargetShape {
        /// The shape asked for, `[C,H,W]`.
        got: [usize; 3],
        /// The largest height and width.
        limit: u32,
    },
    /// A picture file has no extent, or too much.
    #[error(
        "{} is {width}x{height} pixels, want 1 to {limit} each way, scale it first",
        path.display()
    )]
    PictureExtent {
        /// The file.
        path: PathBuf,
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
        /// The largest width and height.
        limit: u32,
    },
    /// A picture file is damaged or of another format.
    #[error("cannot decode {}, want a whole png, jpeg, webp or gif file, convert it first", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: image::ImageError,
    },
}
