//! A relay that breaks its promises in a known way, with tungstenite on the reading side.

use std::{
    io::Write,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use tokio_tungstenite::tungstenite::{self, Message};

/// What the relay does to every tenth message, to the one that follows it, or once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    None,
    /// Every tenth message reaches nobody.
    Drop,
    /// Every tenth message is sent twice.
    Double,
    /// Every tenth message is sent after the one that follows it.
    Swap,
    /// Every tenth message loses its last byte.
    Cut,
    /// Every message also goes back to its sender.
    Mirror,
    /// After 50 messages one subscriber is hung up on.
    HangUp,
    /// Handshakes are answered with 503.
    Refuse,
}

pub struct FaultyRelay {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

struct Hub {
    fault: Fault,
    /// In the order in which they connected.
    clients: Vec<(SocketAddr, TcpStream)>,
    messages: usize,
    held: Option<Vec<u8>>,
}

impl FaultyRelay {
    pub fn start(fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let accepting = thread::spawn(move || accept(&listener, fault, &asked));
        Self { address, stop, accepting: Some(accepting) }
    }
}

impl Drop for FaultyRelay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the accepting thread.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.accepting.take() {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, fault: Fault, stop: &AtomicBool) {
    let hub = Arc::new(Mutex::new(Hub { fault, clients: Vec::new(), messages: 0, held: None }));
    let mut readers = Vec::new();
    while let Ok((mut stream, address)) = listener.accept() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        if fault == Fault::Refuse {
            let _ = stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
            continue;
        }
        stream.set_nodelay(true).unwrap();
        let hub = Arc::clone(&hub);
        readers.push(thread::spawn(move || read(stream, address, &hub)));
    }
    for reader in readers {
        let _ = reader.join();
    }
}

fn read(stream: TcpStream, address: SocketAddr, hub: &Mutex<Hub>) {
    let writer = stream.try_clone().unwrap();
    // Entered before the handshake is answered, so that nobody sends before all are in.
    hub.lock().unwrap().clients.push((address, writer));
    let Ok(mut socket) = tungstenite::accept(stream) else { return };
    while let Ok(message) = socket.read() {
        if let Message::Text(text) = message {
            hub.lock().unwrap().relay(address, text.as_bytes());
        }
    }
    hub.lock().unwrap().clients.retain(|(other, _)| *other != address);
}

impl Hub {
    fn relay(&mut self, from: SocketAddr, payload: &[u8]) {
        let tenth = self.messages % 10 == 3;
        self.messages += 1;
        let mut whole = payload.to_vec();
        if tenth && self.fault == Fault::Cut {
            whole.pop();
        }
        let mut copies = vec![whole.clone()];
        match self.fault {
            Fault::Drop if tenth => copies.clear(),
            Fault::Double if tenth => copies.push(whole),
            Fault::Swap if tenth => {
                copies.clear();
                self.held = Some(whole);
            }
            Fault::Swap => copies.extend(self.held.take()),
            Fault::HangUp if self.messages == 51 => {
                if let Some((_, victim)) = self.clients.iter().find(|(other, _)| *other != from) {
                    victim.shutdown(Shutdown::Both).unwrap();
                }
            }
            _ => {}
        }
        for copy in copies {
            for (other, stream) in &mut self.clients {
                if *other != from || self.fault == Fault::Mirror {
                    // Whoever was hung up on cannot be written to.
                    let _ = stream.write_all(&frame(&copy));
                }
            }
        }
    }
}

/// One unmasked text frame of up to 64 KiB.
fn frame(payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap();
    let mut out = vec![0x81, 126];
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(payload);
    out
}
