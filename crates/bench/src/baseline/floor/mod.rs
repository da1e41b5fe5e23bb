//! What the kernel charges: epoll, no WebSocket library, no runtime, frames encoded once.
//!
//! It does the least that a relay can do and lacks what a server needs: limits, deadlines, fragments, UTF-8 checks, a policy
//! for slow clients beyond hanging up.

mod peer;

use std::{
    collections::HashMap,
    io::{self, ErrorKind, Read},
    net::TcpListener,
    os::fd::{AsFd, OwnedFd},
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
    io::Errno,
};

use self::peer::{Peer, Taken};
use crate::wire::frame;

const READ_BYTES: usize = 64 * 1024;
const EVENTS: usize = 1024;
const LISTENER: u64 = u64::MAX;
/// Longest wait, so that a request to stop is noticed.
const WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// How the floor serves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Floor {
    /// Gather what a socket gets in one turn of the loop and write it once; else one write per delivery.
    pub merge: bool,
    /// Send each message back instead of to the others in the room.
    pub echo: bool,
}

/// Serves until `stop` is set. A room is whatever path its members connect to; a sender does not hear itself.
///
/// # Errors
///
/// The kernel refuses epoll, or accepting fails for another reason than the connection itself.
pub fn serve(listener: TcpListener, floor: Floor, stop: &AtomicBool) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, listener.as_fd(), epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
    let mut server = Server {
        floor,
        epoll,
        peers: Vec::new(),
        free: Vec::new(),
        rooms: HashMap::new(),
        dirty: Vec::new(),
        buffer: vec![0; READ_BYTES],
    };
    let mut events = Vec::with_capacity(EVENTS);
    while !stop.load(Ordering::Relaxed) {
        events.clear();
        match epoll::wait(&server.epoll, spare_capacity(&mut events), Some(&WAIT)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            match event.data.u64() {
                LISTENER => server.accept(&listener)?,
                id => server.serve_peer(usize::try_from(id).unwrap_or(usize::MAX), event.flags),
            }
        }
        server.write_dirty();
    }
    Ok(())
}

struct Server {
    floor: Floor,
    epoll: OwnedFd,
    peers: Vec<Option<Peer>>,
    free: Vec<usize>,
    /// Members by path.
    rooms: HashMap<String, Vec<usize>>,
    /// Peers with something to write at the end of the turn.
    dirty: Vec<usize>,
    buffer: Vec<u8>,
}

impl Server {
    fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        loop {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let id = self.free.pop().unwrap_or(self.peers.len());
            if id == self.peers.len() {
                self.peers.push(None);
            }
            epoll::add(&self.epoll, &stream, epoll::EventData::new_u64(id as u64), epoll::EventFlags::IN)?;
            self.peers[id] = Some(Peer::new(stream));
        }
    }

    fn serve_peer(&mut self, id: usize, flags: epoll::EventFlags) {
        if flags.contains(epoll::EventFlags::OUT) {
            self.flush(id);
        }
        if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
            self.read(id);
        }
    }

    fn read(&mut self, id: usize) {
        let Some(Some(peer)) = self.peers.get_mut(id) else { return };
        // Taken out for the time of the call, so that deliveries can borrow the server.
        let mut buffer = std::mem::take(&mut self.buffer);
        match peer.stream.read(&mut buffer) {
            Ok(0) => self.hang_up(id),
            Ok(count) => self.take_bytes(id, &mut buffer[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.hang_up(id),
        }
        self.buffer = buffer;
    }

    fn take_bytes(&mut self, id: usize, bytes: &mut [u8]) {
        let Some(Some(peer)) = self.peers.get_mut(id) else { return };
        let mut joined;
        let mut rest = bytes;
        if !peer.pending.is_empty() {
            joined = std::mem::take(&mut peer.pending);
            joined.extend_from_slice(rest);
            rest = &mut joined;
        }
        loop {
            let Some(Some(peer)) = self.peers.get_mut(id) else { return };
            match peer.take(rest) {
                Taken::Nothing => {
                    peer.pending.extend_from_slice(rest);
                    return;
                }
                Taken::Request { path, answer, length } => {
                    rest = &mut rest[length..];
                    self.rooms.entry(path.clone()).or_default().push(id);
                    peer.room = Some(path);
                    peer.out.extend_from_slice(answer.as_bytes());
                    self.flush(id);
                }
                Taken::Frame { opcode, payload, length } => {
                    let (front, behind) = rest.split_at_mut(length);
                    self.take_frame(id, opcode, &front[payload..]);
                    rest = behind;
                }
                Taken::Fault => return self.hang_up(id),
            }
        }
    }

    fn take_frame(&mut self, id: usize, opcode: u8, payload: &[u8]) {
        let mut encoded = Vec::with_capacity(payload.len() + frame::MAX_HEADER);
        match opcode {
            frame::TEXT | frame::BINARY => {
                frame::write_plain(&mut encoded, opcode, payload);
                self.deliver(id, &encoded);
            }
            frame::PING => {
                frame::write_plain(&mut encoded, frame::PONG, payload);
                self.send(id, &encoded);
            }
            frame::CLOSE => {
                frame::write_plain(&mut encoded, frame::CLOSE, payload);
                self.send(id, &encoded);
                self.flush(id);
                self.hang_up(id);
            }
            _ => {}
        }
    }

    fn deliver(&mut self, id: usize, encoded: &[u8]) {
        if self.floor.echo {
            return self.send(id, encoded);
        }
        let Some(Some(Peer { room: Some(room), .. })) = self.peers.get(id) else { return };
        // Taken out for the time of the loop; nobody joins meanwhile, and whoever is hung up is taken out of it later.
        let room = room.clone();
        let members = self.rooms.get_mut(&room).map(std::mem::take).unwrap_or_default();
        for member in &members {
            if *member != id {
                self.send(*member, encoded);
            }
        }
        let still_here = members.into_iter().filter(|member| self.peers[*member].is_some());
        self.rooms.insert(room, still_here.collect());
    }

    /// One write per delivery, or one per turn.
    fn send(&mut self, id: usize, encoded: &[u8]) {
        let Some(Some(peer)) = self.peers.get_mut(id) else { return };
        peer.out.extend_from_slice(encoded);
        if !self.floor.merge {
            self.flush(id);
        } else if !peer.dirty {
            peer.dirty = true;
            self.dirty.push(id);
        }
    }

    fn write_dirty(&mut self) {
        while let Some(id) = self.dirty.pop() {
            if let Some(Some(peer)) = self.peers.get_mut(id) {
                peer.dirty = false;
                self.flush(id);
            }
        }
    }

    fn flush(&mut self, id: usize) {
        let Some(Some(peer)) = self.peers.get_mut(id) else { return };
        let waited = peer.waits_to_write;
        if peer.write().is_err() {
            return self.hang_up(id);
        }
        if peer.waits_to_write != waited {
            let out = if waited { epoll::EventFlags::empty() } else { epoll::EventFlags::OUT };
            let data = epoll::EventData::new_u64(id as u64);
            if epoll::modify(&self.epoll, &peer.stream, data, epoll::EventFlags::IN | out).is_err() {
                self.hang_up(id);
            }
        }
    }

    fn hang_up(&mut self, id: usize) {
        let Some(peer) = self.peers.get_mut(id).and_then(Option::take) else { return };
        self.free.push(id);
        let Some(room) = peer.room else { return };
        if let Some(members) = self.rooms.get_mut(&room) {
            members.retain(|member| *member != id);
            if members.is_empty() {
                self.rooms.remove(&room);
            }
        }
    }
}
