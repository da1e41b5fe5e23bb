//! A client of the Centrifuge protocol and of plain WebSocket relays that reconnects by itself; a library and a
//! command line.

mod backoff;
mod client;
mod dial;
mod driver;
mod endpoint;
mod error;
mod mailbox;
mod options;
mod relay;
mod socket;
mod state;
mod subscription;
mod task;
#[cfg(test)]
mod tests;

pub use throng_protocol::{ClientInfo, ErrorReply, Format, Payload, Publication};

pub use self::{
    backoff::Backoff,
    client::{Client, ClientBuilder, State, StateWatch},
    endpoint::{Endpoint, EndpointError},
    error::{BuildError, ConnectError, Disconnect, RequestError, SubscribeError},
    mailbox::QueueBounds,
    relay::{RelayBuilder, RelayClient, RelayEvent, RelayMessage, RelaySender, SendError, Unsent},
    subscription::{Event, Subscription, UnsubscribeReason},
};
