//! The shard's table driven by hand.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod delivery;
mod delta;
mod outbox;
mod policies;
mod positions;
mod subscriptions;
mod support;
