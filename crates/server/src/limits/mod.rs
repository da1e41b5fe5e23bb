//! How much clients may do, and how fast: token buckets for each connection, user and channel.

mod bucket;
mod keyed;
mod limit;
mod meter;

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use throng_protocol::ChannelName;
use tokio::time::Instant;

pub use bucket::{Bucket, Rate, ticks};
pub(crate) use limit::{Limit, Operation};
pub(crate) use meter::Meter;

use crate::config;
use crate::metrics::{Number, Page};
use keyed::Keyed;

/// Bytes are counted in units of so many, so that a bucket's small numbers hold megabytes.
const BYTE_UNIT: usize = 16;

/// Sweeps after which all entries have been looked at once.
const SWEEPS: usize = 16;

/// The limits of a server, and who has used how much of them. Connections keep what is theirs in a [`Meter`].
#[derive(Debug)]
pub(crate) struct Limits {
    rates: [Rate; Limit::ALL.len()],
    users: Keyed<{ Operation::ALL.len() }>,
    channels: Keyed<1>,
    includes_loopback: bool,
    met: [Number; Limit::ALL.len()],
    start: Instant,
    swept: AtomicUsize,
}

impl Limits {
    pub(crate) fn new(settings: &config::Limits) -> Self {
        Self {
            rates: Limit::ALL.map(|(limit, _)| limit.rate(settings)),
            users: Keyed::new(settings.users),
            channels: Keyed::new(settings.channels),
            includes_loopback: settings.include_loopback,
            met: Default::default(),
            start: Instant::now(),
            swept: AtomicUsize::new(0),
        }
    }

    /// A meter for a connection from this address.
    pub(crate) fn meter(&self, peer: IpAddr) -> Meter {
        if peer.to_canonical().is_loopback() && !self.includes_loopback {
            Meter::exempt()
        } else {
            Meter::new(self)
        }
    }

    /// Whether a user may do this once more now.
    pub(crate) fn allows_user(&self, user: &str, operation: Operation) -> bool {
        let rates = Operation::ALL.map(|operation| self.rate(operation.user_limit()));
        let allowed = self.users.take(user, operation as usize, &rates, self.now());
        self.note(operation.user_limit(), allowed)
    }

    /// Whether a client may publish to this channel now.
    pub(crate) fn allows_channel(&self, channel: &ChannelName) -> bool {
        let rates = [self.rate(Limit::ChannelPublish)];
        let allowed = self.channels.take(channel.as_str(), 0, &rates, self.now());
        self.note(Limit::ChannelPublish, allowed)
    }

    /// Forgets users and channels that have not been heard of for so long that all is theirs again: a part of them each time.
    pub(crate) fn sweep(&self) {
        let turn = self.swept.fetch_add(1, Ordering::Relaxed) % SWEEPS;
        let rates = Operation::ALL.map(|operation| self.rate(operation.user_limit()));
        self.users.sweep(turn, SWEEPS, &rates, self.now());
        self.channels.sweep(turn, SWEEPS, &[self.rate(Limit::ChannelPublish)], self.now());
    }

    /// Writes the numbers.
    pub(crate) fn render(&self, page: &mut Page) {
        page.family(
            "throng_limited_total",
            "counter",
            "What clients were refused or cut for, by the limit they met.",
        );
        for (limit, label) in Limit::ALL {
            page.sample("throng_limited_total", &[("limit", label)], self.met[limit as usize].get());
        }
        let tables = [
            ("users", self.users.len(), self.users.evicted()),
            ("channels", self.channels.len(), self.channels.evicted()),
        ];
        page.family("throng_limit_entries", "gauge", "Users and channels whose use is remembered.");
        for (table, entries, _) in tables {
            page.sample("throng_limit_entries", &[("table", table)], entries);
        }
        let help = "Users and channels forgotten before their time, because there were too many.";
        page.family("throng_limit_entries_evicted_total", "counter", help);
        for (table, _, evicted) in tables {
            page.sample("throng_limit_entries_evicted_total", &[("table", table)], evicted);
        }
    }

    const fn rate(&self, limit: Limit) -> Rate {
        self.rates[limit as usize]
    }

    fn note(&self, limit: Limit, allowed: bool) -> bool {
        if !allowed {
            self.met[limit as usize].add(1);
        }
        allowed
    }

    fn now(&self) -> u32 {
        ticks(self.start.elapsed())
    }
}
