//! Token getters against a real server that knows the secret of the tokens.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::StreamExt as _;
use serde_json::json;
use support::bounded;
use throng_client::{
    Backoff, Client, ConnectError, Disconnect, Event, Format, State, SubscribeError, SubscribeOptions, Token,
    TokenError,
};
use throng_server::{
    Running, Server,
    config::{ChannelOptions, Settings},
    tokens::Signer,
};

const SECRET: &str = "a secret that only server and backend know";
const CHANNEL: &str = "orders";

/// A server that ends at once what nobody prolongs.
async fn server() -> Running {
    let mut settings = Settings::default();
    settings.http_server.port = 0;
    settings.shards.count = 1;
    settings.client.token.hmac_secret_key = SECRET.into();
    settings.client.expired_close_delay = Duration::ZERO;
    settings.client.expired_sub_close_delay = Duration::ZERO;
    settings.channel.without_namespace = Some(ChannelOptions::open());
    Server::builder().settings(settings).start().await.expect("the server starts")
}

fn in_seconds(seconds: i64) -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("in range") + seconds
}

fn signed(claims: &serde_json::Value) -> Token {
    Signer::hmac(SECRET).sign(claims).expect("a secret signs").into()
}

fn connection_token(seconds: i64) -> Token {
    signed(&json!({"sub": "ann", "exp": in_seconds(seconds)}))
}

fn subscription_token(channel: &str, seconds: i64) -> Token {
    signed(&json!({"sub": "ann", "channel": channel, "exp": in_seconds(seconds)}))
}

/// Counts calls of a getter, and lets a test wait for them.
#[derive(Clone, Default)]
struct Calls(Arc<tokio::sync::watch::Sender<u32>>);

impl Calls {
    fn count(&self) -> u32 {
        self.0.send_modify(|count| *count += 1);
        *self.0.borrow()
    }

    async fn reached(&self, calls: u32) {
        self.0.subscribe().wait_for(|count| *count >= calls).await.expect("the sender is here");
    }
}

#[tokio::test]
async fn a_client_outlives_its_tokens_without_a_gap_in_both_formats() {
    async fn outlives(server: &Running, format: Format) {
        let (connections, subscriptions) = (Calls::default(), Calls::default());
        let (counted, counted_too) = (connections.clone(), subscriptions.clone());
        let client = Client::builder(server.url(""))
            .format(format)
            .token_getter(move || {
                counted.count();
                async { Ok(connection_token(3)) }
            })
            .connect()
            .await
            .unwrap();
        let mut state = client.watch();
        let State::Connected { client: first } = state.current() else { panic!("not connected") };
        let options = SubscribeOptions::default().token_getter(move |channel| {
            counted_too.count();
            async move { Ok(subscription_token(&channel, 3)) }
        });
        let mut orders = client.subscribe_with(CHANNEL, options).await.unwrap();
        // More than twice the life of a token.
        tokio::join!(connections.reached(5), subscriptions.reached(5));
        client.publish(CHANNEL, "1").await.unwrap();
        assert!(matches!(orders.next().await, Some(Event::Publication(_))), "{format}");
        let State::Connected { client: last } = state.current() else { panic!("not connected") };
        assert_eq!(first, last, "it is the same connection: {format}");
    }
    bounded(async {
        let server = server().await;
        tokio::join!(outlives(&server, Format::Json), outlives(&server, Format::Protobuf));
    })
    .await;
}

#[tokio::test]
async fn an_expired_token_is_replaced_on_connect_and_on_subscribe() {
    bounded(async {
        let server = server().await;
        let expired_first = |make: fn(&str, i64) -> Token| {
            let calls = AtomicU32::new(0);
            move |channel: String| {
                let life = if calls.fetch_add(1, Ordering::Relaxed) == 0 { -60 } else { 60 };
                let token = make(&channel, life);
                async move { Ok::<_, TokenError>(token) }
            }
        };
        let getter = expired_first(|_, life| connection_token(life));
        let client = Client::builder(server.url(""))
            .backoff(Backoff::new(Duration::ZERO, Duration::ZERO))
            .token_getter(move || getter(String::new()))
            .build()
            .unwrap();
        client.connected().await.unwrap();
        let options = SubscribeOptions::default().token_getter(expired_first(subscription_token));
        let _orders = client.subscribe_with(CHANNEL, options).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn without_a_getter_an_expired_token_is_the_end() {
    bounded(async {
        let server = server().await;
        let error = Client::builder(server.url("")).token(connection_token(-60)).connect().await.unwrap_err();
        let ConnectError::Failed(Disconnect::Refused(reply)) = &error else { panic!("{error:?}") };
        assert_eq!(reply.code, 109);

        let client = Client::builder(server.url("")).token(connection_token(60)).connect().await.unwrap();
        let options =
            SubscribeOptions { token: subscription_token(CHANNEL, -60), ..SubscribeOptions::default() };
        let error = client.subscribe_with(CHANNEL, options).await.unwrap_err();
        assert!(matches!(&error, SubscribeError::Refused(reply) if reply.code == 109), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn a_getter_that_no_longer_authorizes_ends_the_subscription_and_then_the_client() {
    bounded(async {
        let server = server().await;
        let allowed = Arc::new(AtomicU32::new(2));
        let connection = Arc::clone(&allowed);
        let client = Client::builder(server.url(""))
            .token_getter(move || {
                let left = connection.fetch_sub(1, Ordering::Relaxed);
                async move { if left > 0 { Ok(connection_token(3)) } else { Err(TokenError::Unauthorized) } }
            })
            .connect()
            .await
            .unwrap();
        let once = Calls::default();
        let options =
            SubscribeOptions::default().token_getter(move |channel| {
                let first = once.count() == 1;
                async move {
                    if first { Ok(subscription_token(&channel, 2)) } else { Err(TokenError::Unauthorized) }
                }
            });
        let mut orders = client.subscribe_with(CHANNEL, options).await.unwrap();
        let Some(Event::Unsubscribed(reason)) = orders.next().await else { panic!("still subscribed") };
        assert_eq!(reason.to_string(), "not authorized by the token getter");
        assert!(orders.next().await.is_none());
        let mut state = client.watch();
        let end = async {
            loop {
                if let State::Disconnected(reason) = state.current() {
                    return reason;
                }
                state.changed().await;
            }
        };
        assert!(matches!(end.await, Disconnect::Unauthorized));
    })
    .await;
}
