//! How much memory this process holds, and how much there is for it.

/// Bytes of memory that this process holds; `None` where the system does not tell.
#[cfg(target_os = "linux")]
pub(super) fn resident() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    resident_in(&statm, rustix::param::page_size() as u64)
}

/// Other systems are not asked.
#[cfg(not(target_os = "linux"))]
pub(super) const fn resident() -> Option<u64> {
    None
}

/// Bytes of memory that this process can have: those of the system, or fewer if one of its control groups is limited. `None` where
/// the system does not tell.
#[cfg(target_os = "linux")]
pub(super) fn available() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let groups = read("/proc/self/cgroup").unwrap_or_default();
    let limits = limit_files(&groups).into_iter().filter_map(|path| limit_in(&read(&path)?));
    let system = read("/proc/meminfo").and_then(|meminfo| total_in(&meminfo));
    limits.chain(system).min()
}

/// Other systems are not asked.
#[cfg(not(target_os = "linux"))]
pub(super) const fn available() -> Option<u64> {
    None
}

/// See proc_pid_statm(5): the second number counts pages.
#[cfg(target_os = "linux")]
fn resident_in(statm: &str, page_bytes: u64) -> Option<u64> {
    statm.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()?.checked_mul(page_bytes)
}

/// Files that may hold a limit: of each control group that the process is in, and of all above it.
#[cfg(target_os = "linux")]
fn limit_files(groups: &str) -> Vec<String> {
    let mut files = Vec::new();
    for group in groups.lines() {
        let mut parts = group.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|controller| controller == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let mut path = path.trim_end_matches('/');
        while !path.is_empty() {
            files.push(format!("{root}{path}/{file}"));
            path = path.rsplit_once('/').map_or("", |(above, _)| above);
        }
        // Within a container the group itself is found at the root.
        files.push(format!("{root}/{file}"));
    }
    files
}

/// A limit; `max`, and numbers that no machine has, are none.
#[cfg(target_os = "linux")]
fn limit_in(file: &str) -> Option<u64> {
    file.trim().parse().ok().filter(|limit| *limit < 1 << 60)
}

/// See proc_meminfo(5): the line `MemTotal`, in kibibytes.
#[cfg(target_os = "linux")]
fn total_in(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1_024)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn pages_are_counted_as_bytes() {
        assert_eq!(resident_in("5000 25 20 1 0 500 0\n", 4_096), Some(102_400));
        assert_eq!(resident_in("", 4_096), None);
    }

    #[test]
    fn this_process_holds_memory_and_there_is_more() {
        assert!(resident().unwrap() > 1 << 16);
        assert!(available().unwrap() > resident().unwrap());
    }

    #[test]
    fn a_limit_may_stand_at_every_group_above() {
        let files = limit_files("5:cpu:/a\n4:memory,x:/a/b\n0::/c/d\n");
        assert_eq!(
            files,
            [
                "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "/sys/fs/cgroup/c/d/memory.max",
                "/sys/fs/cgroup/c/memory.max",
                "/sys/fs/cgroup/memory.max",
            ]
        );
        assert_eq!(limit_files("0::/\n"), ["/sys/fs/cgroup/memory.max"]);
    }

    #[test]
    fn what_limits_nothing_is_no_limit() {
        assert_eq!(limit_in("max\n"), None);
        assert_eq!(limit_in("9223372036854771712\n"), None);
        assert_eq!(limit_in("536870912\n"), Some(512 << 20));
    }

    #[test]
    fn the_memory_of_the_system_is_found() {
        assert_eq!(total_in("MemTotal:       24683656 kB\nMemFree: 1 kB\n"), Some(24_683_656 * 1_024));
        assert_eq!(total_in("MemFree: 1 kB\n"), None);
    }
}
