//! What all that take part in a run share: its clock, the server's address, and how far the run is.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::log::{Channel, ChannelId};

/// Publisher number of what the harness itself publishes at the end.
pub(super) const MARKS: u16 = u16::MAX;
/// Time after the run in which everybody must have come to rest and have everything.
pub(super) const SETTLE_LIMIT: Duration = Duration::from_secs(40);

/// How far the run is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// Publishers publish, and the plan's actions happen.
    Running,
    /// Publishers have stopped. Subscribers subscribe to all that is theirs, and wait for the last publications.
    Settling,
}

/// Shared by all; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub(super) began: Instant,
    /// Where subscribers connect.
    pub(super) address: SocketAddr,
    /// Where publishers connect.
    pub(super) server: SocketAddr,
    pub(super) phase: watch::Receiver<Phase>,
    /// Length of the plan.
    pub(super) length: Duration,
    channels: std::sync::Arc<HashMap<String, ChannelId>>,
}

impl Stage {
    pub(super) fn new(
        server: SocketAddr,
        address: SocketAddr,
        channels: &[Channel],
        length: Duration,
        phase: watch::Receiver<Phase>,
    ) -> Self {
        let named = channels.iter().enumerate().map(|(number, channel)| (channel.name.clone(), number));
        let channels = std::sync::Arc::new(named.collect());
        Self { began: Instant::now(), address, server, phase, length, channels }
    }

    /// Time since the run began.
    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(super) fn channel(&self, name: &str) -> Option<ChannelId> {
        self.channels.get(name).copied()
    }

    pub(super) fn is_running(&self) -> bool {
        *self.phase.borrow() == Phase::Running
    }

    /// When everything must be over.
    pub(super) fn end(&self) -> Instant {
        self.began + self.length + SETTLE_LIMIT
    }
}
