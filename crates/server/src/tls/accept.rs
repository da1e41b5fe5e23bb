use std::io;
use std::task::Poll;
use std::time::Duration;

use rustls::server::{Accepted, AcceptedAlert, Acceptor};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout, timeout_at};

use super::stream::Wire;
use super::{Keeper, Outcome, TlsStream};

/// The first byte of a record that carries a handshake (RFC 8446 section 5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// How often as long as one handshake may take another waits for its turn. Once would do to outlast those that are under way and
/// say nothing more; the clocks of both do not tick at the same moment.
const ROUNDS: u32 = 2;

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// The peer left, or its socket failed.
    #[error("the connection ended")]
    Gone(#[source] io::Error),
    /// The peer broke the protocol, speaks no version or cipher of ours, or did not show what it must.
    #[error("{0}")]
    Refused(rustls::Error),
    /// The peer took too long.
    #[error("its time was over")]
    Late,
    /// Too many others were under way, for too long.
    #[error("its turn did not come")]
    Crowded,
}

impl HandshakeError {
    /// How it counts.
    pub(crate) const fn outcome(&self) -> Outcome {
        match self {
            Self::Gone(_) => Outcome::Gone,
            Self::Refused(_) => Outcome::Refused,
            Self::Late => Outcome::Late,
            Self::Crowded => Outcome::Crowded,
        }
    }
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(refused) => Self::Refused(refused.clone()),
            None => Self::Gone(error),
        }
    }
}

/// Whether a connection that begins with this byte may be one of TLS.
pub(crate) const fn speaks_tls(first: u8) -> bool {
    first == HANDSHAKE_RECORD
}

impl Keeper {
    /// Does the handshake with the certificates of the moment, and counts how it ended. Returns the connection, and until when its
    /// first request must be there.
    ///
    /// A peer whose first message is not complete takes nothing but its socket. Then keys are computed and answered, for as
    /// many at once as `http_server.tls.handshake_limit` says; the others wait, in the order in which they came. Once the
    /// answer is with its socket, a peer holds up nobody any more, whether it goes on or not.
    ///
    /// The first message must be there by `deadline`. The rest has `patience`, together with the request, from the moment at
    /// which its turn comes: those who are slow take none of the time of those who wait for them.
    ///
    /// # Errors
    ///
    /// Why there is no connection; the peer has been told.
    pub(crate) async fn accept<S>(
        &self,
        socket: S,
        deadline: Instant,
        patience: Duration,
    ) -> Result<(TlsStream<S>, Instant), HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let shaken = self.shake_hands(socket, deadline, patience).await;
        self.counts().handshake(match &shaken {
            Ok((stream, _)) if stream.is_resumed() => Outcome::Resumed,
            Ok(_) => Outcome::Full,
            Err(error) => error.outcome(),
        });
        shaken
    }

    async fn shake_hands<S>(
        &self,
        mut socket: S,
        deadline: Instant,
        patience: Duration,
    ) -> Result<(TlsStream<S>, Instant), HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let late = |_| HandshakeError::Late;
        let accepted = timeout_at(deadline, hello(&mut socket)).await.map_err(late)??;
        let one_of_many = {
            let _counted = self.counts().waiting();
            timeout(ROUNDS * patience, self.permit()).await.map_err(|_| HandshakeError::Crowded)?
        };
        let _counted = self.counts().in_flight();
        let deadline = Instant::now() + patience;
        let connection = match accepted.into_connection(self.config()) {
            Ok(connection) => connection,
            Err((error, alert)) => return Err(refuse(&mut socket, error, alert).await),
        };
        let mut stream = TlsStream::new(socket, Box::new(connection));
        timeout_at(deadline, stream.pass_on()).await.map_err(late)??;
        drop(one_of_many);
        timeout_at(deadline, stream.handshake()).await.map_err(late)??;
        Ok((stream, deadline))
    }
}

/// Reads the peer's first message.
async fn hello<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut S) -> Result<Accepted, HandshakeError> {
    let mut acceptor = Acceptor::default();
    loop {
        match acceptor.accept() {
            Ok(Some(accepted)) => return Ok(accepted),
            Ok(None) => {}
            Err((error, alert)) => return Err(refuse(socket, error, alert).await),
        }
        let read =
            std::future::poll_fn(|cx| match acceptor.read_tls(&mut Wire { socket: &mut *socket, cx }) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
                outcome => Poll::Ready(outcome),
            });
        if read.await? == 0 {
            return Err(HandshakeError::Gone(io::ErrorKind::UnexpectedEof.into()));
        }
    }
}

/// Tells the peer what is wrong.
async fn refuse<S: AsyncWrite + Unpin>(
    socket: &mut S,
    error: rustls::Error,
    mut alert: AcceptedAlert,
) -> HandshakeError {
    // Nothing was sent before, so that there is room for these few bytes; that they cannot be sent changes nothing.
    let _ = std::future::poll_fn(|cx| {
        let mut wire = Wire { socket: &mut *socket, cx };
        Poll::Ready(alert.write_all(&mut wire))
    })
    .await;
    HandshakeError::Refused(error)
}

#[cfg(test)]
#[path = "accept_tests.rs"]
mod tests;
