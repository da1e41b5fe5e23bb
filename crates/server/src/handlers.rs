//! The application's own say, for those who embed the server: async functions that are asked at fixed points.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use throng_protocol::{DisconnectCode, ErrorCode, ErrorReply, Payload};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

/// A client that wants to connect.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ConnectEvent {
    /// Id of the connection.
    pub client: String,
    /// What the client sent as its token; nobody has checked it. Empty for none.
    pub token: String,
    /// For the application, from the client. Empty for none.
    pub data: Payload,
    /// Name of the SDK, for example `js`.
    pub name: String,
    /// Version of the SDK or of the application.
    pub version: String,
}

/// How a client is let in.
#[derive(Clone, Debug, Default)]
pub struct ConnectReply {
    /// The user; empty for an anonymous client.
    pub user: String,
    /// JSON that other clients see with the user, in presence, join, leave and publications. Empty for none.
    pub info: Payload,
    /// JSON for the client. Empty for none.
    pub data: Payload,
    /// Channels to which the client is subscribed without asking.
    pub channels: Vec<String>,
    /// For the application itself, which gets it with what the client asks for later. Never sent to clients; empty for none.
    pub meta: Payload,
    /// When the connection is over unless it is prolonged, in Unix seconds; 0 for never. Without a refresh handler it then ends
    /// with 3005, upon which clients connect again.
    pub expire_at: i64,
}

/// A client that wants to subscribe, after the checks of names and before those of permissions, which do not apply any more.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SubscribeEvent {
    /// Id of the connection.
    pub client: String,
    /// The user; empty for an anonymous client.
    pub user: String,
    /// The channel.
    pub channel: String,
    /// What the client sent as its token; nobody has checked it.
    pub token: String,
    /// For the application, from the client.
    pub data: Payload,
    /// What the connection was granted for the application's own use. Empty for none.
    pub meta: Payload,
}

/// How a subscription is granted.
#[derive(Clone, Debug, Default)]
pub struct SubscribeReply {
    /// JSON that other clients see beside the connection's. Empty for none.
    pub info: Payload,
    /// JSON for the client. Empty for none.
    pub data: Payload,
    /// When the subscription is over unless it is prolonged, in Unix seconds; 0 for never.
    pub expire_at: i64,
}

/// A client that wants its connection to last longer.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RefreshEvent {
    /// Id of the connection.
    pub client: String,
    /// The user; empty for an anonymous client.
    pub user: String,
    /// What the client sent as its new token; nobody has checked it.
    pub token: String,
    /// What the connection was granted for the application's own use. Empty for none.
    pub meta: Payload,
}

/// A client that wants a subscription to last longer.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SubRefreshEvent {
    /// Id of the connection.
    pub client: String,
    /// The user; empty for an anonymous client.
    pub user: String,
    /// The channel.
    pub channel: String,
    /// What the client sent as its new token; nobody has checked it.
    pub token: String,
    /// What the connection was granted for the application's own use. Empty for none.
    pub meta: Payload,
}

/// How a connection or a subscription is prolonged.
#[derive(Clone, Debug, Default)]
pub struct RefreshReply {
    /// When it is over now, in Unix seconds; 0 for never.
    pub expire_at: i64,
    /// JSON that other clients see from now on. Empty for what they saw until now.
    pub info: Payload,
}

/// A client that wants to publish; permissions of the namespace do not apply any more.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PublishEvent {
    /// Id of the connection.
    pub client: String,
    /// The user; empty for an anonymous client.
    pub user: String,
    /// The channel.
    pub channel: String,
    /// What is to be published.
    pub data: Payload,
    /// What the connection was granted for the application's own use. Empty for none.
    pub meta: Payload,
}

/// How a publication is granted.
#[derive(Clone, Debug, Default)]
pub struct PublishReply {
    /// Published instead of what the client sent.
    pub data: Option<Payload>,
    /// Delivered, but not kept in the channel's history.
    pub skip_history: bool,
}

/// A call of a client, or of the server API (then without client).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RpcEvent {
    /// Id of the connection; empty for the server API.
    pub client: String,
    /// The user; empty for an anonymous client.
    pub user: String,
    /// What is called.
    pub method: String,
    /// The arguments.
    pub data: Payload,
    /// What the connection was granted for the application's own use. Empty for none.
    pub meta: Payload,
}

/// A message of a client that gets no answer.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct MessageEvent {
    /// Id of the connection.
    pub client: String,
    /// The user; empty for an anonymous client.
    pub user: String,
    /// The message.
    pub data: Payload,
    /// What the connection was granted for the application's own use. Empty for none.
    pub meta: Payload,
}

/// How a handler says no.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HandlerError {
    /// The command fails with this error; the protocol leaves the codes 400 to 1999 to applications.
    #[error("{0}")]
    Error(ErrorReply),
    /// The connection ends with this close code, 4000 to 4999, and reason (at most 123 bytes, not empty, no JSON).
    #[error("disconnect: {reason} ({code})")]
    Disconnect {
        /// The close code; clients reconnect below 4500.
        code: u16,
        /// The same for people.
        reason: String,
    },
}

impl HandlerError {
    /// The client is not allowed (error 103).
    #[must_use]
    pub fn permission_denied() -> Self {
        Self::Error(ErrorCode::PermissionDenied.into())
    }

    /// An error of the application's own; `code` from 400 to 1999.
    pub fn custom(code: u32, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Error(ErrorReply { code, message: message.into(), temporary: false })
    }
}

impl From<ErrorCode> for HandlerError {
    fn from(code: ErrorCode) -> Self {
        Self::Error(code.into())
    }
}

impl From<DisconnectCode> for HandlerError {
    fn from(code: DisconnectCode) -> Self {
        Self::Disconnect { code: code.code(), reason: code.reason().to_owned() }
    }
}

type Answer<T> = Pin<Box<dyn Future<Output = Result<T, HandlerError>> + Send>>;

/// An async function of the application's.
pub(crate) struct Handler<E, T>(Arc<dyn Fn(E) -> Answer<T> + Send + Sync>);

impl<E, T> Handler<E, T> {
    pub(crate) fn new<F, A>(function: F) -> Self
    where
        F: Fn(E) -> A + Send + Sync + 'static,
        A: Future<Output = Result<T, HandlerError>> + Send + 'static,
    {
        Self(Arc::new(move |event| Box::pin(function(event))))
    }
}

impl<E, T> Clone for Handler<E, T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E, T> fmt::Debug for Handler<E, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handler")
    }
}

/// The handlers that an application has set.
#[derive(Clone, Debug, Default)]
pub(crate) struct HandlerSet {
    pub(crate) connect: Option<Handler<ConnectEvent, ConnectReply>>,
    pub(crate) subscribe: Option<Handler<SubscribeEvent, SubscribeReply>>,
    pub(crate) publish: Option<Handler<PublishEvent, PublishReply>>,
    pub(crate) rpc: HashMap<String, Handler<RpcEvent, Payload>>,
    pub(crate) message: Option<Handler<MessageEvent, ()>>,
    pub(crate) refresh: Option<Handler<RefreshEvent, RefreshReply>>,
    pub(crate) sub_refresh: Option<Handler<SubRefreshEvent, RefreshReply>>,
}

/// The handlers of a running server, and what bounds them: each has a deadline, and so many may run at once.
#[derive(Debug)]
pub(crate) struct Handlers {
    pub(crate) set: HandlerSet,
    room: Semaphore,
    patience: Duration,
    /// Where handlers run: never on a shard, whose other clients would wait for them.
    runtime: Option<Handle>,
}

impl Handlers {
    pub(crate) fn new(set: HandlerSet, at_once: usize, patience: Duration, runtime: Option<Handle>) -> Self {
        Self { set, room: Semaphore::new(at_once.min(Semaphore::MAX_PERMITS)), patience, runtime }
    }

    /// Asks a handler. It has its answer ready in time, or the answer is error 100; waiting for its turn counts. When nobody waits
    /// for the answer any more, it is stopped.
    pub(crate) async fn ask<E, T: Send + 'static>(
        &self,
        handler: &Handler<E, T>,
        event: E,
    ) -> Result<T, HandlerError> {
        let asking = async {
            let _permit = self.room.acquire().await.map_err(|_| ErrorCode::Internal)?;
            let answer = (handler.0)(event);
            let runtime = self.runtime.as_ref().ok_or(ErrorCode::Internal)?;
            // A handler that panics is the application's defect; its runtime has reported it.
            AbortOnDropHandle::new(runtime.spawn(answer)).await.map_err(|_| ErrorCode::Internal)?
        };
        match tokio::time::timeout(self.patience, asking).await {
            Ok(outcome) => outcome,
            Err(_) => {
                tracing::warn!(patience = ?self.patience, "a handler did not answer in time");
                Err(ErrorCode::Internal.into())
            }
        }
    }
}
