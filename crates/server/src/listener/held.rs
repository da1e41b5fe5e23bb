use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::shard::Route;

/// A socket that keeps back what is written once an upgrade has been granted: the answer `101 Switching Protocols`.
///
/// The shard sends it, behind the client's entry into its room. A client that has the answer is a member, and misses nothing
/// that is said from then on.
#[derive(Debug)]
pub(super) struct Held {
    socket: TokioIo<TcpStream>,
    granted: Arc<OnceLock<Route>>,
    answer: Vec<u8>,
}

impl Held {
    pub(super) fn new(socket: TcpStream, granted: Arc<OnceLock<Route>>) -> Self {
        Self { socket: TokioIo::new(socket), granted, answer: Vec::new() }
    }

    /// The socket, and what has been kept back.
    pub(super) fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.socket.into_inner(), self.answer)
    }
}

impl Read for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, into)
    }
}

impl Write for Held {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.granted.get().is_some() {
            self.answer.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
