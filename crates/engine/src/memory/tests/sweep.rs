//! What time frees.

use super::*;
use crate::MemorySizes;

#[test]
fn a_sweep_frees_what_has_expired() {
    let node = Node::new(MemoryLimits::default());
    node.store("a", "x");
    node.store("a", "x");
    node.publish(
        "b",
        "x",
        &PublishOptions { idempotency_key: Some("key".into()), ..PublishOptions::default() },
    );
    node.engine.sweep();
    let sizes = node.engine.sizes();
    assert_eq!((sizes.publications, sizes.streams, sizes.idempotency_keys), (2, 1, 1), "it is not yet time");
    node.clock.advance(TTL);
    node.engine.sweep();
    let sizes = node.engine.sizes();
    assert_eq!((sizes.publications, sizes.bytes, sizes.streams, sizes.channels), (0, 0, 1, 1));
    node.clock.advance(META_TTL);
    node.engine.sweep();
    let expected = MemorySizes { expired_publications: 2, expired_streams: 1, ..MemorySizes::default() };
    assert_eq!(node.engine.sizes(), expected);
}

#[test]
fn a_channel_with_subscribers_keeps_its_epoch_and_later_its_place_in_memory_until_they_leave() {
    let node = Node::new(MemoryLimits::default());
    node.subscribe("a");
    let before = node.store("a", "x");
    node.clock.advance(META_TTL * 2);
    node.engine.sweep();
    assert_eq!(node.engine.sizes().publications, 0);
    assert_eq!(node.top("a"), before);
    node.clock.advance(META_TTL * 2);
    node.engine.unsubscribe(&name("a"));
    node.engine.sweep();
    assert_eq!(node.top("a"), before, "whoever has just left may come back");
    node.clock.advance(META_TTL);
    node.engine.sweep();
    assert_eq!((node.engine.sizes().streams, node.engine.sizes().channels), (0, 0));
}

#[test]
fn a_stream_whose_time_is_over_does_not_come_back_with_a_subscriber_before_the_sweep() {
    let node = Node::new(MemoryLimits::default());
    let before = node.store("a", "x");
    node.clock.advance(META_TTL);
    node.subscribe("a");
    assert_ne!(node.top("a").epoch, before.epoch);
    assert_eq!(node.engine.sizes().expired_streams, 1);
}

#[test]
fn to_unsubscribe_once_too_often_is_no_use_of_a_stream() {
    let node = Node::new(MemoryLimits::default());
    let before = node.store("a", "x");
    node.clock.advance(META_TTL / 2);
    node.engine.unsubscribe(&name("a"));
    node.clock.advance(META_TTL / 2);
    assert_ne!(node.top("a").epoch, before.epoch);
}

#[test]
fn one_sweep_does_a_bounded_part_of_the_work_and_32_do_it_all() {
    let streams = 40_000;
    let node = Node::new(MemoryLimits::default());
    for number in 0..streams {
        now(node.engine.publish(&name(&number.to_string()), event("x"), &stored())).unwrap();
    }
    node.clock.advance(META_TTL);
    node.engine.sweep();
    let swept = streams - node.engine.sizes().streams;
    assert!((1_000..=streams / 16).contains(&swept), "{swept} in one sweep");
    for _ in 0..32 {
        node.engine.sweep();
    }
    let expired = streams as u64;
    let expected =
        MemorySizes { expired_publications: expired, expired_streams: expired, ..MemorySizes::default() };
    assert_eq!(node.engine.sizes(), expected);
}

#[test]
fn a_sweep_while_others_publish_and_subscribe_leaves_no_channel_behind_and_loses_none() {
    let node = Node::new(MemoryLimits { streams: 20, ..MemoryLimits::default() });
    let stored = PublishOptions {
        history: Some(HistoryOptions {
            ttl: Duration::from_millis(1),
            meta_ttl: Duration::from_millis(2),
            size: 3,
        }),
        ..PublishOptions::default()
    };
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (node, stored) = (&node, &stored);
            scope.spawn(move || {
                for number in 0..3_000 {
                    let channel = name(&format!("{}", number % 5));
                    let own = name(&format!("own {thread}:{}", number % 11));
                    now(node.engine.subscribe(&own)).unwrap();
                    let before = node.engine.sink().count(&own);
                    now(node.engine.publish(&own, event("x"), stored)).unwrap();
                    now(node.engine.publish(&channel, event("x"), stored)).unwrap();
                    assert_eq!(node.engine.sink().count(&own), before + 1);
                    node.engine.unsubscribe(&own);
                    node.clock.advance(Duration::from_micros(300));
                    node.engine.sweep();
                }
            });
        }
    });
    node.clock.advance(Duration::from_secs(1));
    node.engine.sweep();
    let sizes = node.engine.sizes();
    assert_eq!((sizes.channels, sizes.streams, sizes.publications, sizes.bytes), (0, 0, 0, 0), "{sizes:?}");
}
