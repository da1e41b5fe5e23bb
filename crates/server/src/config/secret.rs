//! Secrets: texts that stand in no message and in no print.

use std::{fmt, fs::File, io::Read};

use secrecy::{ExposeSecret, SecretString};

use super::{fault::Problem, value::Value};

/// Bytes a secret may have.
const MAX_BYTES: usize = 1024;

/// A text that no print shows, and whose memory is wiped when it is dropped. Default empty, which is none.
///
/// ```
/// let key = throng_server::config::Secret::from("s3cret");
/// assert_eq!(format!("{key:?}"), "Secret(***)");
/// ```
#[derive(Clone, Default)]
pub struct Secret(SecretString);

impl Secret {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }

    /// The text, for whoever checks or signs with it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "Secret()" } else { "Secret(***)" })
    }
}

/// Gives a secret back when it keeps the rule.
pub(super) type Rule = fn(&str) -> Result<&str, Problem>;

/// The secret that a source gives, which may be empty.
pub(super) fn given(value: &Value, rule: Rule) -> Result<&str, Problem> {
    let expected = "text in quotes";
    rule(value.text().map_err(|_| Problem::WrongType { expected, found: "the value".into() })?)
}

/// The secret that a file holds, without the spaces and line ends around it.
pub(super) fn read(path: &str, rule: Rule) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX) + 2;
    let file = File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    file.map_err(|error| Problem::Unreadable(error.kind()))?;
    let text = String::from_utf8(bytes).map_err(|_| Problem::NotText)?;
    let secret = text.trim_ascii();
    if secret.is_empty() { Err(malformed("is empty")) } else { rule(secret).map(str::to_owned) }
}

/// A text that can be sent in a header, or none.
pub(super) fn header(secret: &str) -> Result<&str, Problem> {
    if secret.len() > MAX_BYTES {
        Err(malformed("is too long"))
    } else if secret.bytes().any(|byte| !(b' '..=b'~').contains(&byte)) || secret.trim_ascii() != secret {
        Err(malformed("cannot be sent in a header"))
    } else {
        Ok(secret)
    }
}

/// A text that both sides can write in the same way, or none.
pub(super) fn shared(secret: &str) -> Result<&str, Problem> {
    if secret.len() > MAX_BYTES {
        Err(malformed("is too long"))
    } else if secret.chars().any(char::is_control) || secret.trim() != secret {
        Err(malformed("has control characters, or space at an end"))
    } else {
        Ok(secret)
    }
}

fn malformed(rule: &'static str) -> Problem {
    let good = "1 to 1024 plain characters without space before and behind";
    Problem::Malformed { found: "the secret".into(), rule, good }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_can_be_sent_in_a_header() {
        for good in ["", "k", "two words", &"x".repeat(1024)] {
            assert_eq!(header(good), Ok(good));
        }
        for bad in [" k", "k ", "k\n", "schlüssel", &"x".repeat(1025)] {
            let message = header(bad).unwrap_err().to_string();
            assert!(message.starts_with("the secret ") && !message.contains(bad), "{message}");
        }
    }

    #[test]
    fn a_shared_secret_may_have_any_letters() {
        for good in ["", "secret", "schlüssel", &"x".repeat(1024)] {
            assert_eq!(shared(good), Ok(good));
        }
        for bad in [" k", "k\u{a0}", "k\n", "a\0b", &"x".repeat(1025)] {
            let message = shared(bad).unwrap_err().to_string();
            assert!(message.starts_with("the secret ") && !message.contains(bad), "{message}");
        }
    }

    #[test]
    fn a_file_gives_its_secret_without_what_an_editor_adds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let read = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            read(path.to_str().unwrap(), header)
        };
        assert_eq!(read(b"hush\r\n"), Ok("hush".into()));
        assert_eq!(read(b" \n"), Err(malformed("is empty")));
        assert_eq!(read(b"\xff"), Err(Problem::NotText));
        assert_eq!(read(&[b'x'; 5_000]), Err(malformed("is too long")));
        assert_eq!(
            super::read("no/such/key", header),
            Err(Problem::Unreadable(std::io::ErrorKind::NotFound))
        );
    }
}
