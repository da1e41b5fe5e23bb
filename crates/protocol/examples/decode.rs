//! Reads a frame as a server or client would, and prints what is in it.
//!
//! ```text
//! printf '{"id":1,"connect":{"name":"me"}}\n{}' | cargo run -p throng-protocol --example decode -- commands json
//! printf '\x11\x22\x0f\x5a\x0d\x08\xb9\x17\x12\x08shutdown' |
//!     cargo run -p throng-protocol --example decode -- replies protobuf
//! ```

use std::fmt::Debug;
use std::io::{Read, Write};
use std::process::ExitCode;

use throng_protocol::{DecodeError, Format, Limits};

fn main() -> std::io::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let format = match arguments.get(1).map(String::as_str) {
        Some("json") => Format::Json,
        Some("protobuf") => Format::Protobuf,
        _ => return usage(),
    };
    let mut frame = Vec::new();
    std::io::stdin().read_to_end(&mut frame)?;
    match arguments[0].as_str() {
        "commands" => print(format.decode_commands(frame.into(), &Limits::for_commands())),
        "replies" => print(format.decode_replies(frame.into(), &Limits::for_replies())),
        _ => usage(),
    }
}

fn print<T: Debug>(messages: impl Iterator<Item = Result<T, DecodeError>>) -> std::io::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    for message in messages {
        match message {
            Ok(message) => writeln!(out, "{message:#?}")?,
            Err(error) => {
                writeln!(
                    std::io::stderr(),
                    "{error}; a server would close with {}",
                    error.disconnect_code()
                )?;
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn usage() -> std::io::Result<ExitCode> {
    writeln!(std::io::stderr(), "usage: decode commands|replies json|protobuf < FRAME")?;
    Ok(ExitCode::from(2))
}
