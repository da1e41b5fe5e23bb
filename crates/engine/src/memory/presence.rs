use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use parking_lot::Mutex;
use throng_protocol::{ChannelName, ClientInfo};

use crate::{Origin, PresenceStats};

/// Who is present in which channel. It has locks of its own, so that reading a long list holds up no publisher.
#[derive(Debug, Default)]
pub(super) struct Presence {
    channels: DashMap<ChannelName, Arc<Mutex<Members>>>,
    members: AtomicUsize,
}

#[derive(Debug, Default)]
struct Members {
    clients: HashMap<Origin, Arc<ClientInfo>>,
    /// Connections by user id, so that users are counted without a scan.
    users: HashMap<Box<str>, usize>,
    /// Set when the last member leaves and the channel's entry is about to; whoever still holds it looks again.
    removed: bool,
}

impl Presence {
    pub(super) fn add(&self, channel: &ChannelName, client: Origin, info: Arc<ClientInfo>) {
        loop {
            let held = self.get(channel);
            let held = held.unwrap_or_else(|| Arc::clone(&self.channels.entry(channel.clone()).or_default()));
            let mut members = held.lock();
            if !members.removed {
                if members.insert(client, info) {
                    self.members.fetch_add(1, Ordering::Relaxed);
                }
                return;
            }
        }
    }

    pub(super) fn remove(&self, channel: &ChannelName, client: Origin) {
        let Some(held) = self.get(channel) else { return };
        let mut members = held.lock();
        if members.remove(client) {
            self.members.fetch_sub(1, Ordering::Relaxed);
        }
        if members.clients.is_empty() && !members.removed {
            members.removed = true;
            drop(members);
            self.channels.remove_if(channel, |_, entry| Arc::ptr_eq(entry, &held));
        }
    }

    pub(super) fn list(&self, channel: &ChannelName) -> Vec<(Origin, Arc<ClientInfo>)> {
        let Some(held) = self.get(channel) else { return Vec::new() };
        let members = held.lock();
        members.clients.iter().map(|(client, info)| (*client, Arc::clone(info))).collect()
    }

    pub(super) fn stats(&self, channel: &ChannelName) -> PresenceStats {
        let Some(held) = self.get(channel) else { return PresenceStats::default() };
        let members = held.lock();
        PresenceStats { clients: members.clients.len(), users: members.users.len() }
    }

    /// Entries in all channels.
    pub(super) fn member_count(&self) -> usize {
        self.members.load(Ordering::Relaxed)
    }

    /// The channel's members, with the map's guard already released.
    fn get(&self, channel: &ChannelName) -> Option<Arc<Mutex<Members>>> {
        self.channels.get(channel).map(|entry| Arc::clone(&entry))
    }
}

impl Members {
    /// Returns whether the client is new.
    fn insert(&mut self, client: Origin, info: Arc<ClientInfo>) -> bool {
        let user = info.user.clone();
        let before = self.clients.insert(client, info);
        if before.as_ref().is_some_and(|before| before.user == user) {
            return false;
        }
        *self.users.entry(user.into()).or_default() += 1;
        if let Some(before) = &before {
            self.forget_user(&before.user);
        }
        before.is_none()
    }

    /// Returns whether the client was there.
    fn remove(&mut self, client: Origin) -> bool {
        let Some(info) = self.clients.remove(&client) else { return false };
        self.forget_user(&info.user);
        true
    }

    fn forget_user(&mut self, user: &str) {
        if let Entry::Occupied(mut entry) = self.users.entry(user.into()) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(user: &str) -> Arc<ClientInfo> {
        Arc::new(ClientInfo { user: user.into(), ..ClientInfo::default() })
    }

    #[test]
    fn a_client_that_comes_back_as_another_user_is_counted_for_that_one_alone() {
        let (presence, room) = (Presence::default(), "room".parse().unwrap());
        presence.add(&room, Origin(1), info("ann"));
        presence.add(&room, Origin(2), info("ann"));
        presence.add(&room, Origin(2), info("bob"));
        assert_eq!(presence.stats(&room), PresenceStats { clients: 2, users: 2 });
        presence.add(&room, Origin(1), info("bob"));
        assert_eq!(presence.stats(&room), PresenceStats { clients: 2, users: 1 });
        assert_eq!(presence.member_count(), 2);
    }

    #[test]
    fn a_channel_that_everybody_has_left_takes_no_memory() {
        let (presence, room) = (Presence::default(), "room".parse().unwrap());
        presence.add(&room, Origin(1), info(""));
        presence.remove(&room, Origin(2));
        assert_eq!((presence.channels.len(), presence.member_count()), (1, 1));
        presence.remove(&room, Origin(1));
        assert_eq!((presence.channels.len(), presence.member_count()), (0, 0));
    }

    #[test]
    fn members_that_come_and_go_on_many_threads_are_neither_lost_nor_left_behind() {
        let (presence, room): (_, ChannelName) = (Presence::default(), "room".parse().unwrap());
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (presence, room) = (&presence, &room);
                scope.spawn(move || {
                    for round in 0..2_000 {
                        presence.add(room, Origin(thread), info(&round.to_string()));
                        assert!(presence.list(room).iter().any(|(client, _)| *client == Origin(thread)));
                        presence.remove(room, Origin(thread));
                    }
                });
            }
        });
        assert_eq!((presence.channels.len(), presence.member_count()), (0, 0));
    }
}
