//! What is made from the description of the arguments: completions for shells, and pages of the manual.

use clap::{Command as Description, CommandFactory as _};

use crate::{
    args::{Arguments, CompletionsArguments, ManArguments},
    failure::{End, Failure},
    output::Output,
};

/// Prints a script for a shell.
pub(crate) fn completions(arguments: &CompletionsArguments, output: &mut Output) -> Result<End, Failure> {
    let mut script = Vec::new();
    let mut description = Arguments::command();
    clap_complete::generate(arguments.shell, &mut description, "throng-client", &mut script);
    output.verbatim(&script)?;
    Ok(End::Done)
}

/// Prints a page of the manual.
pub(crate) fn man(arguments: &ManArguments, output: &mut Output) -> Result<End, Failure> {
    let mut description = Arguments::command();
    description.build();
    let mut page = &description;
    for name in &arguments.command {
        page = page.find_subcommand(name).ok_or_else(|| unknown(name, page))?;
    }
    let mut text = Vec::new();
    clap_mangen::Man::new(page.clone()).render(&mut text).map_err(|error| Failure::output(&error))?;
    output.verbatim(&text)?;
    Ok(End::Done)
}

fn unknown(name: &str, page: &Description) -> Failure {
    let known: Vec<&str> = page.get_subcommands().map(Description::get_name).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Failure::usage(format!("there is no command {name:?}; there are: {known}"))
}
