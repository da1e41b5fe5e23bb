use clap::{Args, Parser, Subcommand};
use throng_client::{Client, ClientBuilder, Endpoint, Format, QueueBounds, RelayBuilder, RelayClient};

/// A pipe is often read in bursts, and a line that is missing is worse than memory for a while.
const QUEUE: QueueBounds = QueueBounds { events: 1 << 20, bytes: 64 << 20 };

const EXAMPLES: &str = "\
Examples:
  throng-client chat lobby --name ann            talk to whoever is in the room
  throng-client sub news sport                   print what is published, channel and data
  throng-client pub news '{\"title\":\"hello\"}'     publish one message
  tail -F app.log | throng-client pub logs       publish line by line
  throng-client sub news --count 1 --json        wait for one message, for a script
  throng-client relay lobby < lines.txt          send lines to a room of the relay, raw
  throng-client --url wss://chat.example echo    how long is a round trip?

Exit status:
  0    done; also when ended by Ctrl-C while receiving, and when the reader of stdout has gone
  1    something failed: not sent, no answer, unreadable input
  2    wrong usage
  3    the server cannot be reached, is no WebSocket server, or is not trusted
  4    the server refused: an error reply, a terminal close code, an HTTP status
  130  interrupted before it was done

Environment:
  THRONG_URL      the server, unless --url is given
  NO_COLOR        no colours, when set to anything
  SSL_CERT_FILE   trusted root certificates for wss, instead of the system's";

/// A client of throng for terminals, pipes and scripts.
///
/// `sub` and `pub` speak the Centrifuge protocol. `chat`, `relay` and `echo` use plain WebSocket messages, as browsers
/// and other tools do. Lost connections come back by themselves.
///
/// Data goes to stdout, messages about the connection to stderr. Messages that only inform are left out unless both are
/// terminals.
#[derive(Debug, Parser)]
#[command(name = "throng-client", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) connection: ConnectionArguments,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArguments {
    /// The server: ws://, wss://, http:// or https://. A path, if there is one, is used as it is; otherwise each
    /// command adds its own (/connection/websocket, /relay/ROOM, /echo).
    #[arg(
        long,
        global = true,
        env = "THRONG_URL",
        hide_env_values = true,
        default_value = "ws://127.0.0.1:8080",
        value_name = "URL"
    )]
    pub(crate) url: Endpoint,
    /// Speak Protobuf instead of JSON (sub and pub).
    #[arg(long, global = true)]
    pub(crate) protobuf: bool,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArguments {
    /// Write one JSON object a line to stdout, for programs.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Nothing about the connection on stderr, only errors.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Log what the client does to stderr.
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print what is published to channels.
    ///
    /// One line a publication: the data alone for one channel, channel and data with a tab between them for several.
    /// Data that is neither JSON nor text (Protobuf only) is printed in hexadecimal.
    Sub(SubArguments),
    /// Publish to a channel: DATA, or stdin line by line.
    ///
    /// Exits when the server has acknowledged everything. Data that is valid JSON is published as it is; anything else is
    /// published as a JSON string, so that `echo hi | throng-client pub news` publishes "hi".
    Pub(PubArguments),
    /// Talk in a room of the relay: what you type, the others read.
    ///
    /// Lines go out as plain text, with "NAME: " in front if --name is given, so that this, the browser page and any other
    /// WebSocket client can meet in one room. Control characters in what others send are shown escaped on a terminal.
    Chat(ChatArguments),
    /// Connect stdin and stdout to a room of the relay, raw.
    ///
    /// Every line of stdin is sent as one message, without its line end. Every message that arrives is written to stdout
    /// as it is, followed by a line end.
    Relay(RelayArguments),
    /// Send a message to /echo and print how long it took.
    Echo(EchoArguments),
}

#[derive(Args, Debug)]
pub(crate) struct SubArguments {
    /// The channels.
    #[arg(required = true, value_name = "CHANNEL", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) channels: Vec<String>,
    /// Exit after so many publications, of all channels together.
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct PubArguments {
    /// The channel.
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) channel: String,
    /// What to publish. Without it, every line of stdin is published.
    pub(crate) data: Option<String>,
    /// Never turn data into a JSON string: refuse what is not JSON, or with --protobuf publish the bytes as they are.
    #[arg(long)]
    pub(crate) raw: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ChatArguments {
    /// The room.
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) room: String,
    /// Your name, put in front of every line.
    #[arg(long, value_parser = name)]
    pub(crate) name: Option<String>,
    /// Go on receiving when stdin ends.
    #[arg(long)]
    pub(crate) stay: bool,
}

#[derive(Args, Debug)]
pub(crate) struct RelayArguments {
    /// The room.
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) room: String,
    /// Send binary messages instead of text.
    #[arg(long)]
    pub(crate) binary: bool,
    /// Go on receiving when stdin ends.
    #[arg(long)]
    pub(crate) stay: bool,
}

#[derive(Args, Debug)]
pub(crate) struct EchoArguments {
    /// What to send.
    #[arg(default_value = "hello")]
    pub(crate) text: String,
}

impl ConnectionArguments {
    /// A client of the protocol.
    pub(crate) fn client(&self) -> ClientBuilder {
        let format = if self.protobuf { Format::Protobuf } else { Format::Json };
        Client::builder(self.url.to_url())
            .format(format)
            .name("throng-client", env!("CARGO_PKG_VERSION"))
            .queue(QUEUE)
    }

    /// A client of a room.
    pub(crate) fn room(&self, room: &str) -> RelayBuilder {
        RelayClient::builder(self.url.or_relay(room).to_url()).queue(QUEUE)
    }

    /// A client of the echo.
    pub(crate) fn echo(&self) -> RelayBuilder {
        RelayClient::builder(self.url.or_path("/echo").to_url())
    }
}

/// A name that cannot be mistaken for something else in front of a line.
fn name(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() {
        return Err("a name needs at least one character");
    }
    if text.chars().any(char::is_control) {
        return Err("a name has no control characters");
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn names_without_a_letter_and_names_with_control_characters_are_refused() {
        for bad in ["", "  ", "a\nb", "\x1b[31mred"] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
        assert_eq!(name("Ann Lee").as_deref(), Ok("Ann Lee"));
    }
}
