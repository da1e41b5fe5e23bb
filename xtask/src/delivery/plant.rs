//! A proxy between subscribers and the server that does what the server must never do, so that the checker can be
//! seen to find it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::Result;
use bytes::{Buf, Bytes, BytesMut};
use throng_protocol::{Format, Limits, Push, PushEvent, Reply};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// What is done to one publication of each connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Fault {
    /// It is left out.
    Drop,
    /// It comes twice.
    Double,
    /// It changes places with the next one of its channel.
    Swap,
}

/// Publications of the channel that pass before the fault.
const PASSED: usize = 3;
/// Only channels of this namespace are touched: their subscribers rely on offsets.
const TOUCHED: &str = "recovery:";

/// A running proxy; ends when it is dropped.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    planted: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Listens on a free port of its own and forwards to `server`.
    ///
    /// # Errors
    ///
    /// When it cannot listen.
    pub(super) async fn start(server: SocketAddr, fault: Fault) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let planted = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, server, fault, planted.clone()));
        Ok(Self { address, planted, _tasks: tasks })
    }

    /// Faults that were planted so far.
    pub(super) fn planted(&self) -> usize {
        self.planted.load(Ordering::Relaxed)
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, fault: Fault, planted: Arc<AtomicUsize>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((subscriber, _)) = listener.accept().await else { return };
        let planted = planted.clone();
        connections.spawn(async move {
            if let Ok(upstream) = TcpStream::connect(server).await {
                // Either side's end ends the other.
                let _ = forward(subscriber, upstream, Surgeon::new(fault), &planted).await;
            }
        });
    }
}

async fn forward(
    mut subscriber: TcpStream,
    mut upstream: TcpStream,
    mut surgeon: Surgeon,
    planted: &AtomicUsize,
) -> Result<()> {
    let (mut from_subscriber, mut to_subscriber) = subscriber.split();
    let (mut from_server, mut to_server) = upstream.split();
    let up = async {
        tokio::io::copy(&mut from_subscriber, &mut to_server).await?;
        anyhow::Ok(())
    };
    let down = async {
        let mut read = BytesMut::with_capacity(64 << 10);
        while from_server.read_buf(&mut read).await? > 0 {
            let treated = surgeon.treat(&mut read);
            if std::mem::take(&mut surgeon.is_new) {
                planted.fetch_add(1, Ordering::Relaxed);
            }
            to_subscriber.write_all(&treated).await?;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        result = up => result,
        result = down => result,
    }
}

/// Cuts the server's bytes into frames, and plants one fault among them.
#[derive(Debug)]
struct Surgeon {
    fault: Fault,
    /// The answer to the upgrade has passed.
    upgraded: bool,
    passed: usize,
    done: bool,
    /// The fault was planted since somebody looked.
    is_new: bool,
    /// A frame that is held back, and its channel.
    held: Option<(String, Bytes)>,
}

impl Surgeon {
    const fn new(fault: Fault) -> Self {
        Self { fault, upgraded: false, passed: 0, done: false, is_new: false, held: None }
    }

    /// Takes what is complete from `read`, and gives what is to be sent on.
    fn treat(&mut self, read: &mut BytesMut) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.upgraded {
            let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") else { return out };
            out.extend_from_slice(&read.split_to(end + 4));
            self.upgraded = true;
        }
        while let Some(length) = frame_length(read) {
            let frame = read.split_to(length).freeze();
            self.pass(frame, &mut out);
        }
        out
    }

    fn pass(&mut self, frame: Bytes, out: &mut Vec<u8>) {
        let channel = publication_channel(&frame).filter(|channel| channel.starts_with(TOUCHED));
        if let (Some((held, _)), Some(channel)) = (&self.held, &channel)
            && held == channel
            && let Some((_, earlier)) = self.held.take()
        {
            out.extend_from_slice(&frame);
            out.extend_from_slice(&earlier);
            self.is_new = true;
            return;
        }
        let Some(channel) = channel.filter(|_| !self.done) else { return out.extend_from_slice(&frame) };
        self.passed += 1;
        if self.passed <= PASSED {
            return out.extend_from_slice(&frame);
        }
        self.done = true;
        match self.fault {
            Fault::Drop => self.is_new = true,
            Fault::Double => {
                self.is_new = true;
                out.extend_from_slice(&frame);
                out.extend_from_slice(&frame);
            }
            Fault::Swap => self.held = Some((channel, frame)),
        }
    }
}

/// Length of the frame at the front, header included; `None` until all of it is there. A server's frames have no mask.
fn frame_length(bytes: &[u8]) -> Option<usize> {
    let (header, payload) = match *bytes.get(1)? & 0x7f {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?),
        short => (2, usize::from(short)),
    };
    (bytes.len() >= header + payload).then_some(header + payload)
}

/// The channel of the publication that a frame pushes; `None` when it holds something else, or more.
fn publication_channel(frame: &Bytes) -> Option<String> {
    let format = match *frame.first()? {
        0x81 => Format::Json,
        0x82 => Format::Protobuf,
        _ => return None,
    };
    let mut payload = frame.clone();
    payload.advance(match *frame.get(1)? & 0x7f {
        126 => 4,
        127 => 10,
        _ => 2,
    });
    let mut replies = format.decode_replies(payload, &Limits::for_replies());
    match (replies.next(), replies.next()) {
        (Some(Ok(Reply::Push(Push { channel, event: PushEvent::Publication(_) }))), None) => Some(channel),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use throng_protocol::{Payload, Publication};

    use super::*;

    fn frame(channel: &str, offset: u64) -> Vec<u8> {
        let mut payload = BytesMut::new();
        let publication = Publication { offset, data: Payload::from("1"), ..Default::default() };
        Format::Json.encode_publication_push(channel, &publication, &mut payload);
        let mut frame = vec![0x81, u8::try_from(payload.len()).unwrap()];
        frame.extend_from_slice(&payload);
        frame
    }

    /// What comes out when these publications go in, in pieces of 7 bytes: their channels and offsets.
    fn treated(fault: Fault, publications: &[(&str, u64)]) -> Vec<(String, u64)> {
        let mut bytes = b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec();
        publications.iter().for_each(|(channel, offset)| bytes.extend(frame(channel, *offset)));
        let mut surgeon = Surgeon::new(fault);
        let (mut read, mut out) = (BytesMut::new(), Vec::new());
        for piece in bytes.chunks(7) {
            read.extend_from_slice(piece);
            out.extend(surgeon.treat(&mut read));
        }
        assert_eq!((read.len(), surgeon.is_new), (0, true));
        let mut rest = BytesMut::from(out.split_off(38 - 2).as_slice());
        let mut seen = Vec::new();
        while let Some(length) = frame_length(&rest) {
            let payload = rest.split_to(length).freeze().slice(2..);
            for reply in Format::Json.decode_replies(payload, &Limits::for_replies()) {
                if let Reply::Push(Push { channel, event: PushEvent::Publication(publication) }) =
                    reply.unwrap()
                {
                    seen.push((channel, publication.offset));
                }
            }
        }
        seen
    }

    const SIX: &[(&str, u64)] = &[
        ("recovery:0", 1),
        ("recovery:0", 2),
        ("plain:1", 0),
        ("recovery:0", 3),
        ("recovery:0", 4),
        ("plain:1", 0),
        ("recovery:0", 5),
        ("recovery:0", 6),
    ];

    fn offsets(fault: Fault) -> Vec<u64> {
        treated(fault, SIX)
            .into_iter()
            .filter(|(channel, _)| channel == "recovery:0")
            .map(|(_, offset)| offset)
            .collect()
    }

    #[test]
    fn one_publication_is_dropped_doubled_or_swapped() {
        assert_eq!(offsets(Fault::Drop), [1, 2, 3, 5, 6]);
        assert_eq!(offsets(Fault::Double), [1, 2, 3, 4, 4, 5, 6]);
        assert_eq!(offsets(Fault::Swap), [1, 2, 3, 5, 4, 6]);
    }

    #[test]
    fn other_channels_pass_untouched() {
        let others = |fault| treated(fault, SIX).iter().filter(|(channel, _)| channel == "plain:1").count();
        assert_eq!([Fault::Drop, Fault::Double, Fault::Swap].map(others), [2, 2, 2]);
    }
}
