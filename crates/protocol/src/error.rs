use crate::{DisconnectCode, Format};

/// Why a frame from the peer was refused. The rest of the frame is lost with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The frame holds nothing, not even an empty command.
    #[error("empty frame")]
    EmptyFrame,
    /// The frame holds more commands or replies than allowed.
    #[error("more than {max} messages in one frame")]
    TooMany {
        /// The limit, [`Limits::commands_per_frame`](crate::Limits::commands_per_frame).
        max: usize,
    },
    /// A command or reply is longer than allowed.
    #[error("message of {bytes} bytes, at most {max} are allowed")]
    TooLong {
        /// Its length, in bytes; declared, so the frame may be shorter.
        bytes: usize,
        /// The limit, [`Limits::command_bytes`](crate::Limits::command_bytes).
        max: usize,
    },
    /// Objects, arrays or messages are nested more deeply than allowed.
    #[error("nested more than {max} levels deep")]
    TooDeep {
        /// The limit, [`Limits::nesting`](crate::Limits::nesting).
        max: usize,
    },
    /// Lists and maps hold more elements, in all, than allowed.
    #[error("more than {max} list elements and map entries")]
    TooManyElements {
        /// The limit, [`Limits::elements`](crate::Limits::elements).
        max: usize,
    },
    /// The bytes are not what the format wants at this place.
    #[error("not {format}: expected {expected} at byte {position} of the message")]
    Malformed {
        /// The format that the bytes should be in.
        format: Format,
        /// Where reading stopped, counted from the start of the command or reply.
        position: usize,
        /// What could have stood there.
        expected: &'static str,
    },
    /// A command with an id asks nothing that is known, or a reply with an id answers nothing that is known.
    #[error("message {id} holds nothing that is known")]
    NoBody {
        /// The id that it carries.
        id: u32,
    },
    /// A command asks more than one thing, or a reply answers more than one.
    #[error("message {id} holds more than one body")]
    SeveralBodies {
        /// The id that it carries; 0 if none was read before the second body.
        id: u32,
    },
}

impl DecodeError {
    /// The code with which a server ends the connection. No `_` arm: whoever adds a variant chooses its code here.
    pub const fn disconnect_code(&self) -> DisconnectCode {
        match self {
            Self::EmptyFrame
            | Self::TooMany { .. }
            | Self::TooLong { .. }
            | Self::TooDeep { .. }
            | Self::TooManyElements { .. }
            | Self::Malformed { .. }
            | Self::NoBody { .. }
            | Self::SeveralBodies { .. } => DisconnectCode::BadRequest,
        }
    }
}
