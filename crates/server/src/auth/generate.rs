//! Makes keys.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// Bytes of a secret.
const SECRET: usize = 48;

/// A kind of key pair.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum KeyPairKind {
    /// Ed25519, for EdDSA.
    Ed25519,
    /// ECDSA with the curve P-256, for ES256.
    P256,
    /// ECDSA with the curve P-384, for ES384.
    P384,
    /// RSA of 2048 bits, for RS256 and its like.
    Rsa,
}

/// A key pair as PEM.
#[derive(Clone)]
#[non_exhaustive]
pub struct KeyPair {
    /// PKCS #8; for whoever makes tokens, and nobody else.
    pub private: String,
    /// X.509; for the server.
    pub public: String,
}

/// The system gives no randomness.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the system gives no random numbers to make a key of")]
pub struct GenerateError;

/// A new key pair.
///
/// # Errors
///
/// [`GenerateError`].
pub fn key_pair(kind: KeyPairKind) -> Result<KeyPair, GenerateError> {
    let (private, public) = match kind {
        KeyPairKind::Ed25519 => ed25519(),
        KeyPairKind::P256 => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
        KeyPairKind::P384 => ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
        KeyPairKind::Rsa => rsa(),
    }
    .map_err(|_| GenerateError)?;
    Ok(KeyPair { private: pem("PRIVATE KEY", &private), public: pem("PUBLIC KEY", &public) })
}

/// A new secret for HS256, HS384 and HS512: 64 letters, digits, `-` and `_` that stand for 384 random bits.
///
/// # Errors
///
/// [`GenerateError`].
pub fn secret() -> Result<String, GenerateError> {
    let mut bytes = [0; SECRET];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| GenerateError)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

impl fmt::Debug for KeyPair {
    /// Without the private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("private", &"***").field("public", &self.public).finish()
    }
}

/// A private and a public key in DER.
type Der = Result<(Vec<u8>, Vec<u8>), Unspecified>;

fn ed25519() -> Der {
    let pair = Ed25519KeyPair::generate()?;
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der()?;
    Ok((pair.to_pkcs8v1()?.as_ref().to_vec(), public.as_ref().to_vec()))
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> Der {
    let pair = EcdsaKeyPair::generate(algorithm)?;
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der()?;
    Ok((pair.to_pkcs8v1()?.as_ref().to_vec(), public.as_ref().to_vec()))
}

fn rsa() -> Der {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048)?;
    let private: Pkcs8V1Der<'_> = pair.as_der()?;
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der()?;
    Ok((private.as_ref().to_vec(), public.as_ref().to_vec()))
}

fn pem(label: &str, der: &[u8]) -> String {
    const WIDTH: usize = 64;

    let encoded = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in encoded.as_bytes().chunks(WIDTH) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}
