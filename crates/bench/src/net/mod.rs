//! Sockets and epoll: one thread, one read buffer, no task and no buffer per idle connection.

mod bind;
mod ramp;
mod source;
mod tube;

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use hdrhistogram::Histogram;
use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
    fd::OwnedFd,
    io::Errno,
};
use socket2::{Domain, Socket, Type};

use self::{bind::bind_address_only, source::Sources, tube::Tube};
use crate::{
    clock::{Clock, nanos},
    link::{Event, Link, LinkError, Outbox, Scratch, Wire},
    measure::histogram,
    plan::TlsPlan,
    wire::{dialect::Refusal, stamp::Stamp},
};

pub(crate) use self::ramp::Ramp;

/// Bytes that one read may bring.
const READ_BYTES: usize = 256 * 1024;
/// Sockets that one turn looks at.
const EVENTS: usize = 1024;

/// The peer will send no more, or the socket has failed.
const ENDING: epoll::EventFlags =
    epoll::EventFlags::HUP.union(epoll::EventFlags::ERR).union(epoll::EventFlags::RDHUP);

/// What a scenario does about what its connections bring.
pub(crate) trait Handler {
    /// The connection is ready for the run.
    fn opened(&mut self, id: usize, reply: &mut Reply<'_>);
    /// A stamped message arrived at `now_ns`.
    fn message(&mut self, id: usize, stamp: &Stamp, now_ns: u64, reply: &mut Reply<'_>);
    /// A message arrived that is not of this run.
    fn foreign(&mut self, id: usize);
    /// A publication was refused.
    fn refused(&mut self, id: usize, refusal: Refusal);
    /// The connection is gone, opened or not. Its slot is free again.
    fn ended(&mut self, id: usize, was_open: bool, error: LinkError);
}

/// Lets a handler answer on the connection that a message came from, within the same write.
#[derive(Debug)]
pub(crate) struct Reply<'a> {
    wire: &'a Wire,
    outbox: &'a mut Outbox,
    scratch: &'a mut Scratch,
}

impl Reply<'_> {
    pub(crate) fn publish(&mut self, stamp: &Stamp) {
        self.outbox.publish(self.wire, stamp, self.scratch);
    }
}

/// The connections of a run.
pub(crate) struct Net {
    pub(crate) clock: Clock,
    pub(crate) wire: Wire,
    epoll: OwnedFd,
    target: SocketAddr,
    tls: Option<TlsPlan>,
    sources: Sources,
    open_deadline: Duration,
    peers: Vec<Option<Peer>>,
    /// Connections that are not open yet, oldest first; entries whose connection has moved on are skipped.
    opening_order: VecDeque<(usize, u64)>,
    opening: usize,
    events: Vec<epoll::Event>,
    buffer: Vec<u8>,
    scratch: Scratch,
    /// Connections with something to write at the end of the turn.
    dirty: Vec<usize>,
    /// From the first packet to an open connection, in nanoseconds.
    pub(crate) open_ns: Histogram<u64>,
    /// How many connections have opened since the run began.
    pub(crate) opened: u64,
    seed: u32,
}

#[derive(Debug)]
struct Peer {
    stream: Tube,
    link: Link,
    started_ns: u64,
    /// The kernel has not said yet whether the connection stands.
    connecting: bool,
    waits_to_write: bool,
    dirty: bool,
}

impl Net {
    /// # Errors
    ///
    /// The kernel has no epoll instance left.
    pub(crate) fn new(
        wire: Wire,
        target: SocketAddr,
        tls: Option<TlsPlan>,
        open_deadline: Duration,
    ) -> io::Result<Self> {
        Ok(Self {
            clock: Clock::start(),
            wire,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            target,
            tls,
            sources: Sources::towards(target),
            open_deadline,
            peers: Vec::new(),
            opening_order: VecDeque::new(),
            opening: 0,
            events: Vec::with_capacity(EVENTS),
            buffer: vec![0; READ_BYTES],
            scratch: Scratch::default(),
            dirty: Vec::new(),
            open_ns: histogram(),
            opened: 0,
            seed: rand::random(),
        })
    }

    /// Starts connection `id`, whose slot must be free.
    ///
    /// # Errors
    ///
    /// The socket could not be made or the server refused at once.
    pub(crate) fn connect(&mut self, id: usize, room: u32, subscribes: bool) -> io::Result<()> {
        let socket = Socket::new(Domain::for_address(self.target), Type::STREAM.nonblocking(), None)?;
        if let Some(source) = self.sources.next() {
            bind_address_only(&socket, source)?;
        }
        match socket.connect(&self.target.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(error),
        }
        socket.set_tcp_nodelay(true)?;
        let mut stream = Tube::new(TcpStream::from(socket), self.tls.as_ref())?;
        self.seed = self.seed.wrapping_mul(0x9E37_79B1).wrapping_add(1);
        let mut link = Link::new(&self.wire, room, subscribes, self.seed);
        let started_ns = self.clock.now_ns();
        // On loopback the connection stands by now, although the kernel says that it is in progress, and the request leaves
        // at once; elsewhere it waits until the socket can be written to.
        let connecting = match stream.write(link.outbox.unwritten()) {
            Ok(count) => {
                link.outbox.wrote(count);
                false
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => true,
            Err(error) => return Err(error),
        };
        let waits_to_write = !link.outbox.unwritten().is_empty() || stream.wants_write();
        epoll::add(&self.epoll, stream.socket(), epoll::EventData::new_u64(id as u64), interest())?;
        if self.peers.len() <= id {
            self.peers.resize_with(id + 1, || None);
        }
        self.peers[id] = Some(Peer { stream, link, started_ns, connecting, waits_to_write, dirty: false });
        self.opening_order.push_back((id, started_ns));
        self.opening += 1;
        Ok(())
    }

    /// Connections that have been started and are not open yet.
    pub(crate) const fn opening(&self) -> usize {
        self.opening
    }

    /// Bytes that `id` has not been able to send.
    pub(crate) fn backlog(&self, id: usize) -> usize {
        self.peers[id].as_ref().map_or(0, |peer| peer.link.outbox.unwritten().len())
    }

    /// Drops the connection without a Close frame, as a client that loses power does.
    pub(crate) fn close(&mut self, id: usize) {
        if let Some(peer) = self.peers[id].take()
            && !peer.link.was_open()
        {
            self.opening -= 1;
        }
    }

    /// Reads nothing from the connection any more, as a client does that hangs.
    ///
    /// # Errors
    ///
    /// The kernel refuses to forget the socket.
    pub(crate) fn stall(&self, id: usize) -> io::Result<()> {
        match &self.peers[id] {
            Some(peer) => Ok(epoll::delete(&self.epoll, peer.stream.socket())?),
            None => Ok(()),
        }
    }

    /// Drops all connections.
    pub(crate) fn close_all(&mut self) {
        self.peers.clear();
        self.opening = 0;
        self.opening_order.clear();
    }

    /// Queues one message on `id`; it leaves with [`flush`](Self::flush).
    pub(crate) fn publish(&mut self, id: usize, stamp: &Stamp) {
        if let Some(peer) = &mut self.peers[id] {
            peer.link.outbox.publish(&self.wire, stamp, &mut self.scratch);
            self.mark_dirty(id);
        }
    }

    /// Writes what has been queued since the last turn, once per connection.
    pub(crate) fn flush<H: Handler>(&mut self, handler: &mut H) {
        while let Some(id) = self.dirty.pop() {
            if let Some(peer) = &mut self.peers[id] {
                peer.dirty = false;
                self.write(id, handler);
            }
        }
    }

    /// Waits at most `timeout` for sockets and serves those that are ready.
    ///
    /// # Errors
    ///
    /// The kernel refuses to wait.
    pub(crate) fn turn<H: Handler>(&mut self, timeout: Duration, handler: &mut H) -> io::Result<()> {
        self.flush(handler);
        self.events.clear();
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for index in 0..self.events.len() {
            let event = self.events[index];
            let id = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
            self.serve(id, event.flags, handler);
        }
        self.end_late_openings(handler);
        Ok(())
    }

    fn serve<H: Handler>(&mut self, id: usize, flags: epoll::EventFlags, handler: &mut H) {
        let Some(Some(peer)) = self.peers.get_mut(id) else { return };
        if peer.connecting {
            match peer.stream.socket().take_error() {
                Ok(None) => {}
                Ok(Some(error)) | Err(error) => {
                    self.end::<H, ()>(id, &socket_error(&error), handler);
                    return;
                }
            }
            peer.connecting = false;
        }
        if flags.intersects(epoll::EventFlags::IN | ENDING) {
            // With an edge only a short read is the end of what there is, and not even that when the peer has hung up.
            let to_the_end = flags.intersects(ENDING);
            while self.read(id, handler).is_some_and(|filled| filled || to_the_end) {}
        }
        if flags.contains(epoll::EventFlags::OUT) && self.waits_to_write(id) {
            self.write(id, handler);
        }
    }

    /// Reads once and says whether the buffer was filled; `None` when there was nothing or the connection is gone.
    fn read<H: Handler>(&mut self, id: usize, handler: &mut H) -> Option<bool> {
        let Self { peers, buffer, wire, scratch, clock, opening, opened, open_ns, .. } = self;
        let peer = peers.get_mut(id)?.as_mut()?;
        let pending = peer.link.take_pending();
        let kept = pending.len();
        if buffer.len() < kept + READ_BYTES {
            buffer.resize(kept + READ_BYTES, 0);
        }
        buffer[..kept].copy_from_slice(&pending);
        let read = peer.stream.read(&mut buffer[kept..]);
        let now_ns = clock.now_ns();
        let count = match read {
            Ok(0) => return self.end(id, &LinkError::HungUp, handler),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                peer.link.keep_pending(pending);
                return None;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                peer.link.keep_pending(pending);
                return Some(true);
            }
            Err(error) => return self.end(id, &socket_error(&error), handler),
        };
        let filled = kept + count == buffer.len();
        let started_ns = peer.started_ns;
        let result = peer.link.feed(wire, &buffer[..kept + count], &mut |event, outbox| {
            let mut reply = Reply { wire, outbox, scratch };
            match event {
                Event::Opened => {
                    *opening -= 1;
                    *opened += 1;
                    open_ns.saturating_record(now_ns - started_ns);
                    handler.opened(id, &mut reply);
                }
                Event::Message(stamp) => handler.message(id, &stamp, now_ns, &mut reply),
                Event::Foreign => handler.foreign(id),
                Event::Refused(refusal) => handler.refused(id, refusal),
            }
        });
        peer.waits_to_write |= peer.stream.wants_write();
        let sends = !peer.link.outbox.unwritten().is_empty() && !peer.waits_to_write;
        if sends {
            self.write(id, handler);
        }
        if let Err(error) = result {
            return self.end(id, &error, handler);
        }
        Some(filled)
    }

    fn waits_to_write(&self, id: usize) -> bool {
        self.peers.get(id).is_some_and(|peer| peer.as_ref().is_some_and(|peer| peer.waits_to_write))
    }

    fn write<H: Handler>(&mut self, id: usize, handler: &mut H) {
        let Some(Some(peer)) = self.peers.get_mut(id) else { return };
        peer.waits_to_write = false;
        while !peer.link.outbox.unwritten().is_empty() {
            match peer.stream.write(peer.link.outbox.unwritten()) {
                Ok(count) => peer.link.outbox.wrote(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    peer.waits_to_write = true;
                    return;
                }
                Err(error) => {
                    self.end::<H, ()>(id, &socket_error(&error), handler);
                    return;
                }
            }
        }
        match peer.stream.flush() {
            Ok(is_out) => peer.waits_to_write = !is_out,
            Err(error) => {
                self.end::<H, ()>(id, &socket_error(&error), handler);
            }
        }
    }

    /// Frees the slot and tells the handler; always `None`, for those who have nothing more to say about the connection.
    fn end<H: Handler, T>(&mut self, id: usize, error: &LinkError, handler: &mut H) -> Option<T> {
        let peer = self.peers.get_mut(id).and_then(Option::take)?;
        // A link that the peer closed is no longer open, but it was if it is not among the opening ones.
        let was_open = peer.link.was_open();
        if !was_open {
            self.opening -= 1;
        }
        handler.ended(id, was_open, error.clone());
        None
    }

    fn mark_dirty(&mut self, id: usize) {
        if let Some(peer) = &mut self.peers[id]
            && !peer.dirty
        {
            peer.dirty = true;
            self.dirty.push(id);
        }
    }

    fn end_late_openings<H: Handler>(&mut self, handler: &mut H) {
        let now_ns = self.clock.now_ns();
        while let Some(&(id, started_ns)) = self.opening_order.front() {
            let same =
                self.peers.get(id).and_then(Option::as_ref).filter(|peer| peer.started_ns == started_ns);
            if same.is_some_and(|peer| !peer.link.was_open()) {
                if now_ns - started_ns < nanos(self.open_deadline) {
                    return;
                }
                self.end::<H, ()>(id, &LinkError::Deadline(self.open_deadline), handler);
            }
            self.opening_order.pop_front();
        }
    }
}

/// Every change of a socket, once each: the kernel looks at each ready socket one time less than with levels, and nothing is
/// to be told to it when a socket is full.
fn interest() -> epoll::EventFlags {
    epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET
}

fn socket_error(error: &io::Error) -> LinkError {
    LinkError::Socket(error.to_string())
}
