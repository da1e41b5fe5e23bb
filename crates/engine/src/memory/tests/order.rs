//! Sequences, and how long a channel takes memory.

use throng_protocol::frame::MessageKind;

use super::*;
use crate::Sequence;

fn pass(node: &Node) {
    let event = Event::new(Message::Relay { kind: MessageKind::Text, data: "x".into() });
    now(node.engine.publish(&name("news"), event, &PublishOptions::default())).unwrap();
}

fn numbers(node: &Node) -> Vec<u64> {
    let deliveries = node.engine.sink().deliveries(&name("news"));
    deliveries.iter().map(|delivery| delivery.sequence.get()).collect()
}

fn node() -> Node {
    Node::new(MemoryLimits::default())
}

#[test]
fn events_of_a_channel_are_numbered_from_its_position() {
    let node = node();
    assert_eq!(now(node.engine.subscribe(&name("news"))).unwrap(), Sequence::new(0));
    pass(&node);
    pass(&node);
    assert_eq!(numbers(&node), [1, 2]);
    assert_eq!(now(node.engine.position(&name("news"), None)).unwrap().sequence, Sequence::new(2));
}

#[test]
fn a_full_queue_refuses_the_event_and_leaves_no_hole() {
    let node = node();
    node.subscribe("news");
    node.engine.sink().set_busy(true);
    for options in [PublishOptions::default(), stored()] {
        assert!(now(node.engine.publish(&name("news"), event("x"), &options)).is_err());
    }
    node.engine.sink().set_busy(false);
    pass(&node);
    assert_eq!(numbers(&node), [1]);
    assert_eq!(node.engine.sizes().streams, 0, "not even a stream was made");
}

#[test]
fn without_subscribers_no_queue_can_be_full() {
    let node = node();
    node.engine.sink().set_busy(true);
    assert_eq!(node.store("news", "x").offset, 1);
}

#[test]
fn a_channel_without_subscribers_and_without_history_takes_no_memory() {
    let node = node();
    pass(&node);
    node.publish("news", "x", &PublishOptions::default());
    assert_eq!(now(node.engine.position(&name("news"), None)).unwrap().sequence, Sequence::new(0));
    now(node.engine.remove_history(&name("news"))).unwrap();
    assert_eq!(node.engine.sizes().channels, 0);
    node.subscribe("news");
    node.subscribe("news");
    node.engine.unsubscribe(&name("news"));
    pass(&node);
    assert_eq!(numbers(&node), [1], "one subscriber is left");
    node.engine.unsubscribe(&name("news"));
    assert_eq!(node.engine.sizes().channels, 0);
    node.engine.unsubscribe(&name("news"));
    assert_eq!(node.engine.sizes().channels, 0, "once too often does nothing");
}

#[test]
fn a_channel_with_a_stream_stays_when_its_subscribers_leave() {
    let node = node();
    node.subscribe("news");
    let first = node.store("news", "x");
    node.engine.unsubscribe(&name("news"));
    assert_eq!((node.engine.sizes().channels, node.engine.sizes().streams), (1, 1));
    assert_eq!(node.store("news", "x"), Position { offset: 2, ..first });
    assert_eq!(numbers(&node), [1], "nobody was there for the second one");
}

#[test]
fn a_channel_that_comes_back_into_use_continues_above_its_old_sequences() {
    let node = node();
    node.subscribe("news");
    pass(&node);
    node.engine.unsubscribe(&name("news"));
    assert_eq!(now(node.engine.subscribe(&name("news"))).unwrap(), Sequence::new(1));
    pass(&node);
    assert_eq!(numbers(&node), [1, 2]);
}

#[test]
fn a_channel_whose_stream_is_evicted_continues_above_its_old_sequences() {
    let node = Node::new(MemoryLimits { streams: 1, ..MemoryLimits::default() });
    node.subscribe("news");
    node.store("news", "x");
    node.engine.unsubscribe(&name("news"));
    node.store("other", "x");
    assert_eq!(node.engine.sizes().channels, 1);
    assert_eq!(now(node.engine.subscribe(&name("news"))).unwrap(), Sequence::new(1));
}

#[test]
fn a_publisher_that_still_holds_a_removed_channel_can_tell() {
    let node = node();
    node.subscribe("news");
    let held = node.engine.channel(&name("news")).unwrap();
    assert!(!held.hold(&name("news"), &node.engine.ledger).removed);
    node.engine.unsubscribe(&name("news"));
    assert!(held.hold(&name("news"), &node.engine.ledger).removed);
}

#[test]
fn threads_that_publish_at_once_are_put_into_one_order() {
    let node = node();
    node.subscribe("news");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..500).for_each(|_| pass(&node)));
        }
    });
    assert_eq!(numbers(&node), (1..=2_000).collect::<Vec<_>>());
}
