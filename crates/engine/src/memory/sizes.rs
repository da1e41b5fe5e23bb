/// What a memory engine holds at one moment, and what it has forgotten since it was made; for metrics.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct MemorySizes {
    /// Channels that take memory, because they have subscribers or a stream.
    pub channels: usize,
    /// Streams, also those that hold no publication now.
    pub streams: usize,
    /// Publications in all streams.
    pub publications: usize,
    /// What these publications cost, in bytes, by the engine's estimate.
    pub bytes: usize,
    /// Clients that are present somewhere, counted once for each channel.
    pub presence_members: usize,
    /// Results that are kept for idempotency keys.
    pub idempotency_keys: usize,
    /// Revocations.
    pub revocations: usize,
    /// Publications that went because of [`MemoryLimits`](crate::MemoryLimits), so far.
    pub evicted_publications: u64,
    /// Streams that went because of [`MemoryLimits`](crate::MemoryLimits), so far.
    pub evicted_streams: u64,
    /// Publications whose time was over, so far.
    pub expired_publications: u64,
    /// Streams whose time was over, so far.
    pub expired_streams: u64,
    /// Idempotency keys that went because of [`MemoryLimits`](crate::MemoryLimits), so far.
    pub evicted_idempotency_keys: u64,
}
