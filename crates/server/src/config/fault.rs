//! What is wrong with the settings: where, which key, what, and the remedy.

use std::{error::Error, fmt, io, path::PathBuf};

/// Everything that is wrong, so that one round of editing repairs it. Never empty.
///
/// `Display` gives one line for each fault.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// `Ok` when there is nothing wrong.
    pub(super) fn unless_empty(faults: Vec<Fault>) -> Result<(), Self> {
        if faults.is_empty() { Ok(()) } else { Err(Self(faults)) }
    }

    /// Faults of settings that a program made itself; never none.
    pub(crate) fn of_program(faults: Vec<(String, Problem)>) -> Self {
        let of_program = |(key, problem)| Fault { place: Place::Program, key, problem };
        Self(faults.into_iter().map(of_program).collect())
    }

    /// The faults: by source, in the order in which the sources give them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Fault> {
        self.0.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl Error for Faults {}

/// One thing that is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Fault {
    /// Where it was said.
    pub place: Place,
    /// The key in question, as a path such as `client.channel_limit`; empty when the whole source is at fault.
    pub key: String,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}; {}", self.problem, self.problem.remedy())
    }
}

/// Where a setting was made.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Place {
    /// Nowhere: the default.
    Default,
    /// By the program that embeds the server.
    Program,
    /// In a file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1; `None` when the file as a whole is meant.
        line: Option<usize>,
    },
    /// In an environment variable of this name.
    Environment(String),
    /// By a flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Program => f.write_str("settings"),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::Environment(variable) => f.write_str(variable),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// What is wrong with a setting.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(io::ErrorKind),
    /// The file is no TOML.
    #[error("{0}")]
    Syntax(String),
    /// The file, or the value of the environment variable, is no UTF-8.
    #[error("is not UTF-8")]
    NotText,
    /// No setting has this name.
    #[error("there is no such {}", .what.noun())]
    Unknown {
        /// What the name was meant to be.
        what: Name,
        /// The existing name that is most like it.
        near: Option<String>,
    },
    /// The setting turns on something that Centrifugo has and throng lacks.
    #[error("throng does not have {feature} yet")]
    Lacking {
        /// What is lacking.
        feature: &'static str,
        /// The value that leaves it off, which is accepted.
        off: Option<&'static str>,
    },
    /// The value is of another type.
    #[error("{found} does not belong here")]
    WrongType {
        /// What belongs here.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// The value is too small or too large.
    #[error("{found} is out of range")]
    OutOfRange {
        /// What is there.
        found: String,
        /// The smallest value allowed.
        min: String,
        /// The largest value allowed.
        max: String,
    },
    /// The value breaks a rule of its key.
    #[error("{found} {rule}")]
    Malformed {
        /// What is there.
        found: String,
        /// The rule that it breaks.
        rule: &'static str,
        /// How a good value looks.
        good: &'static str,
    },
    /// The value is none of those that its key takes.
    #[error("{found} is not known")]
    NoneOf {
        /// What is there.
        found: String,
        /// What the key takes.
        known: String,
    },
    /// The value is no regular expression.
    #[error("{found} is not a regular expression: {reason}")]
    BadRegex {
        /// What is there.
        found: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The variable is for no namespace.
    #[error("there is no namespace that it is for")]
    NoNamespace,
    /// The variable is for several namespaces.
    #[error("it is for more than one namespace")]
    Ambiguous,
    /// Another key gives the same secret.
    #[error("the secret and a file that holds it are both given")]
    Twice,
    /// The option needs another one, or excludes it.
    #[error("it {rule}")]
    Contradiction {
        /// What it needs, or excludes.
        rule: &'static str,
        /// How that is mended.
        remedy: &'static str,
    },
    /// The value must be smaller than that of another key.
    #[error("{found} is not below the {other_found} of {other}")]
    NotBelow {
        /// What is there.
        found: String,
        /// The other key.
        other: &'static str,
        /// What is there.
        other_found: String,
    },
    /// The value must not be larger than that of another key.
    #[error("{found} is above the {other_found} of {other}, {why}")]
    Above {
        /// What is there.
        found: String,
        /// The other key.
        other: &'static str,
        /// What is there.
        other_found: String,
        /// What would come of it.
        why: &'static str,
    },
    /// Waiting for the answer to a ping that is never sent.
    #[error("no pings are sent that could be answered")]
    PongWithoutPing,
    /// The endpoint of the protocol would hide another endpoint, or be hidden by it.
    #[error("{found} collides with the endpoint {other}")]
    Collision {
        /// What is there.
        found: String,
        /// The other endpoint.
        other: &'static str,
    },
    /// The server would listen where others can reach it, with nothing that keeps them out.
    #[error(
        "{found} can be reached from other machines, and nothing is configured that says who may connect"
    )]
    Open {
        /// The address.
        found: String,
    },
    /// Everybody who reaches the server could call its API.
    #[error("{found} can be reached from other machines, and the API would ask for no key")]
    OpenApi {
        /// The address.
        found: String,
    },
}

impl Problem {
    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Unreadable(_) => "check the path and the permissions".into(),
            Self::Syntax(_) => "repair the line; settings are written in TOML".into(),
            Self::NotText => "write it as UTF-8 text".into(),
            Self::Unknown { what, near: Some(near) } => match what {
                Name::Key | Name::Variable => format!("did you mean {near}?"),
            },
            Self::Unknown { what, near: None } => {
                format!("remove it; docs/configuration.md lists every {}", what.noun())
            }
            Self::Lacking { off: Some(off), .. } => format!("remove it, or leave it at {off}"),
            Self::Lacking { off: None, .. } => "remove it".into(),
            Self::WrongType { expected, .. } => format!("write {expected}"),
            Self::OutOfRange { min, max, .. } => format!("choose a value from {min} to {max}"),
            Self::Malformed { good, .. } => format!("write {good}"),
            Self::NoneOf { known, .. } => format!("write one of {known}"),
            Self::BadRegex { .. } => {
                "repair it; the syntax is that of RE2, without classes such as \\pL".into()
            }
            Self::NoNamespace => {
                "name it in THRONG_CHANNEL_NAMESPACES, or under [[channel.namespaces]] in the file".into()
            }
            Self::Ambiguous => "set the option in the file, or give the namespaces other names".into(),
            Self::Twice => "remove one of them".into(),
            Self::Contradiction { remedy, .. } => (*remedy).into(),
            Self::NotBelow { other, .. } => format!("lower it, or raise {other}"),
            Self::Above { other, .. } => format!("lower it, or raise {other}"),
            Self::PongWithoutPing => "set client.ping_interval, too, or remove it".into(),
            Self::Collision { .. } => "choose another path".into(),
            Self::OpenApi { .. } => "set http_api.key instead".into(),
            Self::Open { .. } => "listen on 127.0.0.1, set a key for tokens (hmac_secret_key under [client.token], or another \
                 one), or give --allow-anonymous (in a file: allow_anonymous_connect_without_token = true under [client]) \
                 if anyone may connect"
                .into(),
        }
    }
}

/// What an unknown name was meant to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Name {
    /// A key or table of the file.
    Key,
    /// An environment variable.
    Variable,
}

impl Name {
    const fn noun(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Variable => "variable",
        }
    }
}
