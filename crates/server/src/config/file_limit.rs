//! How many connections the limit of open files allows.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors kept back from connections: standard streams, listeners, the event queues of shards and runtime, logs,
/// and a few connections that are being refused.
const RESERVE: u64 = 64;

/// Stands for a limit that the system does not name. Linux has this one unless an administrator raised it.
const UNNAMED: u64 = 1 << 20;

/// The limit of files, and so of sockets, that this process may have open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FileLimit {
    files: u64,
}

impl FileLimit {
    /// Raises the limit as far as the process may, from the soft to the hard limit, and returns what it then is. The
    /// change holds for the whole process. Where the system refuses it, the limit stays what it was.
    pub fn raise() -> Self {
        let limit = getrlimit(Resource::Nofile);
        let raised = Rlimit { current: limit.maximum, ..limit };
        if limit.current != limit.maximum
            && let Err(error) = setrlimit(Resource::Nofile, raised)
        {
            tracing::warn!(%error, soft = limit.current, hard = limit.maximum, "cannot raise the limit of open files");
        }
        Self { files: getrlimit(Resource::Nofile).current.unwrap_or(UNNAMED) }
    }

    /// Files that may be open at once.
    pub const fn files(self) -> u64 {
        self.files
    }

    /// Connections that may be open at once: the files without a reserve for everything else, but at least 1.
    pub fn connections(self) -> usize {
        // A tiny limit is shared by halves, because a reserve larger than the rest would leave nothing to serve.
        let reserve = RESERVE.min(self.files / 2);
        usize::try_from(self.files - reserve).unwrap_or(usize::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raising_reaches_the_hard_limit_and_can_be_repeated() {
        let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(UNNAMED);
        assert_eq!(FileLimit::raise().files(), hard);
        assert_eq!(FileLimit::raise().files(), hard);
    }

    #[test]
    fn a_reserve_is_kept_back_from_connections() {
        assert_eq!(FileLimit { files: 1_024 }.connections(), 960);
        assert_eq!(FileLimit { files: 64 }.connections(), 32);
        assert_eq!(FileLimit { files: 0 }.connections(), 1);
    }
}
