use std::fmt;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use rustls::{HandshakeKind, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of sealed records that a connection may hold because its socket is full. They are charged to the client's outbox.
const SEALED: usize = 64 * 1024;

/// Reads of a socket in one poll, so that a peer whose records hold nothing cannot keep the thread.
const READS: usize = 32;

/// A byte stream over TLS: a socket, and the state of the connection that says which bytes it carries.
///
/// It has no runtime in it, so that it can be taken apart on one thread and put together on another. Plaintext is sealed only
/// when all that was sealed before is with the socket; whoever writes keeps the rest.
pub(crate) struct TlsStream<S> {
    socket: S,
    tls: Box<ServerConnection>,
    /// Bytes that were sealed and may not be with the socket yet; meaningful while the connection wants to write.
    held: usize,
    /// How the peer broke the protocol. Nothing of what it sends after that is read.
    broken: Option<rustls::Error>,
    /// The peer was told that nothing more will come.
    parted: bool,
}

impl<S> TlsStream<S> {
    pub(crate) fn new(socket: S, mut tls: Box<ServerConnection>) -> Self {
        tls.set_buffer_limit(Some(SEALED));
        Self { socket, tls, held: 0, broken: None, parted: false }
    }

    /// The socket, and the connection with whatever it has read and not given out.
    pub(crate) fn into_parts(self) -> (S, Box<ServerConnection>) {
        (self.socket, self.tls)
    }

    /// Whether the handshake went on from an earlier connection.
    pub(crate) fn is_resumed(&self) -> bool {
        self.tls.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Bytes that were taken by a write and have not been passed on to the socket.
    pub(crate) fn held(&self) -> usize {
        if self.tls.wants_write() { self.held.max(1) } else { 0 }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// Goes on with the handshake until it is done and the server's part of it is with the socket. Cancel safe.
    ///
    /// # Errors
    ///
    /// The socket's, `UnexpectedEof` if the peer leaves, and `InvalidData` with the [`rustls::Error`] inside if it breaks the
    /// protocol; then it has been told so as far as the socket took that.
    pub(crate) async fn handshake(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| {
            loop {
                let passed_on = self.poll_pass_on(cx)?;
                if !self.tls.is_handshaking() {
                    return passed_on.map(Ok);
                }
                if ready!(self.poll_fill(cx))? == 0 {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
            }
        })
        .await
    }

    /// Waits until the socket has all that was sealed. Cancel safe.
    ///
    /// # Errors
    ///
    /// The socket's.
    pub(crate) async fn pass_on(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_pass_on(cx)).await
    }

    /// Tells the peer that nothing more will come, if its socket takes that at once. Whoever does not read is not waited for.
    pub(crate) fn part(&mut self) {
        if !std::mem::replace(&mut self.parted, true) {
            self.tls.send_close_notify();
        }
        let _ = self.poll_pass_on(&mut Context::from_waker(Waker::noop()));
    }

    /// Passes sealed records on to the socket; ready when it has all of them.
    fn poll_pass_on(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Wire { socket: &mut self.socket, cx }) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(bytes) => self.held = self.held.saturating_sub(bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        self.held = 0;
        Poll::Ready(Ok(()))
    }

    /// Reads from the socket once and opens the records that are complete. Returns how many bytes came; 0 at the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if let Some(error) = &self.broken {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error.clone())));
        }
        let bytes = loop {
            match self.tls.read_tls(&mut Wire { socket: &mut self.socket, cx }) {
                Ok(bytes) => break bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        };
        if let Err(error) = self.tls.process_new_packets() {
            // Its alert; that it cannot be sent changes nothing.
            let _ = self.poll_pass_on(cx);
            self.broken = Some(error.clone());
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
        }
        Poll::Ready(Ok(bytes))
    }

    /// Gives out plaintext that is there: how much, 0 if nothing will come any more, or `None` if nothing is there yet.
    fn take(&mut self, buf: &mut ReadBuf<'_>) -> io::Result<Option<usize>> {
        match self.tls.reader().read(buf.initialize_unfilled()) {
            Ok(bytes) => {
                buf.advance(bytes);
                Ok(Some(bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            // The peer did not say goodbye. HTTP and WebSocket tell by themselves whether something is missing.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Some(0)),
            Err(error) => Err(error),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    /// Fills the buffer as far as what the socket has at hand reaches.
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Answers to what has been read, such as a change of keys. A socket that is broken tells so when it is read.
        if this.tls.wants_write() {
            let _ = this.poll_pass_on(cx);
        }
        let before = buf.filled().len();
        for _ in 0..READS {
            while buf.remaining() > 0 {
                match this.take(buf)? {
                    Some(0) => return Poll::Ready(Ok(())),
                    Some(_) => {}
                    None => break,
                }
            }
            if buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            match this.poll_fill(cx) {
                Poll::Ready(Ok(_)) => {}
                // What came before it is told first; the error stays.
                Poll::Pending | Poll::Ready(Err(_)) if buf.filled().len() > before => {
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        if buf.filled().len() > before {
            return Poll::Ready(Ok(()));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_pass_on(cx))?;
        let mut taken = 0;
        while taken < bytes.len() {
            let sealed = this.tls.writer().write(&bytes[taken..])?;
            taken += sealed;
            this.held += sealed;
            if this.poll_pass_on(cx)?.is_pending() || sealed == 0 {
                break;
            }
        }
        Poll::Ready(Ok(taken))
    }

    /// Seals the slices together, in as few records as they need. Without any it passes on what is held.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_pass_on(cx))?;
        let taken = this.tls.writer().write_vectored(slices)?;
        this.held += taken;
        match this.poll_pass_on(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(taken)),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_pass_on(cx))?;
        Pin::new(&mut this.socket).poll_flush(cx)
    }

    /// Does not wait for a peer that does not read: it will miss the goodbye, and see the end of the stream all the same.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.part();
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}

impl<S: fmt::Debug> fmt::Debug for TlsStream<S> {
    /// Without the connection, which holds keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// A socket as rustls wants one: what would have to wait is an error, and the task is woken when it need not.
pub(super) struct Wire<'s, 'c, 'w, S> {
    pub(super) socket: &'s mut S,
    pub(super) cx: &'c mut Context<'w>,
}

impl<S: AsyncRead + Unpin> io::Read for Wire<'_, '_, '_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut into = ReadBuf::new(buffer);
        match Pin::new(&mut *self.socket).poll_read(self.cx, &mut into) {
            Poll::Ready(outcome) => outcome.map(|()| into.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl<S: AsyncWrite + Unpin> Wire<'_, '_, '_, S> {
    fn outcome(written: Poll<io::Result<usize>>) -> io::Result<usize> {
        match written {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl<S: AsyncWrite + Unpin> io::Write for Wire<'_, '_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::outcome(Pin::new(&mut *self.socket).poll_write(self.cx, bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let socket = Pin::new(&mut *self.socket);
        Self::outcome(match slices {
            [one] => socket.poll_write(self.cx, one),
            several => socket.poll_write_vectored(self.cx, several),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
