//! Why data could not be loaded.

use std::io;
use std::path::{Path, PathBuf};

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
    /// The data set is read from a folder, and none was given.
    #[error("data set `{name}` is read from a folder of your own, name it with --data-dir")]
    FolderWanted {
        /// The data set.
        name: &'static str,
    },
    /// The data folder lacks files of the set.
    #[error("data folder {} lacks {missing}, want all of {want}", folder.display())]
    MissingFiles {
        /// The folder searched.
        folder: PathBuf,
        /// The files not found, joined with commas.
        missing: String,
        /// All files of the set, in words.
        want: &'static str,
    },
    /// The data set is in none of the usual places, no folder was given and no download wanted.
    #[error(
        "data set `{name}` not found in {places}: {}put {want} from {url} in a folder and pass it \
         with --data-dir",
        install_or(*package)
    )]
    NotInstalled {
        /// The data set.
        name: &'static str,
        /// Where it was looked for, joined with commas.
        places: String,
        /// The package of Debian and Ubuntu that holds it.
        package: Option<&'static str>,
        /// The files of the set, in words.
        want: &'static str,
        /// Where the files are published.
        url: &'static str,
    },
    /// The data set is in none of the usual places and could not be downloaded.
    #[cfg(feature = "download")]
    #[error(
        "cannot download data set `{name}`: try again, or {}put {want} from {url} in {}, or in a \
         folder passed with --data-dir",
        install_or(*package), folder.display()
    )]
    Download {
        /// The data set.
        name: &'static str,
        /// The package of Debian and Ubuntu that holds it.
        package: Option<&'static str>,
        /// The files of the set, in words.
        want: &'static str,
        /// Where the files are published.
        url: &'static str,
        /// The folder that would have held them.
        folder: PathBuf,
        /// The cause.
        source: Box<super::download::DownloadError>,
    },
    /// A folder of pictures is laid out in no way that is known.
    #[error(
        "{} has {got}; want 2 to 65,536 folders in it, each with the pictures of one class, as in pets/cat/1.jpg, or train/ \
         and val/ or test/ with such folders, as in pets/train/cat/1.jpg",
        folder.display()
    )]
    Layout {
        /// The folder.
        folder: PathBuf,
        /// What was found.
        got: String,
    },
    /// A table of pictures is not as it should be.
    #[error("{}, line {line}: {problem}; mend the table", path.display())]
    Table {
        /// The table.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        problem: String,
    },
    /// A class has no pictures.
    #[error(
        "class folder {} holds no pictures, want at least 1 png, jpeg, webp, gif, bmp or tiff file in it, \
         fill or remove it",
        folder.display()
    )]
    EmptyClass {
        /// The class's folder.
        folder: PathBuf,
    },
    /// A class is tested on but not trained on.
    #[error(
        "class folder {} has no like in {}, want one of: {known}",
        folder.display(), train.display()
    )]
    UnknownClass {
        /// The class's folder.
        folder: PathBuf,
        /// The folder to train on.
        train: PathBuf,
        /// The classes there, joined with commas.
        known: String,
    },
    /// A folder of pictures cannot be split.
    #[error(
        "{} has 1 picture in each class, want at least 2 in one, so that 1 is left to test on",
        folder.display()
    )]
    NothingToTest {
        /// The folder.
        folder: PathBuf,
    },
    /// The name of a class's folder is no text, and cannot be told from another.
    #[error("{} is not named in Unicode, and another class would have the same name, rename it", path.display())]
    FileName {
        /// The file.
        path: PathBuf,
    },
    /// A file of records has a length that no number of records has.
    #[error(
        "{} holds {got} bytes, want a multiple of {record} (a label and a picture each) above 0, \
         get it anew",
        path.display()
    )]
    Records {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        got: u64,
        /// The bytes of a record.
        record: usize,
    },
    /// An archive is another one or not whole.
    #[error("{} lacks {missing}, check that it is the right file", path.display())]
    ArchiveLacks {
        /// The archive.
        path: PathBuf,
        /// The files not found, joined with commas.
        missing: String,
    },
    /// A file of records holds more than the set has.
    #[error("{} holds {got} bytes, want {most} at most, check that it is the right file", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        got: u64,
        /// The most that is read.
        most: u64,
    },
    /// A file is not as its format or its data set has it.
    #[error("{}, read as {format}, has {got}, want {want}, check that it is the right file", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format it is read as.
        format: &'static str,
        /// What was found.
        got: String,
        /// What was wanted.
        want: String,
    },
    /// A part of a file is damaged or cut off.
    #[error("cannot read or unpack a part of {}, get it anew", path.display())]
    Inflate {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A folder of idx files has two sets of pictures for one part.
    #[error(
        "{} and {} are both pictures to {part}, want one such file, take the other out of the folder",
        first.display(), second.display()
    )]
    IdxTwice {
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
        /// What they are for: `train`, `test` or `validate` with.
        part: &'static str,
    },
    /// A file could not be opened or read.
    #[error("cannot read {}, check the path", path.display())]
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
    /// A picture in memory has another length than the network takes.
    #[error("a picture has {got} bytes, want {want:?} channels, rows and columns")]
    PictureBytes {
        /// Its bytes.
        got: usize,
        /// Channels, height and width.
        want: [usize; 3],
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
    /// A picture was asked for that there is none of.
    #[error("{name} has no picture {got}; it has {len}, counted from 0")]
    NoPicture {
        /// The data set.
        name: String,
        /// The picture asked for.
        got: usize,
        /// Pictures that there are.
        len: usize,
    },
    /// A label is not the index of a class.
    #[error("label {index} of {name} is {got}, want less than {classes}, the number of classes")]
    Label {
        /// The data set or the label file.
        name: String,
        /// Which label.
        index: usize,
        /// The label found.
        got: u16,
        /// The number of classes.
        classes: usize,
    },
    /// A source of one's own could not bring a picture.
    #[error("cannot load {name}")]
    Source {
        /// What the picture is called.
        name: String,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
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
    /// A picture file has more pixels than memory is taken for.
    #[error(
        "{} is {width}x{height} pixels, want at most {limit} in all, scale it first",
        path.display()
    )]
    PicturePixels {
        /// The file.
        path: PathBuf,
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
        /// The most pixels.
        limit: u32,
    },
    /// A picture file is damaged or of another format.
    #[error(
        "cannot decode {}, want a whole png, jpeg, webp, gif, bmp or tiff file, convert it first",
        path.display()
    )]
    Picture {
        /// The file.
        path: PathBuf,
        /// The cause, of the format's decoder.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What is wrong in a file of some format, before the file is named.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) got: String,
    pub(super) want: String,
}

impl Fault {
    pub(super) fn new(got: impl Into<String>, want: impl Into<String>) -> Self {
        Self {
            got: got.into(),
            want: want.into(),
        }
    }

    /// The error that names the file.
    pub(super) fn at(self, path: &Path, format: &'static str) -> DataError {
        DataError::Format {
            path: path.into(),
            format,
            got: self.got,
            want: self.want,
        }
    }
}

/// The start of a mend: the package that holds a data set, if there is one.
fn install_or(package: Option<&str>) -> String {
    package.map_or_else(String::new, |package| {
        format!("on Debian or Ubuntu run `apt-get install {package}`, elsewhere ")
    })
}
