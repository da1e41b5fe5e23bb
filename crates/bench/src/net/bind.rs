//! Binding a socket to a local address without taking a port yet.
#![expect(unsafe_code, reason = "no safe wrapper of IP_BIND_ADDRESS_NO_PORT exists in rustix or socket2")]

use std::{io, mem::size_of_val, net::SocketAddr, os::fd::AsRawFd};

use socket2::Socket;

/// Binds to `source`, whose port is 0, and lets `connect` choose the port.
///
/// A port that `bind` chooses is taken for all destinations, and as long as its connection waits in TIME_WAIT no other
/// program of this machine can connect from it; one that `connect` chooses has only to differ per destination.
///
/// # Errors
///
/// The address is not a local one.
pub(super) fn bind_address_only(socket: &Socket, source: SocketAddr) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on)).unwrap_or(0);
    // SAFETY: the descriptor is open as long as `socket` is borrowed, and the pointer is to `length` bytes of `on`, which
    // the kernel only reads during the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    socket.bind(&source.into())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use socket2::{Domain, Type};

    use super::*;

    #[test]
    fn the_port_is_chosen_when_connecting() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        bind_address_only(&socket, "127.0.0.77:0".parse().unwrap()).unwrap();
        let port = |socket: &Socket| socket.local_addr().unwrap().as_socket().unwrap().port();
        assert_eq!(port(&socket), 0);
        socket.connect(&listener.local_addr().unwrap().into()).unwrap();
        assert_ne!(port(&socket), 0);
        assert_eq!(listener.accept().unwrap().1.ip().to_string(), "127.0.0.77");
    }
}
