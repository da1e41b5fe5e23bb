//! "Did you mean": the known name that is most like an unknown one.

/// The known name that `unknown` most likely stands for, if one is near enough to be worth a question.
///
/// Besides typing errors this finds a key that stands in the wrong table or outside of any, and a key whose name was
/// cut short. Of names that are equally near the first one counts.
pub(super) fn near<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .filter_map(|name| Some((closeness(unknown, name)?, name)))
        .min_by_key(|(closeness, _)| *closeness)
        .map(|(_, name)| name)
}

/// The kind of likeness, and the number of typing errors; `None` is not near at all.
fn closeness(unknown: &str, known: &str) -> Option<(Likeness, usize)> {
    let last = unknown.rsplit('.').next().unwrap_or(unknown);
    let (unknown, known) = (flat(unknown), flat(known));
    let typing_errors = distance(&unknown, &known);
    if typing_errors <= (unknown.len() / 5).clamp(1, 3) {
        Some((Likeness::Mistyped, typing_errors))
    } else if ends_with_words(&known, &unknown) {
        Some((Likeness::WithoutTable, 0))
    } else if unknown.len() >= 4 && known.starts_with(&unknown) {
        Some((Likeness::CutShort, 0))
    } else if last.len() >= 4 && ends_with_words(&known, &flat(last)) {
        Some((Likeness::OtherTable, 0))
    } else {
        None
    }
}

/// Kinds of likeness, the most convincing first.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
enum Likeness {
    Mistyped,
    WithoutTable,
    CutShort,
    OtherTable,
}

/// Words separated by one kind of sign, so that `client.ping_interval`, `client_ping_interval` and
/// `CLIENT_PING_INTERVAL` are the same.
fn flat(name: &str) -> String {
    name.to_ascii_lowercase().replace(['.', '-'], "_")
}

fn ends_with_words(name: &str, words: &str) -> bool {
    name.strip_suffix(words).is_some_and(|front| front.is_empty() || front.ends_with('_'))
}

/// Levenshtein distance in bytes.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 6] = [
        "http_server.port",
        "client.channel_limit",
        "client.ping_interval",
        "client.allow_anonymous_connect_without_token",
        "client.token.hmac_secret_key",
        "websocket.message_size_limit",
    ];

    fn suggested(unknown: &str) -> Option<&'static str> {
        near(unknown, KNOWN.into_iter())
    }

    #[test]
    fn a_typing_error_finds_the_key() {
        assert_eq!(suggested("client.chanel_limit"), Some("client.channel_limit"));
        assert_eq!(suggested("client.pingInterval"), Some("client.ping_interval"));
        assert_eq!(suggested("http_server.prot"), Some("http_server.port"));
    }

    #[test]
    fn a_key_without_its_table_finds_it() {
        assert_eq!(suggested("port"), Some("http_server.port"));
        assert_eq!(suggested("token_hmac_secret_key"), Some("client.token.hmac_secret_key"));
    }

    #[test]
    fn a_key_in_the_wrong_table_finds_the_right_one() {
        assert_eq!(suggested("relay.ping_interval"), Some("client.ping_interval"));
    }

    #[test]
    fn a_key_cut_short_finds_the_whole() {
        assert_eq!(suggested("client.allow_anonymous"), Some("client.allow_anonymous_connect_without_token"));
    }

    #[test]
    fn something_else_finds_nothing() {
        assert_eq!(suggested("colour"), None);
        assert_eq!(suggested("client.colour"), None);
        assert_eq!(suggested("limit_of_everything"), None);
    }

    #[test]
    fn the_distance_counts_single_changes() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
    }
}
