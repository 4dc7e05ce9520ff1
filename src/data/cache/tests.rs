//! Caches whole, cut, torn, and on a full disk.

use super::*;

const SIZES: [[usize; 2]; 3] = [[2, 3], [4, 1], [5, 5]];

fn pixels(i: usize) -> Vec<u8> {
    (0..3 * SIZES[i][0] * SIZES[i][1])
        .map(|p| (7 * p + i) as u8)
        .collect()
}

fn shape(i: usize) -> [usize; 3] {
    [SIZES[i][0], SIZES[i][1], 3]
}

fn filled(path: &Path) -> Cache {
    let cache = Cache::create(path, Fingerprint(9), 3, &SIZES).expect("room");
    for i in 0..3 {
        assert_eq!(get(&cache, i), None);
        cache.put(i, shape(i), &pixels(i));
    }
    cache
}

fn get(cache: &Cache, i: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![1; 7];
    let [height, _] = cache.size(i)?;
    cache.get(i, 0..height, &mut bytes).then_some(bytes)
}

#[test]
fn a_file_is_named_for_people_and_by_what_it_is_of() {
    let name = Fingerprint(0xAB).file_name("cats");
    assert_eq!(name, "cats-00000000000000ab.pictures");
}

#[test]
fn pictures_are_kept_for_the_next_run_and_for_no_other_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("sub/pictures");
    let cache = filled(&path);
    assert_eq!(cache.bytes(), path.metadata().expect("there").len());
    let again = Cache::open(&path, Fingerprint(9), 3).expect("the same");
    assert_eq!(again.held(), 3);
    for cache in [cache, again] {
        for i in 0..3 {
            assert_eq!(get(&cache, i), Some(pixels(i)));
        }
        // A part, before and after the whole was compared with its checksum.
        let mut rows = Vec::new();
        assert!(cache.get(1, 2..3, &mut rows));
        assert_eq!(rows, pixels(1)[6..9]);
        assert!(!cache.get(1, 2..5, &mut rows), "it has four rows");
    }
    assert!(Cache::open(&path, Fingerprint(8), 3).is_none());
    assert_eq!(
        folder.path().join("sub").read_dir().expect("there").count(),
        1
    );
}

#[test]
fn a_cache_that_was_cut_or_torn_loses_what_is_torn_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("pictures");
    drop(filled(&path));
    let whole = fs::read(&path).expect("readable");
    for len in 0..whole.len() {
        fs::write(&path, &whole[..len]).expect("writable");
        let Some(cache) = Cache::open(&path, Fingerprint(9), 3) else {
            continue;
        };
        for i in 0..3 {
            assert!(
                get(&cache, i).is_none_or(|got| got == pixels(i)),
                "cut at {len}"
            );
        }
        assert_eq!(get(&cache, 2), None);
    }
    for at in 0..whole.len() {
        let mut torn = whole.clone();
        torn[at] ^= 0x55;
        fs::write(&path, &torn).expect("writable");
        let Some(cache) = Cache::open(&path, Fingerprint(9), 3) else {
            continue;
        };
        for i in 0..3 {
            // A size that is torn is another file's: its length or checksum tells.
            assert!(
                get(&cache, i).is_none_or(|got| got == pixels(i)),
                "torn at {at}"
            );
        }
    }
}

#[test]
fn another_size_than_was_said_is_not_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = filled(&folder.path().join("pictures"));
    cache.put(0, [3, 3, 3], &[1; 27]);
    assert_eq!(get(&cache, 0), Some(pixels(0)));
    assert!(cache.take_notices().is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_without_room_is_told_of_once_and_nothing_is_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut cache = filled(&folder.path().join("pictures"));
    cache.file = File::options()
        .read(true)
        .write(true)
        .open("/dev/full")
        .expect("there");
    for i in 0..3 {
        cache.put(i, shape(i), &pixels(i));
    }
    let notices = cache.take_notices();
    assert_eq!(notices.len(), 1);
    assert!(notices[0].contains("No space left"), "{notices:?}");
    assert!(cache.take_notices().is_empty());
}
