use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::available::{available, resident};
use super::trim;
use crate::metrics::Number;
use crate::node::Node;

/// How often the guard looks.
const PAUSE: Duration = Duration::from_millis(250);

/// Sees to it that the process stays below a soft limit of memory: above it nobody new is let in, and history shrinks, until nine
/// tenths of it are left.
#[derive(Debug)]
pub(crate) struct MemoryGuard {
    /// Bytes; `None` where nothing is known of memory.
    limit: Option<u64>,
    short: AtomicBool,
    resident: Number,
    shed: Number,
}

impl MemoryGuard {
    /// With the limit of the settings, or three quarters of what there is.
    pub(crate) fn new(setting: Option<usize>) -> Self {
        let limit = setting.map(|bytes| bytes as u64).or_else(|| available().map(|bytes| bytes / 4 * 3));
        Self { limit, short: AtomicBool::new(false), resident: Number::default(), shed: Number::default() }
    }

    /// Whether there is too little memory for anybody new.
    pub(crate) fn is_short(&self) -> bool {
        self.short.load(Ordering::Relaxed)
    }

    /// Bytes above which memory is short; 0 if it never is.
    pub(crate) fn limit(&self) -> u64 {
        self.limit.unwrap_or(0)
    }

    /// Bytes that the process held when they were last counted.
    pub(crate) fn resident(&self) -> u64 {
        self.resident.get()
    }

    /// Bytes of history that had to go so far.
    pub(crate) fn shed(&self) -> u64 {
        self.shed.get()
    }

    /// Takes note of the bytes that the process holds, and returns how many of them should go.
    fn look(&self, resident: u64) -> u64 {
        self.resident.set(resident);
        let Some(limit) = self.limit else { return 0 };
        let enough = limit / 10 * 9;
        let is_short = if self.is_short() { resident > enough } else { resident > limit };
        if self.short.swap(is_short, Ordering::Relaxed) != is_short {
            if is_short {
                tracing::warn!(resident, limit, "memory is short: no new connections, and history shrinks");
            } else {
                tracing::info!(resident, limit, "memory is enough again");
            }
        }
        if is_short { resident.saturating_sub(enough) } else { 0 }
    }
}

/// Looks after a node's memory, for ever.
pub(crate) async fn watch(node: Arc<Node>) {
    loop {
        let excess = resident().map_or(0, |bytes| node.memory.look(bytes));
        if excess > 0 {
            let node = Arc::clone(&node);
            // It may take a while, and others run on this thread.
            let shrinking = tokio::task::spawn_blocking(move || {
                let shed = node.shed_history(usize::try_from(excess).unwrap_or(usize::MAX));
                node.memory.shed.add(shed as u64);
                if shed > 0 {
                    trim();
                }
            });
            if let Err(error) = shrinking.await {
                tracing::error!(%error, "history could not shrink");
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_short_above_the_limit_and_until_a_tenth_below_it() {
        let guard = MemoryGuard::new(Some(1_000));
        assert_eq!((guard.look(1_000), guard.is_short()), (0, false));
        assert_eq!((guard.look(1_001), guard.is_short()), (101, true));
        assert_eq!((guard.look(950), guard.is_short()), (50, true));
        assert_eq!((guard.look(900), guard.is_short()), (0, false));
        assert_eq!((guard.look(1_000), guard.is_short()), (0, false));
    }

    #[test]
    fn without_a_setting_the_limit_is_a_share_of_what_there_is() {
        let guard = MemoryGuard::new(None);
        assert_eq!(guard.limit(), available().map_or(0, |bytes| bytes / 4 * 3));
    }
}
