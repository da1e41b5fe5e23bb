use std::fmt;

use bytes::{Bytes, BytesMut};

use super::{Commands, Replies, json, protobuf};
use crate::{Command, Limits, Publication, Reply};

/// Wire format of a connection, chosen in its handshake.
///
/// ```
/// use bytes::{Bytes, BytesMut};
/// use throng_protocol::{Command, Format, Limits, Reply};
///
/// // One WebSocket message may hold many commands: here a pong and a request.
/// let frame = Bytes::from_static(b"{}\n{\"id\":7,\"unsubscribe\":{\"channel\":\"news\"}}");
/// let commands: Vec<Command> =
///     Format::Json.decode_commands(frame, &Limits::default()).collect::<Result<_, _>>()?;
/// assert_eq!(commands[0], Command::Pong);
///
/// let mut out = BytesMut::new();
/// Format::Json.encode_reply(&Reply::Ping, &mut out);
/// Format::Json.encode_command(&commands[1], &mut out);
/// assert_eq!(&out[..], b"{}\n{\"id\":7,\"unsubscribe\":{\"channel\":\"news\"}}");
/// # Ok::<(), throng_protocol::DecodeError>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Format {
    /// JSON objects separated by newlines, in text frames.
    Json,
    /// Protobuf messages behind their lengths, in binary frames.
    Protobuf,
}

impl Format {
    /// Reads the commands of one frame, one by one, as a server does.
    ///
    /// Payloads are slices of `frame`. The iterator ends after the first error.
    pub fn decode_commands(self, frame: Bytes, limits: &Limits) -> Commands {
        Commands::new(self, frame, limits)
    }

    /// Reads the replies of one frame, one by one, as a client does; see [`Limits::for_replies`].
    ///
    /// Payloads are slices of `frame`. The iterator ends after the first error. Pushes of kinds that are not known
    /// here are left out, as a newer server may send some.
    pub fn decode_replies(self, frame: Bytes, limits: &Limits) -> Replies {
        Replies::new(self, frame, limits)
    }

    /// Appends one reply to `out`, which holds one frame's payload: in JSON a newline comes between replies.
    ///
    /// JSON payloads are embedded as they are, without their raw CR and LF bytes (which JSON text has only between
    /// tokens): whoever accepts one checks it once with [`Payload::is_json`](crate::Payload::is_json).
    pub fn encode_reply(self, reply: &Reply, out: &mut BytesMut) {
        match self {
            Self::Json => json::encode_reply(reply, out),
            Self::Protobuf => protobuf::encode_reply(reply, out),
        }
    }

    /// Appends one command to `out`, as [`encode_reply`](Self::encode_reply) does with a reply.
    pub fn encode_command(self, command: &Command, out: &mut BytesMut) {
        match self {
            Self::Json => json::encode_command(command, out),
            Self::Protobuf => protobuf::encode_command(command, out),
        }
    }

    /// Appends the push of a publication: the same bytes as [`encode_reply`](Self::encode_reply) makes, without
    /// building a [`Reply`] first. Writes in one pass and allocates nothing but room in `out`.
    pub fn encode_publication_push(self, channel: &str, publication: &Publication, out: &mut BytesMut) {
        match self {
            Self::Json => json::encode_publication_push(channel, publication, out),
            Self::Protobuf => protobuf::encode_publication_push(channel, publication, out),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Json => "JSON",
            Self::Protobuf => "Protobuf",
        })
    }
}
