use clap::{Args, builder::NonEmptyStringValueParser};
use throng_client::{FilterNode, StreamPosition, Token};

use super::WaitArgument;
use crate::format::Template;

pub(super) const SUB_EXAMPLES: &str = "\
Examples:
  throng-client sub news sport
  throng-client sub orders --recover                   nothing is missed in silence
  throng-client sub orders --since 41:kHdSmVxR         go on where an earlier run has ended
  throng-client sub prices --delta --filter symbol=ACME
  throng-client sub lobby --join-leave --json
  throng-client sub news sport --format '{channel}\\t{offset}\\t{data}'
  throng-client sub '$orders' --sub-token \"$TOKEN\"     a channel that needs a token
  throng-client sub news --wait                        before the server is there";

pub(super) const PUB_EXAMPLES: &str = "\
Examples:
  throng-client pub news '{\"title\":\"hello\"}'
  tail -F app.log | throng-client pub logs
  throng-client pub load --rate 100 < lines.txt        evenly, 100 a second
  throng-client --protobuf pub raw --raw < bytes.txt";

pub(super) const HISTORY_EXAMPLES: &str = "\
Examples:
  throng-client history news --limit 10 --reverse      the newest ten
  throng-client history news --since 41:kHdSmVxR       all that came after
  throng-client history news --all --format '{time} {data}'
  throng-client history news --limit 0 --json          only where the stream stands";

pub(super) const PRESENCE_EXAMPLES: &str = "\
Examples:
  throng-client presence lobby
  throng-client presence lobby --json";

pub(super) const STATS_EXAMPLES: &str = "\
Examples:
  throng-client stats lobby
  throng-client stats lobby --json";

pub(super) const RPC_EXAMPLES: &str = "\
Examples:
  throng-client rpc time
  throng-client rpc add '{\"a\":1,\"b\":2}'";

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
    /// Print a publication as this line instead. Fields: {channel}, {data}, {offset}, {epoch}, {time} (Unix milliseconds),
    /// {user} and {client} of the publisher, {tags} (JSON). What is not known is empty. \t is a tab, {{ and }} are braces.
    #[arg(long, value_name = "TEMPLATE", conflicts_with_all = ["json", "positions", "join_leave"])]
    pub(crate) format: Option<Template>,
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

#[derive(Args, Debug)]
pub(crate) struct HistoryArguments {
    #[command(flatten)]
    pub(crate) channel: ChannelArguments,
    #[command(flatten)]
    pub(crate) query: QueryArguments,
    /// Everything that the server has, page by page.
    #[arg(long, conflicts_with = "limit")]
    pub(crate) all: bool,
    /// Print the place in the stream, as OFFSET:EPOCH, and a tab before the data.
    #[arg(long)]
    pub(crate) positions: bool,
    /// Print a publication as this line instead. Fields: {channel}, {data}, {offset}, {epoch}, {time} (Unix milliseconds),
    /// {user} and {client} of the publisher, {tags} (JSON). What is not known is empty. \t is a tab, {{ and }} are braces.
    #[arg(long, value_name = "TEMPLATE", conflicts_with_all = ["json", "positions"])]
    pub(crate) format: Option<Template>,
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
    /// Publish at most so many lines a second, evenly; 0.5 is one line every two seconds. Without it, as fast as the
    /// server acknowledges.
    #[arg(long, value_name = "N", value_parser = rate, conflicts_with = "data")]
    pub(crate) rate: Option<f64>,
    /// Never turn data into a JSON string: refuse what is not JSON, or with --protobuf publish the bytes as they are.
    #[arg(long)]
    pub(crate) raw: bool,
}

#[derive(Args, Debug)]
pub(crate) struct RpcArguments {
    /// The method.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) method: String,
    /// What goes along.
    pub(crate) data: Option<String>,
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

/// Lines a second.
fn rate(text: &str) -> Result<f64, &'static str> {
    match text.parse() {
        Ok(rate) if (0.001..=1_000_000.0).contains(&rate) => Ok(rate),
        _ => Err("a rate is a number of lines a second, from 0.001 to 1000000"),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_rate_is_a_number_that_makes_sense() {
        for (text, expected) in [("10", 10.0), ("0.5", 0.5), ("1e6", 1e6)] {
            assert_eq!(rate(text), Ok(expected));
        }
        for bad in ["0", "-1", "fast", "NaN", "inf", "1000001"] {
            assert!(rate(bad).is_err(), "{bad}");
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
