//! What a link does to the bytes that pass it, seen from both ends.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{io::ErrorKind, time::Duration};

use throng_testkit::{Cutter, Ending, Link, MockServer, Side, Way, bounded};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};

/// How long a test listens for something that must not come.
const SILENCE: Duration = Duration::from_millis(50);

/// A link, and a connection that has passed it: the client's end and the server's.
async fn linked() -> (Link, MockServer, TcpStream, TcpStream) {
    let server = MockServer::start().await;
    let link = Link::to(server.address()).await;
    let (client, peer) = connection(&link, &server).await;
    (link, server, client, peer)
}

async fn connection(link: &Link, server: &MockServer) -> (TcpStream, TcpStream) {
    let (client, mut peer) = tokio::join!(TcpStream::connect(link.address()), server.stream());
    let mut client = client.unwrap();
    client.write_all(b"hi").await.unwrap();
    assert_eq!(read(&mut peer, 2).await, b"hi");
    (client, peer)
}

async fn read(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut buffer = vec![0; bytes];
    stream.read_exact(&mut buffer).await.unwrap();
    buffer
}

/// All that still comes, and how it ends.
async fn rest(mut stream: TcpStream) -> (Vec<u8>, Result<(), ErrorKind>) {
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes).await;
    (bytes, end.map(|_| ()).map_err(|error| error.kind()))
}

async fn is_silent(stream: &mut TcpStream) -> bool {
    timeout(SILENCE, stream.read_u8()).await.is_err()
}

#[tokio::test]
async fn bytes_pass_and_are_counted_and_an_end_passes_too() {
    bounded(async {
        let (link, _server, mut client, mut peer) = linked().await;
        peer.write_all(b"hello").await.unwrap();
        assert_eq!(read(&mut client, 5).await, b"hello");
        link.until("the bytes", |counts| (counts.bytes_to_server, counts.bytes_to_client) == (2, 5)).await;
        drop(client);
        assert_eq!(rest(peer).await, (vec![], Ok(())));
        link.until("the end", |counts| (counts.connections, counts.open) == (1, 0)).await;
    })
    .await;
}

#[tokio::test]
async fn a_cut_resets_both_ends_and_refuses_until_it_is_restored() {
    bounded(async {
        let (link, server, client, peer) = linked().await;
        link.cut();
        assert_eq!(rest(client).await.1, Err(ErrorKind::ConnectionReset));
        assert_eq!(rest(peer).await.1, Err(ErrorKind::ConnectionReset));
        if let Ok(refused) = TcpStream::connect(link.address()).await {
            assert_eq!(rest(refused).await.1, Err(ErrorKind::ConnectionReset));
        }
        link.restore();
        connection(&link, &server).await;
    })
    .await;
}

#[tokio::test]
async fn an_orderly_end_is_no_reset_and_new_connections_are_taken() {
    bounded(async {
        let (link, server, client, peer) = linked().await;
        link.end(Ending::Close);
        assert_eq!(rest(client).await.1, Ok(()));
        assert_eq!(rest(peer).await.1, Ok(()));
        connection(&link, &server).await;
    })
    .await;
}

#[tokio::test]
async fn half_open_leaves_one_side_in_the_belief_that_all_is_well() {
    bounded(async {
        let (link, server, mut client, peer) = linked().await;
        link.end(Ending::HalfOpen(Side::Client));
        assert_eq!(rest(peer).await.1, Err(ErrorKind::ConnectionReset));
        client.write_all(b"anybody?").await.unwrap();
        assert!(is_silent(&mut client).await);
        // The next end reaches it.
        link.end(Ending::Reset);
        assert_eq!(rest(client).await.1, Err(ErrorKind::ConnectionReset));

        let (client, mut peer) = connection(&link, &server).await;
        link.end(Ending::HalfOpen(Side::Server));
        assert_eq!(rest(client).await.1, Err(ErrorKind::ConnectionReset));
        peer.write_all(b"anybody?").await.unwrap();
        assert!(is_silent(&mut peer).await);
    })
    .await;
}

#[tokio::test]
async fn a_stalled_direction_waits_and_loses_nothing_and_the_other_goes_on() {
    bounded(async {
        let (link, _server, mut client, mut peer) = linked().await;
        link.stall(Way::ToClient);
        peer.write_all(b"news").await.unwrap();
        client.write_all(b"more").await.unwrap();
        assert_eq!(read(&mut peer, 4).await, b"more");
        assert!(is_silent(&mut client).await);
        link.restore();
        assert_eq!(read(&mut client, 4).await, b"news");
    })
    .await;
}

#[tokio::test]
async fn what_is_lost_reaches_nobody_and_what_follows_does() {
    bounded(async {
        let (link, _server, mut client, mut peer) = linked().await;
        link.lose(Way::ToServer);
        client.write_all(b"lost").await.unwrap();
        assert!(is_silent(&mut peer).await);
        link.restore();
        client.write_all(b"found").await.unwrap();
        assert_eq!(read(&mut peer, 5).await, b"found");
    })
    .await;
}

#[tokio::test]
async fn a_slow_link_keeps_to_its_rate_and_a_delayed_one_to_its_delay() {
    bounded(async {
        let (link, _server, mut client, mut peer) = linked().await;
        link.slow(Way::ToServer, 10_000);
        let start = Instant::now();
        client.write_all(&[7; 2_000]).await.unwrap();
        read(&mut peer, 2_000).await;
        // The pause after the last piece is not waited for.
        assert!(start.elapsed() >= Duration::from_millis(190), "{:?}", start.elapsed());
        link.restore();

        link.delay(Way::ToClient, Duration::from_millis(40));
        let start = Instant::now();
        for byte in 0..20 {
            peer.write_u8(byte).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(read(&mut client, 20).await, (0..20).collect::<Vec<_>>());
        assert!(start.elapsed() >= Duration::from_millis(40), "{:?}", start.elapsed());
    })
    .await;
}

#[tokio::test]
async fn an_end_after_so_many_bytes_comes_after_exactly_those() {
    bounded(async {
        let (link, server, client, mut peer) = linked().await;
        let ((), ()) = tokio::join!(link.end_after(Way::ToClient, 7, Ending::Close), async {
            peer.write_all(b"0123456789").await.unwrap();
        });
        assert_eq!(rest(client).await, (b"0123456".to_vec(), Ok(())));
        // It is over with that: the next connection carries more.
        let (mut client, mut peer) = connection(&link, &server).await;
        peer.write_all(b"0123456789").await.unwrap();
        read(&mut client, 10).await;
    })
    .await;
}

#[tokio::test]
async fn a_cutter_cuts_what_passes_and_draws_every_kind() {
    bounded(async {
        let (link, _server, mut client, mut peer) = linked().await;
        let mut cutter = Cutter::new(1, 1..=100);
        let traffic = async {
            while client.write_all(&[1; 10]).await.is_ok() && peer.write_all(&[2; 10]).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        let (cut, ()) = tokio::join!(cutter.cut(&link), traffic);
        assert!((1..=100).contains(&cut.bytes), "{cut:?}");
        let drawn: Vec<_> = (0..100).map(|_| cutter.draw()).collect();
        for way in [Way::ToClient, Way::ToServer] {
            for ending in [Ending::Reset, Ending::Close] {
                assert!(drawn.iter().any(|cut| (cut.way, cut.ending) == (way, ending)), "{way:?} {ending:?}");
            }
        }
    })
    .await;
}
