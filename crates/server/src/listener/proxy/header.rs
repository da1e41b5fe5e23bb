//! The PROXY protocol, versions 1 and 2, from the side that receives it
//! (<https://www.haproxy.org/download/1.8/doc/proxy-protocol.txt>). Sans-io; a fuzz target feeds it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a header of version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// What a header of version 1 begins with.
const WORD: &[u8; 6] = b"PROXY ";

/// Bytes of the shortest header: `PROXY UNKNOWN` and its line end.
const SHORTEST: usize = 15;

/// Bytes of the longest line of version 1, its end included.
const LONGEST_LINE: usize = 107;

/// Bytes of version 2 before what its length counts.
const FIXED: usize = 16;

/// Bytes that version 2 may count: its addresses, and more extensions than any proxy sends.
const LONGEST_COUNTED: usize = 4_096;

/// How far a header has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Progress {
    /// At least so many more bytes belong to it. Whoever reads no more than these reads nothing of what follows.
    Needs(usize),
    /// It is complete.
    Complete(Header),
}

/// A complete header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Header {
    /// Whom the proxy speaks for; `None` if for itself, or for somebody without an IP address.
    pub(crate) client: Option<SocketAddr>,
    /// Bytes that the header took.
    pub(crate) length: usize,
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum HeaderError {
    /// They begin in another way.
    #[error("it does not begin with a PROXY header")]
    Missing,
    /// A line of version 1 that is malformed or too long.
    #[error("its PROXY line is malformed")]
    Line,
    /// A version after the second, or a command or family that nobody has defined for streams.
    #[error("its PROXY header is of a kind that is not known")]
    Kind,
    /// A length that does not hold the addresses, or that no proxy needs.
    #[error("its PROXY header has a length of {0} bytes")]
    Length(usize),
}

/// Whether the bytes are the beginning of a header, or a header is the beginning of the bytes.
fn may_begin(bytes: &[u8]) -> bool {
    let agrees = |start: &[u8]| bytes.iter().zip(start).all(|(found, wanted)| found == wanted);
    agrees(SIGNATURE) || agrees(WORD)
}

/// Whether the bytes certainly begin with a header.
pub(crate) fn begins(bytes: &[u8]) -> bool {
    bytes.starts_with(SIGNATURE) || bytes.starts_with(WORD)
}

/// Reads the header at the beginning of the bytes.
///
/// # Errors
///
/// [`HeaderError`] as soon as the bytes cannot become a header any more.
pub(crate) fn read(bytes: &[u8]) -> Result<Progress, HeaderError> {
    if !may_begin(bytes) {
        Err(HeaderError::Missing)
    } else if bytes.len() < SHORTEST {
        Ok(Progress::Needs(SHORTEST - bytes.len()))
    } else if bytes.starts_with(SIGNATURE) {
        binary(bytes)
    } else {
        line(bytes)
    }
}

fn line(bytes: &[u8]) -> Result<Progress, HeaderError> {
    let window = &bytes[..bytes.len().min(LONGEST_LINE)];
    let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
        // The line's end is still to come, and no more than that is known.
        let missing = if window.ends_with(b"\r") { 1 } else { 2 };
        let fits = window.len() + missing <= LONGEST_LINE;
        return if fits { Ok(Progress::Needs(missing)) } else { Err(HeaderError::Line) };
    };
    let text = window[WORD.len()..end].strip_suffix(b"\r").and_then(|text| std::str::from_utf8(text).ok());
    let client = of_line(text.ok_or(HeaderError::Line)?).ok_or(HeaderError::Line)?;
    Ok(Progress::Complete(Header { client, length: end + 1 }))
}

/// Whom a line without its first word and its end speaks for; `None` if it is malformed.
fn of_line(text: &str) -> Option<Option<SocketAddr>> {
    let mut words = text.split(' ');
    let family = words.next()?;
    if family == "UNKNOWN" {
        // Whatever follows is to be passed over.
        return Some(None);
    }
    let [source, destination, source_port, destination_port] =
        [words.next()?, words.next()?, words.next()?, words.next()?];
    let is_of_family = |address: &IpAddr| match family {
        "TCP4" => address.is_ipv4(),
        "TCP6" => address.is_ipv6(),
        _ => false,
    };
    let source: IpAddr = source.parse().ok().filter(is_of_family)?;
    destination.parse().ok().filter(is_of_family)?;
    port(destination_port)?;
    let client = SocketAddr::new(source.to_canonical(), port(source_port)?);
    words.next().is_none().then_some(Some(client))
}

/// A port in the one form that the specification allows.
fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

fn binary(bytes: &[u8]) -> Result<Progress, HeaderError> {
    let Some((fixed, rest)) = bytes.split_at_checked(FIXED) else {
        return Ok(Progress::Needs(FIXED - bytes.len()));
    };
    let counted = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    let is_local = match fixed[12] {
        0x20 => true,
        0x21 => false,
        _ => return Err(HeaderError::Kind),
    };
    // Bytes of the addresses: two of them with two ports, or two paths.
    let addresses = match fixed[13] {
        _ if is_local => 0,
        0x00 => 0,
        0x11 => 12,
        0x21 => 36,
        0x31 => 216,
        _ => return Err(HeaderError::Kind),
    };
    if !(addresses..=LONGEST_COUNTED).contains(&counted) {
        return Err(HeaderError::Length(counted));
    }
    let Some(rest) = rest.get(..counted) else {
        return Ok(Progress::Needs(counted - rest.len()));
    };
    // Extensions follow the addresses, and none of them matters here.
    let port = |at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
    let client = match addresses {
        12 => {
            let source = Ipv4Addr::new(rest[0], rest[1], rest[2], rest[3]);
            Some(SocketAddr::new(source.into(), port(8)))
        }
        36 => {
            let source: [u8; 16] = std::array::from_fn(|index| rest[index]);
            Some(SocketAddr::new(IpAddr::V6(Ipv6Addr::from(source)).to_canonical(), port(32)))
        }
        _ => None,
    };
    Ok(Progress::Complete(Header { client, length: FIXED + counted }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(bytes: &[u8]) -> Header {
        match read(bytes) {
            Ok(Progress::Complete(header)) => header,
            other => panic!("not complete: {other:?}"),
        }
    }

    fn binary_header(command: u8, family: u8, counted: &[u8]) -> Vec<u8> {
        let length = u16::try_from(counted.len()).unwrap().to_be_bytes();
        [SIGNATURE.as_slice(), &[command, family], &length, counted].concat()
    }

    #[test]
    fn a_line_names_the_client_and_what_follows_is_left() {
        let header = complete(b"PROXY TCP4 192.0.2.1 198.51.100.7 4711 443\r\nGET / HTTP/1.1\r\n");
        assert_eq!(header.client, Some("192.0.2.1:4711".parse().unwrap()));
        assert_eq!(header.length, 44);
        let header = complete(b"PROXY TCP6 2001:db8::1 2001:db8::2 4711 443\r\n");
        assert_eq!(header.client, Some("[2001:db8::1]:4711".parse().unwrap()));
        let header = complete(b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n");
        assert_eq!(header.client, Some("192.0.2.1:1".parse().unwrap()), "a mapped address is the mapped one");
    }

    #[test]
    fn an_unknown_client_is_the_proxy_itself() {
        assert_eq!(complete(b"PROXY UNKNOWN\r\n"), Header { client: None, length: 15 });
        assert_eq!(complete(b"PROXY UNKNOWN ff:: ff:: 1 2\r\n").client, None);
        assert_eq!(complete(&binary_header(0x20, 0x00, b"")).client, None);
        assert_eq!(complete(&binary_header(0x20, 0x11, &[0; 12])).client, None);
        assert_eq!(complete(&binary_header(0x21, 0x31, &[b'x'; 216])).client, None);
    }

    #[test]
    fn lines_that_break_the_specification_are_refused() {
        for line in [
            "PROXY TCP4 192.0.2.1 198.51.100.7 4711 443\n",
            "PROXY TCP4 192.0.2.1 198.51.100.7 4711\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.7 4711 443 \r\n",
            "PROXY TCP4  192.0.2.1 198.51.100.7 4711 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.7 4711 65536\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.7 04711 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.7 +4711 443\r\n",
            "PROXY TCP4 192.0.2.256 198.51.100.7 4711 443\r\n",
            "PROXY TCP4 ::1 ::1 4711 443\r\n",
            "PROXY TCP6 192.0.2.1 198.51.100.7 4711 443\r\n",
            "PROXY tcp4 192.0.2.1 198.51.100.7 4711 443\r\n",
            "PROXY TCP4 192.0.2.1\r198.51.100.7 4711 443\r\n",
            "PROXY SCTP 192.0.2.1 198.51.100.7 1 2\r\n",
        ] {
            assert_eq!(read(line.as_bytes()), Err(HeaderError::Line), "{line:?}");
        }
        let endless = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat();
        assert_eq!(read(&endless), Err(HeaderError::Line));
    }

    #[test]
    fn the_second_version_names_the_client_and_extensions_are_passed_over() {
        let four = [192, 0, 2, 1, 198, 51, 100, 7, 0x12, 0x67, 1, 187];
        assert_eq!(
            complete(&binary_header(0x21, 0x11, &four)).client,
            Some("192.0.2.1:4711".parse().unwrap())
        );
        let extended = [four.as_slice(), &[0x04, 0, 2, 0, 0]].concat();
        let bytes = binary_header(0x21, 0x11, &extended);
        assert_eq!(complete(&bytes).length, bytes.len());
        let mut six = [0; 36];
        six[15] = 1;
        six[33] = 9;
        assert_eq!(complete(&binary_header(0x21, 0x21, &six)).client, Some("[::1]:9".parse().unwrap()));
    }

    #[test]
    fn the_second_version_is_refused_where_it_makes_no_sense() {
        for (command, family) in [(0x22, 0x11), (0x11, 0x11), (0x31, 0x11), (0x21, 0x12), (0x21, 0x41)] {
            let header = binary_header(command, family, &[0; 36]);
            assert_eq!(read(&header), Err(HeaderError::Kind), "{command:#x} {family:#x}");
        }
        assert_eq!(read(&binary_header(0x21, 0x11, &[0; 11])), Err(HeaderError::Length(11)));
        assert_eq!(read(&binary_header(0x21, 0x21, &[0; 12])), Err(HeaderError::Length(12)));
        assert_eq!(read(&binary_header(0x20, 0x00, &[0; 5_000])), Err(HeaderError::Length(5_000)));
    }

    #[test]
    fn what_is_no_header_is_refused_at_its_first_wrong_byte() {
        assert_eq!(read(b"GET"), Err(HeaderError::Missing));
        assert_eq!(read(b"PROXX"), Err(HeaderError::Missing));
        assert_eq!(read(b"\r\n\r\nGET"), Err(HeaderError::Missing));
        assert_eq!(read(b""), Ok(Progress::Needs(15)));
        assert!(begins(b"PROXY TCP4 ") && begins(SIGNATURE) && !begins(b"POST ") && !begins(b"PROX"));
    }
}
