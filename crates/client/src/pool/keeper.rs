//! The task that closes what the pool has no use for.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use tokio::time::Instant;

use super::hub::Hub;
use crate::driver::sleep_until;

/// How often idle connections are looked at for lost ones, besides when they are handed out.
const ROUND: Duration = Duration::from_secs(5);

/// Runs until it is dropped. Not more are closed at once than there are connections.
pub(super) async fn keep(hub: Arc<Hub>) {
    let mut farewells = FuturesUnordered::new();
    loop {
        let (closing, deadline) = hub.tidy();
        for client in closing {
            farewells.push(async move { client.close().await }.boxed());
        }
        let again = deadline.map(|deadline| deadline.min(Instant::now() + ROUND));
        tokio::select! {
            Some(()) = farewells.next(), if !farewells.is_empty() => hub.closed(),
            () = hub.wake_keeper.notified() => {}
            () = sleep_until(again) => {}
        }
    }
}
