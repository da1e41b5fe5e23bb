//! How many idempotency keys are kept, and for how long.

use super::*;

fn keyed(key: impl ToString) -> PublishOptions {
    PublishOptions { idempotency_key: Some(key.to_string().into()), ..PublishOptions::default() }
}

fn keys(keys: usize, ttl: Duration) -> Node {
    Node::new(MemoryLimits { idempotency_keys: keys, idempotency_ttl: ttl, ..MemoryLimits::default() })
}

#[test]
fn with_too_many_keys_the_oldest_goes() {
    let node = keys(3, TTL);
    for key in 1..=4 {
        assert!(!node.publish("news", "x", &keyed(key)).suppressed);
    }
    for key in [4, 3, 2] {
        assert!(node.publish("news", "x", &keyed(key)).suppressed, "{key} is kept");
    }
    assert!(!node.publish("news", "x", &keyed(1)).suppressed, "the first one is not");
    let sizes = node.engine.sizes();
    assert_eq!((sizes.idempotency_keys, sizes.evicted_idempotency_keys), (3, 2));
}

#[test]
fn the_bound_holds_and_is_nearly_used_up_however_keys_fall() {
    let node = keys(10_000, TTL);
    for key in 0..50_000 {
        node.publish("news", "x", &keyed(key));
    }
    let sizes = node.engine.sizes();
    assert!((9_900..=10_000).contains(&sizes.idempotency_keys), "{sizes:?}");
    assert_eq!(sizes.evicted_idempotency_keys + sizes.idempotency_keys as u64, 50_000);
}

#[test]
fn without_room_for_keys_every_publication_is_new() {
    let node = keys(0, TTL);
    assert!(!node.publish("news", "x", &keyed(1)).suppressed);
    assert!(!node.publish("news", "x", &keyed(1)).suppressed);
    assert_eq!(node.engine.sizes().idempotency_keys, 0);
}

#[test]
fn a_time_beyond_all_clocks_means_that_keys_do_not_expire() {
    let node = keys(10, Duration::MAX);
    node.publish("news", "x", &keyed(1));
    node.clock.advance(Duration::from_secs(1 << 32));
    node.engine.sweep();
    assert!(node.publish("news", "x", &keyed(1)).suppressed);
}

#[test]
fn a_key_takes_no_memory_when_its_time_is_over_and_the_next_of_its_stripe_comes() {
    let node = keys(10, TTL);
    for key in 0..5 {
        node.publish("news", "x", &keyed(key));
    }
    node.clock.advance(TTL);
    node.publish("news", "x", &keyed("next"));
    assert_eq!(node.engine.sizes().idempotency_keys, 1);
    assert_eq!(node.engine.sizes().evicted_idempotency_keys, 0, "expiry is no eviction");
}
