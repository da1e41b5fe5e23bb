//! What a local server process costs, read from `/proc`.

use std::{fs, io, time::Duration};

use rustix::param::{clock_ticks_per_second, page_size};

/// Reads the cost of one process.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    pid: u32,
}

/// Why a process could not be read.
#[derive(Debug, thiserror::Error)]
#[error("process {pid} cannot be read from /proc")]
pub struct ProbeError {
    pid: u32,
    #[source]
    source: io::Error,
}

impl Probe {
    /// A probe of the process with this id.
    ///
    /// # Errors
    ///
    /// There is no such process, or `/proc` is not readable.
    pub fn new(pid: u32) -> Result<Self, ProbeError> {
        let probe = Self { pid };
        probe.cpu()?;
        probe.rss_bytes()?;
        Ok(probe)
    }

    /// The process's id.
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// User and kernel time of all threads since the process began.
    ///
    /// # Errors
    ///
    /// The process is gone.
    pub fn cpu(&self) -> Result<Duration, ProbeError> {
        let stat = self.read("stat")?;
        let ticks_per_second = clock_ticks_per_second();
        let coarse = parse_cpu(&stat, ticks_per_second).ok_or_else(|| self.error(malformed()))?;
        // `stat` counts in ticks of 10 ms and holds the threads that have ended; the threads' own counters are exact.
        // When the two agree no thread has ended, and the exact one is good.
        let tick = Duration::from_nanos(1_000_000_000 / ticks_per_second);
        Ok(self.exact_cpu().filter(|exact| *exact + tick * 2 >= coarse).unwrap_or(coarse))
    }

    fn exact_cpu(&self) -> Option<Duration> {
        let mut total = Duration::ZERO;
        for task in fs::read_dir(format!("/proc/{}/task", self.pid)).ok()? {
            let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            total += Duration::from_nanos(text.split(' ').next()?.parse().ok()?);
        }
        Some(total)
    }

    /// Resident memory, in bytes. Memory of the kernel, such as socket buffers, is not in it.
    ///
    /// # Errors
    ///
    /// The process is gone.
    pub fn rss_bytes(&self) -> Result<u64, ProbeError> {
        // `smaps_rollup` is exact, `statm` lags by up to a batch per processor but may be read of anyone's process.
        let exact = self.read("smaps_rollup").ok().and_then(|text| parse_rollup(&text));
        if let Some(bytes) = exact {
            return Ok(bytes);
        }
        let statm = self.read("statm")?;
        let pages: Option<u64> = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
        pages.map(|pages| pages * page_size() as u64).ok_or_else(|| self.error(malformed()))
    }

    fn read(&self, name: &str) -> Result<String, ProbeError> {
        fs::read_to_string(format!("/proc/{}/{name}", self.pid)).map_err(|source| self.error(source))
    }

    const fn error(&self, source: io::Error) -> ProbeError {
        ProbeError { pid: self.pid, source }
    }
}

fn malformed() -> io::Error {
    io::Error::from(io::ErrorKind::InvalidData)
}

/// Fields 14 and 15 of `stat`; the command in field 2 may hold spaces and parentheses.
fn parse_cpu(stat: &str, ticks_per_second: u64) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let kernel: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_nanos((user + kernel) * 1_000_000_000 / ticks_per_second))
}

fn parse_rollup(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_a_hostile_command_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 1 0 5 1 1";
        assert_eq!(parse_cpu(stat, 100), Some(Duration::from_secs(2)));
        assert_eq!(parse_cpu("7 (a", 100), None);
    }

    #[test]
    fn resident_memory_is_read_from_the_rollup() {
        assert_eq!(parse_rollup("00-ff [rollup]\nRss:    1234 kB\nPss: 9 kB\n"), Some(1234 * 1024));
        assert_eq!(parse_rollup("Pss: 9 kB\n"), None);
    }

    #[test]
    fn this_process_can_be_read_and_a_gone_one_cannot() {
        let probe = Probe::new(std::process::id()).unwrap();
        let before = probe.cpu().unwrap();
        while probe.cpu().unwrap() == before {
            std::hint::spin_loop();
        }
        assert!(probe.rss_bytes().unwrap() > 100 * 1024);
        assert!(Probe::new(u32::MAX).is_err());
    }
}
