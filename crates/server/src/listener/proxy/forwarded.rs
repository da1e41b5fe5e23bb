//! Who stands behind proxies that speak HTTP: the headers `Forwarded` (RFC 7239) and `X-Forwarded-For`. Sans-io.
//!
//! Each proxy appends whom it speaks for, so a list is read from its end: what a trusted proxy appended can be believed, and
//! whatever stands left of the first address that is no trusted proxy may be the invention of that address.

use std::net::{IpAddr, SocketAddr};

/// Bytes that all headers of the name may have together.
pub(crate) const LONGEST: usize = 4_096;

/// The headers are malformed or too long.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("its header of forwarded addresses is malformed or longer than {LONGEST} bytes")]
pub(crate) struct ForwardedError;

/// Whom a proxy says it speaks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Node {
    Address(IpAddr),
    /// `unknown`, or a name that only the proxy understands.
    Hidden,
}

/// The address that counts, by `X-Forwarded-For` headers in their order: that of the last who is not trusted; else the farthest one.
///
/// # Errors
///
/// [`ForwardedError`] if what must be read is no list of addresses.
pub(crate) fn by_x_forwarded_for<'h>(
    peer: IpAddr,
    headers: impl Iterator<Item = &'h [u8]>,
    trusts: impl Fn(IpAddr) -> bool,
) -> Result<IpAddr, ForwardedError> {
    let headers = bounded(headers)?;
    let elements: Vec<&str> = headers.iter().flat_map(|header| header.split(',')).map(trim).collect();
    let nodes = elements.into_iter().rev().filter(|element| !element.is_empty()).map(node);
    last_untrusted(peer, nodes, trusts)
}

/// The address that counts, by `Forwarded` headers in their order. An element without `for` hides whom it speaks for.
///
/// # Errors
///
/// [`ForwardedError`] if any of the elements is malformed.
pub(crate) fn by_forwarded<'h>(
    peer: IpAddr,
    headers: impl Iterator<Item = &'h [u8]>,
    trusts: impl Fn(IpAddr) -> bool,
) -> Result<IpAddr, ForwardedError> {
    let headers = bounded(headers)?;
    let mut nodes = Vec::new();
    for header in headers {
        elements(header, &mut nodes)?;
    }
    last_untrusted(peer, nodes.into_iter().rev().map(Ok), trusts)
}

fn bounded<'h>(headers: impl Iterator<Item = &'h [u8]>) -> Result<Vec<&'h str>, ForwardedError> {
    let mut length = 0;
    let text = |header: &'h [u8]| {
        length += header.len();
        let text = std::str::from_utf8(header).ok().filter(|text| text.is_ascii() && length <= LONGEST);
        text.ok_or(ForwardedError)
    };
    headers.map(text).collect()
}

/// Follows the nodes from the nearest on, for as long as they are trusted.
fn last_untrusted(
    peer: IpAddr,
    nodes: impl Iterator<Item = Result<Node, ForwardedError>>,
    trusts: impl Fn(IpAddr) -> bool,
) -> Result<IpAddr, ForwardedError> {
    let mut address = peer;
    for node in nodes {
        match node? {
            Node::Address(farther) => address = farther,
            // The proxy that hides it answers for it.
            Node::Hidden => break,
        }
        if !trusts(address) {
            break;
        }
    }
    Ok(address)
}

/// Reads the elements of one `Forwarded` header: lists of `name=value` between semicolons.
fn elements(header: &str, nodes: &mut Vec<Node>) -> Result<(), ForwardedError> {
    for element in split_outside_quotes(header, ',')? {
        if element.is_empty() {
            continue;
        }
        let mut speaks_for = None;
        for pair in split_outside_quotes(element, ';')? {
            let (name, value) = pair.split_once('=').ok_or(ForwardedError)?;
            if name.eq_ignore_ascii_case("for") && speaks_for.replace(node(unquoted(value)?)?).is_some() {
                return Err(ForwardedError);
            }
        }
        nodes.push(speaks_for.unwrap_or(Node::Hidden));
    }
    Ok(())
}

/// The trimmed parts between separators that stand in no quotes.
fn split_outside_quotes(text: &str, separator: char) -> Result<Vec<&str>, ForwardedError> {
    let (mut quoted, mut escaped) = (false, false);
    let is_end = |c: char| {
        let ends = !quoted && c == separator;
        quoted ^= c == '"' && !escaped;
        escaped = quoted && c == '\\' && !escaped;
        ends
    };
    let parts = text.split(is_end).map(trim).collect();
    if quoted { Err(ForwardedError) } else { Ok(parts) }
}

/// A value without its quotes. No address needs a backslash.
fn unquoted(value: &str) -> Result<&str, ForwardedError> {
    let inner = match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').ok_or(ForwardedError)?,
        None => value,
    };
    if inner.contains(['"', '\\']) { Err(ForwardedError) } else { Ok(inner) }
}

/// An address with or without a port; IPv6 may stand in brackets.
fn node(text: &str) -> Result<Node, ForwardedError> {
    if text.eq_ignore_ascii_case("unknown") || text.starts_with('_') {
        return Ok(Node::Hidden);
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()));
    // RFC 7239 lets the port be hidden, too: `192.0.2.1:_port`.
    let behind_hidden_port = || {
        let (address, _) = text.split_once(":_")?;
        let address = address.strip_prefix('[').map_or(Some(address), |rest| rest.strip_suffix(']'))?;
        address.parse().ok()
    };
    let address: IpAddr = address.or_else(behind_hidden_port).ok_or(ForwardedError)?;
    Ok(Node::Address(address.to_canonical()))
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "10.0.0.1";

    fn trusts(address: IpAddr) -> bool {
        matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 10)
    }

    fn x_forwarded_for(headers: &[&str]) -> Result<String, ForwardedError> {
        let headers = headers.iter().map(|header| header.as_bytes());
        by_x_forwarded_for(PROXY.parse().unwrap(), headers, trusts).map(|address| address.to_string())
    }

    fn forwarded(headers: &[&str]) -> Result<String, ForwardedError> {
        let headers = headers.iter().map(|header| header.as_bytes());
        by_forwarded(PROXY.parse().unwrap(), headers, trusts).map(|address| address.to_string())
    }

    fn is(address: &str) -> Result<String, ForwardedError> {
        Ok(address.to_owned())
    }

    #[test]
    fn the_right_most_address_that_is_no_proxy_counts() {
        assert_eq!(x_forwarded_for(&["192.0.2.1"]), is("192.0.2.1"));
        assert_eq!(x_forwarded_for(&["203.0.113.66, 192.0.2.1, 10.0.0.2"]), is("192.0.2.1"));
        assert_eq!(x_forwarded_for(&["203.0.113.66", "192.0.2.1,10.0.0.2"]), is("192.0.2.1"));
        assert_eq!(
            forwarded(&["for=203.0.113.66, for=192.0.2.1;proto=https, for=10.0.0.2"]),
            is("192.0.2.1")
        );
        assert_eq!(forwarded(&["for=203.0.113.66", "For=192.0.2.1"]), is("192.0.2.1"));
    }

    #[test]
    fn what_the_client_invents_is_not_even_read() {
        assert_eq!(x_forwarded_for(&["<script>, 192.0.2.1"]), is("192.0.2.1"));
        assert_eq!(x_forwarded_for(&["127.0.0.1, 192.0.2.1"]), is("192.0.2.1"));
    }

    #[test]
    fn without_any_other_the_farthest_proxy_counts() {
        assert_eq!(x_forwarded_for(&[]), is(PROXY));
        assert_eq!(x_forwarded_for(&["", " , "]), is(PROXY));
        assert_eq!(x_forwarded_for(&["10.0.0.3, 10.0.0.2"]), is("10.0.0.3"));
        assert_eq!(forwarded(&["proto=https"]), is(PROXY));
    }

    #[test]
    fn who_is_hidden_counts_as_the_proxy_that_hides_it() {
        for hidden in ["unknown", "_secret", "Unknown"] {
            assert_eq!(forwarded(&[&format!("for=192.0.2.1, for={hidden}, for=10.0.0.2")]), is("10.0.0.2"));
            assert_eq!(x_forwarded_for(&[&format!("192.0.2.1, {hidden}")]), is(PROXY));
        }
    }

    #[test]
    fn ports_brackets_and_mapped_addresses_are_understood() {
        for (text, address) in [
            ("192.0.2.1:4711", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("[::ffff:192.0.2.1]:4711", "192.0.2.1"),
        ] {
            assert_eq!(x_forwarded_for(&[text]), is(address), "{text}");
            assert_eq!(forwarded(&[&format!("for=\"{text}\"")]), is(address), "{text}");
        }
        assert_eq!(forwarded(&["for=\"[2001:db8::1]:_p\""]), is("2001:db8::1"));
        assert_eq!(forwarded(&["for=192.0.2.1:_p"]), is("192.0.2.1"));
    }

    #[test]
    fn a_comma_in_quotes_begins_no_element() {
        assert_eq!(forwarded(&[r#"for=192.0.2.1;by="a,for=203.0.113.66""#]), is("192.0.2.1"));
        assert_eq!(forwarded(&[r#"for=192.0.2.1;by="a\",for=203.0.113.66""#]), is("192.0.2.1"));
    }

    #[test]
    fn malformed_headers_are_refused() {
        for header in ["192.0.2.256", "example.org", "192.0.2.1 10.0.0.2", "[::1", "192.0.2.1:port", "ä"] {
            assert_eq!(x_forwarded_for(&[header]), Err(ForwardedError), "{header}");
        }
        for header in
            ["for", "for=\"192.0.2.1", "for=192.0.2.1;for=192.0.2.2", "for=\"a\\b\"", "for=x", "for="]
        {
            assert_eq!(forwarded(&[header]), Err(ForwardedError), "{header}");
        }
        let long = "192.0.2.1,".repeat(410);
        assert_eq!(x_forwarded_for(&[&long]), Err(ForwardedError));
        let part = "192.0.2.1,".repeat(205);
        assert_eq!(x_forwarded_for(&[&part, &part]), Err(ForwardedError), "together they are too long");
    }

    proptest::proptest! {
        #[test]
        fn the_address_is_never_one_that_only_the_client_named(
            invented in "[ -~]{0,80}",
            client: [u8; 4],
            proxies in proptest::collection::vec(proptest::prelude::any::<[u8; 3]>(), 0..4),
        ) {
            let client = IpAddr::from(client);
            proptest::prop_assume!(!trusts(client));
            let mut list = format!("{invented},{client}");
            for [a, b, c] in proxies {
                list += &format!(", 10.{a}.{b}.{c}");
            }
            proptest::prop_assert_eq!(x_forwarded_for(&[&list]), is(&client.to_string()));
        }

        #[test]
        fn no_header_makes_it_panic(header: Vec<u8>) {
            let peer = PROXY.parse().unwrap();
            let _ = by_forwarded(peer, std::iter::once(header.as_slice()), trusts);
            let _ = by_x_forwarded_for(peer, std::iter::once(header.as_slice()), trusts);
        }
    }
}
