use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};

use super::*;

/// A socket that gives and takes what a test says.
#[derive(Debug)]
struct Socket {
    incoming: VecDeque<u8>,
    outgoing: Vec<u8>,
    /// Bytes that it takes before it is full.
    room: usize,
    /// Bytes that one read gives at most.
    portion: usize,
    ended: bool,
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.incoming.is_empty() && !self.ended {
            return Poll::Pending;
        }
        let length = self.incoming.len().min(buf.remaining()).min(self.portion);
        self.incoming.drain(..length).for_each(|byte| buf.put_slice(&[byte]));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let length = bytes.len().min(self.room);
        if length == 0 {
            return Poll::Pending;
        }
        self.room -= length;
        self.outgoing.extend_from_slice(&bytes[..length]);
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ended = true;
        Poll::Ready(Ok(()))
    }
}

/// A stream under test, and the client at the other end of its socket.
struct Rig {
    stream: TlsStream<Socket>,
    client: ClientConnection,
    /// What has arrived at the client.
    heard: Vec<u8>,
}

impl Rig {
    fn new() -> Self {
        let certified = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(certified.cert.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.into()], key.into())
            .unwrap();
        let socket = Socket {
            incoming: VecDeque::new(),
            outgoing: Vec::new(),
            room: usize::MAX,
            portion: usize::MAX,
            ended: false,
        };
        let tls = Box::new(ServerConnection::new(Arc::new(server)).unwrap());
        let client = ClientConnection::new(Arc::new(client), "a.test".try_into().unwrap()).unwrap();
        Self { stream: TlsStream::new(socket, tls), client, heard: Vec::new() }
    }

    /// One whose handshake is done.
    fn open() -> Self {
        let mut rig = Self::new();
        while rig.handshake().is_pending() {
            rig.exchange();
        }
        rig.exchange();
        assert!(!rig.client.is_handshaking() && rig.stream.held() == 0);
        rig
    }

    fn handshake(&mut self) -> Poll<io::Result<()>> {
        pin!(self.stream.handshake()).poll(&mut context())
    }

    /// Carries what is on its way to either end.
    fn exchange(&mut self) {
        let socket = &mut self.stream.socket;
        let mut out = &*std::mem::take(&mut socket.outgoing);
        while !out.is_empty() {
            self.client.read_tls(&mut out).unwrap();
            self.client.process_new_packets().unwrap();
            let _ = self.client.reader().read_to_end(&mut self.heard);
        }
        let mut bytes = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut bytes).unwrap();
        }
        socket.incoming.extend(bytes);
    }

    /// What has arrived at the client since this was asked last.
    fn heard(&mut self) -> Vec<u8> {
        self.exchange();
        std::mem::take(&mut self.heard)
    }

    fn write(&mut self, slices: &[&[u8]]) -> Poll<io::Result<usize>> {
        let slices: Vec<_> = slices.iter().map(|bytes| IoSlice::new(bytes)).collect();
        let stream = Pin::new(&mut self.stream);
        match &*slices {
            [one] => stream.poll_write(&mut context(), one),
            several => stream.poll_write_vectored(&mut context(), several),
        }
    }

    fn read(&mut self, length: usize) -> Poll<io::Result<Vec<u8>>> {
        let mut buffer = vec![0; length];
        let mut into = ReadBuf::new(&mut buffer);
        Pin::new(&mut self.stream).poll_read(&mut context(), &mut into).map_ok(|()| into.filled().to_vec())
    }

    fn taken(written: Poll<io::Result<usize>>) -> usize {
        match written {
            Poll::Ready(taken) => taken.unwrap(),
            Poll::Pending => panic!("nothing was taken"),
        }
    }
}

fn context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

#[test]
fn a_handshake_in_single_bytes_comes_to_its_end() {
    let mut rig = Rig::new();
    rig.stream.socket.portion = 1;
    loop {
        rig.stream.socket.room = 1;
        match rig.handshake() {
            Poll::Ready(done) => break done.unwrap(),
            Poll::Pending => rig.exchange(),
        }
    }
    rig.stream.socket.room = usize::MAX;
    assert_eq!(Rig::taken(rig.write(&[b"hello"])), 5);
    assert_eq!(rig.heard(), b"hello");
}

#[test]
fn a_peer_that_leaves_in_its_handshake_is_gone() {
    let mut rig = Rig::new();
    rig.exchange();
    rig.stream.socket.incoming.truncate(50);
    assert!(rig.handshake().is_pending());
    rig.stream.socket.ended = true;
    let Poll::Ready(Err(error)) = rig.handshake() else { panic!("it goes on") };
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn what_a_full_socket_does_not_take_is_held_and_nothing_more_is_taken_until_it_is_out() {
    let mut rig = Rig::open();
    rig.stream.socket.room = 100;
    let long = vec![b'a'; 10_000];
    assert_eq!(Rig::taken(rig.write(&[&long])), 10_000);
    assert!((9_900..10_000).contains(&rig.stream.held()), "{}", rig.stream.held());
    assert!(rig.write(&[b"more"]).is_pending());
    assert!(rig.write(&[b"more", b"of it"]).is_pending());
    rig.stream.socket.room = 200;
    assert!(rig.write(&[]).is_pending());
    assert!((9_700..9_800).contains(&rig.stream.held()), "{}", rig.stream.held());
    rig.stream.socket.room = usize::MAX;
    assert_eq!(Rig::taken(rig.write(&[])), 0);
    assert_eq!(rig.stream.held(), 0);
    assert_eq!(Rig::taken(rig.write(&[b"more", b"of it"])), 9);
    assert_eq!(rig.heard(), [&long[..], b"moreof it"].concat());
}

#[test]
fn what_is_held_is_bounded_however_much_there_is_to_write() {
    let mut rig = Rig::open();
    rig.stream.socket.room = 10;
    let long = vec![b'a'; 10 * SEALED];
    assert_eq!(Rig::taken(rig.write(&[&long])), SEALED);
    assert!(rig.stream.held() <= SEALED);
    rig.stream.socket.room = usize::MAX;
    assert_eq!(Rig::taken(rig.write(&[&long[SEALED..]])), 9 * SEALED);
    assert_eq!(rig.heard(), long);
}

#[test]
fn short_writes_of_every_length_lose_nothing() {
    for room in [1, 2, 5, 6, 21, 22, 23, 1_000, 16_384, 16_406] {
        let mut rig = Rig::open();
        let sent: Vec<u8> = (0..40_000u32).flat_map(u32::to_be_bytes).collect();
        let mut heard = Vec::new();
        let mut rest = &sent[..];
        while !rest.is_empty() || rig.stream.held() > 0 {
            rig.stream.socket.room = room;
            if let Poll::Ready(taken) = rig.write(&[rest]) {
                rest = &rest[taken.unwrap()..];
            }
            heard.extend(rig.heard());
        }
        assert!(heard == sent, "{room}");
    }
}

#[test]
fn many_small_slices_share_a_record() {
    let mut rig = Rig::open();
    let slices = [&b"0123456789"[..]; 60];
    assert_eq!(Rig::taken(rig.write(&slices)), 600);
    // A header of 5 bytes, the kind of content, and a tag of 16.
    assert_eq!(rig.stream.socket.outgoing.len(), 600 + 22);
    assert_eq!(rig.heard().len(), 600);
}

#[test]
fn a_read_fills_its_buffer_from_several_records_and_loses_none() {
    for (portion, length) in [(usize::MAX, 100_000), (1, 100), (1_000, 7), (16_406, 16_384)] {
        let mut rig = Rig::open();
        rig.stream.socket.portion = portion;
        let sent: Vec<u8> = (0..10_000u32).flat_map(u32::to_be_bytes).collect();
        rig.client.set_buffer_limit(None);
        rig.client.writer().write_all(&sent).unwrap();
        rig.exchange();
        let mut heard = Vec::new();
        let mut idle = 0;
        while heard.len() < sent.len() {
            match rig.read(length) {
                Poll::Ready(read) => heard.extend(read.unwrap()),
                Poll::Pending => idle += 1,
            }
            assert!(idle < 100_000, "nothing more comes");
        }
        assert!(heard == sent, "{portion} {length}");
        assert!(rig.read(length).is_pending());
    }
}

#[test]
fn the_end_of_the_stream_is_told_with_and_without_a_goodbye() {
    for says_goodbye in [true, false] {
        let mut rig = Rig::open();
        rig.client.writer().write_all(b"last").unwrap();
        if says_goodbye {
            rig.client.send_close_notify();
        } else {
            rig.stream.socket.ended = true;
        }
        rig.exchange();
        let read = |rig: &mut Rig| rig.read(100).map(Result::unwrap);
        assert_eq!(read(&mut rig), Poll::Ready(b"last".to_vec()));
        assert_eq!(read(&mut rig), Poll::Ready(Vec::new()));
    }
}

#[test]
fn a_record_that_was_tampered_with_is_an_error_behind_what_came_before_it() {
    let mut rig = Rig::open();
    rig.client.writer().write_all(b"good").unwrap();
    rig.exchange();
    rig.client.writer().write_all(b"evil").unwrap();
    rig.exchange();
    *rig.stream.socket.incoming.back_mut().unwrap() ^= 1;
    rig.stream.socket.portion = 26;
    assert_eq!(rig.read(100).map(Result::unwrap), Poll::Ready(b"good".to_vec()));
    for _ in 0..2 {
        let Poll::Ready(Err(error)) = rig.read(100) else { panic!("it was read") };
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
    assert!(!rig.stream.socket.outgoing.is_empty(), "the alert");
}

#[test]
fn a_flood_of_small_records_does_not_keep_the_thread() {
    let mut rig = Rig::open();
    rig.stream.socket.portion = 22;
    for _ in 0..READS * 3 {
        rig.client.writer().write_all(b"x").unwrap();
        rig.exchange();
    }
    let Poll::Ready(read) = rig.read(1_000) else { panic!("nothing was read") };
    assert!(read.unwrap().len() <= READS);
}

#[test]
fn parting_tells_the_peer_and_waits_for_nobody() {
    let mut rig = Rig::open();
    rig.stream.part();
    rig.exchange();
    assert_eq!(rig.client.reader().read(&mut [0; 8]).unwrap(), 0, "a clean end");

    let mut rig = Rig::open();
    rig.stream.socket.room = 0;
    let shut = Pin::new(&mut rig.stream).poll_shutdown(&mut context());
    assert!(shut.is_ready() && rig.stream.socket.ended);
}

#[test]
fn a_stream_taken_apart_goes_on_where_it_was() {
    let mut rig = Rig::open();
    rig.client.writer().write_all(b"before and after").unwrap();
    rig.exchange();
    let Poll::Ready(read) = rig.read(7) else { panic!("nothing was read") };
    let Rig { stream, client, heard } = rig;
    let (socket, tls) = stream.into_parts();
    let mut rig = Rig { stream: TlsStream::new(socket, tls), client, heard };
    let Poll::Ready(rest) = rig.read(100) else { panic!("nothing was read") };
    assert_eq!([read.unwrap(), rest.unwrap()].concat(), b"before and after");
    assert_eq!(Rig::taken(rig.write(&[b"heard"])), 5);
    assert_eq!(rig.heard(), b"heard");
}
