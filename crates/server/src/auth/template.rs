//! The URL of keys, in which `{{group}}` stands for a part of the token's issuer or audience.

use std::collections::BTreeMap;

/// What the named groups of the expressions for issuer and audience stand for.
pub(super) type Groups = BTreeMap<String, String>;

/// Bytes that a group may have in a URL.
const MAX_GROUP: usize = 128;

/// A URL with groups in it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Template(Vec<Piece>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Piece {
    Text(String),
    Group(String),
}

/// Why a text is no URL of keys. `Display` is what follows the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum TemplateError {
    /// It is no URL at all.
    #[error("is not a URL")]
    Url,
    /// It is neither http nor https.
    #[error("is neither an https nor an http URL")]
    Scheme,
    /// A `{{` without its `}}`.
    #[error("has a group that does not end")]
    Open,
}

impl Template {
    /// Reads a URL.
    ///
    /// # Errors
    ///
    /// [`TemplateError`].
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, group)) = rest.split_once("{{") {
            let (name, behind) = group.split_once("}}").ok_or(TemplateError::Open)?;
            pieces.extend([Piece::Text(before.to_owned()), Piece::Group(name.trim().to_owned())]);
            rest = behind;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        let template = Self(pieces);
        let uri = template.example().ok_or(TemplateError::Url)?;
        match (uri.scheme_str(), uri.host()) {
            (Some("http" | "https"), Some(_)) => Ok(template),
            (Some(_), Some(_)) => Err(TemplateError::Scheme),
            (_, None) | (None, _) => Err(TemplateError::Url),
        }
    }

    /// The names of its groups.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Group(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// Whether keys come encrypted.
    pub(super) fn is_https(&self) -> bool {
        self.example().is_some_and(|uri| uri.scheme_str() == Some("https"))
    }

    /// Whether keys come unencrypted from another machine.
    pub(crate) fn is_exposed(&self) -> bool {
        let is_loopback = |host: &str| {
            let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
            host == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback())
        };
        !self.is_https() && !self.example().is_some_and(|uri| uri.host().is_some_and(is_loopback))
    }

    /// The URL with its groups filled in. They come from tokens that nobody has verified: what could reach beyond the place
    /// that the operator gave them is refused.
    pub(super) fn fill(&self, groups: &Groups) -> Option<String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        let is_safe = |value: &&str| {
            (1..=MAX_GROUP).contains(&value.len())
                && value.bytes().all(plain)
                && value.bytes().any(|byte| byte != b'.')
        };
        self.with(|name| groups.get(name).map(String::as_str).filter(is_safe))
    }

    /// The URL with something in the place of its groups.
    fn example(&self) -> Option<http::Uri> {
        self.with(|_| Some("x"))?.parse().ok()
    }

    fn with<'v>(&self, value: impl Fn(&str) -> Option<&'v str>) -> Option<String> {
        let mut url = String::new();
        for piece in &self.0 {
            url.push_str(match piece {
                Piece::Text(text) => text,
                Piece::Group(name) => value(name)?,
            });
        }
        Some(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str, value: &str) -> Option<String> {
        let groups = Groups::from([("tenant".to_owned(), value.to_owned())]);
        Template::parse(template).unwrap().fill(&groups)
    }

    #[test]
    fn groups_are_filled_in() {
        let template = "https://{{tenant}}.auth.example/{{ tenant }}/keys";
        assert_eq!(filled(template, "acme"), Some("https://acme.auth.example/acme/keys".to_owned()));
        assert_eq!(filled("https://auth.example/keys", "x"), Some("https://auth.example/keys".to_owned()));
        assert_eq!(filled("https://auth.example/{{other}}", "x"), None);
        assert_eq!(Template::parse(template).unwrap().groups().collect::<Vec<_>>(), ["tenant", "tenant"]);
    }

    #[test]
    fn a_group_does_not_reach_beyond_its_place() {
        let long = "x".repeat(MAX_GROUP + 1);
        for value in
            ["", "..", ".", "evil.example/", "a@b", "a#", "a?b", "a:1", "a%2fb", "a b", "ä", "a\\b", &long]
        {
            assert_eq!(filled("https://{{tenant}}.auth.example/keys", value), None, "{value}");
        }
    }

    #[test]
    fn what_is_no_url_of_keys_is_refused() {
        for (text, error) in [
            ("", TemplateError::Url),
            ("keys", TemplateError::Url),
            ("/keys", TemplateError::Url),
            ("ftp://auth.example/keys", TemplateError::Scheme),
            ("https://auth.example/{{tenant", TemplateError::Open),
            ("https://auth example/", TemplateError::Url),
        ] {
            assert_eq!(Template::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn unencrypted_keys_of_another_machine_are_noticed() {
        for (url, exposed) in [
            ("https://auth.example/keys", false),
            ("http://127.0.0.1:1/keys", false),
            ("http://[::1]:1/keys", false),
            ("http://localhost/keys", false),
            ("http://auth.example/keys", true),
            ("http://{{tenant}}/keys", true),
            ("http://127.0.0.1.auth.example/keys", true),
        ] {
            assert_eq!(Template::parse(url).unwrap().is_exposed(), exposed, "{url}");
        }
    }
}
