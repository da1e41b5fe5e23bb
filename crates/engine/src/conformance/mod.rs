//! What an [`Engine`] must do, as checks that take any engine.
//!
//! Whoever writes an engine implements [`Harness`] for it and calls [`run_all`] from a test. The checks use one node, and wait
//! for deliveries with a deadline, so that they suit engines that deliver later than they answer. In each check, the
//! publications that a channel has had so far are named by small texts, and the channel by a name that no run before has used.
//!
//! ```
//! use std::time::Duration;
//! use throng_engine::conformance::{self, Harness, Recorder};
//! use throng_engine::{ManualClock, MemoryEngine, MemoryLimits};
//!
//! struct Memory(ManualClock);
//!
//! impl Harness for Memory {
//!     type Engine = MemoryEngine<Recorder>;
//!
//!     fn engine(&self, recorder: Recorder) -> Self::Engine {
//!         let limits = MemoryLimits { idempotency_ttl: self.idempotency_ttl(), ..MemoryLimits::default() };
//!         MemoryEngine::with_clock(recorder, limits, self.0.clock())
//!     }
//!
//!     fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
//!         conformance::block_on(future)
//!     }
//!
//!     fn advance(&self, _: &Self::Engine, time: Duration) {
//!         self.0.advance(time);
//!     }
//! }
//!
//! conformance::run_all(&Memory(ManualClock::default()));
//! ```

mod recorder;
mod rig;

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

pub use self::recorder::Recorder;

use crate::Engine;

/// How the suite makes an engine and lives with it. Several threads use one harness at once.
pub trait Harness: Sync {
    /// The engine under test.
    type Engine: Engine;

    /// A new engine that hands events to `recorder`, and keeps idempotency keys for
    /// [`idempotency_ttl`](Self::idempotency_ttl).
    fn engine(&self, recorder: Recorder) -> Self::Engine;

    /// Runs a call of the engine to its end; [`block_on`] does, for engines that need no runtime.
    fn block_on<T>(&self, future: impl Future<Output = T>) -> T;

    /// Lets time pass for the engine, or waits that long if its time cannot be moved.
    fn advance(&self, engine: &Self::Engine, time: Duration);

    /// Lets the engine work for about a millisecond. The suite calls it over and over while it waits for a delivery.
    fn idle(&self) {
        std::thread::sleep(Duration::from_millis(1));
    }

    /// How long the suite waits for a delivery before the check has failed. Default 10 seconds.
    fn patience(&self) -> Duration {
        Duration::from_secs(10)
    }

    /// The measure of all times in the suite; none is longer than 10 of it. Default one minute, which is for engines whose
    /// time can be moved. No check may take half a unit where it lets no time pass.
    fn unit(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// How long the engine keeps idempotency keys. Default 3 units.
    fn idempotency_ttl(&self) -> Duration {
        self.unit() * 3
    }
}

/// One thing that an engine must do.
#[derive(Debug)]
pub struct Check<H> {
    /// What that is, as a sentence with underscores.
    pub name: &'static str,
    /// Panics if an engine of the harness does otherwise.
    pub run: fn(&H),
}

/// Declares the modules with the checks, and collects these.
macro_rules! suite {
    ($($module:ident { $($check:ident,)+ })+) => {
        $(mod $module;)+

        /// All checks.
        #[must_use]
        pub fn checks<H: Harness>() -> Vec<Check<H>> {
            vec![$($(Check { name: stringify!($check), run: $module::$check::<H> },)+)+]
        }
    };
}

suite! {
    order {
        events_are_numbered_one_after_the_other,
        events_of_all_kinds_share_one_order,
        the_client_that_does_not_get_an_event_is_told,
        concurrent_publishers_share_one_order,
        a_refused_event_leaves_nothing_behind,
        a_refused_event_does_not_use_up_its_key,
        subscriptions_are_counted,
        a_channel_that_comes_back_into_use_continues_above_its_old_sequences,
    }
    stream {
        offsets_count_from_one_and_the_first_publication_carries_the_epoch,
        an_epoch_exists_before_the_first_publication,
        no_stream_is_told_of_unless_asked,
        what_is_published_without_subscribers_is_stored,
        what_is_not_stored_takes_no_offset,
        joins_leaves_and_relay_messages_are_never_stored,
        streams_of_different_channels_are_apart,
        a_stored_publication_keeps_all_it_carries,
        removal_takes_the_publications_and_leaves_the_position,
        removal_of_what_is_not_there_does_nothing,
    }
    history {
        history_is_read_from_the_oldest_publication,
        history_is_read_in_reverse_from_the_newest,
        a_limit_cuts_what_is_read,
        limit_zero_reads_the_position_alone,
        since_leaves_its_own_publication_out,
        since_in_reverse_reads_what_is_older,
        since_above_the_top_has_nothing_after_it,
        since_what_is_trimmed_starts_at_the_oldest_kept,
        only_the_newest_publications_are_kept,
        a_foreign_epoch_is_told,
        an_empty_epoch_matches_any,
        a_channel_without_publications_has_an_empty_history,
    }
    expiry {
        publications_expire_and_the_position_stays,
        each_publication_renews_the_time_of_all,
        reading_does_not_renew_publications,
        an_idle_stream_is_forgotten_with_its_epoch,
        reading_renews_the_stream,
        publishing_renews_the_stream,
        a_stream_outlives_its_publications_even_if_its_own_time_is_shorter,
    }
    repeats {
        a_repeated_key_publishes_once,
        a_key_works_without_history,
        keys_belong_to_their_channel,
        a_key_may_be_used_again_when_its_time_is_over,
        threads_with_one_key_publish_once,
        a_key_is_looked_at_before_the_version,
        a_stale_version_is_dropped,
        another_version_epoch_starts_anew,
        an_empty_version_epoch_compares_with_any,
        a_publication_without_version_passes_and_changes_no_version,
        versions_outlive_the_publications,
        versions_mean_nothing_without_history,
    }
    delta {
        a_delta_is_made_against_the_publication_before,
        no_base_is_given_unless_asked_for,
        the_first_publication_has_no_base,
        what_was_stored_without_delta_is_the_next_base,
        a_publication_that_is_not_stored_breaks_the_chain,
        joins_do_not_break_the_chain,
        what_was_suppressed_is_no_base,
        removal_ends_the_chain,
        expiry_ends_the_chain,
        a_history_of_one_publication_is_enough_for_deltas,
    }
    presence {
        who_is_present_is_listed_and_counted,
        a_client_that_is_added_again_is_replaced,
        users_are_counted_once,
        clients_without_user_count_as_one_user,
        presence_belongs_to_its_channel,
        whoever_was_never_present_can_be_removed,
    }
    revocation {
        whoever_is_revoked_is_barred_until_pardoned,
        a_revocation_means_nobody_else,
        what_was_issued_before_is_revoked_and_what_was_issued_since_is_not,
        a_user_is_kept_out_of_one_channel,
        a_revocation_ends_with_its_time,
        the_sink_hears_of_every_revocation,
    }
    recovery {
        history_and_what_is_delivered_after_it_fit_together,
        a_position_and_what_is_delivered_after_it_fit_together,
        whoever_subscribes_while_others_publish_misses_nothing,
    }
}

/// Runs all checks, and goes on after one has failed.
///
/// # Panics
///
/// If any has failed; the message names them all.
pub fn run_all<H: Harness>(harness: &H) {
    let failed: Vec<_> = checks().into_iter().filter_map(|check| failure(harness, &check)).collect();
    assert!(failed.is_empty(), "{} checks have failed:\n{}", failed.len(), failed.join("\n"));
}

/// Runs a future on this thread, which sleeps while it waits.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(result) => return result,
            Poll::Pending => std::thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn failure<H: Harness>(harness: &H, check: &Check<H>) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(|| (check.run)(harness))).err()?;
    Some(format!("{}: {}", check.name, message(panic.as_ref())))
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message")
}
