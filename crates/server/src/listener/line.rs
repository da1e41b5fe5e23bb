use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::shard::Incoming;
use crate::tls::TlsStream;

/// A connection while HTTP is spoken on it.
#[derive(Debug)]
pub(super) enum Line {
    /// The socket as it is.
    Plain(TcpStream),
    /// With TLS over it, whose handshake is done.
    Tls(TlsStream<TcpStream>),
}

impl Line {
    /// Takes the connection from this runtime, for a shard.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(super) fn into_incoming(self) -> io::Result<Incoming> {
        Ok(match self {
            Self::Plain(socket) => Incoming::Tcp(socket.into_std()?),
            Self::Tls(stream) => {
                let (socket, tls) = stream.into_parts();
                Incoming::Tls(socket.into_std()?, tls)
            }
        })
    }

    /// Says goodbye below HTTP, where there is a way to, and returns the socket. Waits for nothing.
    pub(super) fn part(self) -> TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(mut stream) => {
                stream.part();
                stream.into_parts().0
            }
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
