//! What the application may have done to connections, wherever they live: each shard is told once, and its connections obey.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use throng_protocol::{ChannelName, ErrorCode, Payload, StreamPosition};
use throng_registry::{ClientId, OutboxDepth, ShardId, Slot, WireFormat};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Node;
use crate::shard::ShardCommand;

/// How long the application waits for connections to obey.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which connections are meant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selector {
    /// Those of this user; empty for the anonymous ones.
    pub(crate) user: String,
    /// Only this one of them.
    pub(crate) client: Option<ClientId>,
    /// Not these.
    pub(crate) except: Vec<ClientId>,
}

/// What a connection is to do.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    /// Take a subscription that it did not ask for.
    Subscribe(Box<ServerSubscription>),
    /// Lose a subscription, or all.
    Unsubscribe { channel: Option<ChannelName>, code: u32, reason: String },
    /// End.
    Disconnect { code: u16, reason: Cow<'static, str> },
    /// Last until then, in Unix seconds, unless it is prolonged; 0 for ever.
    Refresh { expire_at: i64, info: Option<Payload> },
}

/// A subscription that the server gives to a connection. Reference section 3.7.
#[derive(Clone, Debug)]
pub(crate) struct ServerSubscription {
    pub(crate) channel: ChannelName,
    /// For presence, join and leave.
    pub(crate) info: Payload,
    /// For the client.
    pub(crate) data: Payload,
    pub(crate) recover_since: Option<StreamPosition>,
    pub(crate) overrides: Overrides,
    /// When it is over, in Unix seconds; `None` for never.
    pub(crate) expire_at: Option<i64>,
}

/// Options of the namespace that a single subscription has otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Overrides {
    pub(crate) presence: Option<bool>,
    pub(crate) join_leave: Option<bool>,
    pub(crate) force_push_join_leave: Option<bool>,
    pub(crate) force_positioning: Option<bool>,
    pub(crate) force_recovery: Option<bool>,
}

/// An order on its way to one connection.
#[derive(Debug)]
pub(crate) struct Addressed {
    pub(crate) order: Order,
    pub(crate) obeyed: Obeyed,
}

/// Tells whoever gave an order how many obeyed, and by its end that nobody is left who could.
#[derive(Clone, Debug)]
pub(crate) struct Obeyed {
    tally: Arc<Tally>,
    _waiting: mpsc::Sender<()>,
}

/// What became of an order.
#[derive(Debug, Default)]
struct Tally {
    done: AtomicUsize,
    refused: AtomicUsize,
}

impl Obeyed {
    /// For an order that nobody waits for.
    pub(crate) fn by_nobody() -> Self {
        Self { tally: Arc::default(), _waiting: mpsc::channel(1).0 }
    }

    /// Notes that one more connection has obeyed.
    pub(crate) fn done(self) {
        self.tally.done.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that one more connection has too much to do to take the order.
    pub(crate) fn refuse(&self) {
        self.tally.refused.fetch_add(1, Ordering::Relaxed);
    }
}

impl Node {
    /// Gives an order to every connection that is meant, and waits until each has obeyed or gone. Returns how many obeyed.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::Internal`] if it took too long, [`ErrorCode::TooManyRequests`] if so much waits for a connection already that it
    /// did not take the order; some may have obeyed.
    pub(crate) async fn order(&self, to: &Selector, order: Order) -> Result<usize, ErrorCode> {
        let mut by_shard: BTreeMap<usize, (ShardId, Vec<Slot>)> = BTreeMap::new();
        for key in self.meant(to) {
            by_shard.entry(key.shard.index()).or_insert_with(|| (key.shard, Vec::new())).1.push(key.slot);
        }
        let (waiting, mut all_done) = mpsc::channel(1);
        let obeyed = Obeyed { tally: Arc::default(), _waiting: waiting };
        let tally = Arc::clone(&obeyed.tally);
        for (shard, slots) in by_shard.into_values() {
            let (order, obeyed) = (order.clone(), obeyed.clone());
            self.fanout.queue(shard).control(ShardCommand::Order { slots, order, obeyed });
        }
        drop(obeyed);
        // Nothing is ever sent: the channel ends with the last one who could obey.
        timeout(PATIENCE, all_done.recv()).await.map_err(|_| ErrorCode::Internal)?;
        match tally.refused.load(Ordering::Relaxed) {
            0 => Ok(tally.done.load(Ordering::Relaxed)),
            _ => Err(ErrorCode::TooManyRequests),
        }
    }

    fn meant(&self, to: &Selector) -> Vec<throng_registry::ClientKey> {
        let directory = self.directory();
        let named = |id: ClientId| directory.client(id).map(|client| (id, client));
        let candidates = match to.client {
            Some(id) => named(id).into_iter().collect(),
            None if to.user.is_empty() => directory.anonymous_clients(),
            None => directory.clients_of(&to.user).into_iter().filter_map(named).collect::<Vec<_>>(),
        };
        let is_meant = |(id, client): &(ClientId, throng_registry::Client)| {
            // Members of the relay are nobody's unless they came with a token.
            let is_nobody = client.format == WireFormat::Relay && client.user.is_empty();
            *client.user == *to.user && !is_nobody && !to.except.contains(id)
        };
        candidates.into_iter().filter(is_meant).map(|(_, client)| client.key).collect()
    }

    /// How many subscribers each channel has whose name `wanted` accepts. Rooms of the relay are left out.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::Internal`] if a shard took too long.
    pub(crate) async fn channels(
        &self,
        wanted: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Result<BTreeMap<String, usize>, ErrorCode> {
        let wanted = Arc::new(wanted);
        let counts = self.ask(|answer| ShardCommand::Channels { wanted: wanted.clone(), answer }).await?;
        let mut channels = BTreeMap::new();
        for (name, count) in counts.into_iter().flatten() {
            *channels.entry(name.as_str().to_owned()).or_default() += count;
        }
        Ok(channels)
    }

    /// The clients for whom most waits, deepest first.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::Internal`] if a shard took too long.
    pub(crate) async fn deepest(&self, count: usize) -> Result<Vec<(ClientId, OutboxDepth)>, ErrorCode> {
        let lists = self.ask(|answer| ShardCommand::Deepest { count, answer }).await?;
        let mut all: Vec<_> = lists.into_iter().flatten().collect();
        all.sort_by_key(|(_, depth)| std::cmp::Reverse(depth.bytes));
        all.truncate(count);
        Ok(all)
    }

    /// Asks every shard and collects the answers.
    async fn ask<T>(&self, question: impl Fn(mpsc::Sender<T>) -> ShardCommand) -> Result<Vec<T>, ErrorCode> {
        let shards = self.fanout.shards().count();
        let (answer, mut answers) = mpsc::channel(shards);
        self.fanout.shards().for_each(|shard| self.fanout.queue(shard).control(question(answer.clone())));
        drop(answer);
        let collecting = async {
            let mut all = Vec::with_capacity(shards);
            while let Some(answer) = answers.recv().await {
                all.push(answer);
            }
            all
        };
        timeout(PATIENCE, collecting).await.map_err(|_| ErrorCode::Internal)
    }
}
