//! The keys that signatures are checked with. Each has its fixed list of algorithms, so that what a token's header says can
//! only be refused, and never choose how a key is used.

use std::fmt;

use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, ParsedPublicKey,
    VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use rustls::pki_types::pem::{PemObject, SectionKind};
use serde::Deserialize;

const HMAC: &[Algorithm] = &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
const RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];
const P256: &[Algorithm] = &[Algorithm::ES256];
const P384: &[Algorithm] = &[Algorithm::ES384];
const ED: &[Algorithm] = &[Algorithm::EdDSA];

/// Bytes of the modulus of an RSA key: what `aws-lc` checks signatures with.
const MODULUS: std::ops::RangeInclusive<usize> = 256..=1024;

/// A kind of public key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Family {
    /// RS256 to RS512 and PS256 to PS512.
    Rsa,
    /// ES256 with a key of the curve P-256, ES384 with one of P-384.
    Ecdsa,
    /// EdDSA with a key of the curve Ed25519.
    Eddsa,
}

/// A key, and the algorithms that it is for.
#[derive(Clone)]
pub(crate) struct Key {
    bytes: DecodingKey,
    algorithms: &'static [Algorithm],
    /// The only one of them, if the key says so itself.
    only: Option<Algorithm>,
    /// For secrets: the time after which nothing counts that it has signed, in Unix seconds.
    until: Option<i64>,
}

/// Why a text is no key to check signatures with. `Display` is what follows "the key".
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum KeyError {
    /// It is neither PEM nor a JWK.
    Unreadable,
    /// It is one to sign with.
    Private,
    /// It is a certificate that has a key in it.
    Certificate,
    /// It is a secret as JWK.
    Symmetric,
    /// It is of another family.
    Foreign,
    /// Its curve is that of ES512.
    Es512,
    /// It is too short or too long.
    Length,
    /// Its JWK says that it is not for signatures.
    Usage,
    /// Its JWK names an algorithm that does not exist for it.
    Algorithm,
}

impl Key {
    /// A secret for HS256, HS384 and HS512.
    pub(super) fn secret(secret: &str, until: Option<i64>) -> Self {
        Self { bytes: DecodingKey::from_secret(secret.as_bytes()), algorithms: HMAC, only: None, until }
    }

    /// Reads a public key of this family: PEM, or a JWK.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub(crate) fn public(text: &str, family: Family) -> Result<Self, KeyError> {
        let (found, key) = if text.trim_start().starts_with('{') {
            serde_json::from_str::<Jwk>(text).map_err(|_| KeyError::Unreadable)?.key()?
        } else {
            pem(text)?
        };
        if found == family { Ok(key) } else { Err(KeyError::Foreign) }
    }

    /// Whether a signature by this algorithm can be checked with it.
    pub(super) fn allows(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm) && self.only.is_none_or(|only| only == algorithm)
    }

    /// Whether checking a signature with it takes long enough to keep it from a shard.
    pub(super) fn is_public(&self) -> bool {
        self.algorithms != HMAC
    }

    /// Whether it still counts.
    pub(super) fn counts_at(&self, now: i64) -> bool {
        self.until.is_none_or(|until| now <= until)
    }

    /// Whether it made this signature, in the base64 of tokens, of the message. Never with an algorithm that it is not for.
    pub(super) fn has_signed(&self, message: &str, signature: &str, algorithm: Algorithm) -> bool {
        self.allows(algorithm)
            && crypto::verify(signature, message.as_bytes(), &self.bytes, algorithm).unwrap_or(false)
    }
}

impl fmt::Debug for Key {
    /// Without the key itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("algorithms", &self.algorithms)
            .field("only", &self.only)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

impl KeyError {
    /// What is wrong, as what follows "the key".
    pub(crate) const fn rule(self) -> &'static str {
        match self {
            Self::Unreadable => "is neither PEM nor a JWK",
            Self::Private => "is a private one, which only signers may have",
            Self::Certificate => "is a certificate",
            Self::Symmetric => "is a secret, which has its own setting",
            Self::Foreign => "is of another kind",
            Self::Es512 => "is of the curve P-521, for ES512, which throng does not have",
            Self::Length => "does not have 2048 to 8192 bits",
            Self::Usage => "is not meant for signatures",
            Self::Algorithm => "names an algorithm that it is not for",
        }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rule())
    }
}

impl std::error::Error for KeyError {}

/// A JSON Web Key, as far as it concerns us.
#[derive(Deserialize)]
pub(super) struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    pub(super) kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    /// The private part.
    d: Option<serde::de::IgnoredAny>,
}

impl Jwk {
    /// The key that it holds.
    pub(super) fn key(&self) -> Result<(Family, Key), KeyError> {
        let verifies = |operations: &Vec<String>| operations.iter().any(|operation| operation == "verify");
        if self.usage.as_deref().is_some_and(|usage| usage != "sig")
            || self.key_ops.as_ref().is_some_and(|operations| !verifies(operations))
        {
            return Err(KeyError::Usage);
        }
        if self.d.is_some() {
            return Err(KeyError::Private);
        }
        let (family, mut key) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => (Family::Rsa, self.rsa()?),
            ("EC", Some("P-256")) => (Family::Ecdsa, self.curve(32, &ECDSA_P256_SHA256_FIXED, P256)?),
            ("EC", Some("P-384")) => (Family::Ecdsa, self.curve(48, &ECDSA_P384_SHA384_FIXED, P384)?),
            ("EC", Some("P-521")) => return Err(KeyError::Es512),
            ("OKP", Some("Ed25519")) => (Family::Eddsa, ed25519(&decoded(self.x.as_deref())?)?),
            ("oct", _) => return Err(KeyError::Symmetric),
            _ => return Err(KeyError::Foreign),
        };
        if let Some(name) = &self.alg {
            // RFC 9864 gives EdDSA with this curve a name of its own.
            let name = if name == "Ed25519" { "EdDSA" } else { name };
            let only = name.parse().ok().filter(|only| key.allows(*only));
            key.only = Some(only.ok_or(KeyError::Algorithm)?);
        }
        Ok((family, key))
    }

    fn rsa(&self) -> Result<Key, KeyError> {
        use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};

        let (n, e) = (decoded(self.n.as_deref())?, decoded(self.e.as_deref())?);
        let der: Result<PublicKeyX509Der<'_>, _> = rsa::PublicKeyComponents { n, e }.as_der();
        rsa_key(der.map_err(|_| KeyError::Unreadable)?.as_ref())
    }

    fn curve(
        &self,
        length: usize,
        curve: &'static dyn VerificationAlgorithm,
        algorithms: &'static [Algorithm],
    ) -> Result<Key, KeyError> {
        /// Introduces a point that is not compressed.
        const PLAIN: u8 = 4;

        let (x, y) = (decoded(self.x.as_deref())?, decoded(self.y.as_deref())?);
        if x.len() != length || y.len() != length {
            return Err(KeyError::Unreadable);
        }
        let point = [&[PLAIN], x.as_slice(), y.as_slice()].concat();
        ParsedPublicKey::new(curve, &point).map_err(|_| KeyError::Unreadable)?;
        Ok(public(DecodingKey::from_ec_der(&point), algorithms))
    }
}

fn decoded(text: Option<&str>) -> Result<Vec<u8>, KeyError> {
    URL_SAFE_NO_PAD.decode(text.unwrap_or_default()).map_err(|_| KeyError::Unreadable)
}

/// Reads the one public key of a PEM text.
fn pem(text: &str) -> Result<(Family, Key), KeyError> {
    // The label of PKCS #1, which the bytes tell from X.509 by themselves.
    let text = text.replace("RSA PUBLIC KEY", "PUBLIC KEY");
    let mut sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes());
    let (kind, der) = sections.next().and_then(Result::ok).ok_or(KeyError::Unreadable)?;
    if sections.next().is_some() {
        return Err(KeyError::Unreadable);
    }
    match kind {
        SectionKind::PublicKey => spki(&der),
        SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
            Err(KeyError::Private)
        }
        SectionKind::Certificate => Err(KeyError::Certificate),
        _ => Err(KeyError::Unreadable),
    }
}

/// Finds out what a key in DER is by reading it as each kind in turn; each says what it is, so that at most one succeeds.
fn spki(der: &[u8]) -> Result<(Family, Key), KeyError> {
    let is = |curve: &'static dyn VerificationAlgorithm| ParsedPublicKey::new(curve, der).is_ok();
    if rsa::PublicKey::from_der(der).is_ok() {
        return Ok((Family::Rsa, rsa_key(der)?));
    }
    if is(&ECDSA_P521_SHA512_FIXED) {
        return Err(KeyError::Es512);
    }
    for (curve, algorithms) in [(&ECDSA_P256_SHA256_FIXED, P256), (&ECDSA_P384_SHA384_FIXED, P384)] {
        if is(curve) {
            return Ok((Family::Ecdsa, public(DecodingKey::from_ec_der(der), algorithms)));
        }
    }
    Ok((Family::Eddsa, ed25519(der)?))
}

fn rsa_key(der: &[u8]) -> Result<Key, KeyError> {
    let key = rsa::PublicKey::from_der(der).map_err(|_| KeyError::Unreadable)?;
    if !MODULUS.contains(&key.modulus_len()) {
        return Err(KeyError::Length);
    }
    Ok(public(DecodingKey::from_rsa_der(key.as_ref()), RSA))
}

fn ed25519(bytes: &[u8]) -> Result<Key, KeyError> {
    ParsedPublicKey::new(&ED25519, bytes).map_err(|_| KeyError::Unreadable)?;
    Ok(public(DecodingKey::from_ed_der(bytes), ED))
}

const fn public(bytes: DecodingKey, algorithms: &'static [Algorithm]) -> Key {
    Key { bytes, algorithms, only: None, until: None }
}
