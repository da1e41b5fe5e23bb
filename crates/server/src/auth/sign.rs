//! Signs tokens.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
    RsaEncoding, RsaKeyPair,
};
use aws_lc_rs::{error::Unspecified, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::pem::{PemObject, SectionKind};

/// Signs tokens with one key.
pub struct Signer {
    key: Private,
    algorithm: &'static str,
    kid: Option<String>,
}

enum Private {
    Secret(Vec<u8>),
    Rsa(Box<RsaKeyPair>),
    Ecdsa(Box<EcdsaKeyPair>, &'static str),
    Ed25519(Box<Ed25519KeyPair>),
}

/// Why a token cannot be signed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The text is no private key that throng can use.
    #[error("this is no private key in PEM of RSA, Ed25519, or the curves P-256 and P-384")]
    Key,
    /// The key is not for this algorithm.
    #[error("the key is not for this algorithm")]
    Algorithm,
    /// The cryptographic library refused.
    #[error("the key does not sign")]
    Refused,
}

impl Signer {
    /// Signs with a secret, by HS256.
    #[must_use]
    pub fn hmac(secret: &str) -> Self {
        Self::new(Private::Secret(secret.as_bytes().to_vec()))
    }

    /// Signs with a private key in PEM: by RS256, ES256, ES384 or EdDSA, as the key is.
    ///
    /// # Errors
    ///
    /// [`SignError::Key`].
    pub fn pem(text: &str) -> Result<Self, SignError> {
        let section = <(SectionKind, Vec<u8>)>::from_pem_slice(text.as_bytes());
        let (kind, der) = section.map_err(|_| SignError::Key)?;
        let curves =
            [(&ECDSA_P256_SHA256_FIXED_SIGNING, "ES256"), (&ECDSA_P384_SHA384_FIXED_SIGNING, "ES384")];
        let key = match kind {
            SectionKind::RsaPrivateKey => {
                RsaKeyPair::from_der(&der).ok().map(|key| Private::Rsa(Box::new(key)))
            }
            SectionKind::EcPrivateKey => curves.into_iter().find_map(|(curve, name)| {
                let key = EcdsaKeyPair::from_private_key_der(curve, &der).ok()?;
                Some(Private::Ecdsa(Box::new(key), name))
            }),
            SectionKind::PrivateKey => {
                let rsa = RsaKeyPair::from_pkcs8(&der).map(|key| Private::Rsa(Box::new(key))).ok();
                let ed25519 = || Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).ok();
                let ecdsa = || {
                    curves.into_iter().find_map(|(curve, name)| {
                        let key = EcdsaKeyPair::from_pkcs8(curve, &der).ok()?;
                        Some(Private::Ecdsa(Box::new(key), name))
                    })
                };
                rsa.or_else(|| ed25519().map(|key| Private::Ed25519(Box::new(key)))).or_else(ecdsa)
            }
            _ => None,
        };
        key.map(Self::new).ok_or(SignError::Key)
    }

    fn new(key: Private) -> Self {
        let algorithm = match &key {
            Private::Secret(_) => "HS256",
            Private::Rsa(_) => "RS256",
            Private::Ecdsa(_, algorithm) => algorithm,
            Private::Ed25519(_) => "EdDSA",
        };
        Self { key, algorithm, kid: None }
    }

    /// Has the header name the key, as servers need that fetch their keys.
    #[must_use]
    pub fn kid(mut self, kid: impl Into<String>) -> Self {
        self.kid = Some(kid.into());
        self
    }

    /// Signs by another algorithm of the key, for example HS512 or PS256.
    ///
    /// # Errors
    ///
    /// [`SignError::Algorithm`].
    pub fn algorithm(mut self, name: &str) -> Result<Self, SignError> {
        let known: &[&'static str] = match &self.key {
            Private::Secret(_) => &["HS256", "HS384", "HS512"],
            Private::Rsa(_) => &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
            Private::Ecdsa(_, algorithm) => &[algorithm],
            Private::Ed25519(_) => &["EdDSA"],
        };
        self.algorithm = known.iter().find(|known| **known == name).ok_or(SignError::Algorithm)?;
        Ok(self)
    }

    /// Makes a token of these claims.
    ///
    /// # Errors
    ///
    /// [`SignError::Refused`].
    pub fn sign(&self, claims: &serde_json::Value) -> Result<String, SignError> {
        let mut header = serde_json::json!({ "alg": self.algorithm, "typ": "JWT" });
        if let Some(kid) = &self.kid {
            header["kid"] = kid.as_str().into();
        }
        let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(claims));
        let signature = self.signature(message.as_bytes()).map_err(|_| SignError::Refused)?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn signature(&self, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let random = SystemRandom::new();
        Ok(match &self.key {
            Private::Secret(secret) => {
                let digest = match self.algorithm {
                    "HS384" => hmac::HMAC_SHA384,
                    "HS512" => hmac::HMAC_SHA512,
                    _ => hmac::HMAC_SHA256,
                };
                hmac::sign(&hmac::Key::new(digest, secret), message).as_ref().to_vec()
            }
            Private::Rsa(key) => {
                let encoding: &'static dyn RsaEncoding = match self.algorithm {
                    "RS384" => &RSA_PKCS1_SHA384,
                    "RS512" => &RSA_PKCS1_SHA512,
                    "PS256" => &RSA_PSS_SHA256,
                    "PS384" => &RSA_PSS_SHA384,
                    "PS512" => &RSA_PSS_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(encoding, &random, message, &mut signature)?;
                signature
            }
            Private::Ecdsa(key, _) => key.sign(&random, message)?.as_ref().to_vec(),
            Private::Ed25519(key) => key.sign(message).as_ref().to_vec(),
        })
    }
}

impl fmt::Debug for Signer {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("algorithm", &self.algorithm)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}
