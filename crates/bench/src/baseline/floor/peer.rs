//! One connection of the floor.

use std::{
    io::{self, ErrorKind, Write},
    net::TcpStream,
};

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::wire::frame::{Header, apply_mask};

/// Bytes that may wait for a client that does not read; then it is hung up.
const MAX_BACKLOG: usize = 64 << 20;
/// Longest message, in bytes.
const MAX_MESSAGE: u64 = 16 << 20;
/// Longest request head, in bytes.
const MAX_HEAD: usize = 16 * 1024;

pub(super) struct Peer {
    pub(super) stream: TcpStream,
    /// Its room, once the handshake is done.
    pub(super) room: Option<String>,
    /// Bytes of a request or frame that has not arrived whole.
    pub(super) pending: Vec<u8>,
    /// Bytes to be written.
    pub(super) out: Vec<u8>,
    pub(super) waits_to_write: bool,
    pub(super) dirty: bool,
}

/// What stands at the front of the bytes from a client.
pub(super) enum Taken {
    /// Nothing whole yet.
    Nothing,
    /// An upgrade request of so many bytes.
    Request { path: String, answer: String, length: usize },
    /// A frame of so many bytes whose payload, unmasked by now, starts there.
    Frame { opcode: u8, payload: usize, length: usize },
    /// Nothing that a floor serves.
    Fault,
}

impl Peer {
    pub(super) const fn new(stream: TcpStream) -> Self {
        Self { stream, room: None, pending: Vec::new(), out: Vec::new(), waits_to_write: false, dirty: false }
    }

    pub(super) fn take(&self, bytes: &mut [u8]) -> Taken {
        if self.room.is_none() {
            return take_request(bytes);
        }
        let Some(header) = Header::parse(bytes) else { return Taken::Nothing };
        let (true, Some(mask), ..=MAX_MESSAGE) = (header.fin, header.mask, header.payload) else {
            return Taken::Fault;
        };
        let length = header.size + usize::try_from(header.payload).unwrap_or(0);
        let Some(payload) = bytes.get_mut(header.size..length) else { return Taken::Nothing };
        apply_mask(payload, mask);
        Taken::Frame { opcode: header.opcode, payload: header.size, length }
    }

    /// Writes what it can; the rest waits for the socket.
    pub(super) fn write(&mut self) -> io::Result<()> {
        let mut written = 0;
        self.waits_to_write = false;
        while written < self.out.len() {
            match self.stream.write(&self.out[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.waits_to_write = true;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        self.out.drain(..written);
        if self.out.len() > MAX_BACKLOG { Err(ErrorKind::OutOfMemory.into()) } else { Ok(()) }
    }
}

fn take_request(bytes: &[u8]) -> Taken {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
        return if bytes.len() > MAX_HEAD { Taken::Fault } else { Taken::Nothing };
    };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.split("\r\n");
    let path = lines.next().and_then(|request| request.strip_prefix("GET ")?.split(' ').next());
    let key = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))
        .map(|(_, value)| value.trim());
    let (Some(path), Some(key)) = (path, key) else { return Taken::Fault };
    let accept = derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    Taken::Request { path: path.to_owned(), answer, length: end + 4 }
}
