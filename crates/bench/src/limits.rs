//! How many sockets this process may hold.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are in use beside the connections: standard streams, epoll, report files, the runtime's.
const RESERVE: u64 = 64;

/// There are not enough file descriptors for a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{wanted} connections need {} file descriptors, but this process may have {limit}: ask for at most {} connections, \
     or raise the hard limit (ulimit -Hn)",
    wanted + RESERVE,
    limit.saturating_sub(RESERVE)
)]
pub struct TooFewFiles {
    wanted: u64,
    limit: u64,
}

/// Raises the soft limit of open files to the hard one and makes sure that `connections` fit under it.
///
/// # Errors
///
/// They do not fit.
pub(crate) fn reserve_files(connections: usize) -> Result<(), TooFewFiles> {
    let limits = getrlimit(Resource::Nofile);
    let wanted = connections as u64;
    let enough = |limit: Option<u64>| limit.is_none_or(|limit| wanted + RESERVE <= limit);
    if enough(limits.current) {
        return Ok(());
    }
    let limit = raise();
    if enough(limit) { Ok(()) } else { Err(TooFewFiles { wanted, limit: limit.unwrap_or_default() }) }
}

/// Raises the soft limit to the hard one and gives the soft limit that then holds; `None` is no limit.
pub(crate) fn raise() -> Option<u64> {
    let limits = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, maximum: limits.maximum });
    // A refusal leaves the soft limit as it was.
    if raised.is_ok() { limits.maximum } else { limits.current }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_beyond_the_hard_limit_is_refused_with_the_remedy() {
        assert_eq!(reserve_files(10), Ok(()));
        if let Some(limit) = getrlimit(Resource::Nofile).maximum {
            let refused = reserve_files(usize::try_from(limit).unwrap()).unwrap_err();
            assert!(refused.to_string().contains(&format!("at most {} connections", limit - RESERVE)));
        }
    }
}
