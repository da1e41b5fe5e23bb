//! The built binary and the library against a real server, in this process and on a free port.
#![cfg(feature = "cli")]

mod cli_support;
mod support;

use std::time::Duration;

use cli_support::{
    Cli, Ended, Running as RunningCli,
    server::{client, forgetful, server, settings},
};
use futures_util::StreamExt as _;
use support::{Proxy, bounded};
use throng_client::{
    Client, Event, HistoryQuery, PresenceStats, RequestError, ServerEvent, StreamPosition, SubscribeOptions,
};
use throng_protocol::ErrorCode;
use throng_server::{
    Server,
    config::ChannelOptions,
    handlers::{ConnectReply, HandlerError},
};

fn recoverable() -> SubscribeOptions {
    SubscribeOptions { recoverable: true, ..SubscribeOptions::default() }
}

/// `sub news` of the built binary, subscribed.
async fn sub(url: &str, arguments: &[&str]) -> RunningCli {
    let arguments = [&["sub", "news", "--json"], arguments].concat();
    let mut cli = Cli::new(url, &arguments).spawn();
    cli.until_stdout_has("\"event\":\"subscribed\"").await;
    cli
}

/// The value of a member of a JSON line, as text.
fn member(line: &str, name: &str) -> String {
    let line: serde_json::Value = serde_json::from_str(line).expect("a JSON line");
    match &line[name] {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What was published, by the lines of `sub --json`.
fn published(ended: &Ended) -> Vec<String> {
    let lines = ended.stdout.lines().filter(|line| line.contains("\"event\":\"publication\""));
    lines.map(|line| member(line, "data")).collect()
}

#[tokio::test]
async fn sub_recovers_what_was_published_while_the_connection_was_cut() {
    bounded(async {
        let server = server(|_| ()).await;
        let proxy = Proxy::to(server.local_addr()).await;
        let publisher = client(&server).await;
        let mut cli = sub(&proxy.url(), &["--recover", "-n", "5"]).await;
        publisher.publish("news", "1").await.unwrap();
        cli.until_stdout_has("\"data\":1").await;
        proxy.cut();
        cli.until_stdout_has("\"event\":\"subscribing\"").await;
        for number in 2..=4 {
            publisher.publish("news", number.to_string()).await.unwrap();
        }
        proxy.restore();
        cli.until_stdout_has("\"data\":4").await;
        publisher.publish("news", "5").await.unwrap();
        let ended = cli.end().await;
        assert_eq!(
            (ended.status, published(&ended)),
            (0, ["1", "2", "3", "4", "5"].map(str::to_owned).to_vec())
        );
        assert!(!ended.stdout.contains("\"gap\""));
        let last = ended.stdout.lines().last().unwrap();
        assert_eq!((member(last, "event"), member(last, "offset")), ("position".to_owned(), "5".to_owned()));
    })
    .await;
}

#[tokio::test]
async fn sub_says_how_many_publications_are_missing_when_the_server_no_longer_has_them() {
    bounded(async {
        let server = server(|options| options.history_size = 2).await;
        let proxy = Proxy::to(server.local_addr()).await;
        let publisher = client(&server).await;
        let mut cli = sub(&proxy.url(), &["--recover", "-n", "2"]).await;
        publisher.publish("news", "1").await.unwrap();
        cli.until_stdout_has("\"data\":1").await;
        proxy.cut();
        cli.until_stdout_has("\"event\":\"subscribing\"").await;
        for number in 2..=6 {
            publisher.publish("news", number.to_string()).await.unwrap();
        }
        proxy.restore();
        let gap = cli.until_stdout_has("\"event\":\"gap\"").await;
        assert!(
            gap.contains("\"since\":{\"offset\":1,") && gap.contains("\"current\":{\"offset\":6,"),
            "{gap}"
        );
        publisher.publish("news", "7").await.unwrap();
        let ended = cli.end().await;
        assert_eq!((ended.status, published(&ended)), (0, vec!["1".to_owned(), "7".to_owned()]));
        let told = "news: 5 publications are missing: the server does not give them back\n";
        assert!(ended.stderr.contains(told), "{}", ended.stderr);
    })
    .await;
}

#[tokio::test]
async fn a_second_run_goes_on_where_the_first_has_said_that_it_ended() {
    bounded(async {
        let server = server(|_| ()).await;
        let publisher = client(&server).await;
        let url = server.url("");
        let cli = sub(&url, &["--recover", "-n", "1"]).await;
        for number in 1..=3 {
            publisher.publish("news", number.to_string()).await.unwrap();
        }
        let ended = cli.end().await;
        let last = ended.stdout.lines().last().unwrap();
        let (offset, epoch) = (member(last, "offset"), member(last, "epoch"));
        let since = format!("{offset}:{epoch}");
        let again =
            Cli::new(&url, &["sub", "news", "--since", &since, "--positions", "-n", "2"]).run("").await;
        let positions = format!("2:{epoch}\t2\n3:{epoch}\t3\n");
        assert_eq!((again.status, again.stdout), (0, positions));
        assert_eq!(again.stderr, format!("news: to go on from here: --since 3:{epoch}\n"));
        // A place in a stream that is not there.
        let cli = Cli::new(&url, &["sub", "news", "--since", "1:nowhere", "-n", "1"]).spawn();
        let publish = async {
            while publisher.presence_stats("news").await.unwrap().clients == 0 {}
            publisher.publish("news", "4").await.unwrap();
        };
        let (ended, ()) = tokio::join!(cli.end(), publish);
        assert_eq!((ended.status, &*ended.stdout), (0, "4\n"));
        let told = format!("the stream that was read to 1:nowhere is gone, the one now is at 3:{epoch}");
        assert!(ended.stderr.contains(&told), "{}", ended.stderr);
    })
    .await;
}

#[tokio::test]
async fn sub_says_when_the_server_grants_no_recovery() {
    bounded(async {
        let server = server(forgetful).await;
        let publisher = client(&server).await;
        let mut cli = sub(&server.url(""), &["--recover", "-n", "1"]).await;
        cli.until_stdout_has("subscribed").await;
        publisher.publish("news", "1").await.unwrap();
        let ended = cli.end().await;
        let told =
            "news: the server does not grant recovery: what is published during an interruption is lost\n";
        assert_eq!((ended.status, &*ended.stderr), (0, told));
        assert!(!ended.stdout.contains("position"), "{}", ended.stdout);
    })
    .await;
}

#[tokio::test]
async fn history_presence_and_stats_print_what_the_server_knows() {
    bounded(async {
        let server = server(|_| ()).await;
        let url = server.url("");
        let ann = client(&server).await;
        let _news = ann.subscribe("news").await.unwrap();
        for number in 1..=4 {
            ann.publish("news", number.to_string()).await.unwrap();
        }
        let run = async |arguments: &[&str]| Cli::new(&url, arguments).run("").await;
        assert_eq!(run(&["history", "news"]).await.all(), (0, "1\n2\n3\n4\n", ""));
        assert_eq!(run(&["history", "news", "-n", "2", "--reverse"]).await.all(), (0, "4\n3\n", ""));
        let json = run(&["history", "news", "--limit", "0", "--json"]).await;
        assert_eq!(member(&json.stdout, "event"), "position");
        let epoch = member(&json.stdout, "epoch");
        let since = format!("2:{epoch}");
        let printed = run(&["history", "news", "--since", &since, "--positions"]).await;
        assert_eq!(printed.stdout, format!("3:{epoch}\t3\n4:{epoch}\t4\n"));
        let printed = run(&["history", "news", "--since", "2:nowhere"]).await;
        let told = "error: news: refused by the server: unrecoverable position (112); the place is in another \
                    stream: leave --since out\n";
        assert_eq!(printed.all(), (4, "", told));

        assert_eq!(run(&["stats", "news"]).await.all(), (0, "clients\t1\nusers\t1\n", ""));
        let json = "{\"event\":\"stats\",\"channel\":\"news\",\"clients\":1,\"users\":1}\n";
        assert_eq!(run(&["--protobuf", "stats", "news", "--json"]).await.all(), (0, json, ""));
        let members = run(&["presence", "news"]).await;
        let throng_client::State::Connected { client } = ann.state() else { panic!("connected") };
        assert_eq!(members.all(), (0, &*format!("{client}\t\n"), ""));
        assert_eq!(run(&["presence", "elsewhere"]).await.all(), (0, "", ""));
    })
    .await;
}

#[tokio::test]
async fn what_a_namespace_does_not_have_is_refused_with_the_reason() {
    bounded(async {
        let server = server(forgetful).await;
        for command in ["history", "presence", "stats"] {
            let ended = Cli::new(&server.url(""), &[command, "news"]).run("").await;
            let told = "error: news: refused by the server: not available (108); this is not turned on for the \
                        channel's namespace\n";
            assert_eq!(ended.all(), (4, "", told), "{command}");
            let ended = Cli::new(&server.url(""), &[command, "no-such:news"]).run("").await;
            assert!(ended.stderr.contains("unknown channel (102); the part before the colon"), "{}", ended.stderr);
        }
    })
    .await;
}

#[tokio::test]
async fn sub_prints_who_joins_and_leaves() {
    bounded(async {
        let server = server(|_| ()).await;
        let mut cli = Cli::new(&server.url(""), &["sub", "news", "--join-leave"]).spawn();
        // Oneself, at first.
        let myself = cli.until_stdout_has("join\t").await;
        let ann = client(&server).await;
        let throng_client::State::Connected { client: id } = ann.state() else { panic!("connected") };
        assert!(!myself.contains(&id));
        let news = ann.subscribe("news").await.unwrap();
        cli.until_stdout(&format!("join\t{id}\t")).await;
        drop(news);
        cli.until_stdout(&format!("leave\t{id}\t")).await;
    })
    .await;
}

#[tokio::test]
async fn data_is_whole_with_delta_compression_in_both_formats() {
    bounded(async {
        let server = server(|options| options.delta_publish = true).await;
        let publisher = client(&server).await;
        let steady = "steady ".repeat(40);
        for format in [&[][..], &["--protobuf"]] {
            let proxy = Proxy::to(server.local_addr()).await;
            let mut cli = sub(&proxy.url(), &[&["--delta", "--recover", "-n", "5"], format].concat()).await;
            let publish = async |number: u32| {
                publisher.publish("news", format!("{{\"n\":{number},\"text\":\"{steady}\"}}")).await.unwrap();
            };
            for number in 1..=2 {
                publish(number).await;
            }
            cli.until_stdout_has("{\"n\":2,").await;
            proxy.cut();
            cli.until_stdout_has("\"event\":\"subscribing\"").await;
            for number in 3..=4 {
                publish(number).await;
            }
            proxy.restore();
            cli.until_stdout_has("{\"n\":4,").await;
            publish(5).await;
            let ended = cli.end().await;
            let numbers: Vec<_> = published(&ended).iter().map(|data| member(data, "n")).collect();
            assert_eq!(numbers, ["1", "2", "3", "4", "5"]);
            assert!(published(&ended).iter().all(|data| member(data, "text") == steady));
        }
    })
    .await;
}

#[tokio::test]
async fn wait_begins_before_the_server_is_there() {
    bounded(async {
        let address = support::Listener::nobody().await;
        let url = format!("ws://{address}");
        for command in [&["sub", "news", "--wait", "--json", "-n", "1"][..], &["chat", "lobby", "--wait"]] {
            let mut cli = Cli::new(&url, command).spawn();
            let line = cli.until_stderr_has("cannot connect yet, trying again").await;
            assert!(line.contains("connection refused"), "{line}");
            let mut settings = settings();
            settings.http_server.port = address.port();
            let server = Server::builder().settings(settings).start().await.expect("the port is free");
            if command[0] == "sub" {
                cli.until_stdout_has("subscribed").await;
                client(&server).await.publish("news", "1").await.unwrap();
            } else {
                let other = throng_client::RelayClient::builder(server.url("/relay/lobby")).connect().await;
                let mut other = other.unwrap();
                cli.type_in("hello\n").await;
                while !matches!(other.next().await, Some(throng_client::RelayEvent::Text(text)) if text == "hello") {}
                cli.end_stdin();
            }
            assert_eq!(cli.end().await.status, 0);
            server.shutdown().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_subscription_of_the_library_recovers_from_a_position_of_an_earlier_one() {
    bounded(async {
        let server = server(|_| ()).await;
        let ann = client(&server).await;
        let mut news = ann.subscribe_with("news", recoverable()).await.unwrap();
        assert!(news.is_recoverable());
        for number in 1..=3 {
            ann.publish("news", number.to_string()).await.unwrap();
        }
        assert_eq!(news.next_publication().await.unwrap().offset, 1);
        let since = news.position().unwrap();
        drop(news);
        let bob = client(&server).await;
        let options = SubscribeOptions { since: Some(since.clone()), ..SubscribeOptions::default() };
        let mut news = bob.subscribe_with("news", options).await.unwrap();
        for offset in 2..=3 {
            assert_eq!(news.next_publication().await.unwrap().offset, offset);
        }
        let history = bob.history("news", HistoryQuery { limit: Some(0), ..HistoryQuery::default() }).await;
        assert_eq!(history.unwrap().position, StreamPosition { offset: 3, epoch: since.epoch });
        assert_eq!(bob.presence_stats("news").await.unwrap(), PresenceStats { clients: 1, users: 1 });
    })
    .await;
}

#[tokio::test]
async fn calls_messages_and_channels_of_the_application_reach_both_sides() {
    bounded(async {
        let (message, mut messages) = tokio::sync::mpsc::channel(1);
        let mut settings = settings();
        settings.channel.without_namespace = Some(ChannelOptions::open());
        let server = Server::builder()
            .settings(settings)
            .on_connect(|_| async {
                let channels = vec!["#ann".to_owned()];
                Ok(ConnectReply { user: "ann".to_owned(), channels, ..ConnectReply::default() })
            })
            .on_rpc("echo", |call| async move { Ok(call.data) })
            .on_rpc("fail", |_| async { Err(HandlerError::custom(400, "not today")) })
            .on_message(move |event| {
                let message = message.clone();
                async move {
                    message.send(event.data).await.expect("the test waits");
                    Ok(())
                }
            })
            .start()
            .await
            .unwrap();
        let proxy = Proxy::to(server.local_addr()).await;
        let (ann, mut events) = Client::builder(proxy.url()).connect_with_events().await.unwrap();
        assert_eq!(ann.rpc("echo", "[1]").await.unwrap().as_bytes(), "[1]");
        assert!(matches!(
            ann.rpc("fail", "[1]").await,
            Err(RequestError::Refused(error)) if error.code == 400 && error.message == "not today"
        ));
        let unknown = ann.rpc("dance", "[1]").await;
        assert!(
            matches!(&unknown, Err(RequestError::Refused(error)) if error.code == ErrorCode::MethodNotFound.code()),
            "{unknown:?}"
        );
        ann.send("{\"n\":1}").await.unwrap();
        assert_eq!(messages.recv().await.unwrap().as_bytes(), "{\"n\":1}");

        let mut next = async || match tokio::time::timeout(Duration::from_secs(30), events.next()).await {
            Ok(Some(ServerEvent::Channel { channel, event })) if &*channel == "#ann" => event,
            other => panic!("no event of the channel: {other:?}"),
        };
        assert!(matches!(next().await, Event::Subscribed));
        let bob = client(&server).await;
        bob.publish("#ann", "1").await.unwrap();
        assert!(matches!(next().await, Event::Publication(publication) if publication.offset == 1));
        proxy.cut();
        assert!(matches!(next().await, Event::Subscribing));
        bob.publish("#ann", "2").await.unwrap();
        proxy.restore();
        assert!(matches!(next().await, Event::Subscribed));
        assert!(matches!(next().await, Event::Publication(publication) if publication.offset == 2));
    })
    .await;
}

/// A server that knows the secret of tokens, and of channels that need one.
async fn guarded() -> (throng_server::Running, impl Fn(serde_json::Value) -> String) {
    let mut settings = settings();
    settings.client.token.hmac_secret_key = "0123456789abcdef0123456789abcdef".into();
    let server = Server::builder().settings(settings).start().await.expect("the server starts");
    let signer = throng_server::tokens::Signer::hmac("0123456789abcdef0123456789abcdef");
    (server, move |claims| signer.sign(&claims).expect("the claims are signed"))
}

#[tokio::test]
async fn a_token_lets_a_client_in_and_another_one_subscribes_it() {
    bounded(async {
        let (server, token) = guarded().await;
        let refused = Client::builder(server.url("")).token("nonsense").connect().await;
        let refused = format!("{:?}", refused.unwrap_err());
        assert!(refused.contains("3500"), "{refused}");
        let client = Client::builder(server.url("")).token(token(serde_json::json!({"sub": "ann"})));
        let client = client.connect().await.unwrap();
        let claims = serde_json::json!({"sub": "ann", "channel": "$orders"});
        let allowed = SubscribeOptions { token: token(claims).into(), ..SubscribeOptions::default() };
        let _orders = client.subscribe_with("$orders", allowed).await.unwrap();
        assert!(client.subscribe("$others").await.is_err(), "it is for another channel");
        server.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn the_command_line_takes_tokens_from_the_environment_or_as_arguments() {
    bounded(async {
        let (server, token) = guarded().await;
        let ann = token(serde_json::json!({"sub": "ann"}));
        let orders = token(serde_json::json!({"sub": "ann", "channel": "$orders"}));
        let url = server.url("");
        let cli = || Cli::new(&url, &["sub", "$orders", "--json", "--sub-token", &orders]);
        let mut running = cli().env("THRONG_TOKEN", &ann).spawn();
        running.until_stdout_has("\"event\":\"subscribed\"").await;
        server.shutdown().await;
        let without = cli().without("THRONG_TOKEN").run("").await;
        assert_ne!(without.status, 0);
        let several = Cli::new(&url, &["sub", "a", "b", "--sub-token", &orders]).run("").await;
        assert!(several.status == 2 && several.stderr.contains("--sub-token"), "{}", several.stderr);
    })
    .await;
}
