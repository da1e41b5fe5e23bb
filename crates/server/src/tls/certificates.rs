use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert, VerifierBuilderError,
    WebPkiClientVerifier, danger::ClientCertVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{Error, InconsistentKeys, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::pem;
use super::validity::validity;
use crate::config::{ClientAuth, Pem, Problem, Tls, TlsVersion};

/// What is wrong with the settings of TLS, by their keys; nothing if TLS is off.
pub(crate) fn check(settings: &Tls) -> Vec<(String, Problem)> {
    if settings.enabled { Material::load(settings).err().unwrap_or_default() } else { Vec::new() }
}

/// What a listener needs for TLS, made from files that were read together.
pub(super) struct Material {
    pub(super) config: Arc<ServerConfig>,
    pub(super) validities: Vec<Validity>,
}

/// From when to when a certificate is valid, in Unix seconds.
#[derive(Clone, Debug)]
pub(super) struct Validity {
    /// The key that names the certificate.
    pub(super) key: String,
    pub(super) from: i64,
    pub(super) until: i64,
}

impl Material {
    /// Reads the files and checks what is in them.
    ///
    /// # Errors
    ///
    /// All that is wrong, by the keys of the settings.
    pub(super) fn load(settings: &Tls) -> Result<Self, Vec<(String, Problem)>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut faults = Vec::new();
        let mut keys = Vec::new();
        let mut validities = Vec::new();
        for (table, cert_pem, key_pem) in settings.pairs() {
            match certified(&table, cert_pem, key_pem, &provider) {
                Ok(key) => {
                    let validity = key.cert.first().and_then(validity);
                    validities.extend(validity.map(|(from, until)| Validity {
                        key: format!("{table}.cert_pem"),
                        from,
                        until,
                    }));
                    keys.push(Arc::new(key));
                }
                Err(found) => faults.extend(found),
            }
        }
        if settings.pairs().next().is_none() {
            faults.push(("http_server.tls.enabled".to_owned(), NO_CERTIFICATE));
        }
        let verifier = match client_verifier(settings, &provider) {
            Ok(verifier) => Some(verifier),
            Err(fault) => {
                faults.push(fault);
                None
            }
        };
        let (Some(verifier), true) = (verifier, faults.is_empty()) else { return Err(faults) };
        let config = config(settings, provider, verifier, Certificates(keys));
        let config =
            config.map_err(|error| vec![("http_server.tls.enabled".to_owned(), unusable(&error))])?;
        Ok(Self { config: Arc::new(config), validities })
    }

    /// When the first of the certificates expires, in Unix seconds.
    pub(super) fn expires(&self) -> Option<u64> {
        self.validities.iter().map(|validity| u64::try_from(validity.until).unwrap_or(0)).min()
    }
}

impl fmt::Debug for Material {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material").field("validities", &self.validities).finish_non_exhaustive()
    }
}

/// A hash of all files, whether or not they are of any use.
pub(super) fn fingerprint(settings: &Tls) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut add = |pem: &Pem| {
        if !pem.is_empty() {
            pem::read(pem).map_err(|problem| problem.to_string()).hash(&mut hasher);
        }
    };
    for (_, cert_pem, key_pem) in settings.pairs() {
        add(cert_pem);
        add(key_pem);
    }
    add(&settings.client_ca_pem);
    hasher.finish()
}

const NO_CERTIFICATE: Problem = Problem::Contradiction {
    rule: "needs a certificate",
    remedy: "set http_server.tls.cert_pem and http_server.tls.key_pem, or leave it off",
};

/// One certificate with its key, which fit together.
fn certified(
    table: &str,
    cert_pem: &Pem,
    key_pem: &Pem,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, Vec<(String, Problem)>> {
    let named = |name: &str, problem| (format!("{table}.{name}"), problem);
    let missing = Problem::Contradiction {
        rule: "is missing: a certificate and its key belong together",
        remedy: "set both cert_pem and key_pem",
    };
    let part = |pem: &Pem| if pem.is_empty() { Err(missing.clone()) } else { pem::read(pem) };
    let chain = part(cert_pem).and_then(|text| pem::certificates(cert_pem, &text));
    let key = part(key_pem).and_then(|text| pem::key(key_pem, &text));
    let (chain, key) = match (chain, key) {
        (Ok(chain), Ok(key)) => (chain, key),
        (chain, key) => {
            let faults = [
                chain.err().map(|problem| named("cert_pem", problem)),
                key.err().map(|problem| named("key_pem", problem)),
            ];
            return Err(faults.into_iter().flatten().collect());
        }
    };
    let good = "a private key of RSA (2048 bits or more), ECDSA or Ed25519";
    let signing = provider.key_provider.load_private_key(key).map_err(|_| {
        vec![named("key_pem", pem::malformed(key_pem, "holds a key that cannot be used", good))]
    })?;
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(Error::InconsistentKeys(_)) => {
            let good = "the key that the certificate was made for";
            Err(vec![named("key_pem", pem::malformed(key_pem, "is not the key of the certificate", good))])
        }
        Err(_) => {
            let good = "the path of a PEM file whose first certificate is the server's";
            Err(vec![named(
                "cert_pem",
                pem::malformed(cert_pem, "holds no certificate that can be read", good),
            )])
        }
    }
}

/// Who judges clients' certificates.
fn client_verifier(
    settings: &Tls,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, (String, Problem)> {
    let pem = &settings.client_ca_pem;
    let fault = |problem| ("http_server.tls.client_ca_pem".to_owned(), problem);
    if pem.is_empty() {
        return match settings.client_auth {
            ClientAuth::Required => Ok(WebPkiClientVerifier::no_client_auth()),
            ClientAuth::Optional => Err(("http_server.tls.client_auth".to_owned(), NO_CLIENT_CA)),
        };
    }
    let text = pem::read(pem).map_err(fault)?;
    let mut roots = RootCertStore::empty();
    for certificate in pem::certificates(pem, &text).map_err(fault)? {
        let good = "the path of a PEM file of certificates that may vouch for others";
        roots
            .add(certificate)
            .map_err(|_| fault(pem::malformed(pem, "holds a certificate that cannot be read", good)))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let built = match settings.client_auth {
        ClientAuth::Required => builder.build(),
        ClientAuth::Optional => builder.allow_unauthenticated().build(),
    };
    let good = "the path of a PEM file of certificates that may vouch for others";
    built.map_err(|_: VerifierBuilderError| fault(pem::malformed(pem, "cannot judge anybody", good)))
}

const NO_CLIENT_CA: Problem = Problem::Contradiction {
    rule: "needs to know who may have signed clients' certificates",
    remedy: "set http_server.tls.client_ca_pem, or remove it",
};

fn config(
    settings: &Tls,
    provider: Arc<CryptoProvider>,
    verifier: Arc<dyn ClientCertVerifier>,
    certificates: Certificates,
) -> Result<ServerConfig, Error> {
    let versions: &[&SupportedProtocolVersion] = match settings.min_version {
        TlsVersion::V1_2 => &[&TLS12, &TLS13],
        TlsVersion::V1_3 => &[&TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(certificates));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A client that comes back shows a ticket that only this configuration can open, so that nobody goes on with what another
    // configuration let in. Sessions are not kept here.
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // A WebSocket client makes one connection at a time.
    config.send_tls13_tickets = 1;
    Ok(config)
}

/// The TLS library refuses what it was given.
fn unusable(error: &Error) -> Problem {
    let found = error.to_string();
    Problem::Malformed { found, rule: "is what the TLS library says", good: "other certificates" }
}

/// The server's certificates; the first is shown where none fits.
#[derive(Debug)]
struct Certificates(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Certificates {
    /// The first that is for the name and has a key of a kind that the client knows.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let usable = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let fits = |key: &&Arc<CertifiedKey>| {
            let Some(name) = &name else { return false };
            let parsed = key.cert.first().map(ParsedCertificate::try_from);
            parsed.is_some_and(|parsed| parsed.is_ok_and(|parsed| verify_server_name(&parsed, name).is_ok()))
        };
        let found = self.0.iter().filter(fits).find(usable);
        found.or_else(|| self.0.iter().find(usable)).or_else(|| self.0.first()).cloned()
    }
}
