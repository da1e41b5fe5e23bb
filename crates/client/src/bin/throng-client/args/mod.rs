mod channel;
mod connection;
mod page;
mod room;
mod watch;

use clap::{Args, CommandFactory as _, Parser, Subcommand, error::ErrorKind};

pub(crate) use self::{
    channel::{
        ChannelArguments, HistoryArguments, PubArguments, QueryArguments, RpcArguments, SubArguments,
        position,
    },
    connection::{ConnectionArguments, WaitArgument},
    page::{CompletionsArguments, ManArguments},
    room::{ChatArguments, EchoArguments, RelayArguments},
    watch::{PingArguments, TailArguments},
};
use self::{
    channel::{
        HISTORY_EXAMPLES, PRESENCE_EXAMPLES, PUB_EXAMPLES, RPC_EXAMPLES, STATS_EXAMPLES, SUB_EXAMPLES,
    },
    page::{COMPLETIONS_EXAMPLES, MAN_EXAMPLES},
    room::{CHAT_EXAMPLES, ECHO_EXAMPLES, RELAY_EXAMPLES},
    watch::{PING_EXAMPLES, TAIL_EXAMPLES},
};
use crate::api::ApiArguments;

const EXAMPLES: &str = "\
Examples:
  throng-client chat lobby --name ann            talk to whoever is in the room
  throng-client sub news sport                   print what is published, channel and data
  throng-client pub news '{\"title\":\"hello\"}'     publish one message
  tail -F app.log | throng-client pub logs       publish line by line
  throng-client sub news --count 1 --json        wait for one message, for a script
  throng-client sub news --format '{channel}: {data}'
  throng-client sub orders --recover             get what was missed after an interruption
  throng-client history news --limit 10          what was published, with history on the server
  throng-client presence lobby                   who is there, with presence on the server
  throng-client rpc time                         call a method of the application behind the server
  throng-client api publish news '{\"n\":1}'       publish as a backend does, over HTTP
  throng-client ping --count 10                  how long is the way?
  throng-client --profile work tail              all that this connection receives
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

Profiles, in $XDG_CONFIG_HOME/throng/client.toml (or ~/.config), or --config FILE:
  default = \"work\"                     # without --profile
  [profile.work]
  url = \"wss://chat.example\"
  token_command = \"pass show chat\"     # or token = \"…\"
  cacert = \"root.pem\"                  # beside the file
  Flags win over the environment, and that over the profile.

Environment:
  THRONG_URL      the server, unless --url is given
  THRONG_PROFILE  the profile, unless --profile is given
  THRONG_TOKEN    the token, unless --token is given
  THRONG_API_KEY  the key of the server API, unless --api-key is given
  NO_COLOR        no colours, when set to anything
  SSL_CERT_FILE   trusted root certificates for wss, instead of the system's";

/// A client of throng for terminals, pipes and scripts.
///
/// `sub`, `pub`, `history`, `presence`, `stats`, `rpc`, `ping` and `tail` speak the Centrifuge protocol. `chat`, `relay` and `echo` use plain
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
    #[command(flatten)]
    Connected(Connected),
    /// Print a script that completes commands and flags in a shell.
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions(CompletionsArguments),
    /// Print a page of the manual, of the program or of one of its commands.
    #[command(after_help = MAN_EXAMPLES)]
    Man(ManArguments),
}

/// What needs a server.
#[derive(Debug, Subcommand)]
pub(crate) enum Connected {
    /// Print what is published to channels.
    ///
    /// One line a publication: the data alone for one channel, channel and data with a tab between them for several.
    /// --format makes it another line. Data that is neither JSON nor text (Protobuf only) is printed in hexadecimal.
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
    /// The server has to keep history for the channel. It gives so many at once (throng: 300); for a --limit beyond that,
    /// and for --all, it is asked again and again.
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
    /// Call a method of the application behind the server, and print what it answers.
    ///
    /// Data that is valid JSON goes as it is; anything else as a JSON string. Without DATA nothing goes along.
    #[command(after_help = RPC_EXAMPLES)]
    Rpc(RpcArguments),
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
    /// Measure round trips over a connection of the protocol, one a second, until Ctrl-C or --count.
    ///
    /// A line for each, and at the end minimum, average, maximum and the 99th percentile. What is sent is a call of a method
    /// that no application has; the refusal is the answer.
    #[command(after_help = PING_EXAMPLES)]
    Ping(PingArguments),
    /// Print all that a connection receives: channels that the server subscribes it to, and messages outside of channels.
    ///
    /// One line for each: what it is, the channel, and what there is to say of it, with tabs between them.
    #[command(after_help = TAIL_EXAMPLES)]
    Tail(TailArguments),
    /// Do what a backend does: publish, ask and manage over the HTTP server API.
    ///
    /// The API is off until the server's configuration has a key for it; give that one with the variable THRONG_API_KEY,
    /// which other users of this machine do not see, or with --api-key.
    Api(ApiArguments),
}

impl Arguments {
    /// What was typed. Ends the program if that makes no sense, or asks for help.
    pub(crate) fn checked() -> Self {
        let arguments = Self::parse();
        if let Command::Connected(Connected::Sub(SubArguments { channels, since, sub_token, .. })) =
            &arguments.command
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
