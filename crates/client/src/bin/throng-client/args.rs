use clap::{
    Args, CommandFactory as _, Parser, Subcommand, builder::NonEmptyStringValueParser, error::ErrorKind,
};
use throng_client::{
    Client, ClientBuilder, Endpoint, FilterNode, Format, QueueBounds, RelayBuilder, RelayClient,
    StreamPosition, Token,
};

use crate::{api::ApiArguments, failure::Failure, tls::TlsArguments};

/// A pipe is often read in bursts, and a line that is missing is worse than memory for a while.
const QUEUE: QueueBounds = QueueBounds { events: 1 << 20, bytes: 64 << 20 };

const EXAMPLES: &str = "\
Examples:
  throng-client chat lobby --name ann            talk to whoever is in the room
  throng-client sub news sport                   print what is published, channel and data
  throng-client pub news '{\"title\":\"hello\"}'     publish one message
  tail -F app.log | throng-client pub logs       publish line by line
  throng-client sub news --count 1 --json        wait for one message, for a script
  throng-client sub orders --recover             get what was missed after an interruption
  throng-client history news --limit 10          what was published, with history on the server
  throng-client presence lobby                   who is there, with presence on the server
  throng-client api publish news '{\"n\":1}'       publish as a backend does, over HTTP
  throng-client relay lobby < lines.txt          send lines to a room of the relay, raw
  throng-client --url wss://chat.example echo    how long is a round trip?
  throng-client --url wss://localhost:8080 --cacert root.pem echo

Exit status:
  0    done; also when ended by Ctrl-C while receiving, and when the reader of stdout has gone
  1    something failed: not sent, no answer, unreadable input
  2    wrong usage
  3    the server cannot be reached, is no WebSocket server, or is not trusted
  4    the server refused: an error reply, a terminal close code, an HTTP status
  130  interrupted before it was done

Environment:
  THRONG_URL      the server, unless --url is given
  THRONG_TOKEN    the token, unless --token is given
  THRONG_API_KEY  the key of the server API, unless --api-key is given
  NO_COLOR        no colours, when set to anything
  SSL_CERT_FILE   trusted root certificates for wss, instead of the system's";

const SUB_EXAMPLES: &str = "\
Examples:
  throng-client sub news sport
  throng-client sub orders --recover                   nothing is missed in silence
  throng-client sub orders --since 41:kHdSmVxR         go on where an earlier run has ended
  throng-client sub prices --delta --filter symbol=ACME
  throng-client sub lobby --join-leave --json
  throng-client sub '$orders' --sub-token \"$TOKEN\"     a channel that needs a token
  throng-client sub news --wait                        before the server is there";

const PUB_EXAMPLES: &str = "\
Examples:
  throng-client pub news '{\"title\":\"hello\"}'
  tail -F app.log | throng-client pub logs
  throng-client --protobuf pub raw --raw < bytes.txt";

const HISTORY_EXAMPLES: &str = "\
Examples:
  throng-client history news --limit 10 --reverse      the newest ten
  throng-client history news --since 41:kHdSmVxR       all that came after
  throng-client history news --limit 0 --json          only where the stream stands";

const PRESENCE_EXAMPLES: &str = "\
Examples:
  throng-client presence lobby
  throng-client presence lobby --json";

const STATS_EXAMPLES: &str = "\
Examples:
  throng-client stats lobby
  throng-client stats lobby --json";

const CHAT_EXAMPLES: &str = "\
Examples:
  throng-client chat lobby --name ann
  throng-client chat lobby --wait                      before the server is there";

const RELAY_EXAMPLES: &str = "\
Examples:
  throng-client relay lobby < lines.txt
  throng-client relay lobby --stay > received.txt";

const ECHO_EXAMPLES: &str = "\
Examples:
  throng-client echo
  throng-client --url wss://chat.example echo \"how far is it?\"";

/// A client of throng for terminals, pipes and scripts.
///
/// `sub`, `pub`, `history`, `presence` and `stats` speak the Centrifuge protocol. `chat`, `relay` and `echo` use plain
/// WebSocket messages, as browsers and other tools do. `api` is what a backend uses, over HTTP.
///
/// A server that cannot be reached at the start ends the command. After that, lost connections come back by themselves;
/// --wait of sub, chat and relay waits for the first one, too.
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
    /// command adds its own (/connection/websocket, /relay/ROOM, /echo, /api). Without a port it is 80, or 443 for wss.
    #[arg(
        long,
        global = true,
        env = "THRONG_URL",
        hide_env_values = true,
        default_value = "ws://127.0.0.1:8080",
        value_name = "URL"
    )]
    pub(crate) url: Endpoint,
    /// The token that says who you are (sub, pub, history, presence, stats). Others on this machine can see an argument: prefer
    /// the environment.
    #[arg(long, global = true, env = "THRONG_TOKEN", hide_env_values = true, value_name = "JWT")]
    pub(crate) token: Option<Token>,
    #[command(flatten)]
    pub(crate) tls: TlsArguments,
    /// Speak Protobuf instead of JSON (sub, pub, history, presence, stats).
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
    #[command(after_help = SUB_EXAMPLES)]
    Sub(SubArguments),
    /// Publish to a channel: DATA, or stdin line by line.
    ///
    /// Exits when the server has acknowledged everything. Data that is valid JSON is published as it is; anything else is
    /// published as a JSON string, so that `echo hi | throng-client pub news` publishes "hi".
    #[command(after_help = PUB_EXAMPLES)]
    Pub(PubArguments),
    /// Print what was published to a channel, oldest first, one line a publication.
    ///
    /// The server has to keep history for the channel. It gives so many at once (throng: 300); --since goes on from there.
    #[command(after_help = HISTORY_EXAMPLES)]
    History(HistoryArguments),
    /// Print who is in a channel: a line for each connection, its id and its user with a tab between them.
    ///
    /// What the server knows beyond that (as JSON) follows after another tab. The server has to keep presence for the
    /// channel.
    #[command(after_help = PRESENCE_EXAMPLES)]
    Presence(ChannelArguments),
    /// Print how many are in a channel: connections, and different users among them.
    ///
    /// The server has to keep presence for the channel.
    #[command(after_help = STATS_EXAMPLES)]
    Stats(ChannelArguments),
    /// Talk in a room of the relay: what you type, the others read.
    ///
    /// Lines go out as plain text, with "NAME: " in front if --name is given, so that this, the browser page and any other
    /// WebSocket client can meet in one room. Control characters in what others send are shown escaped on a terminal.
    #[command(after_help = CHAT_EXAMPLES)]
    Chat(ChatArguments),
    /// Connect stdin and stdout to a room of the relay, raw.
    ///
    /// Every line of stdin is sent as one message, without its line end. Every message that arrives is written to stdout
    /// as it is, followed by a line end.
    #[command(after_help = RELAY_EXAMPLES)]
    Relay(RelayArguments),
    /// Send a message to /echo and print how long it took.
    #[command(after_help = ECHO_EXAMPLES)]
    Echo(EchoArguments),
    /// Do what a backend does: publish, ask and manage over the HTTP server API.
    ///
    /// The API is off until the server's configuration has a key for it; give that one with the variable THRONG_API_KEY,
    /// which other users of this machine do not see, or with --api-key.
    Api(ApiArguments),
}

#[derive(Args, Debug)]
pub(crate) struct SubArguments {
    /// The channels.
    #[arg(required = true, value_name = "CHANNEL", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) channels: Vec<String>,
    /// Exit after so many publications, of all channels together.
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Get what was published during an interruption, and say on stderr if something is missing after all. Needs history
    /// on the server. Says at the end how to go on from there.
    #[arg(long)]
    pub(crate) recover: bool,
    /// Begin after this place instead of at the present; implies --recover, and takes one channel. An empty epoch fits
    /// any stream.
    #[arg(long, value_name = "OFFSET:EPOCH", value_parser = position)]
    pub(crate) since: Option<StreamPosition>,
    /// Print the place in the stream, as OFFSET:EPOCH, and a tab before the data; implies --recover.
    #[arg(long)]
    pub(crate) positions: bool,
    /// Print who joins and leaves: the word, the connection's id and the user, with tabs between them. Needs that to be
    /// on in the server.
    #[arg(long)]
    pub(crate) join_leave: bool,
    /// Let the server send differences instead of whole data, where it can. What is printed is the same.
    #[arg(long, conflicts_with = "filters")]
    pub(crate) delta: bool,
    /// Print only publications with this tag; given several times, with all of them. Needs filters to be allowed on the
    /// server.
    #[arg(long = "filter", value_name = "KEY=VALUE", value_parser = filter)]
    pub(crate) filters: Vec<FilterNode>,
    /// The token that allows the subscription, for a channel that needs one; takes one channel.
    #[arg(long, env = "THRONG_SUB_TOKEN", hide_env_values = true, value_name = "JWT")]
    pub(crate) sub_token: Option<Token>,
    #[command(flatten)]
    pub(crate) wait: WaitArgument,
}

#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct WaitArgument {
    /// Keep trying until the server can be reached, instead of failing at once.
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Args, Debug)]
pub(crate) struct HistoryArguments {
    #[command(flatten)]
    pub(crate) channel: ChannelArguments,
    #[command(flatten)]
    pub(crate) query: QueryArguments,
    /// Print the place in the stream, as OFFSET:EPOCH, and a tab before the data.
    #[arg(long)]
    pub(crate) positions: bool,
}

#[derive(Args, Debug)]
pub(crate) struct QueryArguments {
    /// Most publications. Without it as many as the server gives at once.
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) limit: Option<u32>,
    /// Only what was published after this place (before it, with --reverse). An empty epoch fits any stream.
    #[arg(long, value_name = "OFFSET:EPOCH", value_parser = position)]
    pub(crate) since: Option<StreamPosition>,
    /// Newest first.
    #[arg(long)]
    pub(crate) reverse: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ChannelArguments {
    /// The channel.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) channel: String,
}

#[derive(Args, Debug)]
pub(crate) struct PubArguments {
    /// The channel.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
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
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) room: String,
    /// Your name, put in front of every line.
    #[arg(long, value_parser = name)]
    pub(crate) name: Option<String>,
    /// Go on receiving when stdin ends.
    #[arg(long)]
    pub(crate) stay: bool,
    #[command(flatten)]
    pub(crate) wait: WaitArgument,
}

#[derive(Args, Debug)]
pub(crate) struct RelayArguments {
    /// The room.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) room: String,
    /// Send binary messages instead of text.
    #[arg(long)]
    pub(crate) binary: bool,
    /// Go on receiving when stdin ends.
    #[arg(long)]
    pub(crate) stay: bool,
    #[command(flatten)]
    pub(crate) wait: WaitArgument,
}

#[derive(Args, Debug)]
pub(crate) struct EchoArguments {
    /// What to send.
    #[arg(default_value = "hello")]
    pub(crate) text: String,
}

impl Arguments {
    /// What was typed. Ends the program if that makes no sense, or asks for help.
    pub(crate) fn checked() -> Self {
        let arguments = Self::parse();
        if let Command::Sub(SubArguments { channels, since, sub_token, .. }) = &arguments.command
            && channels.len() > 1
        {
            let problem = match (since, sub_token) {
                (Some(_), _) => "--since is a place in one channel's stream, and there are several channels",
                (None, Some(_)) => "--sub-token is for one channel, and there are several",
                (None, None) => return arguments,
            };
            Self::command().error(ErrorKind::ArgumentConflict, problem).exit();
        }
        arguments
    }
}

impl ConnectionArguments {
    /// A client of the protocol.
    pub(crate) fn client(&self) -> Result<ClientBuilder, Failure> {
        let format = if self.protobuf { Format::Protobuf } else { Format::Json };
        let builder = Client::builder(self.url.to_url())
            .format(format)
            .name("throng-client", env!("CARGO_PKG_VERSION"))
            .token(self.token.clone().unwrap_or_default())
            .queue(QUEUE);
        Ok(match self.tls.config()? {
            Some(config) => builder.tls_config(config),
            None => builder,
        })
    }

    /// A client of the protocol, connected.
    pub(crate) async fn connected(&self) -> Result<Client, Failure> {
        self.client()?.connect().await.map_err(|error| Failure::connect(&error, &self.url))
    }

    /// A client of a room.
    pub(crate) fn room(&self, room: &str) -> Result<RelayBuilder, Failure> {
        Ok(self.relay(&self.url.or_relay(room))?.queue(QUEUE))
    }

    /// A client of the echo.
    pub(crate) fn echo(&self) -> Result<RelayBuilder, Failure> {
        self.relay(&self.url.or_path("/echo"))
    }

    fn relay(&self, url: &Endpoint) -> Result<RelayBuilder, Failure> {
        let builder = RelayClient::builder(url.to_url());
        Ok(match self.tls.config()? {
            Some(config) => builder.tls_config(config),
            None => builder,
        })
    }
}

impl SubArguments {
    /// Recovery is wished for.
    pub(crate) const fn recovers(&self) -> bool {
        self.recover || self.positions || self.since.is_some()
    }
}

/// A place in a stream, as this program prints it.
pub(crate) fn position(text: &str) -> Result<StreamPosition, &'static str> {
    let (offset, epoch) = text.split_once(':').unwrap_or((text, ""));
    let offset = offset.parse().map_err(|_| "a place is OFFSET:EPOCH with a number before the colon")?;
    Ok(StreamPosition { offset, epoch: epoch.to_owned() })
}

/// A condition that a tag has this value.
fn filter(text: &str) -> Result<FilterNode, &'static str> {
    match text.split_once('=') {
        Some((key, val)) if !key.is_empty() && !val.is_empty() => {
            Ok(FilterNode { key: key.into(), cmp: "eq".into(), val: val.into(), ..FilterNode::default() })
        }
        _ => Err("a filter is KEY=VALUE, neither of them empty"),
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

    #[test]
    fn a_place_is_an_offset_and_an_epoch_that_may_be_left_out() {
        let place = |offset, epoch: &str| StreamPosition { offset, epoch: epoch.to_owned() };
        for (text, expected) in [
            ("4:abcd", place(4, "abcd")),
            ("4:", place(4, "")),
            ("4", place(4, "")),
            ("0:a:b", place(0, "a:b")),
        ] {
            assert_eq!(position(text), Ok(expected), "{text}");
        }
        for bad in ["", ":abcd", "abcd", "-1:abcd", "abcd:4"] {
            assert!(position(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_filter_has_a_key_and_a_value() {
        assert_eq!(filter("a=b=c").map(|node| (node.key, node.val)), Ok(("a".into(), "b=c".into())));
        for bad in ["", "a", "=b", "a="] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }
}
