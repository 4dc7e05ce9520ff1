//! How much memory this process can still take.

/// Bytes that the system, a container's limit and the process's own (`ulimit -v`) leave; `None` where nobody says, which is
/// everywhere but on Linux.
pub(crate) fn available() -> Option<u64> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    [of_system(), of_container(), of_process()]
        .into_iter()
        .flatten()
        .min()
}

/// What is free, what caches would give back, and swap.
fn of_system() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    Some(1024 * (number(&info, "MemAvailable:")? + number(&info, "SwapFree:").unwrap_or(0)))
}

/// What the limit of this control group leaves, files in memory not counted.
fn of_container() -> Option<u64> {
    let read = |name: &str| std::fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok();
    let [most, now] =
        ["memory.max", "memory.current"].map(|name| read(name)?.trim().parse::<u64>().ok());
    let files = read("memory.stat").and_then(|stat| number(&stat, "inactive_file "));
    Some(most?.saturating_sub(now?.saturating_sub(files.unwrap_or(0))))
}

/// Addresses that a thread reserves: its stack, and an arena of the allocator.
const THREAD: u64 = 80 << 20;

/// What the limit on addresses leaves, once all threads are there.
fn of_process() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let most = number(&limits, "Max address space")?;
    let taken = 1024 * number(&status, "VmSize:")?;
    // Those that are there have taken theirs.
    let threads = 3 + rayon::current_num_threads() as u64;
    let to_come = threads.saturating_sub(number(&status, "Threads:").unwrap_or(1));
    Some(most.saturating_sub(taken + to_come * THREAD))
}

/// The number behind a name; `None` if it is not there, or a word such as `unlimited`.
fn number(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_behind_their_names() {
        let text =
            "MemTotal: 7 kB\nMemAvailable:   24076288 kB\nMax address space  unlimited  bytes\n";
        assert_eq!(number(text, "MemAvailable:"), Some(24_076_288));
        assert_eq!(number(text, "Max address space"), None);
        assert_eq!(number(text, "SwapFree:"), None);
        let known = available().is_some_and(|bytes| bytes > 1 << 20);
        assert_eq!(known, cfg!(target_os = "linux"));
    }
}
