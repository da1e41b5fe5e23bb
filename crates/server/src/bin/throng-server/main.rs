//! `throng-server`: reads its settings, starts the server, and stops it on a signal.

fn main() {}
