use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::party::Party;
use crate::support::PATIENCE;

const WORKERS: usize = 8;
const ROUNDS: usize = 24;

/// Clients that come, talk, and go in every way there is, while the certificates are renewed again and again. Whoever stays is
/// served, and nothing is left of the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_come_and_go_while_certificates_are_renewed() {
    let party = Arc::new(
        Party::with(|settings, _, _| {
            settings.http_server.tls.reload_interval = Duration::from_millis(10);
            settings.http_server.tls.handshake_limit = 4;
        })
        .await,
    );
    let [mut ann, mut bob] = party.members("quiet").await;
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        workers.spawn(come_and_go(Arc::clone(&party), worker));
    }
    for number in 0..40 {
        if number % 4 == 0 {
            party.files.write_pair("main", &party.authority.certify(&["localhost"]));
        }
        ann.send(number.to_string()).await;
        assert_eq!(bob.text().await, number.to_string());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    timeout(PATIENCE * 4, workers.join_all()).await.expect("a worker never ends");
    party.server.until("the others are gone", |running| running.connection_count() == 2).await;
    assert_eq!(party.metric("throng_panics_total").await, 0);
    assert_eq!(party.metric("throng_tls_handshakes_in_flight").await, 0);
    party.until_metric("throng_outbox_bytes", 0).await;
    assert!(party.metric("throng_tls_reloads_total{result=\"taken\"}").await > 0);
    drop([ann, bob]);
    Arc::into_inner(party).unwrap().server.stop().await;
}

async fn come_and_go(party: Arc<Party>, worker: usize) {
    for round in 0..ROUNDS {
        let room = format!("room-{}", round % 3);
        match (worker + round) % 6 {
            // Without a word.
            0 => drop(party.server.tcp().await),
            // In the middle of the handshake.
            1 => party.server.tcp().await.write_all(b"\x16\x03\x01\x02\0\x01").await.unwrap(),
            // Behind the handshake, before any request.
            2 => drop(party.connect(&party.config, "localhost").await),
            // In the middle of a conversation.
            3 => {
                let [mut client] = party.members(&room).await;
                client.send("x".repeat(30_000)).await;
            }
            // As one should.
            4 => {
                let mut echo = party.client("/echo").await;
                let long = "x".repeat(1 + round * 10_000);
                echo.send(long.as_str()).await;
                assert_eq!(echo.text().await, long);
                echo.socket.close(None).await.unwrap();
                while timeout(PATIENCE, echo.socket.next()).await.expect("it stays open").is_some() {}
            }
            _ => assert!(party.get("/health").await.starts_with("HTTP/1.1 200")),
        }
    }
}
