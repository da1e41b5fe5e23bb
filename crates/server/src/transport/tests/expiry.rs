//! Connections and subscriptions whose time is over.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::*;
use crate::auth::{Capabilities, Capability, ChannelMatch, Operation};
use crate::handlers::{Handler, RefreshEvent, RefreshReply, SubscribeEvent, SubscribeReply};
use crate::listener::Pass;
use crate::node::{Order, Overrides, Selector, ServerSubscription};
use crate::session::{Grant, Identity};

/// A moment so many seconds from now, in Unix seconds. The clock of the wall goes on while that of the test stands still.
fn in_seconds(seconds: u64) -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs() + seconds).expect("before the end of time")
}

/// Whether so many seconds have passed since, give or take those that moments in whole seconds are off.
fn took(start: Instant, seconds: u64) -> bool {
    (seconds - 1..=seconds).contains(&(start.elapsed() + Duration::from_millis(100)).as_secs())
}

fn without_pings(settings: &mut Settings) {
    settings.client.ping_interval = None;
    settings.client.pong_timeout = None;
}

impl Rig {
    /// Has all anonymous clients do something.
    async fn order(&self, order: Order) {
        assert_eq!(self.node.order(&Selector::default(), order).await, Ok(1));
    }
}

impl Peer {
    async fn tell(&mut self, command: &str) {
        self.send(Opcode::Text, command.as_bytes()).await;
    }

    /// The next message.
    async fn json(&mut self) -> Value {
        serde_json::from_str(&self.frame().await.1).expect("JSON")
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_nobody_prolongs_ends_when_its_grace_is_over() {
    with_rig_of(
        |settings, _| without_pings(settings),
        async |rig| {
            let mut peer = rig.protocol(PingStyle::Application).await;
            peer.connect().await;
            let start = Instant::now();
            rig.order(Order::Refresh { expire_at: in_seconds(10), info: None }).await;
            assert_eq!(peer.json().await["push"]["refresh"]["expires"], true);
            assert_eq!(peer.close_code().await, 3005);
            assert!(took(start, 35), "{:?}", start.elapsed());
            drop(peer);
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_can_be_prolonged_again_and_for_ever() {
    with_rig_of(
        |settings, set| {
            without_pings(settings);
            set.refresh = Some(Handler::new(|event: RefreshEvent| async move {
                let seconds = event.token.parse().expect("the test sends numbers");
                Ok(RefreshReply { expire_at: in_seconds(seconds), ..RefreshReply::default() })
            }));
        },
        async |rig| {
            let mut peer = rig.protocol(PingStyle::Application).await;
            peer.connect().await;
            rig.order(Order::Refresh { expire_at: in_seconds(10), info: None }).await;
            peer.json().await;
            tokio::time::advance(Duration::from_secs(30)).await;
            let start = Instant::now();
            peer.tell(r#"{"id":2,"refresh":{"token":"60"}}"#).await;
            let refreshed = peer.json().await["refresh"].take();
            assert_eq!(refreshed["expires"], true);
            assert!(matches!(refreshed["ttl"].as_u64(), Some(59..=60)), "{refreshed}");
            tokio::time::advance(Duration::from_secs(80)).await;
            rig.order(Order::Refresh { expire_at: 0, info: None }).await;
            assert_eq!(peer.json().await["push"]["refresh"].get("expires"), None);
            tokio::time::advance(Duration::from_secs(3_600)).await;
            peer.tell(r#"{"id":3,"refresh":{"token":"5"}}"#).await;
            assert_eq!(peer.json().await["id"], 3);
            assert!(start.elapsed() > Duration::from_secs(3_600));
            let start = Instant::now();
            assert_eq!(peer.close_code().await, 3005);
            assert!(took(start, 30), "{:?}", start.elapsed());
            drop(peer);
        },
    )
    .await;
}

/// Has subscriptions last as many seconds as their channels' names say.
fn seconds_by_name(settings: &mut Settings, set: &mut HandlerSet) {
    without_pings(settings);
    set.subscribe = Some(Handler::new(|event: SubscribeEvent| async move {
        let expire_at = event.channel.split('-').next_back().and_then(|seconds| seconds.parse().ok());
        let expire_at = expire_at.map_or(0, in_seconds);
        Ok(SubscribeReply { expire_at, ..SubscribeReply::default() })
    }));
}

#[tokio::test(start_paused = true)]
async fn many_subscriptions_of_one_client_end_each_in_its_time() {
    with_rig_of(seconds_by_name, async |rig| {
        let mut peer = rig.protocol(PingStyle::Application).await;
        peer.connect().await;
        let start = Instant::now();
        for number in 0..120 {
            let channel = format!("c{number}-{}", 10 + 5 * (number % 4));
            peer.tell(&format!(r#"{{"id":2,"subscribe":{{"channel":"{channel}"}}}}"#)).await;
            assert!(peer.json().await["subscribe"].is_object());
        }
        peer.tell(r#"{"id":3,"unsubscribe":{"channel":"c0-10"}}"#).await;
        peer.json().await;
        let mut ended = BTreeMap::<u64, usize>::new();
        for _ in 0..119 {
            let push = peer.json().await["push"].take();
            assert_eq!(push["unsubscribe"]["code"], 2501);
            let channel = push["channel"].as_str().expect("a channel");
            let seconds: u64 = channel.split('-').next_back().expect("it has one").parse().expect("a number");
            assert!(took(start, seconds + 25), "{channel} ended after {:?}", start.elapsed());
            *ended.entry(seconds).or_default() += 1;
        }
        assert_eq!(ended, BTreeMap::from([(10, 29), (15, 30), (20, 30), (25, 30)]));
        assert_eq!(rig.node.directory().channel_count(), 0);
        peer.tell(r#"{"id":4,"subscribe":{"channel":"again"}}"#).await;
        assert_eq!(peer.json().await["id"], 4);
        drop(peer);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_the_server_gave_takes_its_connection_along() {
    with_rig_of(
        |settings, _| without_pings(settings),
        async |rig| {
            let mut peer = rig.protocol(PingStyle::Application).await;
            peer.connect().await;
            let start = Instant::now();
            let subscription = ServerSubscription {
                channel: "news".parse().expect("a name"),
                info: throng_protocol::Payload::default(),
                data: throng_protocol::Payload::default(),
                recover_since: None,
                overrides: Overrides::default(),
                expire_at: Some(in_seconds(10)),
            };
            rig.order(Order::Subscribe(Box::new(subscription))).await;
            assert!(peer.json().await["push"]["subscribe"].is_object());
            assert_eq!(peer.close_code().await, 3006);
            assert!(took(start, 35), "{:?}", start.elapsed());
            drop(peer);
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_long_on_its_way_survives_the_end_of_subscriptions() {
    with_rig_of(seconds_by_name, async |rig| {
        let mut peer = rig.protocol(PingStyle::Application).await;
        peer.connect().await;
        for channel in ["a-10", "b-12", "c-14"] {
            peer.tell(&format!(r#"{{"id":2,"subscribe":{{"channel":"{channel}"}}}}"#)).await;
            peer.json().await;
        }
        let command = br#"{"id":9,"unsubscribe":{"channel":"x"}}"#;
        let mut frame = vec![0x81, 0x80 | u8::try_from(command.len()).expect("short"), 0, 0, 0, 0];
        frame.extend_from_slice(command);
        let (first, second) = frame.split_at(20);
        peer.0.write_all(first).await.expect("the server is there");
        for _ in 0..3 {
            assert_eq!(peer.json().await["push"]["unsubscribe"]["code"], 2501);
        }
        peer.0.write_all(second).await.expect("the server is there");
        assert_eq!(peer.json().await["id"], 9);
        drop(peer);
    })
    .await;
}

fn pass(expires: Option<i64>, allow: &[Operation]) -> Route {
    let channels = vec![ChannelMatch::Exact("relay:lobby".into())];
    let capabilities = Capabilities(vec![Capability { channels, allow: allow.to_vec() }]);
    let capabilities = Some(Arc::new(capabilities));
    let grant = Grant { user: "ann".to_owned(), capabilities, ..Grant::default() };
    let identity = Arc::new(Identity::from(grant));
    let room = "relay:lobby".parse().expect("a name");
    Route::Relay { room, pass: Some(Arc::new(Pass { identity, expires })) }
}

#[tokio::test(start_paused = true)]
async fn a_member_of_a_room_leaves_it_when_its_token_has_expired() {
    with_rig_of(
        |settings, _| without_pings(settings),
        async |rig| {
            let start = Instant::now();
            let mut member = rig.open(pass(Some(in_seconds(10)), &[Operation::Publish])).await;
            let mut stranger = rig.relay().await;
            member.send(Opcode::Text, b"hi").await;
            assert_eq!(stranger.frame().await.1, "hi");
            assert_eq!(rig.node.directory().clients_of("ann").len(), 1);
            assert_eq!(member.close_code().await, 3005);
            assert!(took(start, 10), "{:?}", start.elapsed());
            drop((member, stranger));
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_member_whose_token_says_so_only_listens() {
    with_rig(async |rig| {
        let mut listener = rig.open(pass(None, &[Operation::Subscribe])).await;
        let mut speaker = rig.relay().await;
        speaker.send(Opcode::Text, b"hi").await;
        assert_eq!(listener.frame().await.1, "hi");
        listener.send(Opcode::Text, b"ho").await;
        assert_eq!(listener.close_code().await, 1008);
        drop((listener, speaker));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_application_can_end_the_members_of_rooms_by_their_user() {
    with_rig(async |rig| {
        let (mut member, stranger) = (rig.open(pass(None, &[])).await, rig.relay().await);
        let end = || Order::Disconnect { code: 3503, reason: "force disconnect".into() };
        assert_eq!(rig.node.order(&Selector::default(), end()).await, Ok(0), "strangers are nobody's");
        let ann = Selector { user: "ann".into(), ..Selector::default() };
        assert_eq!(rig.node.order(&ann, end()).await, Ok(1));
        assert_eq!(member.close_code().await, 3503);
        drop((member, stranger));
    })
    .await;
}
