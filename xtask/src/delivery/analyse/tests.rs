use std::{sync::Arc, time::Duration};

use super::*;
use crate::delivery::log::{Attempt, Audit, Body, Channel, Id, Item, Outcome, Position, Seen, Start, What};

const RECOVERY: ChannelId = 0;
const PLAIN: ChannelId = 1;
const LATEST: ChannelId = 2;

/// A record that is written step by step; each step takes a millisecond.
struct Story {
    log: Log,
    clock: u64,
}

impl Story {
    fn new(subscribers: usize) -> Self {
        let channel = |name: &str, promise| Channel { name: name.to_owned(), promise };
        let log = Log {
            channels: vec![
                channel("recovery:0", Promise::Announced { kept: 5 }),
                channel("plain:1", Promise::Lossless),
                channel("latest:2", Promise::Ordered),
            ],
            subscribers: vec![Vec::new(); subscribers],
            ..Log::default()
        };
        Self { log, clock: 0 }
    }

    fn tick(&mut self) -> Duration {
        self.clock += 1;
        Duration::from_millis(self.clock)
    }

    fn attempt(&mut self, channel: ChannelId, number: u32, outcome: impl FnOnce(Duration) -> Outcome) {
        let sent = self.tick();
        let outcome = outcome(self.tick());
        let id = Id { publisher: 0, number };
        self.log.attempts.push(Attempt {
            id,
            channel,
            connection: 0,
            tagged: number.is_multiple_of(2),
            sent,
            outcome,
        });
    }

    /// Publications that were acknowledged, one after the other.
    fn publish(&mut self, channel: ChannelId, numbers: impl IntoIterator<Item = u32>) {
        for number in numbers {
            self.attempt(channel, number, |at| Outcome::Accepted { at, position: None });
        }
    }

    fn see(&mut self, subscriber: usize, what: What) {
        let at = self.tick();
        self.log.subscribers[subscriber].push(Seen { at, what });
    }

    fn subscribe(&mut self, subscriber: usize, channel: ChannelId, offset: u64) {
        let position = (channel == RECOVERY).then(|| at(offset));
        let start = Box::new(Start { position, ..Start::default() });
        self.see(subscriber, What::Subscribed { channel, start });
    }

    /// A recovery from `asked`; with publications it succeeds.
    fn recover(&mut self, subscriber: usize, asked: Position, told: Position, brought: Option<&[u64]>) {
        let publications = brought.unwrap_or_default().iter().map(|offset| stored(*offset)).collect();
        let recovered = brought.is_some();
        let start = Start {
            asked: Some(asked),
            was_recovering: true,
            recovered,
            filtered: false,
            position: Some(told),
            publications,
        };
        self.see(subscriber, What::Subscribed { channel: RECOVERY, start: Box::new(start) });
    }

    /// Publications with offsets.
    fn get(&mut self, subscriber: usize, offsets: impl IntoIterator<Item = u64>) {
        for offset in offsets {
            let what = What::Publication { channel: RECOVERY, item: stored(offset), epoch: None };
            self.see(subscriber, what);
        }
    }

    /// Publications without.
    fn hear(&mut self, subscriber: usize, channel: ChannelId, numbers: impl IntoIterator<Item = u32>) {
        for number in numbers {
            let item = Item { offset: 0, body: Body::Sent(Id { publisher: 0, number }) };
            self.see(subscriber, What::Publication { channel, item, epoch: None });
        }
    }

    fn cut(&mut self, subscriber: usize) {
        self.see(subscriber, What::Disconnected { code: None });
    }

    /// The kinds of what is found, each once.
    fn kinds(&self) -> Vec<Kind> {
        let mut kinds: Vec<_> = analyse(&self.log).violations.iter().map(|found| found.kind).collect();
        kinds.sort();
        kinds.dedup();
        kinds
    }
}

/// A position of the usual epoch.
fn at(offset: u64) -> Position {
    Position { epoch: Arc::from("abc"), offset }
}

fn of_epoch(epoch: &str, offset: u64) -> Position {
    Position { epoch: Arc::from(epoch), offset }
}

/// What stands at an offset of the recovery channel: the publication of that number.
fn stored(offset: u64) -> Item {
    Item { offset, body: Body::Sent(Id { publisher: 0, number: u32::try_from(offset).unwrap() }) }
}

/// One subscriber, and ten publications that stand at 1 to 10.
fn ten() -> Story {
    let mut story = Story::new(1);
    story.subscribe(0, RECOVERY, 0);
    story.publish(RECOVERY, 1..=10);
    story
}

#[test]
fn a_life_with_cuts_recoveries_and_announced_gaps_is_good() {
    let mut story = Story::new(2);
    story.subscribe(0, RECOVERY, 0);
    story.subscribe(1, PLAIN, 0);
    story.publish(RECOVERY, 1..=4);
    story.get(0, 1..=2);
    story.cut(0);
    story.recover(0, at(2), at(2), Some(&[3, 4]));
    story.publish(RECOVERY, 5..=30);
    story.get(0, 5..=6);
    story.see(0, What::Unsubscribed { channel: RECOVERY, code: 2500 });
    // 24 are missing, and 5 are kept.
    story.recover(0, at(6), at(30), None);
    story.publish(RECOVERY, 31..=33);
    story.get(0, 31..=33);
    // The server was killed.
    story.cut(0);
    story.publish(RECOVERY, 40..=41);
    story.recover(0, at(33), of_epoch("xyz", 2), None);
    story.publish(PLAIN, 50..=52);
    story.hear(1, PLAIN, 50..=52);
    story.see(0, What::Finished);
    assert_eq!(story.kinds(), []);
}

#[test]
fn what_was_not_answered_may_come_once_or_not_at_all() {
    let mut story = Story::new(1);
    story.subscribe(0, RECOVERY, 0);
    story.attempt(RECOVERY, 1, |_| Outcome::Unknown);
    story.attempt(RECOVERY, 7, |_| Outcome::Unknown);
    story.publish(RECOVERY, [2]);
    story.get(0, [1, 2]);
    assert_eq!(story.kinds(), []);
    story.get(0, [1]);
    assert_eq!(story.kinds(), [Kind::Doubled]);
}

#[test]
fn a_missing_publication_is_a_silent_gap_and_a_loss() {
    let mut story = ten();
    story.get(0, 1..=4);
    story.get(0, 6..=10);
    assert_eq!(story.kinds(), [Kind::SilentGap, Kind::Lost]);
}

#[test]
fn a_publication_that_never_got_an_offset_is_a_loss() {
    let mut story = ten();
    story.publish(RECOVERY, [99]);
    story.publish(RECOVERY, [11]);
    story.get(0, 1..=11);
    assert_eq!(story.kinds(), [Kind::Lost]);
}

#[test]
fn a_doubled_publication_is_found() {
    let mut story = ten();
    story.get(0, 1..=4);
    story.get(0, 4..=10);
    assert_eq!(story.kinds(), [Kind::Doubled]);
}

#[test]
fn a_publication_that_stands_at_two_offsets_is_found() {
    let mut story = ten();
    story.get(0, 1..=10);
    let item = Item { offset: 11, ..stored(10) };
    story.see(0, What::Publication { channel: RECOVERY, item, epoch: None });
    assert_eq!(story.kinds(), [Kind::Doubled]);
}

#[test]
fn swapped_publications_are_found() {
    let mut story = ten();
    story.get(0, [1, 2, 4, 3, 5, 6, 7, 8, 9, 10]);
    assert_eq!(story.kinds(), [Kind::SilentGap, Kind::Reordered]);
}

#[test]
fn a_changed_payload_is_found() {
    let mut story = ten();
    story.get(0, 1..=4);
    let item = Item { offset: 5, body: Body::Foreign("{}".into()) };
    story.see(0, What::Publication { channel: RECOVERY, item, epoch: None });
    assert_eq!(story.kinds(), [Kind::Changed]);
}

#[test]
fn two_payloads_for_one_offset_are_found_even_when_both_were_sent() {
    let mut story = ten();
    story.log.subscribers.push(Vec::new());
    story.get(0, 1..=2);
    story.subscribe(1, RECOVERY, 1);
    let item = Item { offset: 2, ..stored(3) };
    story.see(1, What::Publication { channel: RECOVERY, item, epoch: None });
    assert!(story.kinds().contains(&Kind::Disagreement), "{:?}", story.kinds());
}

#[test]
fn what_the_api_acknowledged_must_stand_where_it_said() {
    let mut story = Story::new(1);
    story.subscribe(0, RECOVERY, 0);
    story.attempt(RECOVERY, 1, |time| Outcome::Accepted { at: time, position: Some(at(2)) });
    story.get(0, [1]);
    assert!(story.kinds().contains(&Kind::Doubled), "{:?}", story.kinds());
}

#[test]
fn a_recovery_that_leaves_one_out_is_a_silent_gap() {
    let mut story = ten();
    story.get(0, 1..=4);
    story.cut(0);
    story.recover(0, at(4), at(4), Some(&[5, 7, 8]));
    assert_eq!(story.kinds(), [Kind::SilentGap, Kind::Lost]);
}

#[test]
fn a_recovery_that_brings_nothing_shows_with_the_next_publication() {
    let mut story = ten();
    story.get(0, 1..=4);
    story.cut(0);
    story.recover(0, at(4), at(4), Some(&[]));
    assert_eq!(story.kinds(), []);
    story.publish(RECOVERY, [11]);
    story.get(0, [11]);
    assert_eq!(story.kinds(), [Kind::SilentGap, Kind::Lost]);
}

#[test]
fn a_recovery_into_another_epoch_is_a_bad_start() {
    let mut story = ten();
    story.get(0, 1..=10);
    story.cut(0);
    story.recover(0, at(10), of_epoch("xyz", 10), Some(&[]));
    assert_eq!(story.kinds(), [Kind::BadStart]);
}

#[test]
fn a_recovery_that_fails_although_all_is_kept_is_needless() {
    let mut story = ten();
    story.get(0, 1..=5);
    story.cut(0);
    story.recover(0, at(5), at(10), None);
    assert_eq!(story.kinds(), [Kind::NeedlessFailure]);
}

#[test]
fn a_positioned_subscription_without_a_position_is_a_bad_start() {
    let mut story = Story::new(1);
    let start = Box::new(Start::default());
    story.see(0, What::Subscribed { channel: RECOVERY, start });
    assert_eq!(story.kinds(), [Kind::BadStart]);
}

#[test]
fn a_publication_after_the_unsubscribe_is_found() {
    let mut story = ten();
    story.get(0, 1..=4);
    story.see(0, What::Left { channel: RECOVERY });
    story.get(0, [5]);
    assert_eq!(story.kinds(), [Kind::NotSubscribed]);
}

#[test]
fn a_refused_publication_may_not_appear() {
    let mut story = Story::new(1);
    story.subscribe(0, RECOVERY, 0);
    story.attempt(RECOVERY, 1, |_| Outcome::Refused { code: 111 });
    story.get(0, [1]);
    assert_eq!(story.kinds(), [Kind::Refused]);
}

#[test]
fn a_publication_in_another_channel_is_misrouted() {
    let mut story = Story::new(1);
    story.subscribe(0, PLAIN, 0);
    story.publish(LATEST, [1]);
    story.hear(0, PLAIN, [1]);
    assert_eq!(story.kinds(), [Kind::Misrouted]);
}

#[test]
fn without_offsets_a_loss_shows_once_something_later_arrives() {
    let mut story = Story::new(1);
    story.subscribe(0, PLAIN, 0);
    story.publish(PLAIN, 1..=5);
    story.hear(0, PLAIN, [1, 2, 3]);
    assert_eq!(story.kinds(), []);
    story.hear(0, PLAIN, [5]);
    assert_eq!(story.kinds(), [Kind::Lost]);
}

#[test]
fn without_offsets_what_is_published_while_nobody_is_subscribed_is_no_loss() {
    let mut story = Story::new(1);
    story.subscribe(0, PLAIN, 0);
    story.publish(PLAIN, 1..=2);
    story.hear(0, PLAIN, 1..=2);
    story.cut(0);
    story.publish(PLAIN, 3..=4);
    story.subscribe(0, PLAIN, 0);
    story.publish(PLAIN, 5..=6);
    story.hear(0, PLAIN, 5..=6);
    assert_eq!(story.kinds(), []);
}

#[test]
fn without_offsets_doubled_and_swapped_ones_are_found() {
    let mut story = Story::new(1);
    story.subscribe(0, LATEST, 0);
    story.publish(LATEST, 1..=5);
    story.hear(0, LATEST, [1, 3, 5]);
    assert_eq!(story.kinds(), [], "slow readers lose some there");
    story.hear(0, LATEST, [4]);
    assert_eq!(story.kinds(), [Kind::Reordered]);
    story.hear(0, LATEST, [5]);
    assert!(story.kinds().contains(&Kind::Doubled), "{:?}", story.kinds());
}

#[test]
fn subscribers_that_contradict_each_other_through_a_third_are_found() {
    let mut story = Story::new(3);
    // All on the way at once, from different publishers: nothing but the subscribers tells their order.
    for publisher in 1..=3 {
        let sent = Duration::from_millis(1);
        let outcome = Outcome::Accepted { at: Duration::from_secs(9), position: None };
        let id = Id { publisher, number: 0 };
        story.log.attempts.push(Attempt { id, channel: PLAIN, connection: 0, tagged: false, sent, outcome });
    }
    for (subscriber, pair) in [[1, 2], [2, 3], [3, 1]].into_iter().enumerate() {
        story.subscribe(subscriber, PLAIN, 0);
        for publisher in pair {
            let item = Item { offset: 0, body: Body::Sent(Id { publisher, number: 0 }) };
            story.see(subscriber, What::Publication { channel: PLAIN, item, epoch: None });
        }
    }
    assert_eq!(story.kinds(), [Kind::Disagreement]);
    story.log.subscribers.pop();
    assert_eq!(story.kinds(), []);
}

#[test]
fn the_order_of_one_publishers_connection_holds_without_acknowledgements() {
    let mut story = Story::new(1);
    story.subscribe(0, PLAIN, 0);
    for number in 1..=3 {
        story.attempt(PLAIN, number, |_| Outcome::Unknown);
    }
    story.hear(0, PLAIN, [1, 3, 2]);
    assert_eq!(story.kinds(), [Kind::Reordered]);
}

#[test]
fn a_filter_may_hide_what_has_no_tag_and_nothing_else() {
    let filtered = |offsets: &[u64]| {
        let mut story = ten();
        story.get(0, 1..=10);
        story.log.subscribers.push(Vec::new());
        let start = Box::new(Start { filtered: true, position: Some(at(0)), ..Start::default() });
        story.see(1, What::Subscribed { channel: RECOVERY, start });
        story.publish(RECOVERY, [11, 12]);
        story.get(0, [11, 12]);
        story.get(1, offsets.iter().copied());
        story.kinds()
    };
    assert_eq!(filtered(&[2, 4, 6, 8, 10, 12]), []);
    assert_eq!(filtered(&[2, 4, 8, 10, 12]), [Kind::SilentGap]);
    assert_eq!(filtered(&[2, 4, 5, 6, 8, 10, 12]), [Kind::Unwanted]);
    assert_eq!(filtered(&[2, 4, 6, 8, 10, 10, 12]), [Kind::Doubled]);
}

#[test]
fn a_history_with_a_hole_is_found() {
    let mut story = ten();
    story.get(0, 1..=10);
    let audit = |offsets: &[u64]| Audit {
        channel: RECOVERY,
        position: at(10),
        publications: offsets.iter().map(|offset| stored(*offset)).collect(),
    };
    story.log.audits = vec![audit(&[8, 9, 10])];
    assert_eq!(story.kinds(), []);
    story.log.audits = vec![audit(&[7, 9, 10])];
    assert_eq!(story.kinds(), [Kind::SilentGap]);
    story.log.audits = vec![audit(&[8, 9])];
    assert_eq!(story.kinds(), [Kind::SilentGap]);
}

#[test]
fn what_cannot_be_read_and_what_does_not_come_is_found() {
    let mut story = ten();
    story.see(0, What::Stuck { channel: RECOVERY });
    story.see(0, What::Broken { channel: None, text: "not JSON".to_owned() });
    assert_eq!(story.kinds(), [Kind::Unreadable, Kind::Stuck]);
}

#[test]
fn a_violation_is_shown_with_the_events_around_it() {
    let mut story = ten();
    story.subscribe(0, PLAIN, 0);
    story.get(0, 1..=4);
    story.get(0, 6..=10);
    let shown = analyse(&story.log).show(&story.log);
    assert!(shown.contains("VIOLATION SilentGap: p0#6 at 6 came where 5 was due"), "{shown}");
    assert!(shown.contains("recovery:0") && shown.contains("subscriber 0"), "{shown}");
    assert!(
        shown.lines().any(|line| line.starts_with("  >") && line.contains("publication p0#6")),
        "{shown}"
    );
    assert!(shown.contains("publication p0#4 at 4") && shown.contains("publication p0#7 at 7"), "{shown}");
}
