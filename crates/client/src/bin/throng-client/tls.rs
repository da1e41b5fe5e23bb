use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use throng_client::tls_config_trusting;

use crate::failure::{Failure, chain};

/// What is said whenever no certificate is checked.
pub(crate) const ALARM: &str = "--insecure: the server's certificate is NOT CHECKED. Whoever sits in between can read and change \
                                everything, keys and tokens included.";

/// Which servers are trusted.
#[derive(clap::Args, Debug)]
pub(crate) struct TlsArguments {
    /// Trust the certificates in this PEM file, and no others (wss, https).
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "insecure")]
    pub(crate) cacert: Option<PathBuf>,
    /// Do not check the server's certificate: whoever sits in between can read and change everything. For trying things out.
    #[arg(long, global = true)]
    pub(crate) insecure: bool,
}

/// TLS settings that differ from the library's, which trust what the system trusts.
///
/// # Errors
///
/// The file cannot be read, or holds no certificate.
pub(crate) fn config(cacert: Option<&Path>, insecure: bool) -> Result<Option<Arc<ClientConfig>>, Failure> {
    if insecure {
        return anybody().map(Some).map_err(|error| Failure::other(chain(&error)));
    }
    let Some(path) = cacert else { return Ok(None) };
    let failure = |error: &dyn std::error::Error| {
        Failure::other(format!("--cacert {}: {}", path.display(), chain(error)))
    };
    let pem = fs::read(path).map_err(|error| failure(&error))?;
    tls_config_trusting(&pem).map(Some).map_err(|error| failure(&error))
}

/// TLS settings that take every certificate.
fn anybody() -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Takes every certificate, as long as the server has its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
