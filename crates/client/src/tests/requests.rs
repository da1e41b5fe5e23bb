//! Requests, and subscriptions with wishes, through the handle of a client.

use futures_util::StreamExt as _;
use throng_protocol::{
    ClientInfo, Command, ConnectResult, ErrorCode, FilterNode, Format, HistoryRequest, HistoryResult,
    Message, Outcome, PresenceResult, PresenceStatsResult, Publication, Push, PushEvent, Reply, Request,
    RpcResult, SubscribeResult,
};

use super::{client::connected, *};
use crate::{
    Event, HistoryQuery, Payload, PresenceStats, RequestError, ServerEvent, StreamPosition, SubscribeError,
    SubscribeOptions,
};

fn place(offset: u64, epoch: &str) -> StreamPosition {
    StreamPosition { offset, epoch: epoch.to_owned() }
}

fn numbered(offset: u64) -> Publication {
    Publication { data: offset.to_string().into(), offset, ..Publication::default() }
}

/// Answers the next request, and returns it.
async fn answer(peer: &mut Peer<DuplexStream>, outcome: impl Into<Outcome>) -> Request {
    let (id, request) = peer.request().await;
    peer.answer(id, Ok(outcome.into())).await;
    request
}

#[tokio::test(start_paused = true)]
async fn history_presence_and_rpc_ask_and_return_in_both_formats() {
    for format in [Format::Json, Format::Protobuf] {
        let mut network = Network::new();
        let builder = network.client().format(format);
        let (client, mut peer) = connected(&mut network, builder).await;

        let query = HistoryQuery { limit: Some(2), since: Some(place(3, "e1")), reverse: true };
        let result =
            HistoryResult { publications: vec![numbered(2), numbered(1)], epoch: "e1".to_owned(), offset: 9 };
        let (history, request) = tokio::join!(client.history("news", query), answer(&mut peer, result));
        let asked = HistoryRequest {
            channel: "news".to_owned(),
            limit: 2,
            since: Some(place(3, "e1")),
            reverse: true,
        };
        assert_eq!(request, Request::History(asked));
        let history = history.unwrap();
        assert_eq!(
            (history.publications, history.position),
            (vec![numbered(2), numbered(1)], place(9, "e1"))
        );

        let ann = ClientInfo { user: "ann".to_owned(), client: "c1".to_owned(), ..ClientInfo::default() };
        let result = PresenceResult { presence: [("c1".to_owned(), ann.clone())].into() };
        let (presence, _) = tokio::join!(client.presence("news"), answer(&mut peer, result));
        assert_eq!(presence.unwrap().into_iter().collect::<Vec<_>>(), [("c1".to_owned(), ann)]);

        let result = PresenceStatsResult { num_clients: 3, num_users: 2 };
        let (stats, _) = tokio::join!(client.presence_stats("news"), answer(&mut peer, result));
        assert_eq!(stats.unwrap(), PresenceStats { clients: 3, users: 2 });

        let result = RpcResult { data: "[2]".into() };
        let (sum, request) = tokio::join!(client.rpc("sum", "[1,1]"), answer(&mut peer, result));
        assert!(
            matches!(request, Request::Rpc(rpc) if rpc.method == "sum" && rpc.data.as_bytes() == "[1,1]")
        );
        assert_eq!(sum.unwrap().as_bytes(), "[2]");

        let (sent, command) = tokio::join!(client.send("{}"), peer.command());
        sent.unwrap();
        assert!(matches!(command, Command::Send(message) if message.data.as_bytes() == "{}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_history_without_a_limit_asks_for_all_that_the_server_gives() {
    let mut network = Network::new();
    let builder = network.client();
    let (client, mut peer) = connected(&mut network, builder).await;
    for (limit, asked) in [(None, -1), (Some(0), 0), (Some(u32::MAX), i32::MAX)] {
        let query = HistoryQuery { limit, ..HistoryQuery::default() };
        let (_, request) =
            tokio::join!(client.history("news", query), answer(&mut peer, HistoryResult::default()));
        assert!(matches!(request, Request::History(history) if history.limit == asked), "{limit:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_is_not_sent() {
    let mut network = Network::new();
    let builder = network.client();
    let (client, mut peer) = connected(&mut network, builder).await;
    assert!(matches!(client.history("", HistoryQuery::default()).await, Err(RequestError::EmptyChannel)));
    assert!(matches!(client.presence("").await, Err(RequestError::EmptyChannel)));
    assert!(matches!(client.presence_stats("").await, Err(RequestError::EmptyChannel)));
    assert!(matches!(client.rpc("sum", "no json").await, Err(RequestError::NotJson)));
    assert!(matches!(client.send("no json").await, Err(RequestError::NotJson)));
    let filter = FilterNode { cmp: "like".to_owned(), ..FilterNode::default() };
    let leaf = FilterNode { cmp: "ex".to_owned(), key: "k".to_owned(), ..FilterNode::default() };
    let options = |tags_filter, delta| SubscribeOptions { tags_filter, delta, ..SubscribeOptions::default() };
    let subscribe = async |options| client.subscribe_with("news", options).await.map(drop);
    assert!(matches!(subscribe(options(Some(filter), false)).await, Err(SubscribeError::Filter(_))));
    assert!(matches!(subscribe(options(Some(leaf), true)).await, Err(SubscribeError::DeltaWithFilter)));
    let data = SubscribeOptions { data: "no json".into(), ..SubscribeOptions::default() };
    assert!(matches!(subscribe(data).await, Err(SubscribeError::NotJson)));
    // The first thing that the server sees is this: no data is fine.
    let (_, request) = tokio::join!(
        client.rpc("ping", Payload::default()),
        answer(&mut peer, RpcResult { data: Payload::default() })
    );
    assert!(matches!(request, Request::Rpc(rpc) if rpc.data.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn a_request_ends_with_the_servers_error_with_a_wrong_answer_or_at_its_deadline() {
    let mut network = Network::new();
    let builder = network.client();
    let (client, mut peer) = connected(&mut network, builder).await;
    let refuse = async {
        let (id, _) = peer.request().await;
        peer.answer(id, Err(ErrorCode::NotAvailable.into())).await;
    };
    let (refused, ()) = tokio::join!(client.presence("news"), refuse);
    assert!(matches!(refused, Err(RequestError::Refused(error)) if error.code == 108));
    let (wrong, _) = tokio::join!(client.presence("news"), answer(&mut peer, RpcResult { data: "1".into() }));
    assert!(matches!(wrong, Err(RequestError::WrongAnswer { asked: "presence", answered: "rpc" })));
    let (late, waited) = timed(client.rpc("slow", "1")).await;
    assert!(matches!(late, Err(RequestError::TimedOut { .. })));
    assert_eq!(waited, 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_message_waits_for_a_connection_and_no_longer_than_the_timeout() {
    let mut network = Network::new();
    let client = network.client().build().unwrap();
    let attempt = network.attempt().await;
    let (late, waited) = timed(client.send("1")).await;
    assert!(matches!(late, Err(RequestError::NotSent { .. })));
    assert_eq!(waited, 5 * SECOND);
    let server = async {
        let mut peer = Peer::accept(attempt.connect()).await;
        peer.welcome().await;
        peer.command().await
    };
    let (sent, command) = tokio::join!(client.send("2"), server);
    sent.unwrap();
    assert!(matches!(command, Command::Send(message) if message.data.as_bytes() == "2"));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_knows_where_its_reader_stands_and_another_one_goes_on_from_there() {
    let mut network = Network::new();
    let builder = network.client();
    let (client, mut peer) = connected(&mut network, builder).await;
    let options = SubscribeOptions { recoverable: true, ..SubscribeOptions::default() };
    let result = |offset| SubscribeResult {
        recoverable: true,
        offset,
        epoch: "e1".to_owned(),
        ..SubscribeResult::default()
    };
    let (news, _) = tokio::join!(client.subscribe_with("news", options), answer(&mut peer, result(4)));
    let mut news = news.unwrap();
    assert!(news.is_recoverable());
    assert_eq!(news.position(), Some(place(4, "e1")));
    for offset in [5, 6] {
        let event = PushEvent::Publication(numbered(offset));
        peer.reply(&[Reply::Push(Push { channel: "news".to_owned(), event })]).await;
    }
    assert_eq!(news.next_publication().await, Some(numbered(5)));
    assert_eq!(news.position(), Some(place(5, "e1")), "6 has arrived, but nobody has read it");
    let since = news.position();
    drop(news);
    peer.release("news").await;

    let options = SubscribeOptions { since, ..SubscribeOptions::default() };
    let again = SubscribeResult { recovered: true, publications: vec![numbered(6)], ..result(5) };
    let (news, request) = tokio::join!(client.subscribe_with("news", options), answer(&mut peer, again));
    assert!(matches!(request, Request::Subscribe(subscribe) if subscribe.recover && subscribe.offset == 5));
    let mut news = news.unwrap();
    assert_eq!(news.position(), Some(place(5, "e1")));
    assert!(matches!(news.next().await, Some(Event::Publication(publication)) if publication.offset == 6));
    assert_eq!(news.position(), Some(place(6, "e1")));
}

#[tokio::test(start_paused = true)]
async fn what_the_server_does_by_itself_is_a_stream_that_misses_nothing_from_the_start() {
    let mut network = Network::new();
    let builder = network.client();
    let server = async {
        let mut peer = network.accept().await;
        let subs = [("#ann".to_owned(), SubscribeResult::default())].into();
        peer.welcome_with(ConnectResult { client: "c1".to_owned(), subs, ..ConnectResult::default() }).await;
        peer.publish("#ann", "1").await;
        let message = PushEvent::Message(Message { data: "2".into() });
        peer.reply(&[Reply::Push(Push { channel: String::new(), event: message })]).await;
        peer
    };
    let (connected, peer) = tokio::join!(builder.connect_with_events(), server);
    let (client, mut events) = connected.unwrap();
    let next = async |events: &mut crate::ServerEvents| events.next().await;
    assert!(matches!(
        next(&mut events).await,
        Some(ServerEvent::Channel { channel, event: Event::Subscribed }) if &*channel == "#ann"
    ));
    assert!(matches!(
        next(&mut events).await,
        Some(ServerEvent::Channel { event: Event::Publication(publication), .. }) if publication.data.as_bytes() == "1"
    ));
    assert!(matches!(next(&mut events).await, Some(ServerEvent::Message(data)) if data.as_bytes() == "2"));
    drop(peer);
    assert!(matches!(next(&mut events).await, Some(ServerEvent::Channel { event: Event::Subscribing, .. })));
    client.close().await;
    assert!(next(&mut events).await.is_none());
}
