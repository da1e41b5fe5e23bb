/// What a [`Pool`](crate::Pool) holds and has done, at one moment; see [`Pool::stats`](crate::Pool::stats).
///
/// `in_use + idle + shared + closing` is never more than the pool's maximum.
///
/// ```
/// use throng_client::{Client, Pool, PoolStats};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = Pool::builder(Client::builder("ws://127.0.0.1:8080")).build()?;
/// assert_eq!(pool.stats(), PoolStats::default()); // nothing is opened before it is needed
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Connections that are handed out, or are being opened for someone.
    pub in_use: usize,
    /// Connections that wait for someone who wants one.
    pub idle: usize,
    /// Shared connections, which carry the pool's subscriptions and publishes.
    pub shared: usize,
    /// Subscriptions, publishes and [`SharedClient`](crate::SharedClient)s on the shared connections.
    pub shared_users: usize,
    /// Connections that are being closed with a goodbye.
    pub closing: usize,
    /// Callers that wait for a connection to become free.
    pub waiting: usize,
    /// Connections that were opened since the pool began.
    pub opened: u64,
    /// Connections that ended since the pool began.
    pub closed: ClosedCounts,
    /// Callers that waited to their deadline, since the pool began.
    pub timed_out: u64,
    /// Callers that were turned away because too many waited, since the pool began.
    pub refused: u64,
}

/// Connections of a [`Pool`](crate::Pool) that ended, by reason.
///
/// ```
/// # fn example(pool: &throng_client::Pool) {
/// let closed = pool.stats().closed;
/// if closed.unhealthy > 100 {
///     eprintln!("the way to the server is bad: {closed:?}");
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ClosedCounts {
    /// Nobody used them for the idle time.
    pub idle: u64,
    /// Shared ones without users, which made way for callers that waited.
    pub evicted: u64,
    /// They were not connected, or did not answer the health check.
    pub unhealthy: u64,
    /// Their client had stopped for good: the server refused it, or the application closed it.
    pub stopped: u64,
    /// The pool was closed.
    pub by_pool: u64,
}
