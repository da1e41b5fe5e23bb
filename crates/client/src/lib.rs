//! A client of the Centrifuge protocol and of plain WebSocket relays that reconnects by itself; a library and a
//! command line.
//!
//! - [`Client`] speaks the protocol, to throng or to any other server that does: [`subscribe`](Client::subscribe) gives
//!   a stream of what happens in a channel, [`publish`](Client::publish) returns when the server has acknowledged it.
//!   It recovers what was missed ([`SubscribeOptions`]), reads the past ([`history`](Client::history)), asks who is there
//!   ([`presence`](Client::presence)), calls the application ([`rpc`](Client::rpc)), and follows what the server
//!   subscribes it to ([`ServerEvents`]).
//! - [`Pool`] keeps several connections to one or several servers: for one holder at a time, or shared by channels that are
//!   spread over them.
//! - [`RelayClient`] sends and receives bare text and binary messages, for `/relay/{room}` of throng and for any other
//!   WebSocket server.
//!
//! ```
//! use futures_util::StreamExt as _;
//! use throng_client::{Client, Event};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (listener, url) = example_server::bind().await?;
//! # let example = async move {
//! let client = Client::builder(url).connect().await?;
//! let mut news = client.subscribe("news").await?;
//! client.publish("news", r#"{"text":"hello"}"#).await?;
//! match news.next().await {
//!     Some(Event::Publication(publication)) => {
//!         assert_eq!(publication.data.as_bytes(), r#"{"text":"hello"}"#);
//!     }
//!     other => panic!("unexpected: {other:?}"),
//! }
//! client.close().await;
//! # Ok(())
//! # };
//! # let (example, ()) = tokio::join!(example, example_server::serve(listener));
//! # example
//! # }
//! # /// Just enough of a server: welcomes, confirms, and sends back what is published.
//! # mod example_server {
//! #     use futures_util::{SinkExt as _, StreamExt as _};
//! #     use throng_protocol::*;
//! #     use tokio::net::TcpListener;
//! #     use tokio_tungstenite::tungstenite;
//! #     pub async fn bind() -> std::io::Result<(TcpListener, String)> {
//! #         let listener = TcpListener::bind("127.0.0.1:0").await?;
//! #         let url = format!("ws://{}", listener.local_addr()?);
//! #         Ok((listener, url))
//! #     }
//! #     pub async fn serve(listener: TcpListener) {
//! #         let (stream, _) = listener.accept().await.unwrap();
//! #         let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
//! #         while let Some(Ok(tungstenite::Message::Text(text))) = socket.next().await {
//! #             let mut out = bytes::BytesMut::new();
//! #             for command in Format::Json.decode_commands(text.into(), &Limits::default()) {
//! #                 let Ok(Command::Request { id, request }) = command else { continue };
//! #                 let outcome = match request {
//! #                     Request::Connect(_) => {
//! #                         Outcome::Connect(ConnectResult { client: "c1".to_owned(), ..Default::default() })
//! #                     }
//! #                     Request::Subscribe(_) => Outcome::Subscribe(SubscribeResult::default()),
//! #                     Request::Publish(publish) => {
//! #                         let event = PushEvent::Publication(Publication { data: publish.data, ..Default::default() });
//! #                         let push = Push { channel: publish.channel, event };
//! #                         Format::Json.encode_reply(&Reply::Push(push), &mut out);
//! #                         Outcome::Publish(PublishResult::default())
//! #                     }
//! #                     _ => continue,
//! #                 };
//! #                 Format::Json.encode_reply(&Reply::Answer { id, outcome: Ok(outcome) }, &mut out);
//! #             }
//! #             let text = tungstenite::Utf8Bytes::try_from(out.freeze()).unwrap();
//! #             socket.send(tungstenite::Message::Text(text)).await.unwrap();
//! #         }
//! #     }
//! # }
//! ```
//!
//! # What holds for both
//!
//! **They come back.** A lost connection is tried again after a wait with full jitter ([`Backoff`]), until the server
//! says that it is no use: [`Disconnect`] lists what ends a connection, and [`Disconnect::reconnects`] says what ends
//! the client with it. After a reconnect all subscriptions are renewed, and the stream says that there was a gap in time
//! ([`Event::Subscribing`], [`RelayEvent::Disconnected`]).
//!
//! **Nothing is repeated or lost in silence.** A recoverable subscription gets what was published during a gap in time,
//! each publication once and in order, or [`Event::Gap`] where the server no longer has it; on any other subscription,
//! and on the relay, it is lost. A request that was under way when the connection broke ends with
//! [`RequestError::Unknown`]; it may or may not have been carried out, and the client does not send it again.
//!
//! **Every queue has a bound and a policy.** Requests wait for their turn, fail, or push out the oldest
//! ([`SendQueue`]). A stream that is read too slowly drops its
//! oldest events and says how many ([`QueueBounds`]); it holds up neither the connection nor other streams.
//!
//! **Every wait has a deadline**, except the wait for a subscription to be granted, which its caller bounds.
//!
//! **One task per client** owns the socket and ends with its handle. It decides nothing: what to send, when to try
//! again and what to tell whom comes from state machines that know neither sockets nor clocks. Commands that are asked
//! for together leave in one frame, without added delay.
//!
//! # Features
//!
//! `cli` (default) builds the command line `throng-client`. Turn the default features off to depend on the library
//! alone.

mod backoff;
mod client;
mod dial;
mod driver;
mod endpoint;
mod error;
mod json;
mod mailbox;
mod options;
mod pool;
mod proxy;
mod relay;
mod send_queue;
mod server_events;
mod socket;
mod state;
mod subscribe_options;
mod subscription;
mod task;
#[cfg(test)]
mod tests;
mod tls;
mod token;

pub use throng_protocol::{
    ClientInfo, ErrorReply, FilterError, FilterNode, Format, Payload, Publication, StreamPosition,
};

pub use self::{
    backoff::Backoff,
    client::{Client, ClientBuilder, History, HistoryQuery, PresenceStats, State, StateWatch},
    endpoint::{Endpoint, EndpointError},
    error::{BuildError, ConnectError, Disconnect, RequestError, SubscribeError},
    json::{DecodeJsonError, JsonEvent, JsonSubscription},
    mailbox::{QueueBounds, SlowReader},
    pool::{
        ClosedCounts, Pool, PoolBuilder, PoolError, PoolStats, PoolSubscription, PooledClient, SharedClient,
    },
    proxy::Proxy,
    relay::{CloseError, RelayBuilder, RelayClient, RelayEvent, RelayMessage, RelaySender, SendError},
    send_queue::{SendQueue, WhenFull},
    server_events::{ServerEvent, ServerEvents},
    subscribe_options::SubscribeOptions,
    subscription::{Event, Subscription, UnsubscribeReason},
    tls::{system_tls_config, tls_config_trusting},
    token::{Token, TokenError, TokenGetter},
};
