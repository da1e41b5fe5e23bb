/// What a memory engine holds at one moment, for metrics.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct MemorySizes {
    /// Channels that take memory, because they have subscribers or a stream.
    pub channels: usize,
    /// Clients that are present somewhere, counted once for each channel.
    pub presence_members: usize,
    /// Results that are kept for idempotency keys.
    pub idempotency_keys: usize,
}
