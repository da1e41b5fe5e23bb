use std::sync::Arc;

use throng_protocol::TagsFilter;

use crate::track::{Step, Track};
use crate::{Broadcast, Slot, StreamMark, Variant, WireFormat};

/// What a subscription is to be, and from where on.
#[derive(Clone, Debug, Default)]
pub struct Subscription {
    /// Sequence of the channel's last event before the subscription: what is not above it was published before.
    pub sequence: u64,
    /// Where the channel's stream stood then, or where what was recovered ends; `None` if the channel keeps none.
    pub stream: Option<StreamMark>,
    /// The subscription is lost, and said to be so, as soon as it misses a publication.
    pub positioned: bool,
    /// The client is told who joins and leaves.
    pub join_leave: bool,
    /// The client gets patches where it can.
    pub delta: bool,
    /// The client has the channel's newest publication already, so that the next one may be a patch. Only with `delta`.
    pub has_base: bool,
    /// The client gets only publications whose tags satisfy this.
    pub filter: Option<Arc<TagsFilter>>,
    /// Eight bits that the table keeps for its caller.
    pub marks: u8,
}

/// A subscription that is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ended {
    /// The subscription's marks; 0 if it was still being made.
    pub marks: u8,
    /// The shard does not use the channel any more and must leave it.
    pub leave: bool,
}

/// A client in a channel, eight bytes: a turn reads all of a channel's members one after the other.
///
/// Where most members stand is the channel's own track. Only those who stand elsewhere have one of their own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) client: u32,
    flags: u8,
    pub(crate) marks: u8,
}

/// The client must be told when a publication is lost.
const POSITIONED: u8 = 1 << 0;
/// The client hears who joins and leaves.
const JOIN_LEAVE: u8 = 1 << 1;
/// The client gets patches.
const DELTA: u8 = 1 << 2;
/// The client has, or will have when its outbox is written, the publication that the next patch is made against.
const BASE: u8 = 1 << 3;
/// The client stands elsewhere than the channel, and the channel keeps its own track for it.
const APART: u8 = 1 << 4;
/// The channel keeps a filter for the client.
const FILTERED: u8 = 1 << 5;
/// A publication was lost; nothing more is delivered.
const LOST: u8 = 1 << 6;
/// The loss has been reported.
const TOLD: u8 = 1 << 7;

impl Member {
    pub(crate) fn new(client: u32, subscription: &Subscription) -> Self {
        let bit = |on, bit| if on { bit } else { 0 };
        let flags = bit(subscription.positioned, POSITIONED)
            | bit(subscription.join_leave, JOIN_LEAVE)
            | bit(subscription.delta, DELTA)
            | bit(subscription.delta && subscription.has_base, BASE)
            | bit(subscription.filter.is_some(), FILTERED);
        Self { client, flags, marks: subscription.marks }
    }

    pub(crate) const fn is_positioned(self) -> bool {
        self.flags & POSITIONED != 0
    }

    pub(crate) const fn hears_joins(self) -> bool {
        self.flags & JOIN_LEAVE != 0
    }

    pub(crate) const fn is_apart(self) -> bool {
        self.flags & APART != 0
    }

    pub(crate) const fn is_filtered(self) -> bool {
        self.flags & FILTERED != 0
    }

    pub(crate) const fn is_lost(self) -> bool {
        self.flags & LOST != 0
    }

    pub(crate) fn set_apart(&mut self, apart: bool) {
        self.flags = if apart { self.flags | APART } else { self.flags & !APART };
    }

    /// Marks the subscription as lost; false if it was lost before.
    pub(crate) fn lose(&mut self) -> bool {
        let new = !self.is_lost();
        self.flags |= LOST;
        new
    }

    /// Whether the subscription is lost and nobody has been told; nobody will be told again.
    pub(crate) fn tell_loss(&mut self) -> bool {
        let untold = self.flags & (LOST | TOLD) == LOST;
        self.flags |= if untold { TOLD } else { 0 };
        untold
    }

    /// The next publication goes whole.
    pub(crate) fn forget_base(&mut self) {
        self.flags &= !BASE;
    }

    /// What becomes of an event that is `step` to this member.
    pub(crate) fn judge(
        &mut self,
        step: Step,
        broadcast: &Broadcast,
        slot: Slot,
        filter: Option<&TagsFilter>,
        format: WireFormat,
    ) -> Verdict {
        match step {
            _ if self.is_lost() => return Verdict::Skip,
            Step::Old => return Verdict::Skip,
            Step::Gap if self.is_positioned() => return Verdict::Lose,
            Step::Gap => self.forget_base(),
            Step::Next => {}
        }
        let excepted = broadcast.except == Some(slot);
        if !broadcast.frames.is_publication() {
            let wanted = self.flags & JOIN_LEAVE != 0 && !excepted;
            return if wanted { Verdict::Append(Style::PLAIN) } else { Verdict::Skip };
        }
        let hidden = || {
            let publication = broadcast.frames.as_publication();
            publication.is_some_and(|it| filter.is_some_and(|filter| !filter.matches(&it.tags)))
        };
        if excepted || hidden() {
            self.forget_base();
            return Verdict::Skip;
        }
        if format == WireFormat::Json && broadcast.frames.refuses_json() {
            return Verdict::WrongFormat;
        }
        let variant = match self.flags & (DELTA | BASE) {
            0 => Variant::Plain,
            flags if flags & BASE != 0 && broadcast.frames.has_previous() => Variant::Patch,
            _ => Variant::Full,
        };
        if variant != Variant::Plain {
            self.flags |= BASE;
        }
        Verdict::Append(Style { variant, positioned: self.is_positioned() })
    }
}

/// What becomes of an event at one member.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// It goes to the client's outbox.
    Append(Style),
    /// The client does not get it.
    Skip,
    /// The client has missed something and must be told.
    Lose,
    /// The client cannot read it and must go.
    WrongFormat,
}

/// How an event lies in a client's outbox.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Style {
    pub(crate) variant: Variant,
    /// If it is dropped, the subscription is lost.
    pub(crate) positioned: bool,
}

impl Style {
    pub(crate) const PLAIN: Self = Self { variant: Variant::Plain, positioned: false };
}

/// The members that get an event as it is, unless they caused it, without being asked about anything else:
/// `flags & mask == value`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain {
    mask: u8,
    value: u8,
}

impl Plain {
    pub(crate) fn of(step: Step, broadcast: &Broadcast) -> Self {
        const SPECIAL: u8 = DELTA | APART | FILTERED | LOST;
        match step {
            _ if broadcast.frames.refuses_json() => Self { mask: 0, value: 1 },
            Step::Old => Self { mask: 0, value: 1 },
            Step::Next | Step::Gap if !broadcast.frames.is_publication() => {
                Self { mask: JOIN_LEAVE | APART | LOST, value: JOIN_LEAVE }
            }
            Step::Next => Self { mask: SPECIAL, value: 0 },
            Step::Gap => Self { mask: SPECIAL | POSITIONED, value: 0 },
        }
    }

    /// How the member gets the event, if it is one of these.
    pub(crate) const fn style(self, member: Member) -> Option<Style> {
        if member.flags & self.mask == self.value {
            Some(Style { variant: Variant::Plain, positioned: member.is_positioned() })
        } else {
            None
        }
    }
}

/// A member that does not stand where the channel stands.
pub(crate) fn step_apart(
    member: &mut Member,
    own: &mut Track,
    channel: &Track,
    broadcast: &Broadcast,
) -> Step {
    let step = own.advance(broadcast.sequence, broadcast.stream);
    member.set_apart(!own.agrees_with(channel));
    step
}
