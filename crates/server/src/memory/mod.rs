//! Keeping memory within bounds, and giving it back to the operating system.
#![cfg_attr(
    all(target_os = "linux", target_env = "gnu"),
    expect(unsafe_code, reason = "the C library's allocator can be asked to trim itself by no safe call")
)]

mod available;
mod guard;

pub(crate) use guard::{MemoryGuard, watch};

use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts those who are there for a short while, and gives their memory back once a crowd of them has passed.
///
/// The allocator would keep it for the next crowd, but a server that was busy once should not look busy for ever.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    now: AtomicUsize,
    peak: AtomicUsize,
}

impl Crowd {
    /// How many must have left.
    pub(crate) const LEFT: usize = 1_024;

    /// Counts one more, until the guard is dropped.
    pub(crate) fn enter(&self) -> Member<'_> {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.peak.fetch_max(now, Ordering::Relaxed);
        Member(self)
    }
}

/// One of a [`Crowd`].
#[derive(Debug)]
pub(crate) struct Member<'c>(&'c Crowd);

impl Drop for Member<'_> {
    fn drop(&mut self) {
        let now = self.0.now.fetch_sub(1, Ordering::Relaxed) - 1;
        let peak = self.0.peak.load(Ordering::Relaxed);
        let passed = peak.saturating_sub(now) >= Crowd::LEFT && now <= peak / 4;
        if passed && self.0.peak.compare_exchange(peak, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            trim();
        }
    }
}

/// Asks the allocator to return the memory that it keeps for later. Takes some milliseconds when there is much.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn trim() {
    // SAFETY: `malloc_trim` takes no pointer and may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Other allocators return memory in their own time.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) const fn trim() {}
