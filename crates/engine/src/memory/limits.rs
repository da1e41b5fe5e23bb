use std::time::Duration;

/// What a memory engine may keep. There is no value for "unlimited".
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MemoryLimits {
    /// Streams. Default 1,000,000.
    pub streams: usize,
    /// Bytes of publications in all streams together, with an estimate of what each costs besides its payload.
    /// Default 256 MiB.
    pub bytes: usize,
    /// Results that are kept for idempotency keys. Default 100,000.
    pub idempotency_keys: usize,
    /// How long such a result is kept. Default 300 seconds.
    pub idempotency_ttl: Duration,
    /// Revocations; at the bound a new one is refused. Default 100,000.
    pub revocations: usize,
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self {
            streams: 1_000_000,
            bytes: 256 << 20,
            idempotency_keys: 100_000,
            idempotency_ttl: Duration::from_secs(300),
            revocations: 100_000,
        }
    }
}
