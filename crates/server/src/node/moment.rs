//! Moments in Unix seconds, as tokens and applications give them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Whether a moment is over.
pub(crate) fn is_past(at: i64) -> bool {
    left(at).is_zero()
}

/// The time until a moment; none if it is over.
pub(crate) fn left(at: i64) -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(u64::try_from(at).unwrap_or_default()).saturating_sub(since)
}
