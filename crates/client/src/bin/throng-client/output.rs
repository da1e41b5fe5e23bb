use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write as _};

use serde::Serialize;

use crate::{args::OutputArguments, failure::Failure, text::escaped};

/// Where a command writes: data to stdout, words about the connection to stderr.
pub(crate) struct Output {
    stdout: BufWriter<Stdout>,
    json: bool,
    /// Stdout is a terminal: what others send is escaped.
    escapes: bool,
    /// Nothing but errors on stderr.
    quiet: bool,
    /// Somebody is watching both, so words that only inform are welcome.
    informs: bool,
    colors: bool,
}

impl Output {
    pub(crate) fn new(arguments: &OutputArguments) -> Self {
        let escapes = io::stdout().is_terminal();
        Self {
            stdout: BufWriter::new(io::stdout()),
            json: arguments.json,
            escapes,
            quiet: arguments.quiet,
            informs: escapes && io::stderr().is_terminal() && !arguments.quiet && !arguments.json,
            colors: colors_on_stderr(),
        }
    }

    /// True when stdout wants JSON lines.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// Writes a JSON line.
    pub(crate) fn object(&mut self, object: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.stdout, object)
            .map_err(io::Error::from)
            .and_then(|()| self.stdout.write_all(b"\n"))
            .map_err(|error| Failure::output(&error))
    }

    /// Writes a line of text that someone else made.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        if self.escapes { self.bytes(escaped(text).as_bytes()) } else { self.bytes(text.as_bytes()) }
    }

    /// Writes bytes that someone else made, and a line end.
    pub(crate) fn binary(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.escapes { self.bytes(bytes.escape_ascii().to_string().as_bytes()) } else { self.bytes(bytes) }
    }

    /// Writes bytes of this program, as they are.
    pub(crate) fn verbatim(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.stdout
            .write_all(bytes)
            .and_then(|()| self.stdout.flush())
            .map_err(|error| Failure::output(&error))
    }

    /// Hands to the system what was written. To be called before every wait.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.stdout.flush().map_err(|error| Failure::output(&error))
    }

    /// Says something that only informs.
    pub(crate) fn inform(&self, text: &str) {
        if self.informs {
            self.tell("2", "", text);
        }
    }

    /// Says something that matters to whoever reads the data, such as that some of it may be missing.
    pub(crate) fn warn(&self, text: &str) {
        if !self.quiet {
            self.tell("33", "", text);
        }
    }

    /// Says something that nobody may miss, whoever wants quiet.
    pub(crate) fn alarm(&self, text: &str) {
        self.tell("1;31", "warning: ", text);
    }

    /// Says why the program ends.
    pub(crate) fn error(&self, text: &str) {
        self.tell("1;31", "error: ", text);
    }

    fn bytes(&mut self, line: &[u8]) -> Result<(), Failure> {
        let written = self.stdout.write_all(line).and_then(|()| self.stdout.write_all(b"\n"));
        written.map_err(|error| Failure::output(&error))
    }

    /// Whoever closed stderr does not want to hear it. Words of a server are among the text, so it is escaped.
    fn tell(&self, color: &str, label: &str, text: &str) {
        let text = escaped(text);
        let mut stderr = io::stderr().lock();
        let _ = match (self.colors, label) {
            (false, label) => writeln!(stderr, "{label}{text}"),
            (true, "") => writeln!(stderr, "\x1b[{color}m{text}\x1b[0m"),
            (true, label) => writeln!(stderr, "\x1b[{color}m{label}\x1b[0m{text}"),
        };
    }
}

/// True when stderr is a terminal that takes colours, and nobody has asked for none (<https://no-color.org>).
pub(crate) fn colors_on_stderr() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    !unwanted && !dumb && io::stderr().is_terminal()
}
