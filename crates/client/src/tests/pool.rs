use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use bytes::BytesMut;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _, future::join_all};
use throng_protocol::{
    Command, ConnectResult, ErrorCode, Format, Limits, Outcome, PublishResult, Reply, Request,
    SubscribeResult, UnsubscribeResult,
};
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::{Backoff, Disconnect, Event, Pool, PoolBuilder, PoolError, UnsubscribeReason};

/// A server that takes every connection and answers every request, and can be told not to.
pub(super) struct Obliging {
    pub(super) log: Arc<Log>,
    opener: Opener,
    _accepting: JoinSet<()>,
}

/// What an [`Obliging`] server has seen, and how it behaves.
#[derive(Default)]
pub(super) struct Log {
    /// Connections that were attempted.
    pub(super) attempts: AtomicUsize,
    /// Connections that are open.
    pub(super) open: AtomicUsize,
    /// The most that were open at once.
    pub(super) most: AtomicUsize,
    /// Connections that ended with a close frame.
    pub(super) farewells: AtomicUsize,
    /// Channels by the connection that they were subscribed or published on, counted from 1.
    pub(super) channels: Mutex<Vec<(usize, String)>>,
    /// New connections are refused.
    pub(super) refuses: AtomicBool,
    /// Nothing is answered any more, on any connection.
    pub(super) mute: AtomicBool,
    /// Every connection is to be cut.
    cut: tokio::sync::Notify,
}

impl Obliging {
    pub(super) fn start() -> Self {
        let mut network = Network::new();
        let opener = Arc::clone(&network.opener);
        let log = Arc::new(Log::default());
        let mut accepting = JoinSet::new();
        let shared = Arc::clone(&log);
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let arrival = network.attempt().await;
                let number = shared.attempts.fetch_add(1, Ordering::SeqCst) + 1;
                if shared.refuses.load(Ordering::SeqCst) {
                    arrival.refuse();
                } else {
                    connections.spawn(Arc::clone(&shared).serve(number, arrival.connect()));
                }
            }
        });
        Self { log, opener, _accepting: accepting }
    }

    pub(super) fn client(&self) -> ClientBuilder {
        let mut builder = Client::builder("ws://test");
        builder.set_opener(Arc::clone(&self.opener));
        builder
    }

    pub(super) fn pool(&self) -> PoolBuilder {
        Pool::builder(self.client())
    }

    pub(super) fn cut(&self) {
        self.log.cut.notify_waiters();
    }

    fn open(&self) -> usize {
        self.log.open.load(Ordering::SeqCst)
    }
}

impl Log {
    async fn serve(self: Arc<Self>, number: usize, stream: DuplexStream) {
        let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(open, Ordering::SeqCst);
        tokio::select! {
            () = self.answer_all(number, stream) => {}
            () = self.cut.notified() => {}
        }
        self.open.fetch_sub(1, Ordering::SeqCst);
    }

    async fn answer_all(&self, number: usize, stream: DuplexStream) {
        // A client that was dropped in between breaks the handshake off.
        let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
        while let Some(Ok(message)) = socket.next().await {
            let text = match message {
                Message::Text(text) => text,
                Message::Close(_) => {
                    self.farewells.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                _ => continue,
            };
            let mut frame = BytesMut::new();
            for command in Format::Json.decode_commands(text.into(), &Limits::default()) {
                let Ok(Command::Request { id, request }) = command else { continue };
                Format::Json
                    .encode_reply(&Reply::Answer { id, outcome: self.outcome(number, request) }, &mut frame);
            }
            let mute = self.mute.load(Ordering::SeqCst);
            if !mute && socket.send(Message::Text(frame.freeze().try_into().unwrap())).await.is_err() {
                return;
            }
        }
    }

    fn outcome(&self, number: usize, request: Request) -> Result<Outcome, throng_protocol::ErrorReply> {
        let saw = |channel| self.channels.lock().unwrap().push((number, channel));
        Ok(match request {
            Request::Connect(_) => {
                Outcome::Connect(ConnectResult { client: number.to_string(), ..ConnectResult::default() })
            }
            Request::Subscribe(request) => {
                saw(request.channel);
                Outcome::Subscribe(SubscribeResult::default())
            }
            Request::Publish(request) => {
                saw(request.channel);
                Outcome::Publish(PublishResult::default())
            }
            Request::Unsubscribe(_) => Outcome::Unsubscribe(UnsubscribeResult::default()),
            _ => return Err(ErrorCode::NotAvailable.into()),
        })
    }
}

/// Lets everything happen that happens without time.
pub(super) async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn no_more_connections_than_the_maximum_are_opened_and_they_are_used_again() {
    let server = Obliging::start();
    let pool = server.pool().max_connections(3).build().unwrap();
    let work = (0..30).map(|_| async {
        let client = pool.get().await.unwrap();
        client.publish("news", "1").await.unwrap();
        tokio::time::sleep(SECOND / 10).await;
    });
    let (_, took) = timed(join_all(work)).await;
    assert_eq!(server.log.most.load(Ordering::SeqCst), 3);
    assert_eq!(server.log.attempts.load(Ordering::SeqCst), 3);
    assert!((SECOND..2 * SECOND).contains(&took), "ten rounds of a tenth of a second: {took:?}");
    let stats = pool.stats();
    assert_eq!((stats.opened, stats.idle, stats.in_use, stats.waiting), (3, 3, 0, 0), "{stats:?}");
}

#[tokio::test(start_paused = true)]
async fn who_came_first_is_served_first() {
    let server = Obliging::start();
    let pool = server.pool().max_connections(1).build().unwrap();
    let held = pool.get().await.unwrap();
    let order = Mutex::new(Vec::new());
    let waiting = (0..20).map(|number| {
        let (pool, order) = (&pool, &order);
        async move {
            let _client = pool.get().await.unwrap();
            order.lock().unwrap().push(number);
            settle().await;
        }
    });
    let release = async {
        settle().await;
        assert_eq!(pool.stats().waiting, 20);
        drop(held);
    };
    tokio::join!(join_all(waiting), release);
    assert_eq!(order.into_inner().unwrap(), (0..20).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_or_behind_too_many_is_told() {
    let server = Obliging::start();
    let pool = server.pool().max_connections(1).max_waiting(2).wait_timeout(3 * SECOND).build().unwrap();
    let _held = pool.get().await.unwrap();
    let (results, waited) = timed(join_all((0..3).map(|_| pool.get()))).await;
    let [first, second, third] = results.try_into().unwrap();
    for late in [first, second] {
        assert!(matches!(late, Err(PoolError::NoneFree { waited }) if waited == 3 * SECOND), "{late:?}");
    }
    assert!(matches!(third, Err(PoolError::TooManyWaiting { waiting: 2 })), "{third:?}");
    assert_eq!(waited, 3 * SECOND);
    let stats = pool.stats();
    assert_eq!((stats.timed_out, stats.refused, stats.waiting, stats.in_use), (2, 1, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_for_a_moment_is_waited_for_until_the_deadline() {
    let server = Obliging::start();
    server.log.refuses.store(true, Ordering::SeqCst);
    let pool = server.pool().build().unwrap();
    let (refused, waited) = timed(pool.get()).await;
    let Err(PoolError::NotConnected { last: Some(Disconnect::Unreachable { .. }), .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(waited, 5 * SECOND);
    assert!((3..40).contains(&server.log.attempts.load(Ordering::SeqCst)), "with waits in between");

    let returns = async {
        tokio::time::sleep(SECOND).await;
        server.log.refuses.store(false, Ordering::SeqCst);
    };
    let (client, ()) = tokio::join!(pool.get(), returns);
    client.unwrap().publish("news", "1").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn connections_go_to_the_servers_in_turn_and_past_one_that_is_away() {
    let (one, two) = (Obliging::start(), Obliging::start());
    let pool = one.pool().server(two.client()).max_connections(4).build().unwrap();
    let held = join_all((0..4).map(|_| pool.get())).await;
    assert!(held.iter().all(Result::is_ok));
    assert_eq!((one.open(), two.open()), (2, 2));
    drop((held, pool));

    let (one, two) = (Obliging::start(), Obliging::start());
    one.log.refuses.store(true, Ordering::SeqCst);
    let pool = one.pool().server(two.client()).max_connections(4).build().unwrap();
    let (held, waited) = timed(join_all((0..4).map(|_| pool.get()))).await;
    assert!(held.iter().all(Result::is_ok));
    assert_eq!((one.open(), two.open(), waited), (0, 4, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_nobody_uses_is_closed_with_a_goodbye() {
    let server = Obliging::start();
    let pool = server.pool().idle_timeout(60 * SECOND).build().unwrap();
    let (first, second) = (pool.get().await.unwrap(), pool.get().await.unwrap());
    drop(first);
    tokio::time::sleep(59 * SECOND).await;
    assert_eq!((server.open(), pool.stats().idle), (2, 1));
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!((server.open(), server.log.farewells.load(Ordering::SeqCst)), (1, 1));
    let stats = pool.stats();
    assert_eq!((stats.idle, stats.in_use, stats.closing, stats.closed.idle), (0, 1, 0, 1));
    drop(second);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_cut_is_replaced_before_it_is_handed_out() {
    let server = Obliging::start();
    let pool = server.pool().max_connections(1).build().unwrap();
    drop(pool.get().await.unwrap());
    server.cut();
    settle().await;
    let client = pool.get().await.unwrap();
    client.publish("news", "1").await.unwrap();
    assert_eq!((pool.stats().opened, pool.stats().closed.unhealthy), (2, 1));

    // The holder of one that is cut, or that it has closed itself, does not give it to the next.
    server.cut();
    settle().await;
    drop(client);
    let client = pool.get().await.unwrap();
    client.close().await;
    drop(client);
    pool.get().await.unwrap().publish("news", "1").await.unwrap();
    let closed = pool.stats().closed;
    assert_eq!((closed.unhealthy, closed.stopped), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_has_rested_has_to_answer_before_it_is_handed_out() {
    let server = Obliging::start();
    let pool = server.pool().max_connections(1).health_check(10 * SECOND, SECOND).build().unwrap();
    drop(pool.get().await.unwrap());
    tokio::time::sleep(11 * SECOND).await;
    drop(pool.get().await.unwrap());
    assert_eq!(pool.stats().opened, 1, "it has answered");

    tokio::time::sleep(11 * SECOND).await;
    server.log.mute.store(true, Ordering::SeqCst);
    let speaks_again = async {
        tokio::time::sleep(SECOND / 2).await;
        server.log.mute.store(false, Ordering::SeqCst);
    };
    let ((client, waited), ()) = tokio::join!(timed(pool.get()), speaks_again);
    assert_eq!(waited, SECOND);
    client.unwrap().publish("news", "1").await.unwrap();
    assert_eq!((pool.stats().opened, pool.stats().closed.unhealthy), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn subscriptions_are_spread_over_long_lived_connections_and_publishes_follow_them() {
    let server = Obliging::start();
    let pool = server.pool().max_connections(5).shared_connections(4).build().unwrap();
    let names: Vec<String> = (0..100).map(|number| format!("room:{number}")).collect();
    let subscriptions = join_all(names.iter().map(|name| pool.subscribe(name))).await;
    let stats = pool.stats();
    assert_eq!((stats.opened, stats.shared, stats.shared_users), (4, 4, 100));
    for name in &names {
        pool.publish(name, "1").await.unwrap();
    }
    {
        let seen = server.log.channels.lock().unwrap();
        for name in &names {
            let on: Vec<usize> = seen.iter().filter(|(_, seen)| seen == name).map(|(on, _)| *on).collect();
            assert!(on.len() == 2 && on[0] == on[1], "{name}: {on:?}");
        }
        for connection in 1..=4 {
            let count = seen.iter().filter(|(on, _)| *on == connection).count();
            assert!((20..=80).contains(&count), "{connection}: {count}");
        }
    }
    // They outlast the idle time, because they are used, and end when they are not.
    tokio::time::sleep(200 * SECOND).await;
    assert_eq!(pool.stats().shared, 4);
    drop(subscriptions);
    tokio::time::sleep(61 * SECOND).await;
    assert_eq!((pool.stats().shared, server.open(), pool.stats().closed.idle), (0, 0, 4));
}

#[tokio::test(start_paused = true)]
async fn a_shared_connection_without_users_makes_way_for_who_waits() {
    let server = Obliging::start();
    let pool = server.pool().max_connections(1).shared_connections(1).build().unwrap();
    let news = pool.subscribe("news").await.unwrap();
    assert!(matches!(pool.get().await, Err(PoolError::NoneFree { .. })));
    drop(news);
    let (client, waited) = timed(pool.get()).await;
    let client = client.unwrap();
    assert!(waited < SECOND, "{waited:?}");
    assert_eq!((pool.stats().closed.evicted, server.log.most.load(Ordering::SeqCst)), (1, 1));
    assert!(matches!(pool.publish("news", "1").await, Err(PoolError::NoneFree { .. })));
    drop(client);
    pool.publish("news", "1").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_shared_connection_comes_back_by_itself_and_is_replaced_once_it_has_stopped() {
    let server = Obliging::start();
    let at_once = Backoff::new(Duration::ZERO, Duration::ZERO);
    let pool = Pool::builder(server.client().backoff(at_once)).build().unwrap();
    let mut news = pool.subscribe("news").await.unwrap();
    server.cut();
    assert!(matches!(news.next().await, Some(Event::Subscribing)));
    assert!(matches!(news.next().await, Some(Event::Subscribed)));
    assert_eq!(pool.stats().opened, 1);

    pool.shared("news").await.unwrap().close().await;
    assert!(matches!(news.next().await, Some(Event::Unsubscribed(UnsubscribeReason::Stopped(_)))));
    let _again = pool.subscribe("news").await.unwrap();
    drop(news);
    let stats = pool.stats();
    assert_eq!((stats.opened, stats.shared, stats.shared_users, stats.closed.stopped), (2, 1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_closed_pool_says_goodbye_on_all_connections_and_refuses() {
    let server = Obliging::start();
    let pool = server.pool().max_connections(3).wait_timeout(60 * SECOND).build().unwrap();
    let (idle, held) = (pool.get().await.unwrap(), pool.get().await.unwrap());
    let mut news = pool.subscribe("news").await.unwrap();
    let mut waiting = Box::pin(pool.get());
    assert!((&mut waiting).now_or_never().is_none());
    drop(idle);
    drop(waiting.await.unwrap());
    let closing = async {
        tokio::join!(pool.close(), pool.close());
    };
    let returns = async {
        tokio::time::sleep(SECOND).await;
        assert_eq!(server.open(), 1, "the one that is handed out");
        drop(held);
    };
    tokio::join!(closing, returns);
    settle().await;
    assert_eq!((server.open(), server.log.farewells.load(Ordering::SeqCst)), (0, 3));
    assert!(matches!(news.next().await, Some(Event::Unsubscribed(UnsubscribeReason::Stopped(_)))));
    assert!(matches!(pool.get().await, Err(PoolError::Closed)));
    assert!(matches!(pool.publish("news", "1").await, Err(PoolError::Closed)));
    assert_eq!(pool.stats().closed.by_pool, 3);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_ends_what_nobody_holds_and_later_the_rest() {
    let server = Obliging::start();
    let pool = server.pool().build().unwrap();
    let (idle, held, late) =
        (pool.get().await.unwrap(), pool.get().await.unwrap(), pool.get().await.unwrap());
    drop(idle);
    let _news = pool.subscribe("news").await.unwrap();
    drop(pool.clone());
    settle().await;
    assert_eq!(server.open(), 3);
    drop(pool);
    settle().await;
    assert_eq!(server.open(), 2);
    held.publish("news", "1").await.unwrap();
    drop(held);
    settle().await;
    assert_eq!(server.open(), 1);
    drop(late);
    settle().await;
    assert_eq!(server.open(), 0);
}
