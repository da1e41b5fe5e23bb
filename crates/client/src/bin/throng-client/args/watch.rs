use clap::{Args, builder::NonEmptyStringValueParser};

pub(super) const PING_EXAMPLES: &str = "\
Examples:
  throng-client ping
  throng-client ping --count 100 --interval 0.01 --json";

pub(super) const TAIL_EXAMPLES: &str = "\
Examples:
  throng-client tail
  throng-client tail news sport          these channels as well
  throng-client tail --raw               the frames as they come";

#[derive(Args, Debug)]
pub(crate) struct PingArguments {
    /// Exit after so many.
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Seconds from one to the next.
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(crate) interval: f64,
}

#[derive(Args, Debug)]
pub(crate) struct TailArguments {
    /// Channels to subscribe to.
    #[arg(value_name = "CHANNEL", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) channels: Vec<String>,
    /// Print every frame as it comes, JSON only.
    #[arg(long, conflicts_with_all = ["protobuf", "json"])]
    pub(crate) raw: bool,
    /// Exit after so many lines.
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
}

fn seconds(text: &str) -> Result<f64, &'static str> {
    match text.parse() {
        Ok(seconds) if (0.001..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("an interval is a number of seconds, from 0.001 to 86400"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_a_number_that_makes_sense() {
        assert_eq!(seconds("0.5"), Ok(0.5));
        for bad in ["0", "-1", "soon", "NaN", "inf"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
