//! A pool's futures are dropped at every point where they wait: nothing is lost by it.

use std::{future::poll_fn, pin::pin, sync::atomic::Ordering, task::Poll};

use futures_util::FutureExt as _;

use super::{
    pool::{Obliging, settle},
    *,
};
use crate::{Pool, PoolStats};

/// Polls a future until it has waited so many times, and drops it then. None when that came first.
async fn dropped_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    if polls == 0 {
        return None;
    }
    let mut future = pin!(future);
    let mut polled = 0;
    poll_fn(|context| {
        polled += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if polled == polls => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// The pool has all its permits: as many callers as it has connections get one at once, and nobody is counted that is
/// not there.
async fn is_whole(pool: &Pool, connections: usize) {
    settle().await;
    let PoolStats { in_use, waiting, shared_users, closing, .. } = pool.stats();
    assert_eq!((in_use, waiting, shared_users, closing), (0, 0, 0, 0));
    let everything = futures_util::future::join_all((0..connections).map(|_| pool.get()));
    let (held, waited) = timed(everything).await;
    assert!(held.iter().all(Result::is_ok), "{held:?}");
    assert!(waited < 2 * SECOND, "{waited:?}");
    drop(held);
    let ((), closed) = timed(pool.close()).await;
    assert_eq!((closed, pool.stats().closing), (Duration::ZERO, 0), "there is nothing that nobody knows of");
}

/// Runs a scenario with a future that is dropped after 0, 1, 2, … waits, until it comes to its end. The scenario
/// returns whether it did.
async fn at_every_wait(least: usize, scenario: impl AsyncFn(usize) -> bool) {
    for polls in 0.. {
        assert!(polls < 1_000, "the future never ends");
        if scenario(polls).await {
            assert!(polls > least, "it has waited {polls} times only, so the test tests nothing");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_get_that_is_dropped_while_it_opens_a_connection_loses_no_permit() {
    at_every_wait(1, async |polls| {
        let server = Obliging::start();
        let pool = server.pool().max_connections(1).build().unwrap();
        let ended = dropped_after(polls, pool.get()).await.map(drop).is_some();
        is_whole(&pool, 1).await;
        ended
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_get_that_is_dropped_while_it_waits_its_turn_loses_no_permit() {
    at_every_wait(1, async |polls| {
        let server = Obliging::start();
        let pool = server.pool().max_connections(1).build().unwrap();
        let held = pool.get().await.unwrap();
        let release = async {
            tokio::time::sleep(SECOND).await;
            drop(held);
        };
        let (ended, ()) = tokio::join!(dropped_after(polls, pool.get()), release);
        let ended = ended.map(drop).is_some();
        is_whole(&pool, 1).await;
        ended
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_get_that_is_dropped_while_a_connection_is_checked_and_replaced_loses_no_permit() {
    at_every_wait(2, async |polls| {
        let server = Obliging::start();
        let pool = server.pool().max_connections(1).build().unwrap();
        drop(pool.get().await.unwrap());
        tokio::time::sleep(20 * SECOND).await;
        server.log.mute.store(true, Ordering::SeqCst);
        let speaks_again = async {
            tokio::time::sleep(SECOND / 2).await;
            server.log.mute.store(false, Ordering::SeqCst);
        };
        let (ended, ()) = tokio::join!(dropped_after(polls, pool.get()), speaks_again);
        let ended = ended.map(drop).is_some();
        is_whole(&pool, 1).await;
        ended
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_get_that_is_dropped_while_the_server_is_away_loses_no_permit() {
    at_every_wait(3, async |polls| {
        let server = Obliging::start();
        server.log.refuses.store(true, Ordering::SeqCst);
        let pool = server.pool().max_connections(1).build().unwrap();
        let ended = dropped_after(polls, pool.get()).await.map(drop).is_some();
        server.log.refuses.store(false, Ordering::SeqCst);
        is_whole(&pool, 1).await;
        ended
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_is_dropped_at_any_wait_leaves_its_connection_to_the_others() {
    at_every_wait(2, async |polls| {
        let server = Obliging::start();
        let pool = server.pool().max_connections(2).shared_connections(1).build().unwrap();
        let ended = dropped_after(polls, pool.publish("news", "1")).await.is_some();
        pool.publish("news", "2").await.unwrap();
        is_whole(&pool, 1).await;
        assert!(server.log.most.load(Ordering::SeqCst) <= 2);
        ended
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_subscribe_that_is_dropped_at_any_wait_hands_the_opening_to_who_waits_behind_it() {
    at_every_wait(2, async |polls| {
        let server = Obliging::start();
        let pool = server.pool().max_connections(2).shared_connections(1).build().unwrap();
        let first = dropped_after(polls, pool.subscribe("news"));
        let second = pool.subscribe("sport");
        let (ended, behind) = tokio::join!(first, second);
        let ended = ended.map(drop).is_some();
        drop(behind.unwrap());
        is_whole(&pool, 1).await;
        ended
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_was_granted_to_who_has_just_left_goes_to_the_next() {
    let server = Obliging::start();
    let pool = server.pool().max_connections(1).build().unwrap();
    let held = pool.get().await.unwrap();
    let mut first = Box::pin(pool.get());
    let mut second = Box::pin(pool.get());
    assert!((&mut first).now_or_never().is_none());
    assert!((&mut second).now_or_never().is_none());
    drop(held);
    assert_eq!((pool.stats().in_use, pool.stats().waiting), (1, 1), "it is the turn of the first");
    drop(first);
    let (second, waited) = timed(second).await;
    drop(second.unwrap());
    assert_eq!(waited, Duration::ZERO);
    is_whole(&pool, 1).await;
}
