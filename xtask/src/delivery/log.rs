//! What a run writes down, and what is judged afterwards: publications as their publishers saw them, deliveries as
//! their subscribers saw them.

use std::{fmt, sync::Arc, time::Duration};

use serde::Deserialize;

/// The whole record of a run. Times count from its beginning, on one clock for all.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) channels: Vec<Channel>,
    pub(super) attempts: Vec<Attempt>,
    /// By number of the subscriber, each in the order in which it saw things.
    pub(super) subscribers: Vec<Vec<Seen>>,
    pub(super) audits: Vec<Audit>,
}

/// A channel and what its namespace promises.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    pub(super) name: String,
    pub(super) promise: Promise,
}

/// What subscribers of a channel may rely on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Promise {
    /// Nothing is lost unless it is announced. A recovery succeeds while no more than `kept` publications are missing;
    /// 0: there are no recoveries.
    Announced { kept: u64 },
    /// Without positions: nothing is lost while the subscription lasts.
    Lossless,
    /// Without positions, and slow readers lose some: what comes is in order, and comes once.
    Ordered,
}

/// Number of a channel in [`Log::channels`].
pub(super) type ChannelId = usize;

/// Names one publication of the run.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Id {
    pub(super) publisher: u16,
    /// Counts up from 0 for each publisher, whatever the channel.
    pub(super) number: u32,
}

/// A publication that a publisher tried to make.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) id: Id,
    pub(super) channel: ChannelId,
    /// Counts the publisher's connections: what one connection sends is ordered.
    pub(super) connection: u32,
    /// It has the tag that filters look for.
    pub(super) tagged: bool,
    /// Just before it was sent.
    pub(super) sent: Duration,
    pub(super) outcome: Outcome,
}

/// What a publisher learned of its attempt.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// It was accepted; the HTTP API tells where it stands.
    Accepted { at: Duration, position: Option<Position> },
    /// It was refused for good, so that nobody may ever see it.
    Refused { code: u32 },
    /// No answer came: it may appear or not.
    Unknown,
}

/// A place in a stream.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Position {
    pub(super) epoch: Arc<str>,
    pub(super) offset: u64,
}

/// Something that a subscriber saw or did.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) at: Duration,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    /// The server answered its connect.
    Connected,
    /// The connection ended; with the close code if a close frame came.
    Disconnected { code: Option<u16> },
    /// It is subscribed from here on.
    Subscribed { channel: ChannelId, start: Box<Start> },
    /// The server refused a subscribe.
    Refused { channel: ChannelId, code: u32 },
    /// A publication came.
    Publication { channel: ChannelId, item: Item, epoch: Option<Arc<str>> },
    /// The server took the subscription away.
    Unsubscribed { channel: ChannelId, code: u32 },
    /// Its own unsubscribe was answered.
    Left { channel: ChannelId },
    /// It does something to its own connection.
    Did(&'static str),
    /// What came cannot be read: a broken frame, or a patch that does not fit.
    Broken { channel: Option<ChannelId>, text: String },
    /// It waited in vain for the last publication of a channel.
    Stuck { channel: ChannelId },
    /// It saw the last publication of every channel that it is subscribed to, and ends.
    Finished,
}

/// How a subscription starts.
#[derive(Clone, Debug, Default)]
pub(super) struct Start {
    /// Where the subscriber stood, when it asked for what it missed.
    pub(super) asked: Option<Position>,
    pub(super) was_recovering: bool,
    pub(super) recovered: bool,
    /// Only what has the tag was asked for.
    pub(super) filtered: bool,
    /// The stream's position that came with the answer, of a subscription that has one.
    pub(super) position: Option<Position>,
    pub(super) publications: Vec<Item>,
}

/// One publication as it arrived.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Item {
    /// 0 without history.
    pub(super) offset: u64,
    pub(super) body: Body,
}

/// A payload.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Body {
    /// Byte for byte what the publisher of this publication sent.
    Sent(Id),
    /// Nothing that was ever sent.
    Foreign(Box<str>),
}

/// What the HTTP API says of a channel's stream at the end.
#[derive(Clone, Debug)]
pub(super) struct Audit {
    pub(super) channel: ChannelId,
    pub(super) position: Position,
    pub(super) publications: Vec<Item>,
}

/// What every payload says of itself.
#[derive(Deserialize)]
struct Label {
    p: u16,
    n: u32,
}

impl Id {
    /// The payload of this publication: the same text whenever it is asked for, so that a receiver can tell whether
    /// a single byte has changed. Most are short, some are a few KiB, and neighbours have much in common, as delta
    /// compression expects.
    pub(super) fn payload(self) -> String {
        const COMMON: &str = "the quick brown fox jumps over the lazy dog, again and again; ";
        let mixed = mix(u64::from(self.publisher) << 32 | u64::from(self.number));
        let length = match mixed % 16 {
            0 => 2_000 + mixed / 16 % 3_000,
            1..4 => 300 + mixed / 16 % 300,
            _ => 20 + mixed / 16 % 100,
        };
        let filling: String = COMMON.chars().cycle().take(usize::try_from(length).unwrap_or(0)).collect();
        let Self { publisher, number } = self;
        format!(r#"{{"p":{publisher},"n":{number},"x":"{mixed:016x}","filling":"{filling}"}}"#)
    }
}

impl Body {
    /// Finds out which publication these bytes are.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let id = serde_json::from_slice(bytes).ok().map(|Label { p, n }| Id { publisher: p, number: n });
        match id {
            Some(id) if id.payload().as_bytes() == bytes => Self::Sent(id),
            _ => Self::Foreign(String::from_utf8_lossy(bytes).chars().take(200).collect()),
        }
    }
}

impl What {
    /// The channel that it is about; `None`: the whole connection.
    pub(super) const fn channel(&self) -> Option<ChannelId> {
        match self {
            Self::Subscribed { channel, .. }
            | Self::Refused { channel, .. }
            | Self::Publication { channel, .. }
            | Self::Unsubscribed { channel, .. }
            | Self::Left { channel }
            | Self::Stuck { channel } => Some(*channel),
            Self::Broken { channel, .. } => *channel,
            Self::Connected | Self::Disconnected { .. } | Self::Did(_) | Self::Finished => None,
        }
    }

    /// The publications that it brings.
    pub(super) fn items(&self) -> &[Item] {
        match self {
            Self::Publication { item, .. } => std::slice::from_ref(item),
            Self::Subscribed { start, .. } => &start.publications,
            Self::Connected
            | Self::Disconnected { .. }
            | Self::Refused { .. }
            | Self::Unsubscribed { .. }
            | Self::Left { .. }
            | Self::Did(_)
            | Self::Broken { .. }
            | Self::Stuck { .. }
            | Self::Finished => &[],
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}#{}", self.publisher, self.number)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.offset, self.epoch)
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.body {
            Body::Sent(id) => write!(f, "{id}"),
            Body::Foreign(text) => write!(f, "{text:?}"),
        }?;
        if self.offset > 0 { write!(f, " at {}", self.offset) } else { Ok(()) }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>11.6} s  {}", self.at.as_secs_f64(), self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected => f.write_str("connected"),
            Self::Disconnected { code: Some(code) } => write!(f, "disconnected with {code}"),
            Self::Disconnected { code: None } => f.write_str("connection lost"),
            Self::Subscribed { start, .. } => start.fmt(f),
            Self::Refused { code, .. } => write!(f, "subscribe refused with {code}"),
            Self::Publication { item, epoch: None, .. } => write!(f, "publication {item}"),
            Self::Publication { item, epoch: Some(epoch), .. } => {
                write!(f, "publication {item} of epoch {epoch}")
            }
            Self::Unsubscribed { code, .. } => write!(f, "unsubscribed by the server with {code}"),
            Self::Left { .. } => f.write_str("unsubscribed"),
            Self::Did(what) => write!(f, "({what})"),
            Self::Broken { text, .. } => write!(f, "unreadable: {text}"),
            Self::Stuck { .. } => f.write_str("the last publication did not come"),
            Self::Finished => f.write_str("finished"),
        }
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.filtered { "subscribed with a filter" } else { "subscribed" })?;
        if let Some(position) = &self.position {
            write!(f, ", offset and epoch {position}")?;
        }
        if let Some(asked) = &self.asked {
            let outcome = if self.recovered { "recovered" } else { "not recovered" };
            write!(f, ", {outcome} from {asked}")?;
        }
        for (n, item) in self.publications.iter().enumerate() {
            write!(f, "{} {item}", if n == 0 { ", with" } else { "," })?;
        }
        Ok(())
    }
}

/// A step of SplitMix64: spreads neighbouring numbers.
const fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_known_again_and_a_changed_one_is_not() {
        let id = Id { publisher: 3, number: 17 };
        let payload = id.payload();
        assert_eq!(Body::read(payload.as_bytes()), Body::Sent(id));
        let changed = payload.replacen("quick", "quack", 1);
        assert_ne!(changed, payload);
        assert!(matches!(Body::read(changed.as_bytes()), Body::Foreign(_)));
        assert!(matches!(Body::read(b"no json"), Body::Foreign(_)));
    }

    #[test]
    fn payloads_are_json_of_many_sizes() {
        let sizes: Vec<_> = (0..200).map(|number| Id { publisher: 0, number }.payload().len()).collect();
        assert!(sizes.iter().any(|size| *size < 200) && sizes.iter().any(|size| *size > 2_000), "{sizes:?}");
        let payload = Id { publisher: 9, number: 9 }.payload();
        serde_json::from_str::<serde_json::Value>(&payload).unwrap();
    }
}
