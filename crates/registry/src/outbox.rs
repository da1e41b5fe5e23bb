/// How much may wait for clients that do not read.
#[derive(Clone, Copy, Debug)]
pub struct OutboxLimits {
    /// Bytes that may wait for one client, the frames' full lengths and an overhead for each. Default 1 MiB.
    pub client_bytes: usize,
    /// Frames that may wait for one client. Default 8,192.
    pub client_messages: usize,
    /// Bytes that may wait for all clients of a shard; beyond it the deepest are ended first. Default 256 MiB.
    pub shard_bytes: usize,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self { client_bytes: 1 << 20, client_messages: 8_192, shard_bytes: 256 << 20 }
    }
}

/// How much waits for a client.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct OutboxDepth {
    /// Bytes, as they are charged to the client.
    pub bytes: usize,
    /// Frames.
    pub messages: usize,
}
