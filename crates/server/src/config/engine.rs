//! The bounds of engines: table `[engine]`.

use std::time::Duration;

/// Where streams, presence and idempotency keys live: table `[engine]`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Engine {
    /// The bounds of the embedded engine.
    pub memory: MemoryEngine,
}

/// The bounds of the embedded engine: table `[engine.memory]`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MemoryEngine {
    /// Channels that may have a stream; beyond it the longest idle ones are forgotten. Default 1,000,000.
    pub max_streams: usize,
    /// Bytes that kept publications may take; beyond it those of the longest idle streams go. Default 256 MiB.
    pub max_bytes: usize,
    /// Idempotency keys whose results are kept; beyond it the oldest go. Default 100,000.
    pub idempotency_keys: usize,
    /// How long the result of an idempotency key is kept. Default 300 s.
    pub idempotency_ttl: Duration,
    /// Revocations that may hold at once; one more is refused. Default 100,000.
    pub revocations: usize,
    /// Directory in which revocations outlive the process, made if it is not there; empty for none. Default none.
    pub data_dir: String,
}

impl Default for MemoryEngine {
    fn default() -> Self {
        Self {
            max_streams: 1_000_000,
            max_bytes: 256 << 20,
            idempotency_keys: 100_000,
            idempotency_ttl: Duration::from_secs(300),
            revocations: 100_000,
            data_dir: String::new(),
        }
    }
}
