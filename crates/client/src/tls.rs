use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::BuildError;

/// TLS settings that trust what the system trusts, or the file that the variable `SSL_CERT_FILE` names: what clients use
/// unless they are given others.
///
/// # Errors
///
/// [`BuildError::NoRoots`] when there is nothing to trust, [`BuildError::Tls`] when the TLS library refuses its settings.
pub fn system_tls_config() -> Result<Arc<ClientConfig>, BuildError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let problems: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        let none = "the store is empty".to_owned();
        return Err(BuildError::NoRoots(if problems.is_empty() { none } else { problems.join("; ") }));
    }
    trusting(roots)
}

/// TLS settings that trust the certificates in a text in PEM, and nothing else: for
/// [`ClientBuilder::tls_config`](crate::ClientBuilder::tls_config).
///
/// # Errors
///
/// [`BuildError::BadRoots`] when the text holds no certificate, or one that cannot be read, and [`BuildError::Tls`] when the TLS
/// library refuses its settings.
pub fn tls_config_trusting(pem: &[u8]) -> Result<Arc<ClientConfig>, BuildError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| BuildError::BadRoots(error.to_string()))?;
        roots.add(certificate).map_err(|error| BuildError::BadRoots(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(BuildError::BadRoots("there are none in PEM".to_owned()));
    }
    trusting(roots)
}

fn trusting(roots: RootCertStore) -> Result<Arc<ClientConfig>, BuildError> {
    // The provider is named here, so that nothing depends on what else is compiled into the program.
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_no_certificate_cannot_be_trusted() {
        for bad in ["", "not PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(matches!(tls_config_trusting(bad.as_bytes()), Err(BuildError::BadRoots(_))), "{bad}");
        }
        let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        assert!(tls_config_trusting(certified.cert.pem().as_bytes()).is_ok());
    }
}
