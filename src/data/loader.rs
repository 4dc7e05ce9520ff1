//! Where a data set is looked for, in which order, and how it is read.

use std::fmt;
use std::path::{Path, PathBuf};

#[cfg(feature = "download")]
use super::download::Progress;
use super::image_file::Invert;
use super::{
    DATASETS, DataError, Fit, Split, cifar10, cifar100, emnist, fashion_mnist, folder, idx_folder,
    kmnist, mnist, svhn, synthetic,
};

/// The system's folder of data sets, each in a sub-folder of its name.
const SYSTEM_DIR: &str = "/usr/share/datasets";

/// The data set that a person means: one among [`DATASETS`] by its name, a folder of pictures, or a table of them that
/// ends in `.csv`; with the place that it is read from, if that is named. What is none of these is taken for a name.
pub fn find(what: &str) -> (&str, Option<PathBuf>) {
    let path = Path::new(what);
    let is_table = || {
        let ending = path.extension();
        ending.is_some_and(|ending| ending.eq_ignore_ascii_case("csv"))
    };
    match what {
        _ if DATASETS.contains(&what) => (what, None),
        _ if path.is_dir() => (folder::NAME, Some(path.into())),
        _ if is_table() => (folder::CSV, Some(path.into())),
        _ => (what, None),
    }
}

#[cfg(feature = "download")]
type Report<'a> = Box<dyn FnMut(&Progress<'_>) + 'a>;

/// Loads a data set: finds its files, or downloads them, and reads them.
///
/// The files are looked for in [`data_dir`](Self::data_dir) and nowhere else if that is given; else
/// in the system's folder, then in [`cache_dir`](Self::cache_dir), if that is given; and last, if
/// `on_download` was called too (feature `download`), they are downloaded to there.
///
/// ```
/// use nin_wgpu::data::Loader;
///
/// let split = Loader::new("synthetic").load()?;
/// assert_eq!(split.train.len(), 6_000);
/// # Ok::<(), nin_wgpu::data::DataError>(())
/// ```
pub struct Loader<'a> {
    name: String,
    pub(super) data_dir: Option<PathBuf>,
    pub(super) system_dir: PathBuf,
    pub(super) cache_dir: Option<PathBuf>,
    pub(super) seed: u64,
    pub(super) shape: Option<[usize; 3]>,
    pub(super) image_size: Option<[usize; 2]>,
    pub(super) native_size: [usize; 2],
    pub(super) fit: Fit,
    pub(super) pictures_cache: Option<PathBuf>,
    pub(super) invert: Invert,
    #[cfg(feature = "download")]
    pub(super) on_download: Option<Report<'a>>,
    #[cfg(feature = "download")]
    pub(super) mirror: Option<String>,
    #[cfg(not(feature = "download"))]
    lifetime: std::marker::PhantomData<&'a ()>,
}

impl<'a> Loader<'a> {
    /// For a data set among [`DATASETS`].
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            data_dir: None,
            system_dir: SYSTEM_DIR.into(),
            cache_dir: None,
            seed: 0,
            shape: None,
            image_size: None,
            native_size: [folder::SIDE; 2],
            fit: Fit::Crop,
            pictures_cache: None,
            invert: Invert::Auto,
            #[cfg(feature = "download")]
            on_download: None,
            #[cfg(feature = "download")]
            mirror: None,
            #[cfg(not(feature = "download"))]
            lifetime: std::marker::PhantomData,
        }
    }

    /// For what a person names; see [`find`].
    pub fn at(what: &str) -> Self {
        let (name, place) = find(what);
        Self::new(name).data_dir(place.as_deref())
    }

    /// The folder that holds the files. `None` searches the usual places.
    #[must_use]
    pub fn data_dir(mut self, folder: Option<&Path>) -> Self {
        self.data_dir = folder.map(Path::to_path_buf);
        self
    }

    /// The system's folder of data sets, `/usr/share/datasets` unless changed.
    #[must_use]
    pub fn system_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.system_dir = folder.into();
        self
    }

    /// The folder that downloads are kept in, a sub-folder for each data set; none unless given.
    #[must_use]
    pub fn cache_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache_dir = Some(folder.into());
        self
    }

    /// The seed by which a [`folder`] of pictures is split and put in order, 0 unless changed. The
    /// other sets come split.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The shape `[C,H,W]` that the pictures of a [`folder`] are brought to, instead of one that
    /// suits them. The other sets keep their own.
    #[must_use]
    pub fn shape(mut self, shape: [usize; 3]) -> Self {
        self.shape = Some(shape);
        self
    }

    /// Height and width that the pictures of a [`folder`] are brought to, whatever they have. The other sets keep their own.
    #[must_use]
    pub fn image_size(mut self, size: Option<[usize; 2]>) -> Self {
        self.image_size = size;
        self
    }

    /// Height and width for pictures of a [`folder`] that have no size of their own: a model's. Unless changed it is
    /// [`folder::SIDE`] each way.
    #[must_use]
    pub fn native_size(mut self, size: [usize; 2]) -> Self {
        self.native_size = size;
        self
    }

    /// What becomes of other proportions in a [`folder`], [`Fit::Crop`] unless changed.
    #[must_use]
    pub fn fit(mut self, fit: Fit) -> Self {
        self.fit = fit;
        self
    }

    /// The folder that decoded pictures of a [`folder`] are kept in; none unless changed.
    #[must_use]
    pub fn pictures_cache(mut self, folder: Option<PathBuf>) -> Self {
        self.pictures_cache = folder;
        self
    }

    /// Whether light and dark of the pictures of a [`folder`] are swapped: [`Invert::Auto`], unless
    /// changed, does if the set as a whole is grey and dark on light. Classify new pictures in the same way.
    #[must_use]
    pub fn invert(mut self, invert: Invert) -> Self {
        self.invert = invert;
        self
    }

    /// Allows to download what is found nowhere to [`cache_dir`](Self::cache_dir), and names what hears of the progress.
    ///
    /// ```no_run
    /// use nin_wgpu::data::Loader;
    ///
    /// let split = Loader::new("mnist")
    ///     .cache_dir("downloads")
    ///     .on_download(|progress| println!("{} of {} bytes", progress.done, progress.total))
    ///     .load()?;
    /// # Ok::<(), nin_wgpu::data::DataError>(())
    /// ```
    #[cfg(feature = "download")]
    #[must_use]
    pub fn on_download(mut self, report: impl FnMut(&Progress<'_>) + 'a) -> Self {
        self.on_download = Some(Box::new(report));
        self
    }

    /// Where to download from instead of the official address: an URL to which `/` and a file's
    /// name are added. Only files with the official checksums are accepted.
    #[cfg(feature = "download")]
    #[must_use]
    pub fn mirror(mut self, url: impl Into<String>) -> Self {
        self.mirror = Some(url.into());
        self
    }

    /// Finds and reads the data set.
    ///
    /// # Errors
    ///
    /// [`DataError::UnknownDataset`] if the name is not among [`DATASETS`];
    /// [`DataError::FolderUnused`] or [`DataError::FolderWanted`] if a folder is given for a set
    /// without files, or none for one that has no other place;
    /// [`DataError::NoFolder`] or [`DataError::MissingFiles`] if the folder given is not there or
    /// not whole; [`DataError::NotInstalled`] if the files are found nowhere, or
    /// `DataError::Download` if they could not be had; and if they are not what they should be,
    /// the error that says what was found and what was wanted.
    pub fn load(mut self) -> Result<Split, DataError> {
        match self.name.as_str() {
            fashion_mnist::NAME => fashion_mnist::load(&mut self),
            mnist::NAME => mnist::load(&mut self),
            kmnist::NAME => kmnist::load(&mut self),
            cifar10::NAME => cifar10::load(&mut self),
            cifar100::NAME => cifar100::load(&mut self),
            cifar100::COARSE_NAME => cifar100::load_coarse(&mut self),
            svhn::NAME => svhn::load(&mut self),
            idx_folder::NAME => idx_folder::load(&self),
            folder::NAME => folder::load(&self),
            folder::CSV => folder::load_csv(&self),
            synthetic::NAME => match self.data_dir {
                None => synthetic::Synthetic::default().generate(),
                Some(folder) => Err(DataError::FolderUnused {
                    name: self.name,
                    folder,
                }),
            },
            name => {
                let name = name.to_owned();
                let unknown = DataError::UnknownDataset {
                    got: name.clone(),
                    known: DATASETS.join(", "),
                };
                emnist::load(&name, &mut self).unwrap_or(Err(unknown))
            }
        }
    }
}

impl fmt::Debug for Loader<'_> {
    /// Without what hears of the progress.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader")
            .field("name", &self.name)
            .field("data_dir", &self.data_dir)
            .field("system_dir", &self.system_dir)
            .field("cache_dir", &self.cache_dir)
            .field("seed", &self.seed)
            .field("shape", &self.shape)
            .field("invert", &self.invert)
            .finish_non_exhaustive()
    }
}
