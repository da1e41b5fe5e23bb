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
    /// Deepest nesting of one command or reply, its own braces included. JSON counts objects and arrays, those
    /// of payloads too; Protobuf counts messages, and there 100 is the most whatever is set here. Default 64.
    pub nesting: usize,
    /// Longest channel name, in bytes, for [`ChannelName::parse`](crate::ChannelName::parse). Decoders let any
    /// channel through, because an overlong one is answered with an error and does not end the connection. Default 255.
    pub channel_bytes: usize,
}

impl Limits {
    /// For a client that decodes what its server sends: one reply may hold a whole history page.
    /// 16 MiB a reply, 65,536 replies a frame, otherwise the defaults.
    pub const fn for_replies() -> Self {
        Self { command_bytes: 16 << 20, commands_per_frame: 65_536, nesting: 64, channel_bytes: 255 }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { command_bytes: 65_536, commands_per_frame: 1_024, nesting: 64, channel_bytes: 255 }
    }
}
