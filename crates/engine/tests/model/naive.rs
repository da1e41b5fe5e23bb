//! What the engine should do, in the plainest words: everything is searched, nothing is clever.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::operation::{CHANNELS, Publish, Read, Whose};

pub(crate) const TTL: Duration = Duration::from_secs(60);
pub(crate) const META_TTL: Duration = Duration::from_secs(300);
pub(crate) const KEY_TTL: Duration = Duration::from_secs(100);

/// Time since the start.
type Moment = Duration;

/// Offset and number of the epoch: 1 for the first that the model makes, and so on.
pub(crate) type Place = (u64, usize);

pub(crate) struct Naive {
    pub(crate) now: Moment,
    pub(crate) channels: [Channel; CHANNELS],
    limits: Limits,
    epochs: usize,
    results: Vec<(usize, &'static str, Moment, Outcome)>,
}

/// What the engine may keep, and what publications cost there.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) streams: usize,
    pub(crate) bytes: usize,
    pub(crate) cost: usize,
}

#[derive(Default)]
pub(crate) struct Channel {
    pub(crate) subscribers: usize,
    pub(crate) present: BTreeMap<u128, &'static str>,
    stream: Option<Stream>,
}

struct Stream {
    epoch: usize,
    offset: u64,
    kept: Vec<(u64, String)>,
    /// Subscribers got the newest kept one last.
    chained: bool,
    version: (u64, &'static str),
    expires: Moment,
    used: Moment,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    Passed,
    Stored(Place),
    Repeated(Option<Place>),
    Refused,
}

pub(crate) struct Sent {
    pub(crate) place: Option<Place>,
    pub(crate) previous: Option<String>,
}

impl Naive {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { now: Moment::ZERO, channels: Default::default(), limits, epochs: 0, results: Vec::new() }
    }

    /// What is told to the publisher, and what is sent to subscribers, if there are any.
    pub(crate) fn publish(&mut self, how: &Publish, text: &str) -> (Outcome, Option<Sent>) {
        self.results.retain(|(_, _, expires, _)| *expires > self.now);
        if let Some(key) = how.key {
            let known =
                self.results.iter().find(|(channel, known, ..)| (*channel, *known) == (how.channel, key));
            if let Some((.., outcome)) = known {
                return (outcome.repeated(), None);
            }
        }
        let (outcome, sent) = self.publish_once(how, text);
        if let (Some(key), true) = (how.key, outcome != Outcome::Refused) {
            self.results.push((how.channel, key, self.now + KEY_TTL, outcome));
        }
        (outcome, sent)
    }

    fn publish_once(&mut self, how: &Publish, text: &str) -> (Outcome, Option<Sent>) {
        self.expire(how.channel);
        let is_watched = self.channels[how.channel].subscribers > 0;
        if let (Some(stream), true) = (&self.channels[how.channel].stream, how.size.is_some()) {
            let (version, epoch) = stream.version;
            let comparable = how.version_epoch.is_empty() || how.version_epoch == epoch;
            if how.version > 0 && comparable && how.version <= version {
                return (Outcome::Repeated(Some((stream.offset, stream.epoch))), None);
            }
        }
        if how.busy && is_watched {
            return (Outcome::Refused, None);
        }
        let Some(size) = how.size else {
            if let Some(stream) = &mut self.channels[how.channel].stream {
                stream.chained = false;
            }
            return (Outcome::Passed, is_watched.then_some(Sent { place: None, previous: None }));
        };
        let now = self.now;
        let stream = self.stream(how.channel);
        stream.offset += 1;
        let base = stream.kept.last().filter(|_| how.delta && stream.chained);
        let previous = base.map(|(_, text)| text.clone());
        stream.kept.push((stream.offset, text.into()));
        stream.kept.drain(..stream.kept.len().saturating_sub(size));
        stream.chained = true;
        stream.expires = now + TTL;
        if how.version > 0 {
            stream.version = (how.version, how.version_epoch);
        }
        let place = (stream.offset, stream.epoch);
        self.evict();
        (Outcome::Stored(place), is_watched.then_some(Sent { place: Some(place), previous }))
    }

    pub(crate) fn position(&mut self, channel: usize) -> Place {
        let stream = self.stream(channel);
        let place = (stream.offset, stream.epoch);
        self.evict();
        place
    }

    /// The stream's place, and what is read; `None` if the epoch is another one.
    pub(crate) fn history(&mut self, read: &Read) -> (Place, Option<Vec<(u64, String)>>) {
        let stream = self.stream(read.channel);
        let place = (stream.offset, stream.epoch);
        let mut found = stream.kept.clone();
        if let Some((since, _)) = read.since {
            found.retain(|(offset, _)| if read.reverse { *offset < since } else { *offset > since });
        }
        if read.reverse {
            found.reverse();
        }
        found.truncate(read.limit.unwrap_or(usize::MAX));
        self.evict();
        let is_foreign = matches!(read.since, Some((_, Whose::Foreign)));
        (place, (!is_foreign).then_some(found))
    }

    pub(crate) fn remove_history(&mut self, channel: usize) {
        if let Some(stream) = &mut self.channels[channel].stream {
            stream.kept.clear();
        }
    }

    pub(crate) fn subscribe(&mut self, channel: usize) {
        self.expire(channel);
        self.channels[channel].subscribers += 1;
    }

    pub(crate) fn unsubscribe(&mut self, channel: usize) {
        let (now, channel) = (self.now, &mut self.channels[channel]);
        if let (1, Some(stream)) = (channel.subscribers, &mut channel.stream) {
            stream.used = now;
        }
        channel.subscribers = channel.subscribers.saturating_sub(1);
    }

    /// Streams, publications and bytes, after everything that has expired is gone.
    pub(crate) fn sizes(&mut self) -> (usize, usize, usize) {
        (0..CHANNELS).for_each(|channel| self.expire(channel));
        let streams = self.channels.iter().filter_map(|channel| channel.stream.as_ref());
        let cost = self.limits.cost;
        streams.fold((0, 0, 0), |(streams, publications, bytes), stream| {
            (streams + 1, publications + stream.kept.len(), bytes + stream.bytes(cost))
        })
    }

    /// Channels that take memory, after everything that has expired is gone.
    pub(crate) fn in_use(&mut self) -> usize {
        self.sizes();
        self.channels.iter().filter(|channel| channel.subscribers > 0 || channel.stream.is_some()).count()
    }

    fn expire(&mut self, channel: usize) {
        let channel = &mut self.channels[channel];
        let Some(stream) = &mut channel.stream else { return };
        if stream.expires <= self.now {
            stream.kept.clear();
        }
        if channel.subscribers == 0 && stream.used + META_TTL <= self.now {
            channel.stream = None;
        }
    }

    /// The stream, which is being used.
    fn stream(&mut self, channel: usize) -> &mut Stream {
        self.expire(channel);
        if self.channels[channel].stream.is_none() {
            self.epochs += 1;
        }
        let stream = self.channels[channel].stream.get_or_insert(Stream {
            epoch: self.epochs,
            offset: 0,
            kept: Vec::new(),
            chained: false,
            version: (0, ""),
            expires: Moment::MAX,
            used: self.now,
        });
        stream.used = self.now;
        stream
    }

    fn evict(&mut self) {
        loop {
            let streams = self.channels.iter().filter(|channel| channel.stream.is_some()).count();
            let unwatched = |channel: &Channel, _: &Stream| channel.subscribers == 0;
            let Some(oldest) = self.oldest(unwatched).filter(|_| streams > self.limits.streams) else {
                break;
            };
            self.channels[oldest].stream = None;
        }
        loop {
            let (_, _, bytes) = self.sizes();
            let filled = |_: &Channel, stream: &Stream| !stream.kept.is_empty();
            let Some(oldest) = self.oldest(filled).filter(|_| bytes > self.limits.bytes) else { break };
            if let Some(stream) = &mut self.channels[oldest].stream {
                stream.kept.remove(0);
            }
        }
    }

    fn oldest(&self, wanted: impl Fn(&Channel, &Stream) -> bool) -> Option<usize> {
        let candidates = (0..CHANNELS).filter_map(|number| {
            let channel = &self.channels[number];
            let stream = channel.stream.as_ref().filter(|stream| wanted(channel, stream))?;
            Some((stream.used, number))
        });
        candidates.min().map(|(_, number)| number)
    }
}

impl Stream {
    fn bytes(&self, cost: usize) -> usize {
        // The first publication of a stream carries its epoch.
        self.kept.iter().map(|(offset, _)| cost + if *offset == 1 { 8 } else { 0 }).sum()
    }
}

impl Outcome {
    /// What a repeat of the same key is told.
    const fn repeated(self) -> Self {
        match self {
            Self::Stored(place) => Self::Repeated(Some(place)),
            Self::Passed => Self::Repeated(None),
            Self::Repeated(_) | Self::Refused => self,
        }
    }
}
