//! Profiles: servers that one goes to often, by name.

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Deserializer, de};
use throng_client::{Endpoint, Token};

use crate::failure::{Failure, plain};

/// A server and who one is there. What is left out comes from elsewhere.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    #[serde(default, deserialize_with = "endpoint")]
    pub(crate) url: Option<Endpoint>,
    #[serde(default, deserialize_with = "token")]
    pub(crate) token: Option<Token>,
    pub(crate) token_command: Option<String>,
    /// Beside the file, if it is a relative path.
    pub(crate) cacert: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// The profile that is used without `--profile`.
    default: Option<String>,
    #[serde(default)]
    profile: BTreeMap<String, Profile>,
}

impl Profile {
    /// The profile of this name, or the file's default, or an empty one.
    ///
    /// # Errors
    ///
    /// A file or profile that was asked for is not there, or makes no sense; the message has the line and the remedy.
    pub(crate) fn load(file: Option<&Path>, name: Option<&str>) -> Result<Self, Failure> {
        let Some(path) = file.map(Path::to_owned).or_else(usual_place) else {
            return match name {
                Some(name) => Err(Failure::usage(format!(
                    "--profile {name}: there is no home directory to look in; name the file with --config"
                ))),
                None => Ok(Self::default()),
            };
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && file.is_none() && name.is_none() => {
                return Ok(Self::default());
            }
            Err(error) => {
                return Err(Failure::usage(format!(
                    "{}: {}; it would hold profiles, such as\n[profile.{}]\nurl = \"wss://chat.example\"",
                    path.display(),
                    plain(&error),
                    name.unwrap_or("work")
                )));
            }
        };
        Self::parse(&text, name).map(|profile| profile.beside(&path)).map_err(|(line, problem)| {
            let line = line.map(|line| format!(":{line}")).unwrap_or_default();
            Failure::usage(format!("{}{line}: {problem}", path.display()))
        })
    }

    /// An error is the line, if it is known, and what is wrong there.
    fn parse(text: &str, name: Option<&str>) -> Result<Self, (Option<usize>, String)> {
        let mut file: File = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| line_at(text, span.start));
            (line, error.message().to_owned())
        })?;
        for (name, profile) in &file.profile {
            if profile.token.is_some() && profile.token_command.is_some() {
                let line = line_of(text, &format!("[profile.{name}]"));
                let problem = format!("profile {name} has both token and token_command: remove one of them");
                return Err((line, problem));
            }
        }
        let Some(name) = name.map(str::to_owned).or(file.default) else { return Ok(Self::default()) };
        file.profile.remove(&name).ok_or_else(|| {
            let known: Vec<&str> = file.profile.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            (None, format!("there is no profile {name:?}; there are: {known}; [profile.{name}] begins one"))
        })
    }

    fn beside(mut self, file: &Path) -> Self {
        if let (Some(cacert), Some(directory)) = (&mut self.cacert, file.parent()) {
            *cacert = directory.join(&*cacert);
        }
        self
    }
}

/// `throng/client.toml` among the user's settings.
fn usual_place() -> Option<PathBuf> {
    let directory = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let settings =
        directory("XDG_CONFIG_HOME").or_else(|| directory("HOME").map(|home| home.join(".config")))?;
    Some(settings.join("throng/client.toml"))
}

fn endpoint<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Endpoint>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map(Some)
        .map_err(|error| de::Error::custom(format!("{text:?} is no URL of a server: {error}")))
}

fn token<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Token>, D::Error> {
    String::deserialize(deserializer).map(|token| Some(token.into()))
}

/// The number, from 1, of the line with this byte.
fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

fn line_of(text: &str, header: &str) -> Option<usize> {
    text.lines().position(|line| line.trim() == header).map(|index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
default = \"local\"

[profile.local]
url = \"ws://127.0.0.1:9000\"

[profile.work]
url = \"wss://chat.example\"
token_command = \"pass show chat\"
cacert = \"root.pem\"
";

    #[test]
    fn a_profile_is_chosen_by_name_and_the_default_without_one() {
        let local = Profile::parse(FILE, None).unwrap();
        assert_eq!(local.url.unwrap().to_string(), "ws://127.0.0.1:9000");
        let work = Profile::parse(FILE, Some("work")).unwrap().beside(Path::new("/etc/client.toml"));
        assert_eq!(work.token_command.as_deref(), Some("pass show chat"));
        assert_eq!(work.cacert.as_deref(), Some(Path::new("/etc/root.pem")));
        assert!(Profile::parse("", None).unwrap().url.is_none());
    }

    #[test]
    fn a_mistake_is_told_with_its_line_and_the_remedy() {
        for (text, name, line, told) in [
            (
                "[profile.a]\nurl = \"ws://h\"\ntokn = \"x\"",
                None,
                Some(3),
                "`url`, `token`, `token_command`, `cacert`",
            ),
            ("profiles = 1", None, Some(1), "`default` or `profile`"),
            ("[profile.a]\n\nurl = \"ftp://h\"", None, Some(3), "is no URL of a server"),
            ("[profile.a]\nurl = ", None, Some(2), ""),
            ("\n[profile.a]\ntoken = \"t\"\ntoken_command = \"c\"", None, Some(2), "remove one of them"),
            (FILE, Some("home"), None, "there are: local, work; [profile.home] begins one"),
            ("default = \"x\"", None, None, "there are: none"),
        ] {
            let (at, problem) = Profile::parse(text, name).unwrap_err();
            assert_eq!(at, line, "{problem}");
            assert!(problem.contains(told), "{problem}");
        }
    }
}
