#![expect(clippy::disallowed_methods, reason = "the test awaits its tasks itself")]

use std::fs;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::*;
use crate::config::Tls;
use crate::tls::Counts;

const PATIENCE: Duration = Duration::from_secs(10);

/// Room for the server's answer, and too little for it.
const WIDE: usize = 1 << 16;
const NARROW: usize = 300;

type Shaken = Result<(TlsStream<DuplexStream>, Instant), HandshakeError>;

/// A keeper that lets one handshake at a time be under way.
struct Rig {
    keeper: Arc<Keeper>,
    client: Arc<ClientConfig>,
    _files: TempDir,
}

impl Rig {
    fn new() -> Self {
        let certified = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let files = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| {
            let path = files.path().join(name);
            fs::write(&path, text).unwrap();
            path.to_str().unwrap().into()
        };
        let settings = Tls {
            enabled: true,
            cert_pem: write("cert.pem", certified.cert.pem()),
            key_pem: write("key.pem", certified.signing_key.serialize_pem()),
            handshake_limit: 1,
            ..Tls::default()
        };
        let keeper = Arc::new(Keeper::open(&settings, Arc::new(Counts::default())).unwrap().unwrap());
        let mut roots = RootCertStore::empty();
        roots.add(certified.cert.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { keeper, client: Arc::new(client), _files: files }
    }

    /// The server's part of a handshake, which goes on by itself, and the other end of its socket, which holds `room` bytes.
    fn accept(&self, room: usize) -> (JoinHandle<Shaken>, DuplexStream) {
        let (socket, peer) = duplex(room);
        let keeper = Arc::clone(&self.keeper);
        let accepting =
            tokio::spawn(async move { keeper.accept(socket, Instant::now() + PATIENCE, PATIENCE).await });
        (accepting, peer)
    }

    /// The first message of a client.
    fn hello(&self) -> Vec<u8> {
        let name = "a.test".try_into().unwrap();
        let mut bytes = Vec::new();
        let client = rustls::ClientConnection::new(Arc::clone(&self.client), name);
        client.unwrap().write_tls(&mut bytes).unwrap();
        bytes
    }

    /// A client that says hello and nothing more, with so much room for the answer.
    async fn stall(&self, room: usize) -> (JoinHandle<Shaken>, DuplexStream) {
        let (accepting, mut peer) = self.accept(room);
        peer.write_all(&self.hello()).await.unwrap();
        (accepting, peer)
    }
}

fn outcome(shaken: &Shaken) -> Option<Outcome> {
    shaken.as_ref().err().map(HandshakeError::outcome)
}

#[tokio::test(start_paused = true)]
async fn one_who_waits_for_the_slow_has_all_of_its_own_time_when_its_turn_comes() {
    let (rig, begin) = (Rig::new(), Instant::now());
    let (stalled, mut silent) = rig.stall(NARROW).await;
    silent.read_u8().await.unwrap();
    let (accepting, peer) = rig.accept(WIDE);
    let connector = TlsConnector::from(Arc::clone(&rig.client));
    let client = tokio::spawn(async move { connector.connect("a.test".try_into().unwrap(), peer).await });
    assert_eq!(outcome(&stalled.await.unwrap()), Some(Outcome::Late));
    let (_stream, deadline) = accepting.await.unwrap().unwrap();
    client.await.unwrap().unwrap();
    let waited = begin.elapsed();
    assert!(waited >= PATIENCE && waited < PATIENCE + Duration::from_secs(1), "{waited:?}");
    assert!(deadline >= begin + 2 * PATIENCE, "the request has its time as well");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_turn_for_ever_and_that_is_no_fault_of_the_peers() {
    let (rig, begin) = (Rig::new(), Instant::now());
    let mut waiting = Vec::new();
    for _ in 0..4 {
        waiting.push(rig.stall(NARROW).await);
    }
    let mut outcomes = Vec::new();
    for (accepting, _peer) in waiting {
        outcomes.push(outcome(&accepting.await.unwrap()).unwrap());
    }
    assert_eq!(outcomes[..2], [Outcome::Late; 2]);
    assert_eq!(outcomes[3], Outcome::Crowded);
    assert!(begin.elapsed() < 4 * PATIENCE);
    assert!(!Outcome::Crowded.is_failure() && Outcome::Late.is_failure());
}

#[tokio::test(start_paused = true)]
async fn half_of_hello_has_its_time_and_takes_no_turn() {
    let (rig, begin) = (Rig::new(), Instant::now());
    let (accepting, mut peer) = rig.accept(WIDE);
    peer.write_all(&rig.hello()[..40]).await.unwrap();
    let (stalled, _silent) = rig.stall(WIDE).await;
    assert_eq!(outcome(&accepting.await.unwrap()), Some(Outcome::Late));
    assert_eq!(outcome(&stalled.await.unwrap()), Some(Outcome::Late));
    assert!(begin.elapsed() < PATIENCE + Duration::from_secs(1), "neither waited for the other");
}

#[tokio::test(start_paused = true)]
async fn who_has_its_answer_and_says_nothing_more_takes_no_turn() {
    let (rig, begin) = (Rig::new(), Instant::now());
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(rig.stall(WIDE).await);
    }
    let (accepting, peer) = rig.accept(WIDE);
    let connector = TlsConnector::from(Arc::clone(&rig.client));
    let client = tokio::spawn(async move { connector.connect("a.test".try_into().unwrap(), peer).await });
    accepting.await.unwrap().unwrap();
    client.await.unwrap().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(1), "it waited for those who are silent");
    for (accepting, _peer) in silent {
        assert_eq!(outcome(&accepting.await.unwrap()), Some(Outcome::Late));
    }
}
