use std::sync::atomic::{AtomicU32, Ordering};

use throng_protocol::{ConnectResult, Outcome, RefreshResult, Request, SubscribeResult};

use super::*;
use crate::{
    Backoff, ConnectError, Disconnect, Format, SubscribeError, SubscribeOptions, Token, TokenError,
    TokenGetter,
};

/// A getter whose tokens are `t1`, `t2` and so on.
fn counting() -> impl Fn() -> std::future::Ready<Result<Token, TokenError>> + Send + Sync + Clone {
    let count = Arc::new(AtomicU32::new(0));
    move || {
        let number = count.fetch_add(1, Ordering::Relaxed) + 1;
        std::future::ready(Ok(Token::from(format!("t{number}"))))
    }
}

#[tokio::test(start_paused = true)]
async fn a_getters_tokens_go_with_the_connection_its_refresh_and_its_subscriptions_in_both_formats() {
    for format in [Format::Json, Format::Protobuf] {
        let mut network = Network::new();
        let client = network.client().format(format).token_getter(counting()).build().unwrap();
        let mut peer = network.accept().await;
        let (id, Request::Connect(connect)) = peer.request().await else { panic!("no connect command") };
        assert_eq!(connect.token, "t1");
        let result =
            ConnectResult { client: "c1".to_owned(), expires: true, ttl: 60, ..ConnectResult::default() };
        peer.answer(id, Ok(Outcome::Connect(result))).await;
        client.connected().await.unwrap();

        let channel_token = |channel: String| async move { Ok(Token::from(format!("for {channel}"))) };
        let options = SubscribeOptions::default().token_getter(channel_token);
        let server = async {
            let (id, Request::Subscribe(request)) = peer.request().await else {
                panic!("no subscribe command")
            };
            assert_eq!(request.token, "for news");
            peer.answer(id, Ok(Outcome::Subscribe(SubscribeResult::default()))).await;
        };
        let (news, ()) = tokio::join!(client.subscribe_with("news", options), server);
        let _news = news.unwrap();

        let (request, waited) = timed(peer.request()).await;
        let (id, Request::Refresh(refresh)) = request else { panic!("no refresh command") };
        assert_eq!(refresh.token, "t2");
        assert!(waited > 50 * SECOND && waited < 60 * SECOND, "{waited:?}");
        peer.answer(id, Ok(Outcome::Refresh(RefreshResult::default()))).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_happens_meanwhile_does_not_wait_for_a_getter() {
    let mut network = Network::new();
    let builder = network.client();
    let (client, mut peer) = client::connected(&mut network, builder).await;
    let never = TokenGetter::new(|| async {
        tokio::time::sleep(9 * SECOND).await;
        Err(TokenError::Unauthorized)
    });
    let options = SubscribeOptions { token_getter: Some(never), ..SubscribeOptions::default() };
    let (refused, published, _) = tokio::join!(
        timed(client.subscribe_with("news", options)),
        timed(client.publish("news", "1")),
        peer.acknowledge(Ok(()))
    );
    assert!(matches!(refused.0, Err(SubscribeError::Unauthorized)));
    assert_eq!((refused.1, published.1), (9 * SECOND, Duration::ZERO));
    published.0.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_getter_that_hangs_or_panics_has_failed_and_is_asked_again() {
    type Getter = fn() -> TokenGetter;
    let hangs: Getter = || TokenGetter::new(std::future::pending);
    let panics: Getter = || TokenGetter::new(|| async { panic!("a fault of the application") });
    for (getter, allowed) in [(hangs, 3 * SECOND), (panics, Duration::ZERO)] {
        let mut network = Network::new();
        let (getter, tokens) = (getter(), counting());
        let calls = AtomicU32::new(0);
        let first_fails = move || {
            let first = calls.fetch_add(1, Ordering::Relaxed) == 0;
            let (getter, tokens) = (getter.clone(), tokens.clone());
            async move { if first { getter.get("").await } else { tokens().await } }
        };
        let client = network
            .client()
            .backoff(Backoff::new(Duration::ZERO, Duration::ZERO))
            .token_timeout(3 * SECOND)
            .token_getter(first_fails)
            .build()
            .unwrap();
        let (peer, waited) = timed(network.accept()).await;
        assert_eq!(waited, allowed);
        drop((peer, client));
    }
}

#[tokio::test(start_paused = true)]
async fn connect_says_why_there_is_no_token() {
    let network = Network::new();
    let unauthorized = network.client().token_getter(|| async { Err(TokenError::Unauthorized) });
    let error = unauthorized.connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Failed(Disconnect::Unauthorized)), "{error:?}");
    let failing = network.client().token_getter(|| async { Err(TokenError::temporary("down")) });
    let error = failing.connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Failed(Disconnect::NoToken(_))), "{error:?}");
}
