//! A socket, with or without TLS over it, as if it were one that never blocks.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
};

use rustls::ClientConnection;

use crate::plan::TlsPlan;

/// What rustls reads from a socket at once, or more; less is the end of what there is.
const READ_BYTES: usize = 4096;

#[derive(Debug)]
pub(super) struct Tube {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

impl Tube {
    /// # Errors
    ///
    /// The TLS library refuses its settings.
    pub(super) fn new(socket: TcpStream, tls: Option<&TlsPlan>) -> io::Result<Self> {
        let connection = tls.map(|plan| ClientConnection::new(plan.config.clone(), plan.name.clone()));
        let connection =
            connection.transpose().map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
        Ok(Self { socket, tls: connection.map(Box::new) })
    }

    pub(super) const fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Whether something waits for room in the socket although it was written.
    pub(super) fn wants_write(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Passes on what was written; false if the socket is full before the end of it.
    ///
    /// # Errors
    ///
    /// The socket's.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        let Some(tls) = &mut self.tls else { return Ok(true) };
        while tls.wants_write() {
            match tls.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Reads what there is, until the buffer is full or the socket has no more.
    ///
    /// # Errors
    ///
    /// The socket's, `WouldBlock` if there is nothing, and `InvalidData` if the server breaks TLS or cannot be trusted.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.socket.read(buffer) };
        let mut filled = 0;
        let mut is_short = false;
        loop {
            match tls.reader().read(&mut buffer[filled..]) {
                Ok(0) => return Ok(filled),
                Ok(count) => {
                    filled += count;
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(filled),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if filled > 0 && is_short {
                return Ok(filled);
            }
            match tls.read_tls(&mut self.socket) {
                Ok(count) => is_short = count < READ_BYTES,
                Err(error) if error.kind() == ErrorKind::WouldBlock && filled > 0 => return Ok(filled),
                Err(error) => return Err(error),
            }
            tls.process_new_packets().map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            // The end of the handshake, and what was written before it. A full socket says when it is not.
            while tls.wants_write() && tls.write_tls(&mut self.socket).is_ok() {}
        }
    }

    /// Takes what it can.
    ///
    /// # Errors
    ///
    /// The socket's, and `WouldBlock` if nothing can be taken.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.socket.write(bytes) };
        let taken = tls.writer().write(bytes)?;
        self.flush()?;
        if taken == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(taken) }
    }
}
