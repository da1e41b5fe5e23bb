//! Why a client's bytes were refused.

use super::Opcode;

/// A client broke RFC 6455 or a limit; the connection is to be closed with [`FrameError::close_code`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A reserved bit is set, but no extension was negotiated (section 5.2). Holds the bits as they stand in the first byte.
    #[error("reserved bits {0:#04x} are set without an extension")]
    ReservedBits(u8),
    /// No such opcode (section 5.2).
    #[error("unknown opcode {0:#x}")]
    UnknownOpcode(u8),
    /// Every frame of a client has to be masked (section 5.1).
    #[error("frame is not masked")]
    Unmasked,
    /// Control frames must not be fragmented (section 5.5).
    #[error("{0:?} frame is fragmented")]
    FragmentedControl(Opcode),
    /// Control frames state their length in seven bits and carry 125 bytes at most (section 5.5).
    #[error("{0:?} frame is longer than 125 bytes")]
    ControlTooLong(Opcode),
    /// The length is written in more bytes than it needs (section 5.2).
    #[error("length {bytes} is not encoded in its shortest form")]
    LengthNotMinimal {
        /// The length in question.
        bytes: u64,
    },
    /// The highest bit of a 64-bit length is set (section 5.2).
    #[error("length {bytes} has its highest bit set")]
    LengthOutOfRange {
        /// The length in question.
        bytes: u64,
    },
    /// A continuation without a message to continue (section 5.4).
    #[error("continuation frame outside of a message")]
    UnexpectedContinuation,
    /// A message began before the one in progress was finished (section 5.4).
    #[error("new message inside of a fragmented one")]
    ExpectedContinuation,
    /// The message is longer than [`FrameLimits::message_bytes`](super::FrameLimits).
    #[error("message of at least {bytes} bytes is over the limit of {limit}")]
    MessageTooLong {
        /// Length that the frames so far amount to.
        bytes: u64,
        /// Length that was allowed.
        limit: usize,
    },
    /// The message is cut into more frames than [`FrameLimits::fragments`](super::FrameLimits).
    #[error("message has more than {limit} fragments")]
    TooManyFragments {
        /// Number that was allowed.
        limit: u32,
    },
    /// A text message is no valid UTF-8 (section 8.1).
    #[error("text message is not valid UTF-8")]
    TextNotUtf8,
    /// A close frame's payload is one byte, which is no code (section 5.5.1).
    #[error("close frame with half a code")]
    CloseTooShort,
    /// A close frame's code must not be sent (section 7.4).
    #[error("close code {0} must not be sent")]
    CloseCode(u16),
    /// A close frame's reason is no valid UTF-8 (section 5.5.1).
    #[error("close reason is not valid UTF-8")]
    ReasonNotUtf8,
}

impl FrameError {
    /// The close code for the client (RFC 6455, section 7.4.1): 1002 protocol error, 1007 inconsistent data, or
    /// 1009 message too big.
    pub const fn close_code(&self) -> u16 {
        match self {
            Self::ReservedBits(_)
            | Self::UnknownOpcode(_)
            | Self::Unmasked
            | Self::FragmentedControl(_)
            | Self::ControlTooLong(_)
            | Self::LengthNotMinimal { .. }
            | Self::LengthOutOfRange { .. }
            | Self::UnexpectedContinuation
            | Self::ExpectedContinuation
            | Self::CloseTooShort
            | Self::CloseCode(_) => 1002,
            Self::TextNotUtf8 | Self::ReasonNotUtf8 => 1007,
            Self::MessageTooLong { .. } | Self::TooManyFragments { .. } => 1009,
        }
    }
}
