use std::sync::Arc;

use throng_protocol::TagsFilter;

/// A place in a channel's stream: the number of its epoch, and the offset of a publication; 0 stands before the first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StreamMark {
    /// Identity of the stream: offsets of different epochs cannot be compared.
    pub epoch: u64,
    /// Offset of a publication in it.
    pub offset: u64,
}

/// What becomes of publications for a client that does not keep up. Replies are never dropped.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SlowPolicy {
    /// The client is ended as slow when more waits for it than its bounds allow.
    #[default]
    Disconnect,
    /// Beyond the bounds the publications that have waited longest are dropped.
    DropOldest,
    /// Beyond the bounds the publications that come last are dropped.
    DropNewest,
    /// At most one publication waits for each channel, or for each key where publications have one: the newest.
    KeepLatest,
}

impl SlowPolicy {
    /// How many policies there are.
    pub const COUNT: usize = 4;
}

/// How the fan-out treats a channel.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ChannelRules {
    /// What becomes of publications for slow clients.
    pub slow: SlowPolicy,
    /// Which of the counters counts what is dropped; the caller's numbering.
    pub group: u16,
}

/// Where and how a subscription starts.
#[derive(Clone, Debug, Default)]
pub struct Subscription {
    /// Sequence of the channel's last event: what is not above it came before.
    pub sequence: u64,
    /// The same for publications of a stream, if the subscription follows one.
    pub stream: Option<StreamMark>,
    /// The client must hear when it loses a publication; needs `stream`.
    pub positioned: bool,
    /// The client wants to hear who joins and leaves.
    pub join_leave: bool,
    /// Publications go out as patches where that is possible.
    pub delta: bool,
    /// The client holds the stream's newest publication, so that the next one may be a patch against it.
    pub has_base: bool,
    /// Only publications with such tags are wanted.
    pub filter: Option<Arc<TagsFilter>>,
    /// Notes of the caller's, given back when the subscription ends.
    pub marks: u8,
}

/// A subscription that has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ended {
    /// The caller's notes.
    pub marks: u8,
    /// The shard does not use the channel any more and must leave it.
    pub leave: bool,
}

/// A subscriber of a channel on this shard.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) client: u32,
    flags: u8,
    pub(crate) marks: u8,
    /// Sequence at which the subscription began.
    start: u64,
    /// Offset at which it began, if it follows a stream.
    pub(crate) offset: u64,
    pub(crate) filter: Option<Arc<TagsFilter>>,
}

impl Member {
    const STREAM: u8 = 1;
    const POSITIONED: u8 = 2;
    const JOIN_LEAVE: u8 = 4;
    const DELTA: u8 = 8;
    const HAS_BASE: u8 = 16;
    const LOST: u8 = 32;

    pub(crate) fn new(client: u32, subscription: Subscription) -> Self {
        let Subscription { sequence, stream, positioned, join_leave, delta, has_base, filter, marks } =
            subscription;
        let bit = |on: bool, bit: u8| if on { bit } else { 0 };
        let flags = bit(stream.is_some(), Self::STREAM)
            | bit(positioned && stream.is_some(), Self::POSITIONED)
            | bit(join_leave, Self::JOIN_LEAVE)
            | bit(delta, Self::DELTA)
            | bit(has_base, Self::HAS_BASE);
        Self { client, flags, marks, start: sequence, offset: stream.map_or(0, |mark| mark.offset), filter }
    }

    /// Whether an event was there before the subscription.
    pub(crate) const fn is_before(&self, sequence: u64, stream: Option<StreamMark>) -> bool {
        match stream {
            Some(mark) if self.has(Self::STREAM) => mark.offset <= self.offset,
            Some(_) | None => sequence <= self.start,
        }
    }

    pub(crate) const fn is_positioned(&self) -> bool {
        self.has(Self::POSITIONED)
    }

    pub(crate) const fn hears_of_others(&self) -> bool {
        self.has(Self::JOIN_LEAVE)
    }

    pub(crate) const fn is_delta(&self) -> bool {
        self.has(Self::DELTA)
    }

    /// Whether the client holds the publication before the next one; it does from then on.
    pub(crate) const fn take_base(&mut self) -> bool {
        let had = self.has(Self::HAS_BASE);
        self.flags |= Self::HAS_BASE;
        had
    }

    /// The client has not got a publication, so that the next one must be whole.
    pub(crate) const fn forget_base(&mut self) {
        self.flags &= !Self::HAS_BASE;
    }

    pub(crate) const fn is_lost(&self) -> bool {
        self.has(Self::LOST)
    }

    /// Nothing more of the channel goes to the client. False if that was so already.
    pub(crate) const fn lose(&mut self) -> bool {
        let new = !self.is_lost();
        self.flags |= Self::LOST;
        new
    }

    const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}
