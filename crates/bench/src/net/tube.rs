//! A socket, with or without TLS over it, as if it were one that never blocks.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
};

use rustls::ClientConnection;

use crate::plan::TlsPlan;

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

    /// Reads what there is, until the buffer is full or the socket has no more. With TLS a short read from the socket is not
    /// the end of it: how much rustls asks for depends on what it holds.
    ///
    /// # Errors
    ///
    /// The socket's, `WouldBlock` if there is nothing, and `InvalidData` if the server breaks TLS or cannot be trusted.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.socket.read(buffer) };
        let mut filled = 0;
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
            match tls.read_tls(&mut self.socket) {
                Ok(_) => {}
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

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, sync::Arc};

    use rustls::{
        ClientConfig, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
        crypto::aws_lc_rs,
        pki_types::{PrivateKeyDer, ServerName},
    };

    use super::*;

    /// A connection over which nothing has been said yet.
    fn pair() -> (Tube, StreamOwned<ServerConnection, TcpStream>) {
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let server = ServerConfig::builder_with_provider(provider.clone());
        let server = server.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let server = server.with_single_cert(vec![certified.cert.der().clone()], key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certified.cert.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(provider);
        let client = client.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
        let name = ServerName::try_from("localhost").unwrap();
        let plan = TlsPlan { config: Arc::new(client.with_no_client_auth()), name };

        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        socket.set_nonblocking(true).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let server = StreamOwned::new(ServerConnection::new(Arc::new(server)).unwrap(), accepted);
        (Tube::new(socket, Some(&plan)).unwrap(), server)
    }

    /// The kernel does not tell a second time about bytes that were left in the socket.
    #[test]
    fn a_read_over_tls_takes_all_that_the_socket_has() {
        const SENT: usize = 120_000;

        let (mut tube, mut server) = pair();
        tube.write(b"hello").unwrap();
        let server = std::thread::spawn(move || {
            server.read_exact(&mut [0; 5]).unwrap();
            server.write_all(&[7; SENT]).unwrap();
            server.conn.send_close_notify();
            server.flush().unwrap();
            server
        });
        // A byte at most, until the handshake is done; what comes behind it stays in the socket until all of it is there.
        let mut first = 0;
        while tube.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
            match tube.read(&mut [0]) {
                Ok(0) => panic!("the server hung up"),
                Ok(count) => first += count,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            std::thread::yield_now();
        }
        let mut buffer = vec![0; 2 * SENT];
        let server = server.join().unwrap();
        assert_eq!(first + tube.read(&mut buffer).unwrap(), SENT);
        drop(server);
    }
}
