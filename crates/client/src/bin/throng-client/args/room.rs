use clap::{Args, builder::NonEmptyStringValueParser};

use super::WaitArgument;

pub(super) const CHAT_EXAMPLES: &str = "\
Examples:
  throng-client chat lobby --name ann
  throng-client chat lobby --wait                      before the server is there";

pub(super) const RELAY_EXAMPLES: &str = "\
Examples:
  throng-client relay lobby < lines.txt
  throng-client relay lobby --stay > received.txt";

pub(super) const ECHO_EXAMPLES: &str = "\
Examples:
  throng-client echo
  throng-client --url wss://chat.example echo \"how far is it?\"";

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
    fn names_without_a_letter_and_names_with_control_characters_are_refused() {
        for bad in ["", "  ", "a\nb", "\x1b[31mred"] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
        assert_eq!(name("Ann Lee").as_deref(), Ok("Ann Lee"));
    }
}
