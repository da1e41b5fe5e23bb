//! Stopping in order: refuse, tell, wait, report.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::disallowed_methods, reason = "the test awaits its tasks itself")]

mod support;

use std::time::Duration;

use support::{PATIENCE, TestServer};
use tokio::net::TcpStream;

#[tokio::test]
async fn clients_are_told_and_a_clean_stop_cuts_nobody() {
    let server = TestServer::start().await;
    let [mut ann] = server.members("lobby").await;
    let (mut bob, address) = (server.connected().await, server.running.local_addr());
    let stopping = tokio::spawn(server.running.shutdown());
    assert_eq!(ann.closed().await, (1001, "shutdown".to_owned()));
    assert_eq!(bob.closed().await, (3001, "shutdown".to_owned()));
    let report = tokio::time::timeout(PATIENCE, stopping).await.unwrap().unwrap();
    assert_eq!((report.closed, report.cut), (2, 0));
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_client_that_does_not_answer_is_cut_at_the_deadline_and_reported() {
    let server = TestServer::with(|settings| {
        settings.shutdown.timeout = Duration::from_millis(50);
        settings.shutdown.close_timeout = Duration::from_secs(60);
    })
    .await;
    let [_silent, mut polite] = server.members("lobby").await;
    let stopping = tokio::spawn(server.running.shutdown());
    assert_eq!(polite.closed().await.0, 1001);
    let report = tokio::time::timeout(PATIENCE, stopping).await.unwrap().unwrap();
    assert_eq!(report.cut, 1, "{report:?}");
}

#[tokio::test]
async fn what_was_acknowledged_before_the_stop_is_delivered() {
    let server = TestServer::start().await;
    let (mut ann, mut bob) = (server.connected().await, server.connected().await);
    ann.ask(r#"{"id":2,"subscribe":{"channel":"news"}}"#).await;
    for id in 0..200 {
        let publish = format!(r#"{{"id":{},"publish":{{"channel":"news","data":{id}}}}}"#, id + 3);
        assert!(bob.ask(&publish).await.get("publish").is_some());
    }
    let stopping = tokio::spawn(server.running.shutdown());
    for id in 0..200 {
        assert_eq!(ann.json().await["push"]["pub"]["data"], id);
    }
    assert_eq!(ann.closed().await.0, 3001);
    drop(bob);
    assert_eq!(stopping.await.unwrap().cut, 0);
}

#[tokio::test]
async fn a_port_can_be_taken_again_at_once() {
    let server = TestServer::start().await;
    let [ann] = server.members("lobby").await;
    let port = server.running.local_addr().port();
    let stopping = tokio::spawn(server.running.shutdown());
    let mut ann = ann;
    ann.closed().await;
    stopping.await.unwrap();
    let again = TestServer::with(|settings| settings.http_server.port = port).await;
    let [_bob] = again.members("lobby").await;
}

#[tokio::test]
async fn a_server_that_is_dropped_cuts_its_clients() {
    let server = TestServer::start().await;
    let [mut ann] = server.members("lobby").await;
    drop(server);
    use futures_util::StreamExt;
    let end = tokio::time::timeout(PATIENCE, ann.socket.next()).await.expect("the connection ends");
    assert!(end.is_none_or(|message| message.is_err()));
}
