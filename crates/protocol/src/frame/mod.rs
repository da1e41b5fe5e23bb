//! The server side of RFC 6455: WebSocket frames in, events out, without sockets or clocks.
