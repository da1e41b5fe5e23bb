//! One order for each channel, and who gets what is in it.

use std::collections::HashMap;

use crate::conformance::Harness;
use crate::conformance::rig::{Rig, event, info, relay, text};
use crate::{Busy, EngineError, Event, Message, Origin, PublishOptions};

const THREADS: usize = 4;
const EACH: usize = 150;

pub(super) fn events_are_numbered_one_after_the_other<H: Harness>(harness: &H) {
    let rig = Rig::new(harness);
    let top = rig.subscribe();
    ["a", "b", "c"].iter().for_each(|text| rig.pass(text));
    let deliveries = rig.delivered(3);
    assert_eq!(deliveries[0].sequence, top.next(), "the first event follows what subscribing told");
    assert_eq!(rig.delivered_texts(3), ["a", "b", "c"]);
    assert_eq!(rig.position(None).sequence, deliveries[2].sequence, "the position is the last event's");
}

pub(super) fn events_of_all_kinds_share_one_order<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    let options = PublishOptions::default();
    let join = Event::new(Message::Join(info("ann", "c1")));
    let leave = Event::new(Message::Leave(info("ann", "c1")));
    for event in [event("pass"), join, relay("relay"), leave] {
        rig.try_publish(event, &options).expect("publishing works");
        rig.store("store");
    }
    let expected = ["pass", "store", "+c1", "store", "relay", "store", "-c1", "store"];
    assert_eq!(rig.delivered_texts(8), expected);
}

pub(super) fn the_client_that_does_not_get_an_event_is_told<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    let origin = Origin(u128::MAX - 1);
    for options in [PublishOptions::default(), rig.stored()] {
        rig.try_publish(event("x").except(origin), &options).expect("publishing works");
        rig.try_publish(event("y"), &options).expect("publishing works");
    }
    let excepted: Vec<_> = rig.delivered(4).iter().map(|delivery| delivery.event.except).collect();
    assert_eq!(excepted, [Some(origin), None, Some(origin), None]);
}

pub(super) fn concurrent_publishers_share_one_order<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    let publish = |thread: usize| {
        let store = |number| {
            let text = format!("{thread}:{number}");
            let offset = rig.store(&text).offset;
            (text, offset)
        };
        (0..EACH).map(store).collect::<Vec<_>>()
    };
    let acknowledged: HashMap<String, u64> = std::thread::scope(|scope| {
        let publish = &publish;
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || publish(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a publisher ends")).collect()
    });
    let mut next = [0; THREADS];
    for (delivery, offset) in rig.delivered(THREADS * EACH).iter().zip(1..) {
        let text = text(&delivery.event);
        let told = delivery.position.map(|position| position.offset);
        assert_eq!(told, Some(offset), "offsets are in the order of deliveries, at {text}");
        assert_eq!(acknowledged[&text], offset, "{text} was acknowledged with its offset");
        let (thread, number) = text.split_once(':').expect("a thread and a number");
        let thread: usize = thread.parse().expect("a thread");
        assert_eq!(number, next[thread].to_string(), "thread {thread} sees its own order");
        next[thread] += 1;
    }
}

pub(super) fn a_refused_event_leaves_nothing_behind<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    let versioned = PublishOptions { version: 7, ..rig.stored() };
    rig.recorder.set_busy(true);
    for options in [PublishOptions::default(), rig.stored(), versioned.clone()] {
        let refused = rig.try_publish(event("refused"), &options);
        assert_eq!(refused, Err(EngineError::Busy(Busy)), "a busy node refuses");
    }
    rig.recorder.set_busy(false);
    assert_eq!(rig.top().offset, 0, "no offset was used up");
    assert!(rig.kept().is_empty(), "nothing was stored");
    rig.pass("passes");
    assert!(!rig.publish("stored", &versioned).suppressed, "the version was not taken");
    let deliveries = rig.delivered(2);
    assert_eq!(rig.delivered_texts(2), ["passes", "stored"]);
    assert_eq!(deliveries[1].position.map(|position| position.offset), Some(1));
}

pub(super) fn a_refused_event_does_not_use_up_its_key<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    let options = PublishOptions { idempotency_key: Some("key".into()), ..rig.stored() };
    rig.recorder.set_busy(true);
    assert_eq!(rig.try_publish(event("first"), &options), Err(EngineError::Busy(Busy)));
    rig.recorder.set_busy(false);
    assert!(!rig.publish("second", &options).suppressed, "a refusal is no result to repeat");
    assert_eq!(rig.delivered_texts(1), ["second"]);
}

pub(super) fn subscriptions_are_counted<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    rig.subscribe();
    rig.unsubscribe();
    rig.pass("one subscription is left");
    rig.delivered(1);
    rig.unsubscribe();
    rig.pass("none is left");
    let top = rig.subscribe();
    rig.pass("again");
    let mut after = rig.delivered_until("again");
    after.retain(|delivery| delivery.sequence > top);
    let texts: Vec<_> = after.iter().map(|delivery| text(&delivery.event)).collect();
    assert_eq!(texts, ["again"], "what was published in between is not above the new start");
}

pub(super) fn a_channel_that_comes_back_into_use_continues_above_its_old_sequences<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    rig.pass("a");
    rig.pass("b");
    let last = rig.delivered(2)[1].sequence;
    for stored in [false, true] {
        rig.unsubscribe();
        if stored {
            rig.store("between");
        }
        let top = rig.subscribe();
        assert!(top >= last, "{top:?} is not below {last:?}, which may still be on its way");
    }
}

