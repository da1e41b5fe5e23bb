//! `throng-server gen-key`.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use throng_server::tokens::{self, KeyPairKind};

/// Whoever has the private key, or the secret, can make tokens for any user.
#[derive(Debug, Parser)]
#[command(after_help = EXAMPLES)]
pub(crate) struct GenKey {
    /// Kind of key
    kind: Kind,

    /// Write the secret or the private key to this new file, which only you can read, and not to the standard output stream
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// A secret that server and backend share: HS256, HS384, HS512
    Hmac,
    /// A key pair: EdDSA
    Ed25519,
    /// A key pair of the curve P-256: ES256
    Ec,
    /// A key pair of the curve P-384: ES384
    Ec384,
    /// A key pair of 2048 bits: RS256 and its like
    Rsa,
}

const EXAMPLES: &str = "\
Examples:
  throng-server gen-key hmac --out secret
          Then: hmac_secret_key_file = \"secret\" under [client.token]
  throng-server gen-key ed25519 --out private.pem
          Prints the public key, for eddsa_public_key under [client.token]
  throng-server gen-token --key private.pem --user 42
          Makes a token with the private key";

impl GenKey {
    /// Makes the key, and gives what is to be printed.
    pub(crate) fn run(&self) -> anyhow::Result<String> {
        let pair = match self.kind {
            Kind::Hmac => return self.secret(),
            Kind::Ed25519 => KeyPairKind::Ed25519,
            Kind::Ec => KeyPairKind::P256,
            Kind::Ec384 => KeyPairKind::P384,
            Kind::Rsa => KeyPairKind::Rsa,
        };
        let pair = tokens::key_pair(pair)?;
        if self.written(&pair.private)? { Ok(pair.public) } else { Ok(pair.private + &pair.public) }
    }

    fn secret(&self) -> anyhow::Result<String> {
        let secret = tokens::secret()? + "\n";
        if self.written(&secret)? { Ok(String::new()) } else { Ok(secret) }
    }

    /// Writes the text to the file, if there is to be one.
    fn written(&self, text: &str) -> anyhow::Result<bool> {
        let Some(path) = &self.out else { return Ok(false) };
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let written =
            file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
        written.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(true)
    }
}
