use std::convert::Infallible;

use clap::{Args, Subcommand, builder::NonEmptyStringValueParser};
use throng_client::StreamPosition;

use crate::args::{ChannelArguments, QueryArguments, position};

#[derive(Args, Debug)]
pub(crate) struct ApiArguments {
    /// The key: that of [http_api] in the server's configuration. Better given by the variable, as other users of this
    /// machine can see the arguments of a program.
    #[arg(long, global = true, env = "THRONG_API_KEY", hide_env_values = true, value_name = "KEY")]
    pub(crate) api_key: Option<Secret>,
    #[command(subcommand)]
    pub(crate) method: Method,
}

/// What must not be printed, not even by accident.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) String);

#[derive(Debug, Subcommand)]
pub(crate) enum Method {
    #[command(flatten)]
    One(Command),
    /// Send several commands at once: JSON, or all of stdin.
    ///
    /// The JSON is a list of objects with one member each, named as the command: {"publish":{…}}. Prints a line of JSON
    /// for each answer, in the order of the commands.
    #[command(after_help = "\
Examples:
  throng-client api batch '[{\"publish\":{\"channel\":\"a\",\"data\":1}},{\"presence\":{\"channel\":\"a\"}}]'
  throng-client api batch --parallel < commands.json")]
    Batch {
        /// The commands. Without it, all of stdin.
        commands: Option<String>,
        /// In no particular order, side by side.
        #[arg(long)]
        parallel: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Publish to a channel: DATA, or all of stdin.
    ///
    /// Prints where the publication is in the channel's stream, as OFFSET:EPOCH, if it has one. Data that is not JSON is
    /// published as a JSON string.
    #[command(after_help = "\
Examples:
  throng-client api publish news '{\"title\":\"hello\"}'
  throng-client api publish prices 12.5 --tag symbol=ACME --delta
  throng-client api publish orders --idempotency-key order-17 < order.json")]
    Publish {
        #[command(flatten)]
        channel: ChannelArguments,
        /// What to publish. Without it, all of stdin.
        data: Option<String>,
        #[command(flatten)]
        options: PublishArguments,
    },
    /// Publish the same to several channels: --data, or all of stdin.
    ///
    /// Prints a line for each channel: the channel, and where the publication is in its stream, or why it is not.
    #[command(after_help = "\
Examples:
  throng-client api broadcast news sport --data '{\"title\":\"hello\"}'
  throng-client api broadcast news sport < hello.json")]
    Broadcast {
        /// The channels.
        #[arg(required = true, value_name = "CHANNEL", value_parser = NonEmptyStringValueParser::new())]
        channels: Vec<String>,
        /// What to publish. Without it, all of stdin.
        #[arg(long)]
        data: Option<String>,
        #[command(flatten)]
        options: PublishArguments,
    },
    /// Subscribe a user's connections to a channel.
    #[command(after_help = "\
Examples:
  throng-client api subscribe news --user 42
  throng-client api subscribe orders --user 42 --since 41:kHdSmVxR")]
    Subscribe(SubscribeArguments),
    /// Take a user's connections out of a channel.
    #[command(after_help = "\
Examples:
  throng-client api unsubscribe news --user 42
  throng-client api unsubscribe --all --user 42")]
    Unsubscribe {
        /// The channel.
        #[arg(required_unless_present = "all", value_parser = NonEmptyStringValueParser::new())]
        channel: Option<String>,
        /// Out of all channels.
        #[arg(long, conflicts_with = "channel")]
        all: bool,
        #[command(flatten)]
        who: WhoArguments,
    },
    /// End a user's connections.
    ///
    /// Without --code it is 3503, after which clients do not come back.
    #[command(after_help = "\
Examples:
  throng-client api disconnect --user 42
  throng-client api disconnect --user 42 --code 4000 --reason moved     they come back after 4000 to 4499
  throng-client api disconnect --user \"\" --keep 0b6e7a1c-…              anonymous ones, but for one")]
    Disconnect {
        #[command(flatten)]
        who: WhoArguments,
        /// Close code that the clients get.
        #[arg(long, value_name = "CODE", value_parser = clap::value_parser!(u32).range(3000..5000))]
        code: Option<u32>,
        /// Reason that the clients get.
        #[arg(long, value_name = "TEXT", requires = "code")]
        reason: Option<String>,
        /// A connection that stays; may be given several times.
        #[arg(long, value_name = "CLIENT")]
        keep: Vec<String>,
    },
    /// Prolong a user's connections, or let them expire.
    #[command(after_help = "\
Examples:
  throng-client api refresh --user 42 --expire-at 1900000000
  throng-client api refresh --user 42 --expired")]
    Refresh {
        #[command(flatten)]
        who: WhoArguments,
        /// Let them expire now.
        #[arg(long, conflicts_with = "expire_at")]
        expired: bool,
        /// When they expire, in Unix seconds. Without it never.
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i64).range(1..))]
        expire_at: Option<i64>,
        /// What others see of the connections from now on: JSON.
        #[arg(long, value_name = "JSON")]
        info: Option<String>,
    },
    /// Print who is in a channel: a line for each connection, its id and its user with a tab between them.
    #[command(after_help = "\
Examples:
  throng-client api presence lobby")]
    Presence(ChannelArguments),
    /// Print how many are in a channel.
    #[command(after_help = "\
Examples:
  throng-client api presence-stats lobby")]
    PresenceStats(ChannelArguments),
    /// Print what was published to a channel, oldest first, one line a publication. Without --limit all of it.
    ///
    /// Data that is not JSON is printed in Base64, as the server tells it.
    #[command(after_help = "\
Examples:
  throng-client api history news --limit 10 --reverse
  throng-client api history news --since 41:kHdSmVxR --positions")]
    History {
        #[command(flatten)]
        channel: ChannelArguments,
        #[command(flatten)]
        query: QueryArguments,
        /// Print the place in the stream, as OFFSET:EPOCH, and a tab before the data.
        #[arg(long)]
        positions: bool,
    },
    /// Remove what was published to a channel from its stream.
    #[command(after_help = "\
Examples:
  throng-client api history-remove news")]
    HistoryRemove(ChannelArguments),
    /// Print the channels that have subscribers, and how many.
    #[command(after_help = "\
Examples:
  throng-client api channels
  throng-client api channels 'chat:*'")]
    Channels {
        /// What their names look like: * stands for any characters, ? for one. Without it all channels.
        pattern: Option<String>,
    },
    /// Print what the server tells about itself.
    #[command(after_help = "\
Examples:
  throng-client api info
  throng-client api info --json")]
    Info,
    /// Call a method of the application that the server is built into, and print its answer.
    #[command(after_help = "\
Examples:
  throng-client api rpc sum '[1,2]'")]
    Rpc {
        /// The method.
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        method: String,
        /// The arguments: JSON.
        params: Option<String>,
    },
    /// Print the clients for whom most waits because they read too slowly, worst first: id, user, messages and bytes, with
    /// tabs between them. An extension of throng.
    #[command(after_help = "\
Examples:
  throng-client api slow-clients
  throng-client api slow-clients --limit 100 --json")]
    SlowClients {
        /// Most clients. Without it 10.
        #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: Option<u32>,
    },
    #[command(flatten)]
    Revocation(RevocationCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum RevocationCommand {
    /// Revoke a token: connections that came with it end (3500), and new ones are refused.
    #[command(after_help = "\
Examples:
  throng-client api revoke-token 5f0c1b7e
  throng-client api revoke-token 5f0c1b7e --expire-at 1900000000")]
    RevokeToken {
        /// The token's id: its claim jti.
        #[arg(value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
        uid: String,
        #[command(flatten)]
        until: UntilArguments,
    },
    /// Revoke the tokens of a user that were issued before a time, as for "log out everywhere".
    ///
    /// Tokens that do not say when they were issued count as older.
    #[command(after_help = "\
Examples:
  throng-client api invalidate-user-tokens 42
  throng-client api invalidate-user-tokens 42 --issued-before 1800000000")]
    InvalidateUserTokens {
        #[command(flatten)]
        who: UserArguments,
        /// The time, in Unix seconds. Without it now.
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i64).range(1..))]
        issued_before: Option<i64>,
        #[command(flatten)]
        until: UntilArguments,
    },
    /// Revoke the tokens of everybody that were issued before a time, as after a key was stolen. An extension of throng.
    #[command(after_help = "\
Examples:
  throng-client api invalidate-tokens --issued-before $(date +%s)")]
    InvalidateTokens {
        /// The time, in Unix seconds.
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i64).range(1..))]
        issued_before: i64,
        #[command(flatten)]
        until: UntilArguments,
    },
    /// Revoke everything that a user holds, whenever it was issued: connections end (3500), and new ones are refused. An
    /// extension of throng.
    #[command(after_help = "\
Examples:
  throng-client api revoke-user 42")]
    RevokeUser {
        #[command(flatten)]
        who: UserArguments,
        #[command(flatten)]
        until: UntilArguments,
    },
    /// Keep a user out of a channel: subscriptions end, and new ones are refused. An extension of throng.
    #[command(after_help = "\
Examples:
  throng-client api revoke-channel 42 chat:lobby")]
    RevokeChannel {
        #[command(flatten)]
        who: UserArguments,
        /// The channel.
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        channel: String,
        #[command(flatten)]
        until: UntilArguments,
    },
    /// Block a user: connections end (3503), and new ones are refused.
    #[command(after_help = "\
Examples:
  throng-client api block-user 42
  throng-client api block-user 42 --expire-at 1900000000")]
    BlockUser {
        #[command(flatten)]
        who: UserArguments,
        #[command(flatten)]
        until: UntilArguments,
    },
    /// Take the block of a user back.
    #[command(after_help = "\
Examples:
  throng-client api unblock-user 42")]
    UnblockUser(UserArguments),
    /// Take a revocation back, and print whether there was one. An extension of throng.
    #[command(after_help = "\
Examples:
  throng-client api pardon --id 5f0c1b7e
  throng-client api pardon --user 42
  throng-client api pardon --user 42 --channel chat:lobby
  throng-client api pardon --user 42 --issued-before
  throng-client api pardon --issued-before                 what was revoked for everybody")]
    Pardon {
        /// The token's id: its claim jti.
        #[arg(long = "id", value_name = "ID", conflicts_with_all = ["user", "channel", "issued_before"],
              default_value = "", hide_default_value = true)]
        uid: String,
        /// The user.
        #[arg(long, default_value = "", hide_default_value = true)]
        user: String,
        /// The channel that the user was kept out of.
        #[arg(
            long,
            requires = "user",
            conflicts_with = "issued_before",
            default_value = "",
            hide_default_value = true
        )]
        channel: String,
        /// Tokens that were issued before a time.
        #[arg(long)]
        issued_before: bool,
    },
    /// Print the revocations that hold, a line for each: kind, what it is about, and when it ends, with tabs between them. An
    /// extension of throng.
    #[command(after_help = "\
Examples:
  throng-client api revocations
  throng-client api revocations --user 42 --json")]
    Revocations {
        /// Only those that name this user.
        #[arg(long, default_value = "", hide_default_value = true)]
        user: String,
        /// Most revocations. Without it 100.
        #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: Option<u32>,
    },
}

#[derive(Args, Debug)]
pub(crate) struct UserArguments {
    /// The user.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) user: String,
}

#[derive(Args, Debug)]
pub(crate) struct UntilArguments {
    /// When it ends, in Unix seconds. Without it, it holds for as long as the server allows.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) expire_at: Option<i64>,
}

#[derive(Args, Debug)]
pub(crate) struct PublishArguments {
    /// A label for filters and for the application; may be given several times.
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tag)]
    pub(crate) tags: Vec<(String, String)>,
    /// Do not keep it in the channel's history.
    #[arg(long)]
    pub(crate) skip_history: bool,
    /// Name of the publication: a repeat with the same name, within some minutes, is not published again.
    #[arg(long, value_name = "KEY", default_value = "", hide_default_value = true)]
    pub(crate) idempotency_key: String,
    /// Let subscribers that want it get the difference to the publication before.
    #[arg(long)]
    pub(crate) delta: bool,
    /// Drop it unless this is above the version that the stream has.
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub(crate) version: u64,
    /// What versions can be compared in.
    #[arg(long, value_name = "EPOCH", requires = "version", default_value = "", hide_default_value = true)]
    pub(crate) version_epoch: String,
    /// What it is the latest of, for slow subscribers that get only the latest.
    #[arg(long, value_name = "KEY", default_value = "", hide_default_value = true)]
    pub(crate) key: String,
}

#[derive(Args, Debug)]
pub(crate) struct WhoArguments {
    /// The user. Empty for connections without one.
    #[arg(long)]
    pub(crate) user: String,
    /// Only the connection with this id.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) client: String,
}

#[derive(Args, Debug)]
pub(crate) struct SubscribeArguments {
    #[command(flatten)]
    pub(crate) channel: ChannelArguments,
    #[command(flatten)]
    pub(crate) who: WhoArguments,
    /// When the subscription ends, in Unix seconds. Without it never.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) expire_at: Option<i64>,
    /// What others see of the subscription: JSON.
    #[arg(long, value_name = "JSON")]
    pub(crate) info: Option<String>,
    /// What the client gets with the subscription: JSON.
    #[arg(long, value_name = "JSON")]
    pub(crate) data: Option<String>,
    /// Deliver at once what was published after this place.
    #[arg(long, value_name = "OFFSET:EPOCH", value_parser = position)]
    pub(crate) since: Option<StreamPosition>,
}

impl std::str::FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret")
    }
}

fn tag(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a tag is KEY=VALUE with a key"),
    }
}
