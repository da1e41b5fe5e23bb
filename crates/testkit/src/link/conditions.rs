use std::{ops::RangeInclusive, time::Duration};

/// A direction of a [`Link`](crate::Link).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Way {
    /// What the server sends.
    ToClient,
    /// What the client sends.
    ToServer,
    /// Both directions.
    Both,
}

/// An end of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// The client's.
    Client,
    /// The server's.
    Server,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// Both sides get a reset (RST): as from a machine that has lost the connection.
    Reset,
    /// Both sides read an end of the stream (FIN), after what has passed so far.
    Close,
    /// Only the other side gets a reset. This side is told nothing: it can write, what it writes is lost, and nothing comes any more.
    /// As when a machine has vanished, or a router has forgotten the connection.
    HalfOpen(Side),
}

/// What holds on a link now.
#[derive(Clone, Debug)]
pub(super) struct Conditions {
    /// Whether connections are taken.
    pub(super) is_up: bool,
    /// Changes when all connections are to end: those of older generations do.
    pub(super) generation: u64,
    /// How the generations before this one ended.
    pub(super) ending: Ending,
    /// By [`Way::index`].
    pub(super) flows: [Flow; 2],
}

/// What holds in one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flow {
    pub(super) stalled: bool,
    pub(super) lost: bool,
    pub(super) bytes_per_second: Option<u32>,
    pub(super) delay: Duration,
    /// Bytes that may still pass, and what happens then.
    pub(super) ends_after: Option<(u64, Ending)>,
}

impl Way {
    /// Of one direction; both have the first one's.
    pub(super) const fn index(self) -> usize {
        match self {
            Self::ToClient | Self::Both => 0,
            Self::ToServer => 1,
        }
    }

    pub(super) const fn indices(self) -> RangeInclusive<usize> {
        match self {
            Self::ToClient => 0..=0,
            Self::ToServer => 1..=1,
            Self::Both => 0..=1,
        }
    }
}

impl Conditions {
    pub(super) const fn end(&mut self, how: Ending) {
        self.generation += 1;
        self.ending = how;
        // What was to end is over.
        self.flows[0].ends_after = None;
        self.flows[1].ends_after = None;
    }
}

impl Default for Conditions {
    fn default() -> Self {
        Self { is_up: true, generation: 0, ending: Ending::Reset, flows: [Flow::default(); 2] }
    }
}
