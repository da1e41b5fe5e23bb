//! A client of the Centrifuge protocol and of plain WebSocket relays that reconnects by itself; a library and a command line.
