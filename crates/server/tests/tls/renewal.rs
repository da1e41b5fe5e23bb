use std::sync::Arc;
use std::time::Duration;

use rustls::HandshakeKind;
use tokio::time::timeout;

use crate::party::{Authority, Party};
use crate::support::PATIENCE;

/// Renewal when a test says so, and not before.
async fn party() -> Party {
    Party::with(|settings, _, _| settings.http_server.tls.reload_interval = Duration::from_hours(1)).await
}

#[tokio::test]
async fn new_files_are_used_for_new_connections_and_open_ones_stay() {
    let party = party().await;
    let [mut ann, mut bob] = party.members("lobby").await;
    let renewed = party.authority.certify(&["localhost"]);
    party.files.write_pair("main", &renewed);
    assert_eq!(party.shown("localhost").await, party.cert, "not before they are read");
    assert_eq!(party.server.running.renew_certificates().await, Ok(true));
    assert_eq!(party.shown("localhost").await, renewed.cert);
    assert_eq!(party.server.running.renew_certificates().await, Ok(false));
    ann.send("still here").await;
    assert_eq!(bob.text().await, "still here");
    assert_eq!(party.metric("throng_tls_reloads_total{result=\"taken\"}").await, 1);
    drop([ann, bob]);
    party.server.stop().await;
}

#[tokio::test]
async fn changed_files_are_noticed_without_a_word() {
    let party = Party::with(|settings, _, _| {
        settings.http_server.tls.reload_interval = Duration::from_millis(10);
    })
    .await;
    let renewed = party.authority.certify(&["localhost"]);
    party.files.write_pair("main", &renewed);
    let waiting = async { while party.shown("localhost").await != renewed.cert {} };
    timeout(PATIENCE, waiting).await.expect("they are never noticed");
    party.server.stop().await;
}

#[tokio::test]
async fn new_files_that_are_of_no_use_are_refused_and_the_old_ones_stay() {
    let party = party().await;
    let renewed = party.authority.certify(&["localhost"]);
    let running = &party.server.running;
    let refused = async |what: &str| {
        let fault = running.renew_certificates().await.unwrap_err().to_string();
        assert!(fault.contains(what), "{fault}");
        assert_eq!(party.shown("localhost").await, party.cert);
        fault
    };
    party.files.write("main.pem", &renewed.cert_pem);
    refused("is not the key of the certificate").await;
    // They are not complained of again and again.
    assert_eq!(running.renew_certificates().await, Ok(false));
    party.files.write("main.pem", "not PEM");
    refused("main.pem\" holds no certificate").await;
    std::fs::remove_file(party.files.path("main.pem")).unwrap();
    refused("http_server.tls.cert_pem: cannot be read").await;
    party.files.write("main.pem", &renewed.cert_pem);
    let fault = {
        let torn = &renewed.key_pem[..renewed.key_pem.len() / 2];
        party.files.write("main.key", torn);
        refused("main.key\"").await
    };
    assert!(!fault.contains(&renewed.key_pem[40..60]), "{fault}");
    assert_eq!(party.metric("throng_tls_reloads_total{result=\"refused\"}").await, 4);
    party.files.write("main.key", &renewed.key_pem);
    assert_eq!(running.renew_certificates().await, Ok(true));
    assert_eq!(party.shown("localhost").await, renewed.cert);
}

#[tokio::test]
async fn a_session_does_not_outlive_the_certificates_that_it_was_made_with() {
    let party = Party::with(|settings, authority, files| {
        let tls = &mut settings.http_server.tls;
        tls.reload_interval = Duration::from_hours(1);
        tls.client_ca_pem = files.write("ca.pem", &authority.pem()).into();
    })
    .await;
    let certified = party.authority.certify(&["ann"]);
    let config = Arc::new(party.authority.trusted_with(rustls::ALL_VERSIONS, Some(certified)));
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let stream = party.connect(&config, "localhost").await.unwrap();
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(kind));
        party.get_on(stream, "/health").await.unwrap();
    }
    // Whoever signed the client's certificate is not trusted any more.
    party.files.write("ca.pem", &Authority::new().pem());
    assert_eq!(party.server.running.renew_certificates().await, Ok(true));
    let stream = party.connect(&config, "localhost").await;
    let served = match stream {
        Ok(stream) => party.get_on(stream, "/health").await,
        Err(error) => Err(error),
    };
    served.unwrap_err();
}
