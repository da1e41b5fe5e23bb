//! Streams over a real socket: recovery, cache, filters and patches, and that nothing is lost, doubled or reordered on the way.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::disallowed_methods, reason = "the test awaits its tasks itself")]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{Client, TestServer};
use throng_server::config::{ChannelOptions, Namespace, RecoveryMode, Settings};

/// The default options, and a namespace each for what they do not have.
fn namespaces(settings: &mut Settings) {
    let space = |name: &str, change: fn(&mut ChannelOptions)| {
        let mut options = ChannelOptions::open();
        change(&mut options);
        Namespace { name: name.into(), options }
    };
    settings.channel.without_namespace = Some(ChannelOptions::open());
    settings.channel.namespaces = vec![
        space("small", |options| options.history_size = 2),
        space("cache", |options| {
            options.force_recovery_mode = RecoveryMode::Cache;
            options.auto_cache_recover = true;
        }),
        space("delta", |options| options.delta_publish = true),
        space("plain", |options| {
            options.history_size = 0;
            options.history_ttl = Duration::ZERO;
            options.force_recovery = false;
            options.allow_recovery = false;
            options.allow_positioning = false;
            options.allowed_delta_types = ChannelOptions::default().allowed_delta_types;
        }),
    ];
}

async fn publish(client: &mut Client, channel: &str, data: Value) {
    let reply =
        client.ask(&json!({"id": 9, "publish": {"channel": channel, "data": data}}).to_string()).await;
    assert_eq!(reply, json!({"id": 9, "publish": {}}));
}

async fn subscribe(client: &mut Client, request: Value) -> Value {
    client.ask(&json!({"id": 5, "subscribe": request}).to_string()).await["subscribe"].take()
}

fn offsets(publications: &Value) -> Vec<u64> {
    publications.as_array().unwrap().iter().map(|one| one["offset"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_client_that_was_away_gets_what_it_missed_in_front_of_what_is_new() {
    let server = TestServer::with(namespaces).await;
    let (mut ann, mut bob) = (server.connected().await, server.connected().await);
    let start = subscribe(&mut ann, json!({"channel": "news"})).await;
    assert_eq!((&start["recoverable"], &start["positioned"]), (&json!(true), &json!(true)));
    let epoch = start["epoch"].as_str().unwrap().to_owned();
    assert_eq!(epoch.len(), 8);
    ann.ask(r#"{"id":6,"unsubscribe":{"channel":"news"}}"#).await;
    for number in 1..=3 {
        publish(&mut bob, "news", json!(number)).await;
    }
    let request = json!({"channel": "news", "recover": true, "offset": 1, "epoch": epoch});
    let back = subscribe(&mut ann, request).await;
    assert_eq!((&back["recovered"], &back["was_recovering"]), (&json!(true), &json!(true)));
    assert_eq!((offsets(&back["publications"]), back["offset"].as_u64()), (vec![2, 3], Some(1)));
    publish(&mut bob, "news", json!(4)).await;
    assert_eq!(ann.json().await["push"]["pub"]["offset"], 4);
    server.stop_with([ann, bob]).await;
}

#[tokio::test]
async fn what_cannot_be_recovered_is_said_so_and_an_error_where_that_is_asked_for() {
    let server = TestServer::with(namespaces).await;
    let (mut ann, mut bob) = (server.connected().await, server.connected().await);
    for number in 1..=5 {
        publish(&mut bob, "small:a", json!(number)).await;
    }
    let request = json!({"channel": "small:a", "recover": true, "offset": 1, "flag": 2});
    let refused = ann.ask(&json!({"id": 5, "subscribe": request}).to_string()).await;
    assert_eq!(refused["error"]["code"], 112);
    let request = json!({"channel": "small:a", "recover": true, "offset": 1});
    let back = subscribe(&mut ann, request).await;
    assert_eq!(back.get("recovered"), None);
    assert_eq!(back.get("publications"), None);
    assert_eq!((&back["was_recovering"], &back["offset"]), (&json!(true), &json!(5)));
    publish(&mut bob, "small:a", json!(6)).await;
    assert_eq!(ann.json().await["push"]["pub"]["offset"], 6);
    let page = server.get("/metrics").await;
    assert!(page.contains("throng_recoveries_total{result=\"unrecoverable\"} 2"), "{page}");
    server.stop_with([ann, bob]).await;
}

#[tokio::test]
async fn a_cache_gives_its_latest_publication_to_whoever_subscribes() {
    let server = TestServer::with(namespaces).await;
    let (mut ann, mut bob) = (server.connected().await, server.connected().await);
    publish(&mut bob, "cache:a", json!(1)).await;
    publish(&mut bob, "cache:a", json!(2)).await;
    let start = subscribe(&mut ann, json!({"channel": "cache:a"})).await;
    assert_eq!((offsets(&start["publications"]), &start["recovered"]), (vec![2], &json!(true)));
    server.stop_with([ann, bob]).await;
}

#[tokio::test]
async fn history_is_read_forwards_backwards_and_from_a_position() {
    let server = TestServer::with(namespaces).await;
    let mut ann = server.connected().await;
    for number in 1..=4 {
        publish(&mut ann, "news", json!(number)).await;
    }
    let mut ask = async |request: Value| ann.ask(&json!({"id": 7, "history": request}).to_string()).await;
    let top = ask(json!({"channel": "news"})).await["history"].take();
    assert_eq!((&top["publications"], &top["offset"]), (&json!([]), &json!(4)));
    let epoch = top["epoch"].clone();
    for (request, expected) in [
        (json!({"channel": "news", "limit": -1}), vec![1, 2, 3, 4]),
        (json!({"channel": "news", "limit": 2, "reverse": true}), vec![4, 3]),
        (json!({"channel": "news", "limit": 2, "since": {"offset": 1, "epoch": epoch}}), vec![2, 3]),
        (json!({"channel": "news", "limit": 9, "since": {"offset": 3}, "reverse": true}), vec![2, 1]),
    ] {
        let answer = ask(request.clone()).await;
        assert_eq!(offsets(&answer["history"]["publications"]), expected, "{request}");
    }
    let other = json!({"channel": "news", "limit": 1, "since": {"offset": 1, "epoch": "another"}});
    assert_eq!(ask(other).await["error"]["code"], 112);
    assert_eq!(ask(json!({"channel": "plain:a"})).await["error"]["code"], 108);
    assert_eq!(ask(json!({"channel": "nowhere:a"})).await["error"]["code"], 102);
    server.stop_with([ann]).await;
}

#[tokio::test]
async fn a_filter_hides_publications_without_breaking_the_position() {
    let server = TestServer::with(|settings| {
        namespaces(settings);
        settings.http_api.key = "secret".into();
    })
    .await;
    let mut ann = server.connected().await;
    let filter = json!({"key": "lang", "cmp": "eq", "val": "en"});
    subscribe(&mut ann, json!({"channel": "news", "tf": filter})).await;
    for lang in ["de", "en", "fr", "en"] {
        let body = json!({"channel": "news", "data": lang, "tags": {"lang": lang}});
        assert_eq!(server.api("publish", "secret", &body).await["error"], Value::Null);
    }
    let seen = [ann.json().await, ann.json().await];
    assert_eq!(seen.each_ref().map(|push| push["push"]["pub"]["offset"].as_u64()), [Some(2), Some(4)]);
    ann.assert_silent().await;
    server.stop_with([ann]).await;
}

#[tokio::test]
async fn patches_follow_a_full_payload_and_say_so() {
    let server = TestServer::with(namespaces).await;
    let (mut ann, mut bob) = (server.connected().await, server.connected().await);
    let start = subscribe(&mut ann, json!({"channel": "delta:a", "delta": "fossil"})).await;
    assert_eq!(start["delta"], true);
    let state = |number: u32| json!({"number": number, "padding": "x".repeat(200)});
    let mut held = String::new();
    for number in 1..=4 {
        publish(&mut bob, "delta:a", state(number)).await;
        let publication = ann.json().await["push"]["pub"].take();
        let data = publication["data"].as_str().expect("a string, whatever it holds");
        assert_eq!(publication["delta"] == true, number > 1, "{publication}");
        held = if number == 1 {
            data.to_owned()
        } else {
            assert!(data.len() < 60, "a patch is short: {data}");
            let full = throng_protocol::fossil::apply(held.as_bytes(), data.as_bytes(), 10_000).unwrap();
            String::from_utf8(full).unwrap()
        };
        assert_eq!(serde_json::from_str::<Value>(&held).unwrap(), state(number));
    }
    server.stop_with([ann, bob]).await;
}

/// Subscribes again and again, with recovery, while somebody publishes as fast as it can: all of it comes once and in order.
#[tokio::test]
async fn a_subscribe_that_races_with_publications_loses_none_and_doubles_none() {
    const PUBLICATIONS: u64 = 400;

    let server = TestServer::with(|settings| {
        namespaces(settings);
        settings.channel.without_namespace.as_mut().unwrap().history_size = 1_000;
        settings.client.recovery_max_publication_limit = 1_000;
    })
    .await;
    let (mut ann, mut bob) = (server.connected().await, server.connected().await);
    let first = subscribe(&mut ann, json!({"channel": "news"})).await;
    let epoch = first["epoch"].clone();
    ann.ask(r#"{"id":6,"unsubscribe":{"channel":"news"}}"#).await;
    let publishing = tokio::spawn(async move {
        for number in 1..=PUBLICATIONS {
            publish(&mut bob, "news", json!(number)).await;
        }
        bob
    });
    let mut seen = 0;
    let mut see = |publication: &Value| {
        seen += 1;
        assert_eq!((&publication["offset"], &publication["data"]), (&json!(seen), &json!(seen)));
        seen
    };
    let mut last = 0;
    while last < PUBLICATIONS {
        let request = json!({"channel": "news", "recover": true, "offset": last, "epoch": epoch});
        let back = subscribe(&mut ann, request).await;
        assert_eq!(back["recovered"], true, "at {last}");
        for publication in back["publications"].as_array().into_iter().flatten() {
            last = see(publication);
        }
        let enough = (last + 7).min(PUBLICATIONS);
        while last < enough {
            last = see(&ann.json().await["push"]["pub"]);
        }
        ann.send(r#"{"id":6,"unsubscribe":{"channel":"news"}}"#).await;
        loop {
            let message = ann.json().await;
            if message.get("unsubscribe").is_some() {
                break;
            }
            last = see(&message["push"]["pub"]);
        }
    }
    let bob = publishing.await.unwrap();
    server.stop_with([ann, bob]).await;
}
