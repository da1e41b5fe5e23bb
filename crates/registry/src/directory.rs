use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use throng_protocol::ChannelName;

use crate::{Channel, ClientId, ClientKey, ShardId, ShardSet, WireFormat};

/// What all shards of a node share: which clients are connected, which users they are, and which shards have subscribers of a
/// channel. It says nothing of single subscribers: those are each shard's own affair.
///
/// No call holds a map's guard when it returns, and none holds one while it touches another map.
#[derive(Debug, Default)]
pub struct Directory {
    clients: DashMap<ClientId, Client>,
    users: DashMap<Arc<str>, HashSet<ClientId>>,
    channels: DashMap<ChannelName, Arc<Channel>>,
    channels_created: AtomicU64,
    channels_removed: AtomicU64,
}

/// Who and what is connected, without the members of relay rooms.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Census {
    /// Connected clients.
    pub clients: usize,
    /// Their users; all anonymous clients together are one.
    pub users: usize,
    /// Channels that have subscribers, without those that were not wanted.
    pub channels: usize,
}

/// A connected client as the whole node knows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Client {
    /// Where it lives.
    pub key: ClientKey,
    /// The user it belongs to; empty for an anonymous client.
    pub user: Arc<str>,
    /// What its connection carries.
    pub format: WireFormat,
}

impl Directory {
    /// An empty directory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Enters a client that has connected. Anonymous clients (empty user) are no user's.
    pub fn connect(&self, id: ClientId, client: Client) {
        self.connect_within(id, client, NonZeroUsize::MAX);
    }

    /// Enters a client that has connected, unless its user has `limit` clients already; false then. This is exact, however many
    /// shards enter clients of one user at once. Anonymous clients are no user's and always let in.
    pub fn connect_within(&self, id: ClientId, client: Client, limit: NonZeroUsize) -> bool {
        if !client.user.is_empty() {
            let mut clients = self.users.entry(Arc::clone(&client.user)).or_default();
            if clients.len() >= limit.get() {
                return false;
            }
            clients.insert(id);
        }
        self.clients.insert(id, client);
        true
    }

    /// Removes a client that has gone, and its user with the user's last client.
    pub fn disconnect(&self, id: ClientId) -> Option<Client> {
        let (_, client) = self.clients.remove(&id)?;
        if !client.user.is_empty() {
            if let Some(mut clients) = self.users.get_mut(&client.user) {
                clients.remove(&id);
            }
            self.users.remove_if(&client.user, |_, clients| clients.is_empty());
        }
        Some(client)
    }

    /// The client with this id, if it is connected.
    pub fn client(&self, id: ClientId) -> Option<Client> {
        self.clients.get(&id).map(|client| client.clone())
    }

    /// The connected clients that are no user's, in no order.
    pub fn anonymous_clients(&self) -> Vec<(ClientId, Client)> {
        let anonymous = self.clients.iter().filter(|client| client.user.is_empty());
        anonymous.map(|client| (*client.key(), client.value().clone())).collect()
    }

    /// Where the client with this id lives, if it is connected.
    pub fn locate(&self, id: ClientId) -> Option<ClientKey> {
        self.clients.get(&id).map(|client| client.key)
    }

    /// The connected clients of a user, in no order.
    pub fn clients_of(&self, user: &str) -> Vec<ClientId> {
        self.users.get(user).map(|clients| clients.iter().copied().collect()).unwrap_or_default()
    }

    /// Notes that the shard has a subscriber of the channel; true if it had none before.
    pub fn join(&self, name: &ChannelName, shard: ShardId) -> bool {
        loop {
            let channel = self.channel_or_new(name);
            match channel.join(shard) {
                Some(new) => return new,
                // Its last shard left at this moment; help it out of the map, then start afresh.
                None => self.forget(&channel),
            }
        }
    }

    /// Notes that the shard has no subscriber of the channel any more; the channel goes with its last shard.
    pub fn leave(&self, name: &ChannelName, shard: ShardId) {
        let Some(channel) = self.channel(name) else { return };
        if channel.leave(shard) {
            self.forget(&channel);
        }
    }

    /// The shards that have subscribers of the channel.
    pub fn shards_of(&self, name: &ChannelName) -> ShardSet {
        self.channel(name).map(|channel| channel.shards()).unwrap_or_default()
    }

    /// How many clients are connected.
    pub fn client_count(&self) -> usize {
        self.clients.len()
    }

    /// How many users have a client connected.
    pub fn user_count(&self) -> usize {
        self.users.len()
    }

    /// How many channels have subscribers.
    pub fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// How many channels got their first subscriber, and how many lost their last one, since the start.
    pub fn channels_created_and_removed(&self) -> (u64, u64) {
        (self.channels_created.load(Ordering::Relaxed), self.channels_removed.load(Ordering::Relaxed))
    }

    /// Counts clients, users and the channels whose names are `wanted`, one by one: meant for those who ask now and then.
    pub fn census(&self, wanted: impl Fn(&ChannelName) -> bool) -> Census {
        let ours = |client: &Client| client.format != WireFormat::Relay;
        let anonymous = self.clients.iter().any(|client| ours(&client) && client.user.is_empty());
        Census {
            clients: self.clients.iter().filter(|client| ours(client)).count(),
            users: self.users.len() + usize::from(anonymous),
            channels: self.channels.iter().filter(|channel| wanted(channel.key())).count(),
        }
    }

    fn channel(&self, name: &ChannelName) -> Option<Arc<Channel>> {
        self.channels.get(name).map(|channel| Arc::clone(&channel))
    }

    fn channel_or_new(&self, name: &ChannelName) -> Arc<Channel> {
        if let Some(channel) = self.channel(name) {
            return channel;
        }
        let channel = self.channels.entry(name.clone()).or_insert_with(|| {
            self.channels_created.fetch_add(1, Ordering::Relaxed);
            Arc::new(Channel::new(name.clone()))
        });
        Arc::clone(&channel)
    }

    /// Takes this very channel out of the map; one that has taken its name since stays.
    fn forget(&self, channel: &Arc<Channel>) {
        if self.channels.remove_if(channel.name(), |_, current| Arc::ptr_eq(current, channel)).is_some() {
            self.channels_removed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Slot;

    fn client(user: &str, index: u32) -> Client {
        let key = ClientKey { shard: ShardId::new(0).unwrap(), slot: Slot { index, generation: 0 } };
        Client { key, user: user.into(), format: WireFormat::Json }
    }

    #[test]
    fn a_user_is_known_while_one_of_its_clients_is_connected() {
        let directory = Directory::new();
        let [one, two] = [1, 2].map(ClientId::from_u128);
        directory.connect(one, client("ann", 1));
        directory.connect(two, client("ann", 2));
        assert_eq!(directory.clients_of("ann").len(), 2);
        assert_eq!(directory.disconnect(one), Some(client("ann", 1)));
        assert_eq!(directory.clients_of("ann"), [two]);
        directory.disconnect(two);
        assert_eq!((directory.client_count(), directory.user_count()), (0, 0));
        assert_eq!(directory.disconnect(two), None);
    }

    #[test]
    fn a_limit_of_clients_holds_when_all_come_at_once() {
        let directory = Directory::new();
        let limit = NonZeroUsize::new(3).unwrap();
        let come = |number: u32| {
            directory.connect_within(ClientId::from_u128(number.into()), client("ann", number), limit)
        };
        let come = &come;
        let let_in: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|thread| scope.spawn(move || (0..50).filter(|n| come(thread * 50 + n)).count()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!((let_in, directory.clients_of("ann").len(), directory.client_count()), (3, 3, 3));
        directory.disconnect(directory.clients_of("ann")[0]);
        assert!(come(1_000), "a place that was left is free");
        assert!(directory.connect_within(ClientId::from_u128(2_000), client("", 1), limit));
    }

    #[test]
    fn anonymous_clients_are_no_user() {
        let directory = Directory::new();
        directory.connect(ClientId::from_u128(1), client("", 1));
        assert_eq!((directory.client_count(), directory.user_count()), (1, 0));
    }

    #[test]
    fn a_census_takes_the_anonymous_for_one_user_and_leaves_the_relay_out() {
        let directory = Directory::new();
        let relay = Client { format: WireFormat::Relay, ..client("", 1) };
        directory.connect(ClientId::from_u128(1), relay);
        let shard = ShardId::new(0).unwrap();
        for name in ["relay:lobby", "news"] {
            directory.join(&name.parse().unwrap(), shard);
        }
        let census = || directory.census(|name| !name.as_str().starts_with("relay:"));
        assert_eq!(census(), Census { clients: 0, users: 0, channels: 1 });
        for (index, user) in [(2, ""), (3, ""), (4, "ann")] {
            directory.connect(ClientId::from_u128(index.into()), client(user, index));
        }
        assert_eq!(census(), Census { clients: 3, users: 2, channels: 1 });
    }

    #[test]
    fn a_channel_lives_from_its_first_shard_to_its_last() {
        let directory = Directory::new();
        let news = "news".parse().unwrap();
        let [a, b] = [0, 1].map(|n| ShardId::new(n).unwrap());
        assert!(directory.join(&news, a));
        assert!(!directory.join(&news, a));
        assert!(directory.join(&news, b));
        assert_eq!(directory.shards_of(&news).iter().collect::<Vec<_>>(), [a, b]);
        directory.leave(&news, a);
        assert_eq!(directory.shards_of(&news).iter().collect::<Vec<_>>(), [b]);
        directory.leave(&news, b);
        assert_eq!(directory.channel_count(), 0);
        assert_eq!(directory.channels_created_and_removed(), (1, 1));
    }

    #[test]
    fn a_channel_on_its_way_out_does_not_take_its_successor_along() {
        let directory = Directory::new();
        let news = "news".parse().unwrap();
        let shard = ShardId::new(0).unwrap();
        directory.join(&news, shard);
        let old = directory.channel(&news).unwrap();
        directory.leave(&news, shard);
        directory.join(&news, shard);
        directory.forget(&old);
        assert_eq!(directory.shards_of(&news).iter().count(), 1);
    }

    #[test]
    fn a_shard_that_leaves_twice_does_not_take_the_channel_from_others() {
        let directory = Directory::new();
        let news = "news".parse().unwrap();
        let [a, b] = [0, 1].map(|n| ShardId::new(n).unwrap());
        directory.join(&news, b);
        directory.leave(&news, a);
        directory.leave(&news, a);
        assert_eq!(directory.channel_count(), 1);
    }
}
