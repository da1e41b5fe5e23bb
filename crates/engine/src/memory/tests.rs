use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use parking_lot::Mutex;
use throng_protocol::frame::MessageKind;

use super::*;
use crate::{Busy, Message};

#[derive(Default)]
struct Log {
    full: AtomicBool,
    taken: Mutex<Vec<Sequence>>,
}

impl Sink for Log {
    type Ticket = ();

    fn reserve(&self, _: &ChannelName) -> Result<(), Busy> {
        if self.full.load(Ordering::Relaxed) { Err(Busy) } else { Ok(()) }
    }

    fn deliver(&self, (): (), _: &ChannelName, delivery: Delivery) {
        self.taken.lock().push(delivery.sequence);
    }
}

fn engine() -> MemoryEngine<Log> {
    MemoryEngine::new(Log::default(), MemoryLimits::default())
}

fn event() -> Event {
    Event::new(Message::Relay { kind: MessageKind::Text, data: "x".into() })
}

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the memory engine answers inline")
}

fn publish(engine: &MemoryEngine<Log>, channel: &ChannelName) {
    now(engine.publish(channel, event(), &PublishOptions::default())).unwrap();
}

fn numbers(engine: &MemoryEngine<Log>) -> Vec<u64> {
    engine.sink().taken.lock().iter().map(|sequence| sequence.get()).collect()
}

#[test]
fn events_of_a_channel_are_numbered_from_its_position() {
    let engine = engine();
    let news = "news".parse().unwrap();
    assert_eq!(now(engine.subscribe(&news)).unwrap(), Sequence::new(0));
    publish(&engine, &news);
    publish(&engine, &news);
    assert_eq!(numbers(&engine), [1, 2]);
    assert_eq!(now(engine.position(&news, None)).unwrap().sequence, Sequence::new(2));
}

#[test]
fn a_full_queue_refuses_the_event_and_leaves_no_hole() {
    let engine = engine();
    let news = "news".parse().unwrap();
    now(engine.subscribe(&news)).unwrap();
    engine.sink().full.store(true, Ordering::Relaxed);
    assert_eq!(now(engine.publish(&news, event(), &PublishOptions::default())), Err(EngineError::Busy(Busy)));
    engine.sink().full.store(false, Ordering::Relaxed);
    publish(&engine, &news);
    assert_eq!(numbers(&engine), [1]);
}

#[test]
fn a_channel_without_subscribers_takes_no_memory() {
    let engine = engine();
    let news = "news".parse().unwrap();
    publish(&engine, &news);
    assert_eq!(engine.sizes().channels, 0);
    now(engine.subscribe(&news)).unwrap();
    now(engine.subscribe(&news)).unwrap();
    engine.unsubscribe(&news);
    publish(&engine, &news);
    assert_eq!(numbers(&engine), [1], "one subscriber is left");
    engine.unsubscribe(&news);
    assert_eq!(engine.sizes().channels, 0);
}

#[test]
fn a_channel_that_comes_back_into_use_continues_above_its_old_sequences() {
    let engine = engine();
    let news = "news".parse().unwrap();
    now(engine.subscribe(&news)).unwrap();
    publish(&engine, &news);
    engine.unsubscribe(&news);
    assert_eq!(now(engine.subscribe(&news)).unwrap(), Sequence::new(1));
    publish(&engine, &news);
    assert_eq!(numbers(&engine), [1, 2]);
}

#[test]
fn a_publisher_that_still_holds_a_removed_stream_can_tell() {
    let engine = engine();
    let news = "news".parse().unwrap();
    now(engine.subscribe(&news)).unwrap();
    let held = engine.channel(&news).unwrap();
    assert!(!held.lock().removed);
    engine.unsubscribe(&news);
    assert!(held.lock().removed);
}

#[test]
fn threads_that_publish_at_once_are_put_into_one_order() {
    let engine = engine();
    let news: ChannelName = "news".parse().unwrap();
    now(engine.subscribe(&news)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..500).for_each(|_| publish(&engine, &news)));
        }
    });
    assert_eq!(numbers(&engine), (1..=2_000).collect::<Vec<_>>());
}
