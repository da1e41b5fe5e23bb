use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead as _, ReadBuf};

use super::line::Line;
use super::scan::{Finding, Scanner};
use crate::shard::Route;

/// Bytes that are read at once.
const READ: usize = 8 * 1024;

/// A connection that keeps back what is written once an upgrade has been granted: the answer `101 Switching Protocols`. What is read
/// from it is looked at for request smuggling.
///
/// The shard sends it, behind the client's entry into its room. A client that has the answer is a member, and misses nothing
/// that is said from then on.
#[derive(Debug)]
pub(super) struct Held {
    line: TokioIo<Line>,
    granted: Arc<OnceLock<Route>>,
    answer: Vec<u8>,
    scanner: Scanner,
    finding: Arc<Finding>,
}

impl Held {
    pub(super) fn new(line: Line, granted: Arc<OnceLock<Route>>, finding: Arc<Finding>) -> Self {
        let scanner = Scanner::default();
        Self { line: TokioIo::new(line), granted, answer: Vec::new(), scanner, finding }
    }

    /// The connection, and what has been kept back.
    pub(super) fn into_parts(self) -> (Line, Vec<u8>) {
        (self.line.into_inner(), self.answer)
    }
}

impl Read for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // The cursor does not show what was put into it.
        let mut space = [MaybeUninit::uninit(); READ];
        let mut read = ReadBuf::uninit(&mut space[..into.remaining().min(READ)]);
        ready!(Pin::new(self.line.inner_mut()).poll_read(cx, &mut read))?;
        let verdict = self.scanner.feed(read.filled());
        self.finding.set(verdict, self.scanner.requests());
        into.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }
}

impl Write for Held {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.granted.get().is_some() {
            self.answer.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.line).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.line).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.line).poll_shutdown(cx)
    }
}
