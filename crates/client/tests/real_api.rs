//! `api` of the built binary against a real server, in this process and on a free port.
#![cfg(feature = "cli")]

mod cli_support;
mod support;

use cli_support::{
    Cli, Ended,
    server::{client, settings},
};
use futures_util::StreamExt as _;
use support::bounded;
use throng_client::{Client, Disconnect, Event, ServerEvent, SubscribeOptions};
use throng_server::{Running, Server, config::ChannelOptions, handlers::ConnectReply};

const KEY: &str = "s3cret-k3y";

/// A server whose API is on. Clients that send no name of a user are ann.
async fn server() -> Running {
    let mut settings = settings();
    settings.http_api.key = KEY.into();
    settings.channel.without_namespace = Some(ChannelOptions::open());
    Server::builder()
        .settings(settings)
        .on_connect(|_| async { Ok(ConnectReply { user: "ann".to_owned(), ..ConnectReply::default() }) })
        .on_rpc("echo", |call| async move { Ok(call.data) })
        .start()
        .await
        .expect("the server starts")
}

async fn api(server: &Running, arguments: &[&str]) -> Ended {
    let arguments = [&["api"], arguments].concat();
    Cli::new(&server.url(""), &arguments).env("THRONG_API_KEY", KEY).run("").await
}

/// Runs it and expects that it succeeds. Returns what it has printed.
async fn done(server: &Running, arguments: &[&str]) -> String {
    let ended = api(server, arguments).await;
    assert_eq!((ended.status, &*ended.stderr), (0, ""), "{arguments:?}");
    ended.stdout
}

#[tokio::test]
async fn what_is_published_is_received_kept_and_removed() {
    bounded(async {
        let server = server().await;
        let ann = client(&server).await;
        let mut news = ann.subscribe("news").await.unwrap();
        let place = done(&server, &["publish", "news", "{\"n\":1}", "--idempotency-key", "one"]).await;
        let epoch = place.trim_end().split_once(':').unwrap().1;
        assert_eq!(place, format!("1:{epoch}\n"));
        // The same again is not published again.
        assert_eq!(done(&server, &["publish", "news", "{}", "--idempotency-key", "one"]).await, place);
        let broadcast = done(&server, &["broadcast", "news", "sport", "--data", "two"]).await;
        assert!(broadcast.starts_with(&format!("news\t2:{epoch}\nsport\t1:")), "{broadcast}");
        assert_eq!(news.next_publication().await.unwrap().data.as_bytes(), "{\"n\":1}");
        assert_eq!(news.next_publication().await.unwrap().data.as_bytes(), "\"two\"");
        let history = done(&server, &["history", "news", "--positions"]).await;
        assert_eq!(history, format!("1:{epoch}\t{{\"n\":1}}\n2:{epoch}\t\"two\"\n"));
        assert_eq!(done(&server, &["history", "news", "--since", place.trim_end()]).await, "\"two\"\n");
        assert_eq!(done(&server, &["history-remove", "news"]).await, "");
        assert_eq!(done(&server, &["history", "news"]).await, "");
    })
    .await;
}

#[tokio::test]
async fn a_filter_lets_only_what_has_the_tag_through() {
    bounded(async {
        let server = server().await;
        let arguments = ["sub", "prices", "--filter", "symbol=ACME", "--filter", "side=buy", "-n", "1"];
        let cli = Cli::new(&server.url(""), &arguments).spawn();
        let publish = async {
            while done(&server, &["presence-stats", "prices"]).await.starts_with("clients\t0") {}
            for (price, symbol, side) in [("1", "ACME", "sell"), ("2", "OTHER", "buy"), ("3", "ACME", "buy")]
            {
                let (symbol, side) = (format!("symbol={symbol}"), format!("side={side}"));
                done(&server, &["publish", "prices", price, "--tag", &symbol, "--tag", &side]).await;
            }
        };
        let (ended, ()) = tokio::join!(cli.end(), publish);
        assert_eq!(ended.all(), (0, "3\n", ""));
    })
    .await;
}

#[tokio::test]
async fn connections_are_subscribed_listed_unsubscribed_and_ended() {
    bounded(async {
        let server = server().await;
        let (ann, mut events) = Client::builder(server.url("")).connect_with_events().await.unwrap();
        done(&server, &["publish", "news", "0"]).await;
        done(&server, &["subscribe", "news", "--user", "ann", "--info", "{\"seat\":1}"]).await;
        done(&server, &["publish", "news", "1"]).await;
        let mut next = async || match events.next().await {
            Some(ServerEvent::Channel { channel, event }) if &*channel == "news" => event,
            other => panic!("no event of the channel: {other:?}"),
        };
        assert!(matches!(next().await, Event::Subscribed));
        assert!(matches!(next().await, Event::Publication(publication) if publication.offset == 2));
        let throng_client::State::Connected { client: id } = ann.state() else { panic!("connected") };
        let members = done(&server, &["presence", "news"]).await;
        assert_eq!(members, format!("{id}\tann\t{{\"seat\":1}}\n"));
        assert_eq!(done(&server, &["presence-stats", "news"]).await, "clients\t1\nusers\t1\n");
        assert_eq!(done(&server, &["channels", "n*"]).await, "news\t1\n");
        let info = done(&server, &["info"]).await;
        assert!(info.contains("\nclients\t1\nusers\t1\nchannels\t1\nsubscriptions\t1\n"), "{info}");
        assert_eq!(done(&server, &["slow-clients"]).await, "");
        done(&server, &["refresh", "--user", "ann", "--expire-at", "4000000000"]).await;

        done(&server, &["unsubscribe", "news", "--user", "ann"]).await;
        assert!(matches!(next().await, Event::Unsubscribed(_)));
        done(&server, &["disconnect", "--user", "nobody"]).await;
        done(&server, &["disconnect", "--user", "ann", "--keep", &id]).await;
        assert_eq!(ann.rpc("echo", "1").await.unwrap().as_bytes(), "1", "it is still there");
        done(&server, &["disconnect", "--user", "ann", "--client", &id]).await;
        let mut states = ann.watch();
        let reason = loop {
            match states.changed().await {
                Some(throng_client::State::Disconnected(reason)) => break reason,
                Some(_) => {}
                None => panic!("the client has ended without a word"),
            }
        };
        assert!(matches!(reason, Disconnect::Closed { code: 3503, .. }), "{reason:?}");
    })
    .await;
}

#[tokio::test]
async fn a_subscription_of_the_server_goes_on_after_a_place() {
    bounded(async {
        let server = server().await;
        let (_ann, mut events) = Client::builder(server.url("")).connect_with_events().await.unwrap();
        let first = done(&server, &["publish", "news", "1"]).await;
        done(&server, &["publish", "news", "2"]).await;
        done(&server, &["subscribe", "news", "--user", "ann", "--since", first.trim_end()]).await;
        let mut offsets = Vec::new();
        while offsets.is_empty() {
            match events.next().await {
                Some(ServerEvent::Channel { event: Event::Publication(publication), .. }) => {
                    offsets.push(publication.offset);
                }
                Some(ServerEvent::Channel { event: Event::Subscribed, .. }) => {}
                other => panic!("something else: {other:?}"),
            }
        }
        assert_eq!(offsets, [2]);
    })
    .await;
}

#[tokio::test]
async fn calls_and_batches_reach_the_application() {
    bounded(async {
        let server = server().await;
        assert_eq!(done(&server, &["rpc", "echo", "[1]"]).await, "[1]\n");
        let ended = api(&server, &["rpc", "dance"]).await;
        assert_eq!(ended.all(), (4, "", "error: refused by the server: not found (104)\n"));
        let commands = r#"[{"rpc":{"method":"echo","params":1}},{"channels":{}},{"dance":{}}]"#;
        let ended = api(&server, &["batch", commands]).await;
        let printed = "{\"rpc\":{\"data\":1}}\n{\"channels\":{\"channels\":{}}}\n\
                       {\"error\":{\"code\":104,\"message\":\"not found\"}}\n";
        assert_eq!(ended.all(), (4, printed, "error: 1 of 3 refused by the server\n"));
    })
    .await;
}

#[tokio::test]
async fn a_wrong_key_and_an_api_that_is_off_are_told_apart() {
    bounded(async {
        let server = server().await;
        for (key, told) in
            [("", "the server wants an API key"), ("wrong", "the server does not take this API key")]
        {
            let cli = Cli::new(&server.url(""), &["api", "info"]).env("THRONG_API_KEY", key);
            let ended = cli.run("").await;
            assert!(ended.stderr.contains(&format!("HTTP status 401; {told}")), "{}", ended.stderr);
            assert_eq!((ended.status, &*ended.stdout), (4, ""));
        }
        let server = cli_support::server::server(|_| ()).await;
        let ended = api(&server, &["info"]).await;
        assert!(ended.stderr.ends_with(", and while there is none the API is off\n"), "{}", ended.stderr);
    })
    .await;
}

#[tokio::test]
async fn delta_of_the_api_reaches_a_subscriber_that_wants_it_whole() {
    bounded(async {
        let server = server().await;
        let ann = client(&server).await;
        let options = SubscribeOptions { delta: true, ..SubscribeOptions::default() };
        let mut news = ann.subscribe_with("news", options).await.unwrap();
        let payload = |number: u32| format!("{{\"n\":{number},\"text\":\"{}\"}}", "steady ".repeat(30));
        for number in 1..=3 {
            done(&server, &["publish", "news", &payload(number), "--delta"]).await;
            assert_eq!(news.next_publication().await.unwrap().data.as_bytes(), &payload(number));
        }
    })
    .await;
}
