use std::io;
use std::iter;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use throng_engine::StoreError;
use throng_protocol::Payload;
use throng_registry::ShardId;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, LocalOptions};
use tokio::sync::oneshot;
use tokio::task::unconstrained;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::{Tokens, tools::TokensError};
use crate::config::{Faults, FileLimit, Settings};
use crate::handlers::{
    ConnectEvent, ConnectReply, Handler, HandlerError, HandlerSet, Handlers, MessageEvent, PublishEvent,
    PublishReply, RefreshEvent, RefreshReply, RpcEvent, SubRefreshEvent, SubscribeEvent, SubscribeReply,
};
use crate::http::{Api, Serves};
use crate::listener::{self, Admission, Listening};
use crate::memory;
use crate::node::Node;
use crate::shard::{self, ShardCommand};
use crate::tls::{self, Keeper};

/// Where a server begins; see [`Server::builder`].
#[derive(Debug)]
pub struct Server;

impl Server {
    /// A server with the default settings, to be changed and started.
    #[must_use]
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }
}

/// What a server is to be like.
#[derive(Clone, Debug, Default)]
pub struct ServerBuilder {
    settings: Settings,
    handlers: HandlerSet,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address is not free, not allowed, or not this machine's.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address of the settings.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// A shard's thread or its runtime could not be made.
    #[error("cannot start shard {shard}")]
    Shard {
        /// The shard's number.
        shard: usize,
        /// What the operating system says.
        source: io::Error,
    },
    /// Tokens cannot be checked as the settings ask for.
    #[error("cannot check tokens")]
    Tokens(#[from] TokensError),
    /// The settings are out of range or contradict each other.
    #[error("the settings cannot be used")]
    Settings(#[from] Faults),
    /// What is kept in `engine.memory.data_dir` cannot be used.
    #[error("cannot take over what is kept in engine.memory.data_dir")]
    Data(#[from] StoreError),
}

impl ServerBuilder {
    /// Replaces the settings.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Sets who decides who may connect, and as whom; tokens are then the handler's affair.
    ///
    /// A handler delays only its own connection, has `client.handler_timeout` to answer (then the client gets error 100), and
    /// runs on the runtime that called [`start`](Self::start), with at most `client.handler_limit` others.
    #[must_use]
    pub fn on_connect<F, A>(mut self, handler: F) -> Self
    where
        F: Fn(ConnectEvent) -> A + Send + Sync + 'static,
        A: Future<Output = Result<ConnectReply, HandlerError>> + Send + 'static,
    {
        self.handlers.connect = Some(Handler::new(handler));
        self
    }

    /// Sets who decides which client may subscribe to which channel, instead of the namespace's permissions.
    #[must_use]
    pub fn on_subscribe<F, A>(mut self, handler: F) -> Self
    where
        F: Fn(SubscribeEvent) -> A + Send + Sync + 'static,
        A: Future<Output = Result<SubscribeReply, HandlerError>> + Send + 'static,
    {
        self.handlers.subscribe = Some(Handler::new(handler));
        self
    }

    /// Sets who decides which client may publish what, instead of the namespace's permissions.
    #[must_use]
    pub fn on_publish<F, A>(mut self, handler: F) -> Self
    where
        F: Fn(PublishEvent) -> A + Send + Sync + 'static,
        A: Future<Output = Result<PublishReply, HandlerError>> + Send + 'static,
    {
        self.handlers.publish = Some(Handler::new(handler));
        self
    }

    /// Sets who answers calls of this method. Calls of methods that nobody answers fail with error 104.
    #[must_use]
    pub fn on_rpc<F, A>(mut self, method: impl Into<String>, handler: F) -> Self
    where
        F: Fn(RpcEvent) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Payload, HandlerError>> + Send + 'static,
    {
        self.handlers.rpc.insert(method.into(), Handler::new(handler));
        self
    }

    /// Sets who takes messages that get no answer. Without it, a client that sends one is disconnected (3508).
    #[must_use]
    pub fn on_message<F, A>(mut self, handler: F) -> Self
    where
        F: Fn(MessageEvent) -> A + Send + Sync + 'static,
        A: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        self.handlers.message = Some(Handler::new(handler));
        self
    }

    /// Sets who decides whether a connection lasts longer. Without it, tokens decide where keys for them are configured and no
    /// connect handler is set; elsewhere connections cannot be prolonged.
    #[must_use]
    pub fn on_refresh<F, A>(mut self, handler: F) -> Self
    where
        F: Fn(RefreshEvent) -> A + Send + Sync + 'static,
        A: Future<Output = Result<RefreshReply, HandlerError>> + Send + 'static,
    {
        self.handlers.refresh = Some(Handler::new(handler));
        self
    }

    /// Sets who decides whether a subscription lasts longer. Without it, tokens decide where keys for them are configured and no
    /// subscribe handler is set; elsewhere subscriptions cannot be prolonged.
    #[must_use]
    pub fn on_sub_refresh<F, A>(mut self, handler: F) -> Self
    where
        F: Fn(SubRefreshEvent) -> A + Send + Sync + 'static,
        A: Future<Output = Result<RefreshReply, HandlerError>> + Send + 'static,
    {
        self.handlers.sub_refresh = Some(Handler::new(handler));
        self
    }

    /// Binds the address, starts the shards' threads, and accepts connections on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// [`StartError`] if the settings contradict themselves, the address cannot be bound or a shard cannot be started.
    /// Nothing is left running then.
    pub async fn start(self) -> Result<Running, StartError> {
        let settings = self.settings;
        match &self.handlers.connect {
            Some(_) => settings.check_with_connect_handler()?,
            None => settings.check()?,
        }
        let address = settings.listen_address();
        let tokens = Tokens::new(&settings, Handle::current())?;
        let listener = listen(address)?;
        let address = bound(&listener, address)?;
        let internal = settings.internal_listen_address().map(listen).transpose()?;
        let internal_address =
            internal.as_ref().map(|listener| bound(listener, settings.listen_address())).transpose()?;
        // Each shard's runtime has descriptors of its own.
        let possible = FileLimit::raise().connections().saturating_sub(4 * settings.shards.count).max(1);
        // Those who run the server find room also when it is full.
        let reserved = if internal.is_some() { (possible / 8).clamp(1, INTERNAL_CONNECTIONS) } else { 0 };
        let possible = possible.saturating_sub(reserved).max(1);
        let limit = settings.client.connection_limit.map_or(possible, |wanted| wanted.min(possible));
        let admission = Arc::new(Admission::new(&settings, limit));
        let client = &settings.client;
        let runtime = Some(Handle::current());
        let handlers = Handlers::new(self.handlers, client.handler_limit, client.handler_timeout, runtime);
        let node = Arc::new(Node::new(settings, handlers, tokens)?);
        let tls = Keeper::open(&node.settings.http_server.tls, Arc::clone(&node.metrics.tls))?.map(Arc::new);
        let shards = start_shards(&node)?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let api = Arc::new(Api::new(Arc::clone(&node), address));
        let serves = if internal.is_some() { Serves::Public } else { Serves::Everything };
        let public = Listening { listener, admission: Arc::clone(&admission), serves, tls: tls.clone() };
        let internal = internal.map(|listener| Listening {
            listener,
            admission: Arc::new(Admission::internal(reserved)),
            serves: Serves::Internals,
            tls: tls.clone(),
        });
        for listening in iter::once(public).chain(internal) {
            let (node, api) = (Arc::clone(&node), Arc::clone(&api));
            tasks.spawn(listener::run(listening, node, api, stop.clone(), tasks.clone()));
        }
        if let Some(keeper) = &tls {
            tasks.spawn(stop.clone().run_until_cancelled_owned(tls::watch(Arc::clone(keeper))));
        }
        tasks.spawn(stop.clone().run_until_cancelled_owned(sweep(Arc::clone(&node), Arc::clone(&admission))));
        tasks.spawn(stop.clone().run_until_cancelled_owned(memory::watch(Arc::clone(&node))));
        tasks.close();
        Ok(Running { address, internal_address, node, admission, tls, shards, stop, tasks })
    }
}

/// Connections to the internal address that may be open at once, where the limit of open files allows as many.
const INTERNAL_CONNECTIONS: usize = 1_024;

/// Has the engine let go of what has expired, and counts what is remembered.
async fn sweep(node: Arc<Node>, admission: Arc<Admission>) {
    const PAUSE: Duration = Duration::from_secs(1);

    loop {
        tokio::time::sleep(PAUSE).await;
        node.sweep();
        let (known, forgotten) = admission.addresses();
        node.metrics.addresses[0].set(known);
        node.metrics.addresses[1].set(forgotten);
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    bind(address).map_err(|source| StartError::Listen { address, source })
}

/// The address of a listener, with its real port.
fn bound(listener: &TcpListener, address: SocketAddr) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|source| StartError::Listen { address, source })
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    /// Connections that may wait to be accepted; the system may allow fewer.
    const BACKLOG: i32 = 4_096;

    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a server that just stopped do not keep its successor from the port.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// A shard's thread; it says at its end how many clients were left.
#[derive(Debug)]
struct ShardThread {
    id: ShardId,
    ended: oneshot::Receiver<usize>,
}

fn start_shards(node: &Arc<Node>) -> Result<Vec<ShardThread>, StartError> {
    let started: Result<Vec<_>, _> = node.fanout().shards().map(|id| start_shard(id, node)).collect();
    if started.is_err() {
        node.fanout().shards().for_each(|id| node.fanout().queue(id).control(ShardCommand::Cut));
    }
    started
}

fn start_shard(id: ShardId, node: &Arc<Node>) -> Result<ShardThread, StartError> {
    let error = |source| StartError::Shard { shard: id.index(), source };
    let (sender, ended) = oneshot::channel();
    let (ready, is_ready) = std::sync::mpsc::sync_channel(1);
    let node = Arc::clone(node);
    let body = move || {
        let runtime = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => runtime,
            Err(error) => return drop(ready.send(Err(error))),
        };
        let _alive = Alive::new(&node);
        // Whoever waits for either message may have given up; the shard runs, and ends, all the same.
        let _ = ready.send(Ok(()));
        let left = runtime.block_on(unconstrained(shard::run(id, Arc::clone(&node))));
        // Only then are all of the shard's sockets closed.
        drop(runtime);
        let _ = sender.send(left);
    };
    thread::Builder::new().name(format!("shard-{}", id.index())).spawn(body).map_err(error)?;
    match is_ready.recv() {
        Ok(outcome) => outcome.map_err(error)?,
        Err(_) => return Err(error(io::Error::other("its thread ended at once"))),
    }
    Ok(ShardThread { id, ended })
}

/// Counts a shard as alive while its thread runs, however that ends.
struct Alive<'n>(&'n Node);

impl<'n> Alive<'n> {
    fn new(node: &'n Node) -> Self {
        node.metrics.shards_alive.add(1);
        Self(node)
    }
}

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        self.0.metrics.shards_alive.subtract(1);
    }
}

/// A server that runs. Dropping it cuts all connections; [`shutdown`](Self::shutdown) closes them.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    internal_address: Option<SocketAddr>,
    node: Arc<Node>,
    admission: Arc<Admission>,
    tls: Option<Arc<Keeper>>,
    shards: Vec<ShardThread>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// A shard ended by itself, which only a defect can make it do. Its clients were cut; the server should be stopped.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("shard {shard} has ended by itself")]
pub struct ShardFailure {
    /// The shard's number.
    pub shard: usize,
}

/// How a shutdown went.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Clients that were connected when it began, answered their close frame and left.
    pub closed: usize,
    /// Clients that did not answer in `shutdown.close_timeout`, or were still there at the end, and were cut.
    pub cut: usize,
}

impl Running {
    /// Address and port that the server listens on; the port is the real one, also where the settings say 0.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Address and port of the API, health and metrics, with the real port; `None` if they are served at
    /// [`local_addr`](Self::local_addr).
    #[must_use]
    pub const fn internal_addr(&self) -> Option<SocketAddr> {
        self.internal_address
    }

    /// The URL of a path for WebSockets, such as `/relay/lobby`: `wss://` with TLS, else `ws://`. An unspecified address is named
    /// as the loopback address.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        let scheme = if self.tls.is_some() { "wss" } else { "ws" };
        format!("{scheme}://{address}{path}")
    }

    /// Reads the TLS certificates again if their files have changed, as the server does by itself every
    /// `http_server.tls.reload_interval`, and uses them from the next connection on. Returns whether there is something new;
    /// false without TLS. Not cancel safe: what was begun is done all the same.
    ///
    /// # Errors
    ///
    /// What is wrong with the new files. The old ones stay in use.
    ///
    /// # Panics
    ///
    /// If reading panicked, which only a defect makes it do.
    pub async fn renew_certificates(&self) -> Result<bool, Faults> {
        let Some(keeper) = self.tls.clone() else { return Ok(false) };
        tokio::task::spawn_blocking(move || keeper.renew()).await.expect("reading files does not panic")
    }

    /// Whether the port speaks TLS.
    #[must_use]
    pub const fn speaks_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// How many connections may be open at once.
    #[must_use]
    pub fn connection_limit(&self) -> usize {
        self.admission.limit()
    }

    /// How many WebSocket connections are open now.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.node.metrics.open_connections()
    }

    /// How many channels, relay rooms included, have subscribers now.
    #[must_use]
    pub fn channel_count(&self) -> usize {
        self.node.directory().channel_count()
    }

    /// Waits until a shard ends by itself; for ever if all is well. Cancel safe.
    pub async fn failure(&mut self) -> ShardFailure {
        std::future::poll_fn(|cx| {
            let dead = |shard: &mut ShardThread| Pin::new(&mut shard.ended).poll(cx).is_ready();
            match self.shards.iter_mut().position(dead) {
                // Nothing is left of it that a shutdown would have to wait for.
                Some(dead) => Poll::Ready(ShardFailure { shard: self.shards.remove(dead).id.index() }),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Stops in order: accepts nothing any more, closes every client with 3001 (the relay: 1001), waits for them as long as
    /// `shutdown.timeout` allows, and cuts who is left.
    ///
    /// Not cancel safe: a shutdown that is dropped half-way cuts what is left.
    pub async fn shutdown(mut self) -> ShutdownReport {
        let before = self.connection_count();
        self.stop.cancel();
        self.command(|| ShardCommand::Stop);
        let mut cut = 0;
        let deadline = tokio::time::Instant::now() + self.node.settings.shutdown.timeout;
        // A shard leaves the list when it has ended, so that a shutdown that is dropped still cuts the others.
        while let Some(ShardThread { id, ended }) = self.shards.last_mut() {
            let left = match tokio::time::timeout_at(deadline, &mut *ended).await {
                Ok(left) => left,
                Err(_) => {
                    self.node.fanout().queue(*id).control(ShardCommand::Cut);
                    ended.await
                }
            };
            // A shard that did not say how it ended died of a panic and took its clients along.
            let died_with = || self.node.metrics.shards[id.index()].clients.get();
            cut += left.unwrap_or_else(|_| usize::try_from(died_with()).unwrap_or(usize::MAX));
            self.shards.pop();
        }
        self.tasks.wait().await;
        self.node.close();
        ShutdownReport { closed: before.saturating_sub(cut), cut }
    }

    fn command(&self, command: impl Fn() -> ShardCommand) {
        self.shards.iter().for_each(|shard| self.node.fanout().queue(shard.id).control(command()));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        self.command(|| ShardCommand::Cut);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_shard_that_dies_is_reported_and_fails_the_health_check() {
        let mut settings = Settings::default();
        settings.http_server.port = 0;
        settings.shards.count = 2;
        let mut running = Server::builder().settings(settings).start().await.unwrap();
        assert!(running.node.is_healthy());
        let silent = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| ()));
        running.node.fanout().queue(running.shards[1].id).control(ShardCommand::Fail);
        assert_eq!(running.failure().await, ShardFailure { shard: 1 });
        std::panic::set_hook(silent);
        assert!(!running.node.is_healthy());
        running.shutdown().await;
    }
}
