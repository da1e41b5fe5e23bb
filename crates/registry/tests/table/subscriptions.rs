use throng_registry::{Ended, Subscription, WireFormat};

use crate::support::{LIMITS, Shard, at, name};

#[test]
fn a_subscriber_gets_nothing_that_was_published_before_it_subscribed() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.member("news");
    let bob = shard.client(WireFormat::Relay);
    // The position was read when 7 was the top; what is still on its way from before must not be delivered.
    shard.enter(bob, "news");
    shard.complete(bob, "news", Subscription { sequence: 7, ..Subscription::default() });
    shard.sequence = 6;
    shard.publish("news", "seven");
    shard.publish("news", "eight");
    shard.flush();
    assert_eq!(shard.heard(ann), ["seven", "eight"]);
    assert_eq!(shard.heard(bob), ["subscribed", "eight"]);
}

#[test]
fn nothing_follows_an_unsubscribe() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.member("news");
    shard.publish("news", "before");
    assert_eq!(
        shard.table.unsubscribe(ann, &name("news")),
        Some(Ended { marks: 0, leave: true }),
        "it was the last one"
    );
    shard.reply(ann, "unsubscribed");
    assert_eq!(shard.publish("news", "after"), 0);
    assert_eq!(shard.table.unsubscribe(ann, &name("news")), None);
    shard.flush();
    // "before" had been put into the outbox; the channel it came from is gone by the time of the flush.
    assert_eq!(shard.heard(ann), ["before", "unsubscribed"]);
}

#[test]
fn a_slot_finds_nobody_after_its_client_has_gone() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.member("news");
    let (_, emptied) = shard.table.remove(ann).unwrap();
    assert_eq!(emptied, [(name("news"), Ended { marks: 0, leave: true })]);
    let bob = shard.member("news");
    assert_ne!(ann, bob);
    shard.reply(ann, "for ann");
    assert!(shard.table.remove(ann).is_none());
    shard.flush();
    assert_eq!(shard.heard(bob), Vec::<String>::new());
    assert_eq!(shard.table.sizes(), (1, 1, 1));
}

#[test]
fn a_channel_stays_in_use_while_a_subscription_to_it_is_under_way() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.member("news");
    let bob = shard.client(WireFormat::Relay);
    assert!(!shard.enter(bob, "news"), "the shard is in the channel already");
    assert_eq!(shard.table.unsubscribe(ann, &name("news")), Some(Ended { marks: 0, leave: false }));
    assert!(shard.table.abandon(bob, &name("news")));
    assert!(shard.enter(bob, "news"));
    assert!(shard.complete(bob, "news", Subscription::default()));
    assert_eq!(shard.table.sizes(), (2, 1, 1));
}

#[test]
fn a_channel_out_of_use_is_gone_after_the_turn() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.member("news");
    shard.publish("news", "x");
    shard.table.unsubscribe(ann, &name("news"));
    shard.flush();
    assert_eq!(shard.table.sizes(), (1, 0, 0));
}

#[test]
fn what_comes_while_a_subscription_is_made_follows_its_reply() {
    let mut shard = Shard::new(LIMITS);
    let [ann, bob] = [(); 2].map(|()| shard.member("news"));
    let eve = shard.client(WireFormat::Relay);
    shard.enter(eve, "news");
    shard.publish("news", "one");
    shard.publish_except("news", "by eve", Some(eve));
    shard.flush();
    assert_eq!(shard.heard(eve), Vec::<String>::new());
    shard.publish("news", "two");
    // The position was read after the first of them.
    assert!(shard.complete(eve, "news", Subscription { sequence: 1, ..Subscription::default() }));
    shard.publish("news", "three");
    shard.flush();
    assert_eq!(shard.heard(eve), ["subscribed", "two", "three"]);
    for slot in [ann, bob] {
        assert_eq!(shard.heard(slot), ["one", "by eve", "two", "three"]);
    }
}

#[test]
fn what_is_held_of_a_stream_goes_by_its_offset() {
    let mut shard = Shard::new(LIMITS);
    let eve = shard.client(WireFormat::Json);
    shard.enter(eve, "news");
    for offset in 1..=4 {
        shard.tell_at("news", offset, &format!("number {offset}"));
    }
    // The stream was read elsewhere, after the second of them and at a moment that the sequence does not tell.
    assert!(shard.complete(eve, "news", at(9, 2)));
    shard.tell_at("news", 5, "number 5");
    shard.flush();
    assert_eq!(shard.heard(eve), ["subscribed", "number 3", "number 4", "number 5"]);
}

#[test]
fn a_client_may_make_several_subscriptions_at_once() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.client(WireFormat::Relay);
    assert!(shard.enter(ann, "one"));
    assert!(shard.enter(ann, "two"));
    assert!(!shard.enter(ann, "two"), "it has entered already");
    assert_eq!(shard.table.subscription_count_of(ann), 2);
    shard.publish("one", "1");
    shard.publish("two", "2");
    assert!(shard.complete(ann, "two", Subscription::default()));
    assert!(shard.complete(ann, "one", Subscription::default()));
    assert!(!shard.complete(ann, "one", Subscription::default()), "it is complete");
    shard.flush();
    assert_eq!(shard.heard(ann), ["subscribed", "2", "subscribed", "1"]);
    assert_eq!(shard.table.sizes(), (1, 2, 2));
}

#[test]
fn a_client_that_goes_takes_the_subscriptions_that_it_was_making_along() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.member("news");
    shard.enter(ann, "more");
    shard.publish("more", "held");
    let (_, mut ended) = shard.table.remove(ann).unwrap();
    ended.sort_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
    let leave = Ended { marks: 0, leave: true };
    assert_eq!(ended, [(name("more"), leave), (name("news"), leave)]);
    assert_eq!(shard.table.sizes(), (0, 0, 0));
    assert!(!shard.table.abandon(ann, &name("more")), "that was reported already");
    assert!(!shard.complete(ann, "more", Subscription::default()));
}

#[test]
fn a_client_whose_subscriptions_end_keeps_the_one_that_it_is_making() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.member("news");
    shard.enter(ann, "more");
    assert_eq!(shard.table.unsubscribe(ann, &name("more")), None);
    assert_eq!(shard.table.unsubscribe_all(ann).len(), 1);
    assert!(shard.complete(ann, "more", Subscription::default()));
    assert!(shard.table.is_subscribed(ann, &name("more")));
}

#[test]
fn marks_come_back_as_they_were_given() {
    let mut shard = Shard::new(LIMITS);
    let ann = shard.client(WireFormat::Relay);
    for (channel, marks) in [("one", 0b1010_0001), ("two", 3)] {
        shard.enter(ann, channel);
        assert_eq!(shard.table.marks_of(ann, &name(channel)), None);
        shard.complete(ann, channel, Subscription { marks, ..Subscription::default() });
    }
    assert_eq!(shard.table.marks_of(ann, &name("one")), Some(0b1010_0001));
    assert_eq!(shard.table.unsubscribe(ann, &name("two")), Some(Ended { marks: 3, leave: true }));
    assert_eq!(shard.table.unsubscribe_all(ann), [(name("one"), Ended { marks: 0b1010_0001, leave: true })]);
}

#[test]
fn channels_are_counted_by_their_subscribers_here() {
    let mut shard = Shard::new(LIMITS);
    let [ann, _] = [(); 2].map(|()| shard.member("news"));
    shard.enter(ann, "more");
    let counts: Vec<_> =
        shard.table.channel_counts().map(|(name, count)| (name.to_string(), count)).collect();
    assert_eq!(counts, [("news".to_owned(), 2)]);
}
