//! CIFAR-100: 60,000 colour photos, 32x32, in a hundred classes, or in twenty that hold five of them
//! each.
//!
//! `cifar100` has the fine labels, `cifar100-coarse` the coarse ones. Both read the same files, which
//! lie in `cifar100` in the system's and the cache folder: of the binary version (records of a coarse
//! label, a fine one, and the red, green and blue planes) or the python version (pickles), plain, in
//! the sub-folder that unpacking makes, or still packed, as with [CIFAR-10](super::cifar10).
//!
//! Source: Krizhevsky 2009, <https://www.cs.toronto.edu/~kriz/cifar.html>.

use super::cifar::{self, Layout, SHAPE, Version};
use super::files::{FileSet, Published};
use super::{DataError, Loader, Outline, Split};

/// The names of the fine classes, by label.
pub const CLASSES: [&str; 100] = [
    "apple",
    "aquarium_fish",
    "baby",
    "bear",
    "beaver",
    "bed",
    "bee",
    "beetle",
    "bicycle",
    "bottle",
    "bowl",
    "boy",
    "bridge",
    "bus",
    "butterfly",
    "camel",
    "can",
    "castle",
    "caterpillar",
    "cattle",
    "chair",
    "chimpanzee",
    "clock",
    "cloud",
    "cockroach",
    "couch",
    "crab",
    "crocodile",
    "cup",
    "dinosaur",
    "dolphin",
    "elephant",
    "flatfish",
    "forest",
    "fox",
    "girl",
    "hamster",
    "house",
    "kangaroo",
    "keyboard",
    "lamp",
    "lawn_mower",
    "leopard",
    "lion",
    "lizard",
    "lobster",
    "man",
    "maple_tree",
    "motorcycle",
    "mountain",
    "mouse",
    "mushroom",
    "oak_tree",
    "orange",
    "orchid",
    "otter",
    "palm_tree",
    "pear",
    "pickup_truck",
    "pine_tree",
    "plain",
    "plate",
    "poppy",
    "porcupine",
    "possum",
    "rabbit",
    "raccoon",
    "ray",
    "road",
    "rocket",
    "rose",
    "sea",
    "seal",
    "shark",
    "shrew",
    "skunk",
    "skyscraper",
    "snail",
    "snake",
    "spider",
    "squirrel",
    "streetcar",
    "sunflower",
    "sweet_pepper",
    "table",
    "tank",
    "telephone",
    "television",
    "tiger",
    "tractor",
    "train",
    "trout",
    "tulip",
    "turtle",
    "wardrobe",
    "whale",
    "willow_tree",
    "wolf",
    "woman",
    "worm",
];

/// The names of the coarse classes, by label.
pub const COARSE_CLASSES: [&str; 20] = [
    "aquatic_mammals",
    "fish",
    "flowers",
    "food_containers",
    "fruit_and_vegetables",
    "household_electrical_devices",
    "household_furniture",
    "insects",
    "large_carnivores",
    "large_man-made_outdoor_things",
    "large_natural_outdoor_scenes",
    "large_omnivores_and_herbivores",
    "medium_mammals",
    "non-insect_invertebrates",
    "people",
    "reptiles",
    "small_mammals",
    "trees",
    "vehicles_1",
    "vehicles_2",
];

/// The files of the binary version: to train on and to test on.
pub const FILES: [&str; 2] = ["train.bin", "test.bin"];

/// The sub-folder that unpacking [`ARCHIVE`] makes.
pub const FOLDER: &str = "cifar-100-binary";

/// The archive that the set is published as.
pub const ARCHIVE: &str = "cifar-100-binary.tar.gz";

/// The files of the python version, in the same order. Its `meta` is not needed: the classes' names
/// are here.
pub const PYTHON_FILES: [&str; 2] = ["train", "test"];

/// The sub-folder that unpacking [`PYTHON_ARCHIVE`] makes.
pub const PYTHON_FOLDER: &str = "cifar-100-python";

/// The archive of the python version.
pub const PYTHON_ARCHIVE: &str = "cifar-100-python.tar.gz";

pub(super) const NAME: &str = "cifar100";
pub(super) const COARSE_NAME: &str = "cifar100-coarse";

static FINE_VERSIONS: [Version; 2] = versions(1, "fine_labels");
static COARSE_VERSIONS: [Version; 2] = versions(0, "coarse_labels");

pub(super) static FINE: FileSet = set(NAME, CLASSES.len());
pub(super) static COARSE: FileSet = set(COARSE_NAME, COARSE_CLASSES.len());

/// With the label at `take` of a record, and by the name `labels` of a pickle.
const fn versions(take: usize, labels: &'static str) -> [Version; 2] {
    [
        Version {
            folder: FOLDER,
            archive: ARCHIVE,
            files: &FILES,
            layout: Layout::Records { labels: 2, take },
        },
        Version {
            folder: PYTHON_FOLDER,
            archive: PYTHON_ARCHIVE,
            files: &PYTHON_FILES,
            layout: Layout::Pickle { labels },
        },
    ]
}

const fn set(name: &'static str, classes: usize) -> FileSet {
    FileSet {
        name,
        folder: NAME,
        outline: Outline {
            len: 50_000,
            image: SHAPE,
            classes,
            draws: false,
        },
        test: 10_000,
        // Which label is taken makes no difference to the files.
        locate: |folder| cifar::locate(&FINE_VERSIONS, folder),
        want: "train.bin and test.bin, or train and test (or cifar-100-binary.tar.gz or \
               cifar-100-python.tar.gz)",
        package: None,
        url: "https://www.cs.toronto.edu/~kriz",
        published: &[Published {
            name: ARCHIVE,
            bytes: 168_513_733,
            sha256: "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        }],
    }
}

pub(super) fn load(loader: &mut Loader<'_>) -> Result<Split, DataError> {
    cifar::load(&FINE, &FINE_VERSIONS, &CLASSES, loader)
}

pub(super) fn load_coarse(loader: &mut Loader<'_>) -> Result<Split, DataError> {
    cifar::load(&COARSE, &COARSE_VERSIONS, &COARSE_CLASSES, loader)
}
