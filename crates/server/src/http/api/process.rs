//! What this process uses.

/// Processor time and memory of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// Share of one core since the process began, in percent.
    pub(super) cpu: f64,
    /// Memory that it holds, in bytes.
    pub(super) rss: i64,
}

impl Usage {
    /// Reads it; `None` where the system does not tell.
    #[cfg(target_os = "linux")]
    pub(super) fn now() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
        let ticks = rustix::param::clock_ticks_per_second();
        Self::parse(&stat, &uptime, ticks, rustix::param::page_size())
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) const fn now() -> Option<Self> {
        None
    }

    /// See proc(5): the fields behind the name, which stands in parentheses and may hold anything.
    #[cfg(target_os = "linux")]
    fn parse(stat: &str, uptime: &str, ticks: u64, page_bytes: usize) -> Option<Self> {
        let (_, fields) = stat.rsplit_once(')')?;
        let field = |number: usize| fields.split_ascii_whitespace().nth(number - 3)?.parse::<u64>().ok();
        let seconds = |ticks_of: u64| ticks_of as f64 / ticks as f64;
        let (used, started) = (seconds(field(14)? + field(15)?), seconds(field(22)?));
        let up: f64 = uptime.split_ascii_whitespace().next()?.parse().ok()?;
        // What began in this very moment has used next to nothing of it.
        let age = (up - started).max(1.0 / ticks as f64);
        Some(Self {
            cpu: (used / age * 10_000.0).round() / 100.0,
            rss: i64::try_from(field(24)?).ok()?.checked_mul(i64::try_from(page_bytes).ok()?)?,
        })
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_any_name_is_understood() {
        let stat =
            "42 (a) b c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 8 0 90000 1000 25 18446744073709551615";
        let usage = Usage::parse(stat, "1000.00 3000.00\n", 100, 4_096).unwrap();
        assert_eq!(usage, Usage { cpu: 2.0, rss: 25 * 4_096 });
    }

    #[test]
    fn this_process_holds_memory() {
        assert!(Usage::now().unwrap().rss > 1 << 16);
    }
}
