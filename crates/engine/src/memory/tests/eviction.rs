//! What goes when there is too much.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// What one publication of a single byte costs; the first of a stream carries its epoch.
fn cost() -> usize {
    let node = Node::new(MemoryLimits::default());
    node.store("news", "x");
    let first = node.engine.sizes().bytes;
    node.store("news", "x");
    node.engine.sizes().bytes - first
}

/// An engine with room for that many publications, each the first of its stream or not.
fn room_for(publications: usize) -> Node {
    // Less than one more publication fits into what epochs may take.
    let bytes = publications * (cost() + 8);
    assert!(publications * 8 < cost());
    Node::new(MemoryLimits { bytes, ..MemoryLimits::default() })
}

fn streams(streams: usize) -> Node {
    Node::new(MemoryLimits { streams, ..MemoryLimits::default() })
}

#[test]
fn publications_of_the_longest_idle_stream_go_first_and_the_oldest_of_them_first() {
    let node = room_for(5);
    for channel in ["a", "b", "a", "b", "c"] {
        node.store(channel, "x");
    }
    node.store("c", "x");
    assert_eq!(node.engine.sizes().evicted_publications, 1);
    node.store("c", "x");
    assert_eq!([node.kept("a"), node.kept("b"), node.kept("c")], [vec![], vec![1, 2], vec![1, 2, 3]]);
}

#[test]
fn reading_a_stream_keeps_its_publications_longer() {
    for read in [|node: &Node| node.kept("a").len() as u64, |node: &Node| node.top("a").offset] {
        let node = room_for(2);
        node.store("a", "x");
        node.store("b", "x");
        assert_eq!(read(&node), 1);
        node.store("c", "x");
        assert_eq!([node.kept("a"), node.kept("b"), node.kept("c")], [vec![1], vec![], vec![1]]);
    }
}

#[test]
fn what_is_shed_is_the_longest_idle_streams_first_and_no_more_than_is_asked_for() {
    let node = Node::new(MemoryLimits::default());
    for channel in ["a", "b", "b", "c"] {
        node.store(channel, "x");
    }
    let position = node.top("a");
    node.top("b");
    node.top("c");
    let before = node.engine.sizes().bytes;
    let shed = node.engine.shed(cost());
    assert_eq!(shed, before - node.engine.sizes().bytes);
    assert_eq!([node.kept("a"), node.kept("b"), node.kept("c")], [vec![], vec![1, 2], vec![1]]);
    assert_eq!(node.top("a"), position, "who recovers is told what is lost");
    node.engine.shed(usize::MAX);
    assert_eq!(node.engine.sizes().bytes, 0);
    assert_eq!(node.engine.shed(1), 0);
}

#[test]
fn a_stream_whose_publications_were_evicted_keeps_its_position() {
    let node = room_for(1);
    let before = node.store("a", "x");
    node.store("b", "x");
    assert!(node.kept("a").is_empty());
    assert_eq!(node.top("a"), before);
    assert_eq!(node.store("a", "x"), Position { offset: 2, ..before });
}

#[test]
fn a_publication_that_is_larger_than_the_bound_is_delivered_and_goes_with_all_the_others() {
    let node = room_for(3);
    node.subscribe("a");
    node.store("b", "x");
    node.store("a", "x");
    let large = event(vec![b'x'; 100_000]);
    let published = now(node.engine.publish(&name("a"), large, &stored())).unwrap();
    assert_eq!(published.position, Some(node.top("a")));
    assert_eq!(node.engine.sink().count(&name("a")), 2);
    let sizes = node.engine.sizes();
    assert_eq!((sizes.publications, sizes.bytes, sizes.streams), (0, 0, 2));
    assert_eq!(sizes.evicted_publications, 3);
}

#[test]
fn a_stream_whose_newest_publication_was_evicted_gives_no_base_for_a_delta() {
    let node = room_for(1);
    node.subscribe("a");
    node.store("a", "x");
    node.store("b", "x");
    node.publish("a", "y", &PublishOptions { delta: true, ..stored() });
    assert!(node.engine.sink().deliveries(&name("a"))[1].previous.is_none());
}

#[test]
fn with_too_many_streams_the_longest_idle_one_goes_with_its_epoch() {
    let node = streams(2);
    let [a, b] = ["a", "b"].map(|channel| node.store(channel, "x"));
    node.top("a");
    node.clock.advance(Duration::from_secs(1));
    let c = node.store("c", "x");
    let sizes = node.engine.sizes();
    assert_eq!(
        (sizes.streams, sizes.channels, sizes.evicted_streams, sizes.evicted_publications),
        (2, 2, 1, 1)
    );
    assert_eq!([node.top("a"), node.top("c")], [a, c], "these were used later");
    assert_ne!(node.top("b").epoch, b.epoch);
}

#[test]
fn a_stream_with_subscribers_never_loses_its_epoch() {
    let node = streams(1);
    node.subscribe("a");
    let a = node.store("a", "x");
    for channel in ["b", "c"] {
        node.store(channel, "x");
    }
    let sizes = node.engine.sizes();
    assert_eq!((sizes.streams, sizes.evicted_streams), (1, 2), "those without subscribers go, however new");
    assert_eq!(node.top("a"), a);
    node.subscribe("b");
    let b = node.store("b", "x");
    assert_eq!(node.engine.sizes().streams, 2, "what has subscribers may be more than the limit");
    node.engine.unsubscribe(&name("a"));
    node.store("b", "y");
    assert_eq!(node.engine.sizes().streams, 1, "until they leave");
    assert_eq!(node.top("b"), Position { offset: 2, ..b });
}

#[test]
fn a_stream_that_has_just_lost_its_last_subscriber_is_not_the_first_to_go() {
    let node = streams(2);
    node.subscribe("a");
    let a = node.store("a", "x");
    node.store("b", "x");
    node.engine.unsubscribe(&name("a"));
    node.clock.advance(Duration::from_secs(1));
    node.store("c", "x");
    assert_eq!(node.top("a"), a);
}

#[test]
fn an_engine_that_may_keep_nothing_still_delivers() {
    let node =
        Node::new(MemoryLimits { streams: 0, bytes: 0, idempotency_keys: 0, ..MemoryLimits::default() });
    node.store("a", "x");
    assert_eq!(node.engine.sizes().channels, 0);
    node.subscribe("a");
    let first = node.store("a", "x");
    assert_eq!(node.store("a", "x"), Position { offset: 2, ..first }, "the subscribed channel has its epoch");
    assert_eq!(node.engine.sink().count(&name("a")), 2);
    let sizes = node.engine.sizes();
    assert_eq!((sizes.streams, sizes.publications, sizes.bytes), (1, 0, 0));
}

#[test]
fn threads_that_publish_at_once_exceed_the_bound_by_one_publication_each() {
    const THREADS: usize = 4;
    const FIT: usize = 20;
    let bytes = FIT * (cost() + 8);
    let node = Node::new(MemoryLimits { bytes, streams: 10, ..MemoryLimits::default() });
    let done = AtomicBool::new(false);
    let publish = |thread: usize| {
        for number in 0..2_000 {
            let channel = name(&format!("{thread}:{}", number % 7));
            now(node.engine.publish(&channel, event("x"), &stored())).unwrap();
        }
    };
    std::thread::scope(|scope| {
        let publish = &publish;
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || publish(thread))).collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let sizes = node.engine.sizes();
                assert!(sizes.bytes <= bytes + THREADS * (cost() + 8), "{sizes:?}");
                assert!(sizes.streams <= 10 + THREADS, "{sizes:?}");
            }
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        done.store(true, Ordering::Relaxed);
    });
    let sizes = node.engine.sizes();
    assert!(sizes.bytes <= bytes && sizes.streams == 10 && sizes.channels == 10, "{sizes:?}");
    let kept = sizes.publications as u64;
    assert_eq!(sizes.evicted_publications + kept, THREADS as u64 * 2_000, "every one is kept or was evicted");
}
