//! Offsets, epochs, and what a stream keeps of its publications.

use std::collections::BTreeMap;
use std::sync::Arc;

use throng_protocol::{ClientInfo, Payload, Publication};

use crate::conformance::Harness;
use crate::conformance::rig::{Rig, event, fresh_channel, info, relay};
use crate::{Epoch, Event, HistoryQuery, Message, Position, PublishOptions};

pub(super) fn offsets_count_from_one_and_the_first_publication_carries_the_epoch<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    let acknowledged: Vec<Position> = ["a", "b", "c"].iter().map(|text| rig.store(text)).collect();
    let epoch = acknowledged[0].epoch;
    let kept = rig.history(&HistoryQuery::default());
    assert_eq!(kept.position, Position { offset: 3, epoch }, "the top is the newest publication's");
    let kept = kept.publications.expect("no position was named");
    let expected: Vec<_> = (1..=3).map(|offset| Position { offset, epoch }).collect();
    assert_eq!(acknowledged, expected, "as acknowledged");
    for ((delivery, kept), position) in rig.delivered(3).into_iter().zip(kept).zip(expected) {
        let offset = position.offset;
        assert_eq!(delivery.position, Some(position), "as delivered");
        let Message::Publication(delivered) = delivery.event.message else {
            panic!("a publication is delivered as one")
        };
        let on_the_wire = if offset == 1 { epoch.as_str() } else { "" };
        assert_eq!((delivered.offset, &*delivered.epoch), (offset, on_the_wire), "to subscribers");
        assert_eq!((kept.offset, &*kept.epoch), (offset, on_the_wire), "in the history");
    }
}

pub(super) fn an_epoch_exists_before_the_first_publication<H: Harness>(harness: &H) {
    let rig = Rig::new(harness);
    let top = rig.top();
    assert_eq!(top.offset, 0, "nothing was published");
    assert_eq!(rig.top(), top, "the epoch stays");
    assert_eq!(rig.store("a"), Position { offset: 1, ..top }, "and is the first publication's");
}

pub(super) fn no_stream_is_told_of_unless_asked<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    rig.store("a");
    assert_eq!(rig.position(None).position, None);
}

pub(super) fn what_is_published_without_subscribers_is_stored<H: Harness>(harness: &H) {
    let rig = Rig::new(harness);
    rig.store("before");
    assert_eq!(rig.kept(), ["before"]);
    rig.subscribe();
    rig.store("after");
    assert_eq!(rig.delivered_texts(1), ["after"]);
    assert_eq!(rig.kept(), ["before", "after"]);
}

pub(super) fn what_is_not_stored_takes_no_offset<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    rig.store("a");
    rig.pass("skips the history");
    assert_eq!(rig.store("b").offset, 2);
    let deliveries = rig.delivered(3);
    assert_eq!(deliveries[1].position, None, "it is in no stream");
    let Message::Publication(passed) = &deliveries[1].event.message else { panic!("it is a publication") };
    assert_eq!(passed.offset, 0);
    assert_eq!(rig.kept(), ["a", "b"]);
}

pub(super) fn joins_leaves_and_relay_messages_are_never_stored<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    let join = Event::new(Message::Join(info("ann", "c1")));
    let leave = Event::new(Message::Leave(info("ann", "c1")));
    for event in [join, leave, relay("relay")] {
        let published = rig.try_publish(event, &rig.stored()).expect("publishing works");
        assert_eq!(published.position, None);
    }
    assert!(rig.delivered(3).iter().all(|delivery| delivery.position.is_none()));
    assert_eq!(rig.top().offset, 0);
}

pub(super) fn streams_of_different_channels_are_apart<H: Harness>(harness: &H) {
    let mut rig = Rig::subscribed(harness);
    let first = rig.store_all(&["a", "b"]);
    let here = rig.channel.clone();
    rig.channel = fresh_channel();
    let second = rig.store("c");
    assert_eq!(second.offset, 1, "offsets are the channel's own");
    assert_ne!(first.epoch, second.epoch, "and so is the epoch");
    rig.remove_history();
    rig.channel = here;
    assert_eq!(rig.kept(), ["a", "b"]);
    rig.delivered(2);
}

pub(super) fn a_stored_publication_keeps_all_it_carries<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    let publication = Publication {
        data: Payload::from("data"),
        info: Some(ClientInfo {
            user: "ann".into(),
            client: "c1".into(),
            conn_info: Payload::from("conn"),
            chan_info: Payload::from("chan"),
        }),
        tags: BTreeMap::from([("color".into(), "red".into()), ("size".into(), String::new())]),
        key: "key".into(),
        ..Publication::default()
    };
    let event = Event::new(Message::Publication(Arc::new(publication.clone())));
    let epoch: Epoch = rig.top().epoch;
    rig.try_publish(event.clone(), &PublishOptions::default()).expect("publishing works");
    rig.try_publish(event, &rig.stored()).expect("publishing works");
    let stored = Publication { offset: 1, epoch: epoch.to_string(), ..publication.clone() };
    let kept = rig.history(&HistoryQuery::default()).publications.expect("no position was named");
    assert_eq!(*kept[0], stored, "in the history");
    for (delivery, expected) in rig.delivered(2).iter().zip([publication, stored]) {
        let Message::Publication(delivered) = &delivery.event.message else {
            panic!("a publication is delivered as one")
        };
        assert_eq!(**delivered, expected, "to subscribers");
    }
}

pub(super) fn removal_takes_the_publications_and_leaves_the_position<H: Harness>(harness: &H) {
    let rig = Rig::new(harness);
    let last = rig.store_all(&["a", "b", "c"]);
    rig.remove_history();
    assert!(rig.kept().is_empty(), "the publications are gone");
    assert_eq!(rig.top(), last, "offset and epoch are not");
    assert_eq!(rig.store("d"), Position { offset: 4, ..last });
    assert_eq!(rig.kept(), ["d"]);
}

pub(super) fn removal_of_what_is_not_there_does_nothing<H: Harness>(harness: &H) {
    let rig = Rig::subscribed(harness);
    rig.remove_history();
    rig.try_publish(event("a"), &rig.stored()).expect("publishing works");
    rig.remove_history();
    rig.remove_history();
    assert_eq!(rig.top().offset, 1);
    rig.delivered(1);
}
