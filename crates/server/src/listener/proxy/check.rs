//! What holds for any bytes at all. Run by property tests, and by the fuzz target.

use super::header::{Header, HeaderError, Progress, read};

/// Reads bytes as the listener does, which never takes more than the header needs, and compares with all of them at once.
pub(crate) fn header(bytes: &[u8]) {
    let at_once = read(bytes);
    let mut taken = 0;
    let step_by_step = loop {
        match read(&bytes[..taken]) {
            Ok(Progress::Needs(more)) => {
                assert!(more > 0, "a header that needs nothing is complete");
                assert!(taken + more <= 16 + 4_096, "a header is bounded");
                if taken + more > bytes.len() {
                    break Ok(Progress::Needs(0));
                }
                taken += more;
            }
            other => break other,
        }
    };
    match (at_once, step_by_step) {
        (Ok(Progress::Complete(whole)), Ok(Progress::Complete(steps))) => {
            assert_eq!(whole, steps);
            assert_eq!(whole.length, taken, "nothing behind the header was read");
            assert_eq!(read(&bytes[..whole.length]), at_once);
            assert!(whole.client.is_none_or(|client| client.ip() == client.ip().to_canonical()));
        }
        (Ok(Progress::Needs(_)), Ok(Progress::Needs(_))) | (Err(_), Err(_)) => {}
        // More bytes can only show earlier that there is no header.
        (Err(_), Ok(Progress::Needs(_))) => {}
        (whole, steps) => panic!("{whole:?} at once, {steps:?} step by step"),
    }
}

/// Reads what a proxy would write for a client, in both versions.
pub(crate) fn round_trip(client: std::net::SocketAddr) -> Result<[Header; 2], HeaderError> {
    let (ip, port) = (client.ip(), client.port());
    let family = if ip.is_ipv4() { "TCP4" } else { "TCP6" };
    let line = format!("PROXY {family} {ip} {ip} {port} 443\r\n");
    let (kind, octets) = match ip {
        std::net::IpAddr::V4(ip) => (0x11, ip.octets().to_vec()),
        std::net::IpAddr::V6(ip) => (0x21, ip.octets().to_vec()),
    };
    let counted = [octets.as_slice(), &octets, &port.to_be_bytes(), &[1, 187]].concat();
    let mut binary = b"\r\n\r\n\0\r\nQUIT\n\x21".to_vec();
    binary.push(kind);
    binary.extend_from_slice(&u16::try_from(counted.len()).unwrap_or_default().to_be_bytes());
    binary.extend_from_slice(&counted);
    let mut headers = [Header { client: None, length: 0 }; 2];
    for (header, bytes) in headers.iter_mut().zip([line.as_bytes(), &binary]) {
        match read(bytes)? {
            Progress::Complete(complete) => *header = complete,
            Progress::Needs(_) => return Err(HeaderError::Missing),
        }
    }
    Ok(headers)
}
