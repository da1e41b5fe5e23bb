//! What stands between the clients and the server: a door that can be shut, which cuts every connection.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use anyhow::Result;

/// A listener that forwards to the server while it is open. Its threads end with the process.
#[derive(Debug)]
pub(super) struct Gate {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    shut: bool,
    /// Both ends of every connection that passed.
    open: Vec<TcpStream>,
}

impl Gate {
    /// Opens a gate before `server`.
    ///
    /// # Errors
    ///
    /// When it cannot listen.
    pub(super) fn before(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // Neither a server that is not there nor a client that has gone ends the gate.
                let _ = pass(client, server, &shared);
            }
        });
        Ok(Self { address, state })
    }

    /// Where clients connect.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts all connections, and lets no new ones through.
    pub(super) fn shut(&self) {
        let mut state = lock(&self.state);
        state.shut = true;
        for end in state.open.drain(..) {
            // It may have ended by itself.
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    /// Lets connections through again.
    pub(super) fn open(&self) {
        lock(&self.state).shut = false;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pass(client: TcpStream, server: SocketAddr, state: &Mutex<State>) -> io::Result<()> {
    let mut state = lock(state);
    if state.shut {
        return Ok(());
    }
    let upstream = TcpStream::connect(server)?;
    for (from, to) in [(&client, &upstream), (&upstream, &client)] {
        from.set_nodelay(true)?;
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        thread::spawn(move || {
            // However it ends, both ends are told.
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
            let _ = from.shutdown(Shutdown::Both);
        });
    }
    state.open.extend([client, upstream]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn a_shut_gate_cuts_and_refuses_until_it_is_opened() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let gate = Gate::before(server.local_addr().unwrap()).unwrap();
        let mut byte = [0];
        let mut client = TcpStream::connect(gate.address()).unwrap();
        let mut upstream = server.accept().unwrap().0;
        client.write_all(b"x").unwrap();
        upstream.read_exact(&mut byte).unwrap();
        gate.shut();
        // An end or a reset, as it comes.
        assert!(matches!(client.read(&mut byte), Ok(0) | Err(_)));
        let mut refused = TcpStream::connect(gate.address()).unwrap();
        assert!(matches!(refused.read(&mut byte), Ok(0) | Err(_)));
        gate.open();
        let _client = TcpStream::connect(gate.address()).unwrap();
        server.accept().unwrap();
    }
}
