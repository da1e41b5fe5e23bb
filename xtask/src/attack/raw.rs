//! A client that sends whatever it is told to, byte by byte.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use bytes::{Buf, Bytes, BytesMut};
use socket2::SockRef;
use throng_protocol::{Format, Limits, Reply};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use super::answers::Seen;

/// Longest wait for anything: longer than every deadline in the attacked server's configuration.
pub(super) const PATIENCE: Duration = Duration::from_secs(8);

pub(super) const TEXT: u8 = 0x81;
pub(super) const BINARY: u8 = 0x82;
pub(super) const PING: u8 = 0x89;
pub(super) const PONG: u8 = 0x8a;

/// A connection, upgraded or not.
#[derive(Debug)]
pub(super) struct Raw {
    socket: TcpStream,
    unread: BytesMut,
}

/// What comes next on an upgraded connection.
#[derive(Debug)]
pub(super) enum Next {
    Message(Bytes),
    Other(Seen),
}

impl Raw {
    /// Connects, and says nothing.
    pub(super) async fn connect(address: SocketAddr) -> Result<Self> {
        let socket =
            timeout(PATIENCE, TcpStream::connect(address)).await.context("no connection in time")??;
        socket.set_nodelay(true)?;
        Ok(Self { socket, unread: BytesMut::new() })
    }

    /// Connects from this address, and says nothing.
    pub(super) async fn connect_from(source: Ipv4Addr, address: SocketAddr) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((source, 0).into())?;
        let socket = timeout(PATIENCE, socket.connect(address)).await.context("no connection in time")??;
        socket.set_nodelay(true)?;
        Ok(Self { socket, unread: BytesMut::new() })
    }

    /// Connects with the smallest receive buffer, so that a reader that stops is felt soon.
    pub(super) async fn connect_small(address: SocketAddr) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4_096)?;
        let socket = timeout(PATIENCE, socket.connect(address)).await.context("no connection in time")??;
        Ok(Self { socket, unread: BytesMut::new() })
    }

    /// Connects and upgrades.
    ///
    /// # Errors
    ///
    /// When the answer is not 101.
    pub(super) async fn upgraded(address: SocketAddr, path: &str) -> Result<Self> {
        Self::connect(address).await?.upgrade(path, "").await
    }

    /// Connects to the protocol's endpoint, and sends the connect command.
    ///
    /// # Errors
    ///
    /// When it is refused.
    pub(super) async fn member(address: SocketAddr, format: Format, token: &str) -> Result<Self> {
        let mut raw = Self::upgraded(address, path(format)).await?;
        raw.send(&connect(format, token)).await?;
        let seen = raw.reply(format).await;
        ensure!(seen == Seen::Granted, "the connect command was answered with {seen}");
        Ok(raw)
    }

    /// Upgrades a connection.
    ///
    /// # Errors
    ///
    /// When the answer is not 101.
    pub(super) async fn upgrade(mut self, path: &str, headers: &str) -> Result<Self> {
        self.send(handshake(path, headers).as_bytes()).await?;
        let seen = self.status().await;
        ensure!(seen == Seen::Status(101), "the handshake was answered with {seen}");
        Ok(self)
    }

    /// Sends bytes.
    ///
    /// # Errors
    ///
    /// When the connection is gone, or takes nothing for a while.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(timeout(PATIENCE, self.socket.write_all(bytes)).await.context("the server takes nothing")??)
    }

    /// Sends bytes, however they fare: the server may have ended the connection before it has read them all.
    pub(super) async fn throw(&mut self, bytes: &[u8]) {
        // What becomes of them shows in the answer.
        let _ = self.send(bytes).await;
    }

    /// Reads the head of an HTTP answer, and gives its status.
    pub(super) async fn status(&mut self) -> Seen {
        loop {
            if let Some(end) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.unread.split_to(end + 4);
                let status = std::str::from_utf8(&head).ok().and_then(|head| head.get(9..12)?.parse().ok());
                return Seen::Status(status.unwrap_or(0));
            }
            if let Err(seen) = self.fill().await {
                return seen;
            }
        }
    }

    /// The status of an HTTP answer, if it comes this soon.
    pub(super) async fn status_within(&mut self, time: Duration) -> Option<Seen> {
        timeout(time, self.status()).await.ok()
    }

    /// Reads an HTTP answer to the connection's end: its status, and how many answers there were.
    pub(super) async fn answers(&mut self) -> (Seen, usize) {
        let end = loop {
            if let Err(seen) = self.fill().await {
                break seen;
            }
        };
        let text = String::from_utf8_lossy(&self.unread);
        let count = text.matches("HTTP/1.1 ").count();
        let status = text.get(9..12).and_then(|status| status.parse().ok());
        (status.map_or(end, Seen::Status), count)
    }

    /// What comes next.
    pub(super) async fn next(&mut self) -> Next {
        loop {
            if let Some((first, payload)) = self.frame() {
                return match first & 0x0f {
                    8 => {
                        let code =
                            payload.get(..2).map_or(1005, |code| u16::from_be_bytes([code[0], code[1]]));
                        Next::Other(Seen::Close(code))
                    }
                    9 | 10 => continue,
                    _ => Next::Message(payload),
                };
            }
            if let Err(seen) = self.fill().await {
                return Next::Other(seen);
            }
        }
    }

    /// The next reply to a command, or how the connection ended instead. Pings are not answered.
    pub(super) async fn reply(&mut self, format: Format) -> Seen {
        loop {
            match self.next().await {
                Next::Other(seen) => return seen,
                Next::Message(message) => {
                    if let Some(seen) = replies(format, message).first() {
                        return *seen;
                    }
                }
            }
        }
    }

    /// Reads until the connection ends, and says how: with a close frame if there was one.
    pub(super) async fn ending(&mut self) -> Seen {
        loop {
            if let Next::Other(seen) = self.next().await {
                return seen;
            }
        }
    }

    /// Ends the connection with a reset.
    pub(super) fn reset(self) {
        // Without the option it becomes a plain end, which is one as well.
        let _ = SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
    }

    /// Takes a whole frame out of what was read.
    fn frame(&mut self) -> Option<(u8, Bytes)> {
        let (&first, &second) = (self.unread.first()?, self.unread.get(1)?);
        let (head, length) = match second & 0x7f {
            126 => (4, usize::from(u16::from_be_bytes(self.unread.get(2..4)?.try_into().ok()?))),
            127 => {
                let long = u64::from_be_bytes(self.unread.get(2..10)?.try_into().ok()?);
                (10, usize::try_from(long).ok()?)
            }
            short => (2, usize::from(short)),
        };
        if self.unread.len() < head + length {
            return None;
        }
        self.unread.advance(head);
        Some((first, self.unread.split_to(length).freeze()))
    }

    async fn fill(&mut self) -> Result<(), Seen> {
        match timeout(PATIENCE, self.socket.read_buf(&mut self.unread)).await {
            Err(_) => Err(Seen::Silence),
            Ok(Ok(0)) => Err(Seen::End),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(Seen::Reset),
        }
    }
}

/// The path of the protocol's endpoint in this format.
pub(super) const fn path(format: Format) -> &'static str {
    match format {
        Format::Json => "/connection/websocket",
        Format::Protobuf => "/connection/websocket?format=protobuf",
    }
}

/// A request to upgrade; `headers` are whole lines.
pub(super) fn handshake(path: &str, headers: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
}

/// A masked frame; the mask is zero, so that its payload can be read in a dump.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | u8::try_from(length).unwrap_or(0)),
        length @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&u16::try_from(length).unwrap_or(0).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// A connect command in a frame.
pub(super) fn connect(format: Format, token: &str) -> Vec<u8> {
    let connect = throng_protocol::ConnectRequest { token: token.to_owned(), ..Default::default() };
    command(format, 1, connect.into())
}

/// A command in a frame.
pub(super) fn command(format: Format, id: u32, request: throng_protocol::Request) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    format.encode_command(&throng_protocol::Command::Request { id, request }, &mut bytes);
    frame(first(format), &bytes)
}

/// The first byte of a message's frame in this format.
pub(super) const fn first(format: Format) -> u8 {
    match format {
        Format::Json => TEXT,
        Format::Protobuf => BINARY,
    }
}

/// The answers to commands in a message; pushes and pings are none.
pub(super) fn replies(format: Format, message: Bytes) -> Vec<Seen> {
    let answer = |reply| match reply {
        Ok(Reply::Answer { outcome: Ok(_), .. }) => Some(Seen::Granted),
        Ok(Reply::Answer { outcome: Err(error), .. }) => Some(Seen::Error(error.code)),
        Ok(Reply::Ping | Reply::Push(_)) => None,
        Err(_) => Some(Seen::Broken),
    };
    format.decode_replies(message, &Limits::for_replies()).filter_map(answer).collect()
}

#[cfg(test)]
mod tests {
    use throng_protocol::frame::{Decoder, FrameLimits};

    use super::*;

    #[test]
    fn our_frames_are_read_by_the_codec() {
        for length in [0, 125, 126, 65_535, 65_536] {
            let mut bytes = frame(BINARY, &vec![7; length]);
            let limits = FrameLimits { message_bytes: 1 << 20, fragments: 1 };
            let (used, event) = Decoder::new().decode(&mut bytes, &limits).unwrap();
            assert!(event.is_some(), "{length}");
            drop(event);
            assert_eq!(
                used,
                length
                    + if length < 126 {
                        6
                    } else if length < 65_536 {
                        8
                    } else {
                        14
                    }
            );
        }
    }
}
