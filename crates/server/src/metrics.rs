//! What the server counts, and the Prometheus text of it (exposition format 0.0.4).

use std::fmt::{Display, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::http::ApiCounts;
use crate::node::{Node, RevocationCounts};
use crate::tls;

/// A number that threads add to or set. Its order towards other memory does not matter.
#[derive(Debug, Default)]
pub(crate) struct Number(AtomicU64);

impl Number {
    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    pub(crate) fn subtract(&self, amount: u64) {
        self.0.fetch_sub(amount, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a shard's thread alone counts, on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct ShardMetrics {
    pub(crate) deliveries: Number,
    pub(crate) writes: Number,
    pub(crate) bytes_sent: Number,
    pub(crate) slow: Number,
    pub(crate) clients: Number,
    pub(crate) channels: Number,
    pub(crate) subscriptions: Number,
    pub(crate) backlog_bytes: Number,
    pub(crate) bytes_received: Number,
    pub(crate) messages_received: Number,
    pub(crate) messages_sent: Number,
    /// Publications that slow clients did not get, by namespace and policy.
    dropped: Box<[[Number; SLOW_POLICIES.len()]]>,
}

/// The policies for slow clients, as labels, in the order in which they are counted.
const SLOW_POLICIES: [&str; 4] = ["disconnect", "drop_oldest", "drop_newest", "keep_latest"];

impl ShardMetrics {
    fn new(namespaces: usize) -> Self {
        Self { dropped: (0..namespaces).map(|_| Default::default()).collect(), ..Self::default() }
    }

    /// Takes over what a shard has counted of dropped publications.
    pub(crate) fn set_dropped(&self, counts: &[[u64; SLOW_POLICIES.len()]]) {
        for (numbers, counts) in self.dropped.iter().zip(counts) {
            numbers.iter().zip(counts).for_each(|(number, count)| number.set(*count));
        }
    }
}

/// How a recovery ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Recovery {
    /// The client got all that it had missed.
    Complete,
    /// The client was told that it cannot.
    Failed,
    /// The client got the latest publication without asking.
    Cached,
}

impl Recovery {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Complete, "recovered"), (Self::Failed, "unrecoverable"), (Self::Cached, "cached")];
}

/// How a handshake ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Handshake {
    Accepted,
    BadRequest,
    Origin,
    Unauthorized,
    Disabled,
    Full,
    AddressFull,
    AddressRate,
    AddressFailures,
    /// Too many upgrades in this second, in all.
    Rate,
    /// There is too little memory.
    Memory,
    /// For a host that is none of the server's.
    Host,
    /// It says in a way that does not count, or not at all, whom it comes from.
    Proxy,
}

impl Handshake {
    const ALL: [(Self, &'static str); 13] = [
        (Self::Accepted, "accepted"),
        (Self::BadRequest, "bad_request"),
        (Self::Origin, "forbidden_origin"),
        (Self::Unauthorized, "unauthorized"),
        (Self::Disabled, "disabled"),
        (Self::Full, "full"),
        (Self::AddressFull, "address_full"),
        (Self::AddressRate, "address_rate"),
        (Self::AddressFailures, "address_failures"),
        (Self::Rate, "rate"),
        (Self::Memory, "memory"),
        (Self::Host, "forbidden_host"),
        (Self::Proxy, "bad_proxy_header"),
    ];
}

/// A kind of connection, as a label.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Transport {
    Json,
    Protobuf,
    Relay,
    Echo,
}

impl Transport {
    const ALL: [(Self, &'static str); 4] =
        [(Self::Json, "json"), (Self::Protobuf, "protobuf"), (Self::Relay, "relay"), (Self::Echo, "echo")];
}

/// All of a server's numbers.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) shards: Box<[ShardMetrics]>,
    connections: [Number; Transport::ALL.len()],
    handshakes: [Number; Handshake::ALL.len()],
    pub(crate) accept_errors: Number,
    /// Remote addresses that are remembered, and that were forgotten to make room.
    pub(crate) addresses: [Number; 2],
    pub(crate) publications: Number,
    pub(crate) publications_refused: Number,
    pub(crate) publishers_paced: Number,
    /// Repeats of idempotency keys, and stale versions.
    pub(crate) publications_suppressed: Number,
    /// Joins and leaves that nobody was told of.
    pub(crate) announcements_dropped: Number,
    /// Positioned subscriptions that lost a publication.
    pub(crate) positions_lost: Number,
    recoveries: [Number; Recovery::ALL.len()],
    pub(crate) revocations: RevocationCounts,
    pub(crate) api: ApiCounts,
    pub(crate) tls: Arc<tls::Counts>,
    pub(crate) panics: Number,
    pub(crate) shards_alive: Number,
}

impl Metrics {
    pub(crate) fn new(shards: usize, namespaces: usize) -> Self {
        Self {
            shards: (0..shards).map(|_| ShardMetrics::new(namespaces)).collect(),
            connections: Default::default(),
            handshakes: Default::default(),
            accept_errors: Number::default(),
            addresses: Default::default(),
            publications: Number::default(),
            publications_refused: Number::default(),
            publishers_paced: Number::default(),
            publications_suppressed: Number::default(),
            announcements_dropped: Number::default(),
            positions_lost: Number::default(),
            recoveries: Default::default(),
            revocations: RevocationCounts::default(),
            api: ApiCounts::default(),
            tls: Arc::default(),
            panics: Number::default(),
            shards_alive: Number::default(),
        }
    }

    pub(crate) fn handshake(&self, result: Handshake) {
        self.handshakes[result as usize].add(1);
    }

    pub(crate) fn recovered(&self, outcome: Recovery) {
        self.recoveries[outcome as usize].add(1);
    }

    pub(crate) const fn connections(&self, transport: Transport) -> &Number {
        &self.connections[transport as usize]
    }

    pub(crate) fn open_connections(&self) -> usize {
        let open = self.connections.iter().map(Number::get).sum::<u64>();
        usize::try_from(open).unwrap_or(usize::MAX)
    }

    fn sum(&self, number: impl Fn(&ShardMetrics) -> &Number) -> u64 {
        self.shards.iter().map(|shard| number(shard).get()).sum()
    }
}

/// Writes the exposition text of a node's numbers.
pub(crate) fn render(node: &Node) -> String {
    let metrics = &node.metrics;
    let mut page = Page(String::with_capacity(4_096));
    let labels = &[("version", env!("CARGO_PKG_VERSION"))];
    page.family("throng_build_info", "gauge", "The running version of throng, as a label; the value is 1.");
    page.sample("throng_build_info", labels, 1);
    page.family("throng_connections", "gauge", "WebSocket connections that are open.");
    for (transport, label) in Transport::ALL {
        page.sample("throng_connections", &[("transport", label)], metrics.connections(transport).get());
    }
    page.family(
        "throng_handshakes_total",
        "counter",
        "Upgrade requests, and connections refused before any, by how they ended.",
    );
    for (result, label) in Handshake::ALL {
        page.sample(
            "throng_handshakes_total",
            &[("result", label)],
            metrics.handshakes[result as usize].get(),
        );
    }
    traffic(&mut page, metrics);
    losses(&mut page, node);
    streams(&mut page, node);
    state(&mut page, node);
    node.tokens.render(&mut page);
    node.rules.counts.render(&mut page);
    door(&mut page, node);
    metrics.revocations.render(&mut page, node.engine_sizes().revocations);
    node.limits.render(&mut page);
    metrics.tls.render(&mut page);
    if node.settings.http_api_enabled() {
        metrics.api.render(&mut page);
    }
    page.0
}

fn traffic(page: &mut Page, metrics: &Metrics) {
    let received = metrics.sum(|shard| &shard.messages_received);
    let sent = metrics.sum(|shard| &shard.messages_sent) + metrics.sum(|shard| &shard.deliveries);
    let refused = metrics.publications_refused.get();
    for (name, help, value) in [
        ("throng_messages_received_total", "WebSocket messages from clients.", received),
        ("throng_messages_sent_total", "WebSocket messages for clients, put into their outboxes.", sent),
        (
            "throng_received_bytes_total",
            "Bytes read from WebSocket connections.",
            metrics.sum(|shard| &shard.bytes_received),
        ),
        (
            "throng_sent_bytes_total",
            "Bytes written to WebSocket connections.",
            metrics.sum(|shard| &shard.bytes_sent),
        ),
        (
            "throng_socket_writes_total",
            "Calls that wrote to a WebSocket connection.",
            metrics.sum(|shard| &shard.writes),
        ),
        ("throng_publications_total", "Publications that were accepted.", metrics.publications.get()),
        (
            "throng_publications_refused_total",
            "Publications refused because a shard had no room in time.",
            refused,
        ),
        (
            "throng_publishers_paced_total",
            "Publications that had to wait for room.",
            metrics.publishers_paced.get(),
        ),
        (
            "throng_deliveries_total",
            "Publications put into a subscriber's outbox.",
            metrics.sum(|shard| &shard.deliveries),
        ),
        (
            "throng_slow_disconnects_total",
            "Clients disconnected because too much waited for them.",
            metrics.sum(|shard| &shard.slow),
        ),
        ("throng_panics_total", "Connections ended by a panic.", metrics.panics.get()),
        ("throng_accept_errors_total", "Failures to accept a connection.", metrics.accept_errors.get()),
    ] {
        page.single(name, "counter", help, value);
    }
}

fn losses(page: &mut Page, node: &Node) {
    let metrics = &node.metrics;
    page.family(
        "throng_publications_dropped_total",
        "counter",
        "Publications that slow clients did not get, by the policy of their namespace.",
    );
    for (index, namespace) in node.namespaces.all().iter().enumerate() {
        let policy = namespace.rules.slow as usize;
        let count = metrics.shards.iter().filter_map(|shard| shard.dropped.get(index)?.get(policy));
        let labels = [("namespace", namespace.name.as_str()), ("policy", SLOW_POLICIES[policy])];
        page.sample("throng_publications_dropped_total", &labels, count.map(Number::get).sum::<u64>());
    }
    page.family("throng_recoveries_total", "counter", "Recoveries, by how they ended.");
    for (outcome, label) in Recovery::ALL {
        let count = metrics.recoveries[outcome as usize].get();
        page.sample("throng_recoveries_total", &[("result", label)], count);
    }
    for (name, help, value) in [
        (
            "throng_positions_lost_total",
            "Positioned subscriptions that lost a publication and were told so.",
            metrics.positions_lost.get(),
        ),
        (
            "throng_announcements_dropped_total",
            "Joins and leaves that nobody was told of, because a shard had no room in time.",
            metrics.announcements_dropped.get(),
        ),
        (
            "throng_publications_suppressed_total",
            "Publications that repeated an idempotency key or had a stale version.",
            metrics.publications_suppressed.get(),
        ),
    ] {
        page.single(name, "counter", help, value);
    }
}

fn streams(page: &mut Page, node: &Node) {
    let sizes = node.engine_sizes();
    for (name, help, value) in [
        ("throng_engine_channels", "Channels that the engine knows.", sizes.channels),
        ("throng_streams", "Channels that have a stream.", sizes.streams),
        ("throng_history_publications", "Publications that are kept.", sizes.publications),
        ("throng_history_bytes", "Bytes that kept publications take, overhead included.", sizes.bytes),
        (
            "throng_presence_entries",
            "Clients listed in presence, once for each channel.",
            sizes.presence_members,
        ),
        ("throng_idempotency_keys", "Results kept for idempotency keys.", sizes.idempotency_keys),
    ] {
        page.single(name, "gauge", help, value as u64);
    }
    for (name, help, value) in [
        (
            "throng_history_evicted_publications_total",
            "Publications dropped from history before their time, for want of memory.",
            sizes.evicted_publications,
        ),
        (
            "throng_history_evicted_streams_total",
            "Streams dropped with their epoch before their time, because there were too many.",
            sizes.evicted_streams,
        ),
        (
            "throng_history_expired_publications_total",
            "Publications dropped from history because their time was over.",
            sizes.expired_publications,
        ),
        (
            "throng_history_expired_streams_total",
            "Streams dropped with their epoch because they had not been used for long.",
            sizes.expired_streams,
        ),
        (
            "throng_idempotency_keys_evicted_total",
            "Idempotency keys dropped before their time, because there were too many.",
            sizes.evicted_idempotency_keys,
        ),
    ] {
        page.single(name, "counter", help, value);
    }
}

fn state(page: &mut Page, node: &Node) {
    let metrics = &node.metrics;
    let (created, removed) = node.directory().channels_created_and_removed();
    page.single(
        "throng_channels_created_total",
        "counter",
        "Channels that got their first subscriber.",
        created,
    );
    page.single(
        "throng_channels_removed_total",
        "counter",
        "Channels that lost their last subscriber.",
        removed,
    );
    let queued: usize = node.fanout().shards().map(|shard| node.fanout().queue(shard).depth()).sum();
    for (name, help, value) in [
        ("throng_clients", "Clients known to the node.", node.directory().client_count() as u64),
        ("throng_users", "Users with at least one client.", node.directory().user_count() as u64),
        ("throng_channels", "Channels with subscribers.", node.directory().channel_count() as u64),
        ("throng_subscriptions", "Subscriptions of all clients.", metrics.sum(|shard| &shard.subscriptions)),
        ("throng_shards_alive", "Shards whose thread runs.", metrics.shards_alive.get()),
        (
            "throng_outbox_bytes",
            "Bytes that wait for clients that do not read.",
            metrics.sum(|shard| &shard.backlog_bytes),
        ),
        ("throng_shard_queue_publications", "Publications on their way to the shards.", queued as u64),
    ] {
        page.single(name, "gauge", help, value);
    }
    page.family("throng_shard_clients", "gauge", "Connections of each shard.");
    for (number, shard) in metrics.shards.iter().enumerate() {
        page.sample("throng_shard_clients", &[("shard", &number.to_string())], shard.clients.get());
    }
}

fn door(page: &mut Page, node: &Node) {
    let (memory, [known, forgotten]) = (&node.memory, &node.metrics.addresses);
    for (name, help, value) in [
        ("throng_memory_resident_bytes", "Memory that the process holds.", memory.resident()),
        ("throng_memory_soft_limit_bytes", "Memory above which it is short; 0 if never.", memory.limit()),
        (
            "throng_memory_short",
            "Whether new connections are refused and history shrinks, for want of memory.",
            memory.is_short().into(),
        ),
        ("throng_addresses", "Remote addresses that are remembered.", known.get()),
    ] {
        page.single(name, "gauge", help, value);
    }
    for (name, help, value) in [
        (
            "throng_memory_shed_bytes_total",
            "Bytes of history dropped because the process held too much memory.",
            memory.shed(),
        ),
        (
            "throng_addresses_forgotten_total",
            "Remote addresses forgotten before their time, because there were too many.",
            forgotten.get(),
        ),
    ] {
        page.single(name, "counter", help, value);
    }
}

/// The exposition text as it grows.
pub(crate) struct Page(String);

impl Page {
    pub(crate) fn family(&mut self, name: &str, kind: &str, help: &str) {
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("a string takes everything");
    }

    pub(crate) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<_> = labels.iter().map(|(label, text)| format!("{label}=\"{text}\"")).collect();
        writeln!(self.0, "{name}{{{}}} {value}", labels.join(",")).expect("a string takes everything");
    }

    pub(crate) fn single(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.family(name, kind, help);
        writeln!(self.0, "{name} {value}").expect("a string takes everything");
    }
}
