use std::time::Duration;

use crate::{BuildError, Disconnect, RequestError, SubscribeError};

/// Why a [`Pool`](crate::Pool) did not do what it was asked for.
///
/// ```
/// use throng_client::{Client, Pool, PoolError};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = Pool::builder(Client::builder("ftp://example.org")).build()?;
/// match pool.publish("news", "1").await {
///     Ok(()) => println!("the server has it"),
///     Err(PoolError::NoneFree { waited }) => println!("too much to do for {waited:?}"),
///     Err(PoolError::Request(error)) => println!("on its connection: {error}"),
///     Err(error) => println!("not sent: {error}"),
/// }
/// # assert!(matches!(pool.get().await, Err(PoolError::Build(_))));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// All connections were in use until the deadline.
    #[error("no connection became free within {waited:?}")]
    NoneFree {
        /// The time that was allowed.
        waited: Duration,
    },
    /// There was room for a connection, but no server took one until the deadline.
    #[error("no server could be connected to within {waited:?}")]
    NotConnected {
        /// The time that was allowed.
        waited: Duration,
        /// Why the latest attempt failed; none when it did not come to an end.
        #[source]
        last: Option<Disconnect>,
    },
    /// All servers refuse, and not just for the moment. The reason is that of the last one that was asked.
    #[error("no server takes a connection")]
    Refused(#[source] Disconnect),
    /// Too many callers wait already.
    #[error("{waiting} callers wait for a connection, which is the most")]
    TooManyWaiting {
        /// How many, [`PoolBuilder::max_waiting`](crate::PoolBuilder::max_waiting).
        waiting: usize,
    },
    /// The pool was closed.
    #[error("the pool is closed")]
    Closed,
    /// The settings of a server cannot be used.
    #[error("the client cannot be built")]
    Build(#[from] BuildError),
    /// There was a connection, and the request on it has no result.
    #[error("the request has no result")]
    Request(#[from] RequestError),
    /// There was a connection, and no subscription on it.
    #[error("there is no subscription")]
    Subscribe(#[from] SubscribeError),
}
