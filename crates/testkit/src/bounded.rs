use std::time::Duration;

use tokio::time::timeout;

/// The longest wait of this kit for a single thing that comes over the network: machines that test may be slow and busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Fails a test that hangs: panics when `test` takes longer than a minute.
///
/// Under tokio's paused time it is a minute of that time.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let answer = throng_testkit::bounded(async { 6 * 7 }).await;
/// assert_eq!(answer, 42);
/// # }
/// ```
pub async fn bounded<T>(test: impl Future<Output = T>) -> T {
    match timeout(2 * PATIENCE, test).await {
        Ok(result) => result,
        Err(_) => panic!("the test makes no progress"),
    }
}

/// Waits for something on a socket, at most [`PATIENCE`].
pub(crate) async fn patiently<T>(awaited: &str, waiting: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, waiting).await {
        Ok(result) => result,
        Err(_) => panic!("in {PATIENCE:?} it did not come: {awaited}"),
    }
}
