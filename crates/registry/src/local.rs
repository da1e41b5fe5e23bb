use std::collections::HashMap;
use std::sync::Arc;

use throng_protocol::{ChannelName, TagsFilter};

use crate::member::{Member, step_apart};
use crate::track::{Step, Track};
use crate::{Broadcast, ChannelRules, Frames};

/// A channel that has, or is about to have, subscribers on this shard.
#[derive(Debug)]
pub(crate) struct LocalChannel {
    pub(crate) name: ChannelName,
    pub(crate) members: Vec<Member>,
    /// What was delivered to the channel in this turn.
    pub(crate) run: Vec<Arc<Frames>>,
    /// How far the channel has come on this shard: where its members stand who are not apart.
    pub(crate) track: Track,
    /// What few channels have, and only for a while.
    pub(crate) aside: Option<Box<Aside>>,
    /// Members who are positioned and have lost nothing.
    pub(crate) positioned: u32,
    /// Members who hear of joins and leaves.
    pub(crate) hearers: u32,
    /// Tells the channel from others that had its place before.
    pub(crate) serial: u32,
    pub(crate) rules: ChannelRules,
    /// Out of use, and here only until the turn is flushed.
    pub(crate) retired: bool,
}

/// What a channel keeps for single clients.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    /// Subscriptions that are being made.
    pending: Vec<Pending>,
    /// Where the members stand who are apart.
    tracks: HashMap<u32, Track>,
    filters: HashMap<u32, Arc<TagsFilter>>,
}

/// A subscription that is being made, and what was delivered to the channel meanwhile.
#[derive(Debug)]
struct Pending {
    client: u32,
    held: Held,
}

/// What is held for one subscription that is being made.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) events: Vec<Broadcast>,
    bytes: usize,
    /// More came than may be held. Nothing is held any more.
    pub(crate) overflowed: bool,
}

/// Events held for one subscription that is being made; with more, or with more bytes than may wait for a client, it is lost.
pub(crate) const HELD_EVENTS: usize = 1_024;

impl LocalChannel {
    pub(crate) const fn new(name: ChannelName, rules: ChannelRules, serial: u32) -> Self {
        Self {
            name,
            members: Vec::new(),
            run: Vec::new(),
            track: Track { sequence: 0, stream: None },
            aside: None,
            positioned: 0,
            hearers: 0,
            serial,
            rules,
            retired: false,
        }
    }

    /// Whether nobody is in the channel or on the way into it.
    pub(crate) fn is_unused(&self) -> bool {
        self.members.is_empty() && self.aside.as_ref().is_none_or(|aside| aside.pending.is_empty())
    }

    /// Holds events for a client from now on.
    pub(crate) fn enter(&mut self, client: u32) {
        self.aside.get_or_insert_default().pending.push(Pending { client, held: Held::default() });
    }

    /// Ends the holding for a client and returns what was held.
    pub(crate) fn take_held(&mut self, client: u32) -> Held {
        let Some(aside) = &mut self.aside else { return Held::default() };
        let at = aside.pending.iter().position(|pending| pending.client == client);
        let held = at.map(|at| aside.pending.swap_remove(at).held).unwrap_or_default();
        self.tidy();
        held
    }

    /// Holds an event for those who are about to subscribe. Returns how many lose what they held because of it.
    pub(crate) fn hold(&mut self, broadcast: &Broadcast, bytes: usize) -> u64 {
        let Some(aside) = &mut self.aside else { return 0 };
        let overflows = aside.pending.iter_mut().map(|pending| pending.held.add(broadcast, bytes));
        overflows.map(u64::from).sum()
    }

    /// Adds a member who stands at `track`.
    pub(crate) fn add(&mut self, mut member: Member, track: Track, filter: Option<Arc<TagsFilter>>) {
        if self.members.is_empty() {
            self.track = track;
            // A channel of one client is the most frequent one by far.
            self.members.reserve_exact(1);
        }
        self.positioned += u32::from(member.is_positioned() && !member.is_lost());
        self.hearers += u32::from(member.hears_joins());
        member.set_apart(!member.is_lost() && !track.agrees_with(&self.track));
        if member.is_apart() {
            self.aside.get_or_insert_default().tracks.insert(member.client, track);
        }
        if let Some(filter) = filter {
            self.aside.get_or_insert_default().filters.insert(member.client, filter);
        }
        self.members.push(member);
    }

    /// Takes out the member at this place; another one may take the place.
    pub(crate) fn take(&mut self, at: u32) -> Member {
        let member = self.members.swap_remove(at as usize);
        self.positioned -= u32::from(member.is_positioned() && !member.is_lost());
        self.hearers -= u32::from(member.hears_joins());
        if let Some(aside) = &mut self.aside
            && (member.is_apart() || member.is_filtered())
        {
            aside.forget_track(member.client);
            aside.filters.remove(&member.client);
            self.tidy();
        }
        if self.members.capacity() > 64 && self.members.len() < self.members.capacity() / 4 {
            self.members.shrink_to(self.members.len() * 2);
        }
        member
    }

    /// Marks the member at this place as one that has lost a publication; false if it was before.
    pub(crate) fn lose(&mut self, at: u32) -> bool {
        let member = &mut self.members[at as usize];
        let new = member.lose();
        if new {
            self.positioned -= u32::from(member.is_positioned());
            if let Some(aside) = &mut self.aside {
                aside.forget_track(member.client);
            }
            member.set_apart(false);
        }
        new
    }

    /// Where a member stands.
    pub(crate) fn track_of(&self, member: Member) -> Track {
        let own =
            self.aside.as_ref().filter(|_| member.is_apart()).and_then(|a| a.tracks.get(&member.client));
        own.copied().unwrap_or(self.track)
    }

    /// Gives back what is not needed any more.
    pub(crate) fn tidy(&mut self) {
        self.aside
            .take_if(|aside| aside.pending.is_empty() && aside.tracks.is_empty() && aside.filters.is_empty());
    }
}

impl Aside {
    pub(crate) fn has_tracks(&self) -> bool {
        !self.tracks.is_empty()
    }

    /// The clients whose members are apart.
    pub(crate) fn clients_apart(&self) -> Vec<u32> {
        self.tracks.keys().copied().collect()
    }

    pub(crate) fn filter_of(&self, member: Member) -> Option<&TagsFilter> {
        self.filters.get(&member.client).map(|filter| &**filter)
    }

    /// Moves a member that is apart past an event.
    pub(crate) fn step(&mut self, member: &mut Member, channel: &Track, broadcast: &Broadcast) -> Step {
        let Some(own) = self.tracks.get_mut(&member.client) else { return Step::Old };
        let step = step_apart(member, own, channel, broadcast);
        if !member.is_apart() {
            self.forget_track(member.client);
        }
        step
    }

    fn forget_track(&mut self, client: u32) {
        self.tracks.remove(&client);
        if self.tracks.is_empty() {
            self.tracks.shrink_to_fit();
        }
    }
}

impl Held {
    /// Holds an event; true if that is one too many.
    fn add(&mut self, broadcast: &Broadcast, bytes: usize) -> bool {
        if self.overflowed {
            return false;
        }
        self.bytes += broadcast.frames.weight();
        if self.events.len() < HELD_EVENTS && self.bytes <= bytes {
            self.events.push(broadcast.clone());
            return false;
        }
        *self = Self { overflowed: true, ..Self::default() };
        true
    }
}
