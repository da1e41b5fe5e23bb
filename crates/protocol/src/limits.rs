/// What a decoder accepts, so that hostile input costs bounded work and memory. No value means "unlimited".
///
/// ```
/// let limits = throng_protocol::Limits { commands_per_frame: 16, ..Default::default() };
/// assert_eq!(limits.command_bytes, 65_536);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Longest single command or reply, in bytes: a line in JSON, the declared length in Protobuf. Default 65,536.
    pub command_bytes: usize,
    /// Most commands or replies in one frame. Default 1,024.
    pub commands_per_frame: usize,
    /// Deepest nesting of one command or reply, its own braces included: JSON counts objects and arrays, those of
    /// payloads too; Protobuf counts messages. Cut to [`Self::MAX_NESTING`]. Default 64.
    pub nesting: usize,
    /// Most list elements and map entries in one command or reply, all lists and maps together. Default 4,096.
    pub elements: usize,
    /// Longest channel name, in bytes, for [`ChannelName::parse`](crate::ChannelName::parse). Decoders let any
    /// channel through, because an overlong one is answered with an error and does not end the connection. Default 255.
    pub channel_bytes: usize,
}

impl Limits {
    /// The deepest nesting that any setting may allow: what is nested is read by recursion.
    pub const MAX_NESTING: usize = 256;

    /// For a client that decodes what its server sends, where one reply may hold a page of history or the presence
    /// of a large channel: 16 MiB a reply, 65,536 replies a frame, 1,048,576 elements, 80 levels, otherwise the defaults.
    pub const fn for_replies() -> Self {
        Self {
            command_bytes: 16 << 20,
            commands_per_frame: 65_536,
            elements: 1 << 20,
            // What was published in a command stands a little deeper in a push or a page of history.
            nesting: 80,
            ..Self::for_commands()
        }
    }

    /// For a server; the same as `default()`.
    pub const fn for_commands() -> Self {
        Self {
            command_bytes: 65_536,
            commands_per_frame: 1_024,
            nesting: 64,
            elements: 4_096,
            channel_bytes: 255,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::for_commands()
    }
}
