//! The three ways a server may be spoken to: a plain relay, or the Centrifuge protocol in JSON or in Protobuf.

use serde::{Deserialize, Serialize};

use super::{frame, json, protobuf, stamp::Stamp};

/// How a connection is spoken: what is sent to join a room and to publish, and how a publication comes back.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Bare WebSocket messages; the room is in the path; a sender does not hear itself.
    #[default]
    Relay,
    /// Centrifuge protocol, newline-delimited JSON.
    Json,
    /// Centrifuge protocol, length-delimited Protobuf.
    Protobuf,
}

/// Names of one room on the wire, computed once.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    /// Channel name, and `{room}` in a path.
    pub(crate) name: String,
    /// How a JSON push of this room starts when the server writes its fields in the usual order.
    pub(crate) push_prefix: Vec<u8>,
}

/// One thing that a server's message says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Incoming {
    /// A stamped payload of the right size.
    Publication(Stamp),
    /// The answer to the command with this id.
    Answer { id: u32, refused: Option<Refusal>, wants_pong: bool },
    /// A ping of the protocol, not of WebSocket.
    Ping,
    /// Anything else that is well-formed, or a payload that is not this run's.
    Foreign,
}

/// An error answer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("error {code}: {message}")]
pub struct Refusal {
    /// Code of the protocol.
    pub code: u32,
    /// Text that came with it.
    pub message: String,
}

/// A message that the dialect cannot make sense of.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the server sent something that is no reply of the protocol")]
pub(crate) struct Undecodable;

/// Ids of the two commands that open a connection; publishing continues from there.
pub(crate) const CONNECT_ID: u32 = 1;
pub(crate) const SUBSCRIBE_ID: u32 = 2;
pub(crate) const FIRST_PUBLISH_ID: u32 = 3;

impl Room {
    pub(crate) fn new(name: String) -> Self {
        let push_prefix = format!("{{\"push\":{{\"channel\":\"{name}\",\"pub\":{{").into_bytes();
        Self { name, push_prefix }
    }
}

impl Protocol {
    /// Whether a publisher that is subscribed to its own room receives its own messages.
    pub(crate) const fn hears_itself(self) -> bool {
        match self {
            Self::Relay => false,
            Self::Json | Self::Protobuf => true,
        }
    }

    /// The WebSocket subprotocol that is asked for.
    pub(crate) const fn subprotocol(self) -> Option<&'static str> {
        match self {
            // The SDKs offer none for JSON, and a server need not answer one.
            Self::Relay | Self::Json => None,
            Self::Protobuf => Some("centrifuge-protobuf"),
        }
    }

    /// Opcode of the frames that this side sends.
    pub(crate) const fn opcode(self) -> u8 {
        match self {
            Self::Relay | Self::Json => frame::TEXT,
            Self::Protobuf => frame::BINARY,
        }
    }

    /// Appends what is sent once after the handshake, in one message, and says how many answers it will get.
    pub(crate) fn write_greeting(self, subscribe: Option<&Room>, out: &mut Vec<u8>) -> u8 {
        match self {
            Self::Relay => return 0,
            Self::Json => json::write_greeting(subscribe, out),
            Self::Protobuf => protobuf::write_greeting(subscribe, out),
        }
        1 + u8::from(subscribe.is_some())
    }

    /// Appends one publication; `id` numbers the command where there are commands.
    pub(crate) fn write_publish(self, room: &Room, id: u32, payload: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Relay => out.extend_from_slice(payload),
            Self::Json => json::write_publish(room, id, payload, out),
            Self::Protobuf => protobuf::write_publish(room, id, payload, out),
        }
    }

    /// The answer to [`Incoming::Ping`].
    pub(crate) const fn pong(self) -> &'static [u8] {
        match self {
            Self::Relay => b"",
            Self::Json => b"{}",
            Self::Protobuf => &[0],
        }
    }

    /// Reads one message from a connection that is in `room`, payloads being `size` bytes.
    pub(crate) fn read(
        self,
        message: &[u8],
        room: &Room,
        size: usize,
        each: &mut impl FnMut(Incoming),
    ) -> Result<(), Undecodable> {
        match self {
            Self::Relay => {
                each(Stamp::read(message, size).map_or(Incoming::Foreign, Incoming::Publication));
                Ok(())
            }
            Self::Json => json::read(message, room, size, each),
            Self::Protobuf => protobuf::read(message, room, size, each),
        }
    }
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Relay => "relay",
            Self::Json => "json",
            Self::Protobuf => "protobuf",
        })
    }
}
