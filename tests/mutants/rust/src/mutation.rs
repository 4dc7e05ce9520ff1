//! Which mistake is made in this run: the one that NIN_MUTANT numbers. NIN_REACHED names a file that the numbers of those
//! go to that a run comes by.

use std::fs::File;
use std::io::Write;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

static ACTIVE: LazyLock<u32> = LazyLock::new(|| {
    let number = std::env::var("NIN_MUTANT");
    number.map_or(u32::MAX, |number| number.parse().expect("a number"))
});

static REACHED: LazyLock<Option<File>> = LazyLock::new(|| {
    let path = std::env::var_os("NIN_REACHED")?;
    Some(File::create(path).expect("can be written"))
});

static SEEN: [AtomicBool; MUTANTS] = [const { AtomicBool::new(false) }; MUTANTS];

pub(crate) fn active(mutant: u32) -> bool {
    if let Some(mut file) = REACHED.as_ref()
        && !SEEN[mutant as usize].load(Ordering::Relaxed)
        && !SEEN[mutant as usize].swap(true, Ordering::Relaxed)
    {
        file.write_all(format!("{mutant}\n").as_bytes()).expect("can be written");
    }
    *ACTIVE == mutant
}
