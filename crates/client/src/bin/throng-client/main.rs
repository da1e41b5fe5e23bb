//! The command line of throng: subscribe, publish, chat and relay from a terminal or a pipe.

fn main() {}
