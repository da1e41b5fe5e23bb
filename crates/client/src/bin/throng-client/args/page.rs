use clap::Args;
use clap_complete::Shell;

pub(super) const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  source <(throng-client completions bash)
  throng-client completions zsh > ~/.zfunc/_throng-client
  throng-client completions fish > ~/.config/fish/completions/throng-client.fish";

pub(super) const MAN_EXAMPLES: &str = "\
Examples:
  throng-client man | man -l -
  throng-client man sub > throng-client-sub.1";

#[derive(Args, Debug)]
pub(crate) struct CompletionsArguments {
    /// The shell.
    pub(crate) shell: Shell,
}

#[derive(Args, Debug)]
pub(crate) struct ManArguments {
    /// The command; without one, the program.
    pub(crate) command: Vec<String>,
}
