//! Attacks on TLS: handshakes that stop, records that are none, and those who come and go.

use std::{
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use throng_protocol::Format;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    Target,
    answers::{Answers, Seen},
    arena::{self, Ground},
    crowd::{drip, many},
    raw::{self, PATIENCE, Raw},
};

/// How the attacked server is known.
pub(super) type Trust = &'static Arc<ClientConfig>;

pub(super) const GROUND: Ground = Ground { client: "", tables: "", tls: true };

/// Connections of each kind that stall.
const STALLED: usize = 500;
/// Descriptors that they take, visitors included.
pub(super) const DESCRIPTORS: u64 = 4 * STALLED as u64 + 64;
/// Connections that come and go at once, and in all, so that the machine does not run out of ports.
const REVOLVING: usize = 24;
const MOST_VISITS: usize = 4_000;
const CUT: &[Seen] = &[Seen::End, Seen::Reset];
const HANDSHAKES: &str = "throng_tls_handshakes_total";

/// Trusts the certificate in this file alone, for as long as the process lives.
pub(super) fn trust(certificate: &Path) -> Result<Trust> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).context("no certificate to trust")?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Box::leak(Box::new(Arc::new(config))))
}

/// The name by which the server is asked for.
pub(super) fn name(address: SocketAddr) -> ServerName<'static> {
    ServerName::IpAddress(address.ip().into())
}

/// Does the handshake of one who behaves well.
pub(super) async fn secured(
    trust: Trust,
    address: SocketAddr,
    socket: TcpStream,
) -> Result<TlsStream<TcpStream>> {
    let connector = TlsConnector::from(Arc::clone(trust));
    Ok(timeout(PATIENCE, connector.connect(name(address), socket))
        .await
        .context("the handshake is late")??)
}

/// A first message as a good client sends it.
fn hello(target: Target) -> Result<Vec<u8>> {
    let trust = target.tls.context("the server speaks TLS")?;
    let mut bytes = Vec::new();
    ClientConnection::new(Arc::clone(trust), name(target.address))?.write_tls(&mut bytes)?;
    Ok(bytes)
}

async fn dial(target: Target) -> Result<TlsStream<TcpStream>> {
    let socket =
        timeout(PATIENCE, TcpStream::connect(target.address)).await.context("no connection in time")??;
    secured(target.tls.context("the server speaks TLS")?, target.address, socket).await
}

/// Asks for a WebSocket, and gives the status of the answer.
async fn ask(stream: &mut TlsStream<TcpStream>) -> Result<Seen> {
    stream.write_all(raw::handshake(raw::path(Format::Json), "").as_bytes()).await?;
    let mut begin = [0; 12];
    timeout(PATIENCE, stream.read_exact(&mut begin)).await.context("no answer in time")??;
    let status = std::str::from_utf8(&begin).ok().and_then(|line| line.get(9..)?.parse().ok());
    Ok(Seen::Status(status.unwrap_or(0)))
}

/// Comes in as one who behaves well; `Reset` if that comes to nothing.
async fn visit(target: Target) -> Seen {
    let visit = async { ask(&mut dial(target).await?).await };
    visit.await.unwrap_or(Seen::Reset)
}

/// Handshakes that stop before, in and after their first message, by the thousand, while others come in.
pub(super) async fn stalled(target: Target) -> Result<Answers> {
    let hello = &hello(target)?;
    let before = arena::metric(target, LATE)?;
    let stalled = many(4 * STALLED, 4 * STALLED, |number| async move {
        let mut raw = Raw::connect(target.address).await?;
        match number % 4 {
            0 => {}
            1 => raw.throw(&hello[..1 + number % (hello.len() - 1)]).await,
            2 => raw.throw(hello).await,
            _ => drip(&mut raw, hello, Duration::from_millis(50)).await,
        }
        anyhow::Ok(raw.answers().await.0)
    });
    let end = Instant::now() + Duration::from_secs(3);
    let visitors = many(4, 4, |_| async move {
        let mut seen = Vec::new();
        while Instant::now() < end {
            seen.push(visit(target).await);
            sleep(Duration::from_millis(100)).await;
        }
        seen
    });
    let (stalled, visitors) = tokio::join!(stalled, visitors);
    let mut answers = Answers::default();
    for seen in stalled {
        answers.expect("a handshake that stalls", CUT, seen?);
    }
    for seen in visitors {
        for seen in seen {
            answers.expect("a visitor, meanwhile", &[Seen::Status(101)], seen);
        }
    }
    let late = arena::metric(target, LATE)? - before;
    answers.hold("those who stall in the handshake are counted", late >= 2 * STALLED as u64);
    Ok(answers)
}

const LATE: &str = "throng_tls_handshakes_total{result=\"late\"}";

/// What is no TLS, what is no handshake, and what must not come after one.
pub(super) async fn garbage(target: Target) -> Result<Answers> {
    const MUTANTS: usize = 300;
    let hello = hello(target)?;
    let mut answers = Answers::default();
    let plain = raw::handshake(raw::path(Format::Json), "");
    let cases: [(&str, Vec<u8>, &[Seen]); 9] = [
        ("plain HTTP", plain.into_bytes(), &[Seen::Status(400)]),
        ("an alert", b"\x15\x03\x01\x00\x02\x02\x28".to_vec(), &[Seen::Status(400), Seen::End, Seen::Reset]),
        ("a record that is too long", b"\x16\x03\x01\xff\xff".repeat(20_000), CUT),
        ("an empty record", b"\x16\x03\x01\x00\x00".repeat(10_000), CUT),
        ("a version that there is none of", b"\x16\x09\x09\x00\x05\x01\x00\x00\x01\x00".to_vec(), CUT),
        ("a message of 16 MiB", [&b"\x16\x03\x01\x40\x00\x01\xff\xff\xff"[..], &[0; 16_380]].concat(), CUT),
        ("a message that is no hello", b"\x16\x03\x01\x00\x04\x02\x00\x00\x00".to_vec(), CUT),
        ("data before keys", [&hello[..], b"\x17\x03\x03\x40\x00", &[7; 16_384]].concat(), CUT),
        ("a hello, twice", hello.repeat(2), CUT),
    ];
    for (what, bytes, expected) in &cases {
        for seen in many(4, 4, |_| say(target, bytes)).await {
            answers.expect(what, expected, seen?);
        }
    }
    let mut random = SmallRng::seed_from_u64(target.seed);
    let mut mutants = Vec::new();
    for _ in 0..MUTANTS {
        let mut mutant = hello.clone();
        for _ in 0..random.random_range(1..=6) {
            // Behind the record's type, without which it would not be TLS.
            let at = random.random_range(1..mutant.len());
            mutant[at] = random.random();
        }
        mutants.push(mutant);
    }
    let mutants = &mutants;
    for seen in many(MUTANTS, MUTANTS, |number| say(target, &mutants[number])).await {
        answers.expect("a hello changed at random", CUT, seen?);
    }
    for (what, bytes) in
        [("a second handshake", &hello[..]), ("records that nobody sealed", &[0x17, 3, 3, 0, 64, 1])]
    {
        let mut stream = dial(target).await?;
        let (socket, _) = stream.get_mut();
        socket.write_all(&bytes.repeat(20)).await?;
        let mut rest = Vec::new();
        let seen = match timeout(PATIENCE, socket.read_to_end(&mut rest)).await {
            Ok(Ok(_)) => Seen::End,
            Ok(Err(_)) => Seen::Reset,
            Err(_) => Seen::Silence,
        };
        answers.expect(what, CUT, seen);
    }
    Ok(answers)
}

async fn say(target: Target, bytes: &[u8]) -> Result<Seen> {
    let mut raw = Raw::connect(target.address).await?;
    raw.throw(bytes).await;
    Ok(raw.answers().await.0)
}

/// Connections that come and go, before, in and after their handshake.
pub(super) async fn churn(target: Target) -> Result<Answers> {
    let hello = &hello(target)?;
    let before = arena::metric(target, HANDSHAKES)?;
    let end = Instant::now() + target.length;
    let visitors = many(REVOLVING, REVOLVING, |number| async move {
        let mut seen = Vec::new();
        for turn in 0..MOST_VISITS / REVOLVING {
            if Instant::now() > end {
                break;
            }
            match (number + turn) % 4 {
                0 => Raw::connect(target.address).await?.reset(),
                1 => {
                    let mut raw = Raw::connect(target.address).await?;
                    raw.throw(hello).await;
                    raw.reset();
                }
                2 => drop(dial(target).await?),
                _ => {
                    seen.push(visit(target).await);
                    continue;
                }
            }
            seen.push(Seen::End);
        }
        anyhow::Ok(seen)
    });
    let mut answers = Answers::default();
    for seen in visitors.await {
        for seen in seen? {
            answers.expect("a visit over TLS", &[Seen::Status(101), Seen::End], seen);
        }
    }
    answers.hold("handshakes are counted", arena::metric(target, HANDSHAKES)? > before);
    Ok(answers)
}
