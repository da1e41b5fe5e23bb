use std::fs::File;
use std::io::Read as _;

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::{Pem, Problem};

/// Bytes that a file of certificates may have.
const MAX_BYTES: u64 = 1 << 20;

/// The text: of the file, or as it is in the settings.
pub(super) fn read(pem: &Pem) -> Result<Vec<u8>, Problem> {
    if let Some(text) = pem.inline() {
        return Ok(text);
    }
    let path = pem.path().unwrap_or_default();
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut text));
    read.map_err(|error| Problem::Unreadable(error.kind()))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(malformed(pem, "is longer than 1 MiB", "the path of a file of certificates"));
    }
    Ok(text)
}

/// The certificates in a text, of which there is one at least.
pub(super) fn certificates(pem: &Pem, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Problem> {
    const GOOD: &str = "the path of a PEM file that holds the certificate and those that vouch for it";

    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(text).collect();
    let found = found.map_err(|_| malformed(pem, "is not PEM", GOOD))?;
    if found.is_empty() { Err(malformed(pem, "holds no certificate", GOOD)) } else { Ok(found) }
}

/// The first private key in a text.
pub(super) fn key(pem: &Pem, text: &[u8]) -> Result<PrivateKeyDer<'static>, Problem> {
    const GOOD: &str = "the path of a PEM file that holds the private key, not encrypted";

    // What is wrong with it must not be told in its own words.
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound => malformed(pem, "holds no private key that can be used", GOOD),
        _ => malformed(pem, "is not PEM", GOOD),
    })
}

pub(super) fn malformed(pem: &Pem, rule: &'static str, good: &'static str) -> Problem {
    Problem::Malformed { found: pem.name(), rule, good }
}
