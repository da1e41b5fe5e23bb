//! Streams over what was published: typed ones, and the past page by page.

use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use throng_protocol::{ErrorCode, Format, HistoryRequest, HistoryResult, Outcome, Publication, Request};

use super::{client::connected, *};
use crate::{
    Event, HistoryQuery, JsonEvent, QueueBounds, RequestError, SlowReader, StreamPosition, SubscribeOptions,
    UnsubscribeReason,
};

#[derive(Debug, Deserialize, Eq, PartialEq)]
struct Tick {
    price: u32,
}

#[tokio::test(start_paused = true)]
async fn a_typed_stream_says_what_it_cannot_read_and_goes_on() {
    for format in [Format::Json, Format::Protobuf] {
        let mut network = Network::new();
        let builder = network.client().format(format);
        let (client, mut peer) = connected(&mut network, builder).await;
        let (ticks, ()) = tokio::join!(client.subscribe("ticks"), peer.confirm("ticks"));
        let mut ticks = ticks.unwrap().json::<Tick>();
        assert_eq!(ticks.subscription().channel(), "ticks");
        for payload in ["{\"price\":1}", "{\"price\":\"much\"}", "{\"price\":3}", "[]", "{\"price\":5}"] {
            peer.publish("ticks", payload).await;
        }
        assert!(matches!(
            ticks.next().await,
            Some(JsonEvent::Value { value: Tick { price: 1 }, publication }) if publication.data.len() == 11
        ));
        let Some(JsonEvent::Unreadable(error)) = ticks.next().await else { panic!("it is no tick") };
        assert_eq!(error.publication.data.as_bytes(), "{\"price\":\"much\"}");
        assert!(std::error::Error::source(&error).is_some_and(|source| source.to_string().contains("u32")));
        assert_eq!(ticks.next_value().await.unwrap().unwrap(), Tick { price: 3 });
        assert!(ticks.next_value().await.unwrap().is_err());
        assert_eq!(ticks.next_value().await.unwrap().unwrap(), Tick { price: 5 });
        client.close().await;
        assert!(matches!(ticks.next().await, Some(JsonEvent::Other(Event::Unsubscribed(_)))));
        assert!(ticks.next_value().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_chooses_what_it_loses_when_it_is_too_slow() {
    let mut network = Network::new();
    let builder = network.client();
    let (client, mut peer) = connected(&mut network, builder).await;
    let queue = Some(QueueBounds { events: 2, bytes: 1_000 });
    let options = |slow_reader| SubscribeOptions { queue, slow_reader, ..SubscribeOptions::default() };
    let subscribed = async |peer: &mut Peer<DuplexStream>, channel, slow_reader| {
        let subscribe = client.subscribe_with(channel, options(slow_reader));
        let (subscription, ()) = tokio::join!(subscribe, peer.confirm(channel));
        subscription.unwrap()
    };
    let mut newest = subscribed(&mut peer, "newest", SlowReader::DropNewest).await;
    let mut oldest = subscribed(&mut peer, "oldest", SlowReader::DropOldest).await;
    let mut ending = subscribed(&mut peer, "ending", SlowReader::Unsubscribe).await;
    for channel in ["newest", "oldest", "ending"] {
        for number in 0..4 {
            peer.publish(channel, &number.to_string()).await;
        }
    }
    peer.release("ending").await;
    let first = async |stream: &mut crate::Subscription| stream.next_publication().await.unwrap().data;
    assert_eq!(first(&mut newest).await.as_bytes(), "0");
    assert_eq!(first(&mut newest).await.as_bytes(), "1");
    assert!(matches!(newest.next().await, Some(Event::Missed(2))));
    assert!(matches!(oldest.next().await, Some(Event::Missed(2))));
    assert_eq!(first(&mut oldest).await.as_bytes(), "2");
    assert_eq!(first(&mut ending).await.as_bytes(), "0");
    assert_eq!(first(&mut ending).await.as_bytes(), "1");
    assert!(matches!(ending.next().await, Some(Event::Unsubscribed(UnsubscribeReason::TooSlow))));
    assert!(ending.next().await.is_none());
}

/// A page of a stream that stands at 5.
fn page(offsets: &[u64]) -> HistoryResult {
    let numbered = |offset: &u64| Publication {
        data: offset.to_string().into(),
        offset: *offset,
        ..Publication::default()
    };
    HistoryResult { publications: offsets.iter().map(numbered).collect(), epoch: "e1".to_owned(), offset: 5 }
}

/// Answers history commands with these pages, and returns what was asked for.
async fn answer_pages(peer: &mut Peer<DuplexStream>, pages: &[&[u64]]) -> Vec<(i32, Option<u64>, bool)> {
    let mut asked = Vec::new();
    for offsets in pages {
        let (id, Request::History(HistoryRequest { limit, since, reverse, .. })) = peer.request().await
        else {
            panic!("no history command")
        };
        asked.push((limit, since.map(|since: StreamPosition| since.offset), reverse));
        peer.answer(id, Ok(Outcome::History(page(offsets)))).await;
    }
    asked
}

#[tokio::test(start_paused = true)]
async fn the_past_is_read_page_by_page_in_both_directions_until_its_end() {
    type Case<'a> = (bool, &'a [&'a [u64]], &'a [Option<u64>]);
    let cases: [Case<'_>; 5] = [
        (false, &[&[1, 2], &[3, 4], &[5]], &[None, Some(2), Some(4)]),
        (false, &[&[4, 5]], &[None]),
        (false, &[&[]], &[None]),
        (true, &[&[5, 4], &[3, 2], &[1]], &[None, Some(4), Some(2)]),
        (true, &[&[5, 4], &[]], &[None, Some(4)]),
    ];
    for format in [Format::Json, Format::Protobuf] {
        let mut network = Network::new();
        let builder = network.client().format(format);
        let (client, mut peer) = connected(&mut network, builder).await;
        for (reverse, pages, since) in cases {
            let query = HistoryQuery { limit: Some(2), reverse, ..HistoryQuery::default() };
            let read = client.history_pages("news", query).try_collect::<Vec<_>>();
            let (read, asked) = tokio::join!(read, answer_pages(&mut peer, pages));
            let read: Vec<Vec<u64>> = read
                .unwrap()
                .iter()
                .map(|page| page.publications.iter().map(|publication| publication.offset).collect())
                .collect();
            assert_eq!(read, pages, "{reverse}");
            let expected: Vec<_> = since.iter().map(|since| (2, *since, reverse)).collect();
            assert_eq!(asked, expected);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_pages_of_the_past_end_with_their_first_error() {
    let mut network = Network::new();
    let builder = network.client();
    let (client, mut peer) = connected(&mut network, builder).await;
    let mut pages = client.history_pages("news", HistoryQuery::default());
    let (first, asked) = tokio::join!(pages.next(), answer_pages(&mut peer, &[&[1]]));
    assert!(first.unwrap().is_ok());
    assert_eq!(asked, [(100, None, false)]);
    let refuse = async {
        let (id, _) = peer.request().await;
        peer.answer(id, Err(ErrorCode::UnrecoverablePosition.into())).await;
    };
    let (second, ()) = tokio::join!(pages.next(), refuse);
    assert!(matches!(second, Some(Err(RequestError::Refused(error))) if error.code == 112));
    assert!(pages.next().await.is_none());
}
