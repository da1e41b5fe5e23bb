//! `throng-server gen-token`.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use clap::Parser;
use serde_json::{Map, Value};
use throng_server::config::{Settings, parse_duration};
use throng_server::tokens::Signer;

use super::keys;

/// It is signed with the hmac_secret_key of the settings, or with another key. It gets claims iat and jti, so that it can be
/// revoked, and the audience and issuer that the settings ask for.
#[derive(Debug, Parser)]
#[command(after_help = EXAMPLES)]
pub(crate) struct GenToken {
    /// The user; without it the token is for an anonymous client
    #[arg(long, short, value_name = "USER", default_value = "", hide_default_value = true)]
    user: String,

    /// Make a subscription token for this channel, instead of a connection token
    #[arg(long, value_name = "CHANNEL")]
    channel: Option<String>,

    /// How long it is valid
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    ttl: Duration,

    /// Until when it is valid, in Unix seconds
    #[arg(long, value_name = "SECONDS", conflicts_with = "ttl")]
    exp: Option<i64>,

    /// Let it be valid for ever
    #[arg(long, conflicts_with_all = ["ttl", "exp"])]
    no_expiry: bool,

    /// What other clients see of it
    #[arg(long, value_name = "JSON", value_parser = json)]
    info: Option<Value>,

    /// What the backend is told of it, and nobody else
    #[arg(long, value_name = "JSON", value_parser = json)]
    meta: Option<Value>,

    /// What it allows: [{"channels":["chat:*"],"match":"wildcard","allow":["sub","pub","prs","hst"]}]
    #[arg(long, value_name = "JSON", value_parser = json)]
    caps: Option<Value>,

    /// Any other claim
    #[arg(long, value_name = "NAME=JSON", value_parser = claim)]
    claim: Vec<(String, Value)>,

    /// Sign with the private key (PEM) or the secret in this file
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// Sign by this algorithm of the key, for example HS512 or PS256
    #[arg(long, value_name = "NAME")]
    algorithm: Option<String>,

    /// Name the key in the header, as servers need that fetch their keys
    #[arg(long, value_name = "NAME")]
    kid: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  throng-server gen-token --config throng.toml --user 42
          A connection token for user 42, valid for 24 hours
  throng-server gen-token --user 42 --channel '$news' --ttl 10m
          A subscription token, with the secret in THRONG_CLIENT_TOKEN_HMAC_SECRET_KEY
  throng-server gen-token --user 42 --claim 'subs={\"news\":{}}'
          A connection token that comes with a subscription
  throng-server gen-token --user 42 --key private.pem
          Signed with the private key that gen-key has made";

impl GenToken {
    /// Makes the token.
    pub(crate) fn run(&self, settings: &Settings) -> anyhow::Result<String> {
        let mut signer = self.signer(settings)?;
        if let Some(name) = &self.algorithm {
            signer = signer.algorithm(name)?;
        }
        if let Some(kid) = &self.kid {
            signer = signer.kid(kid);
        }
        Ok(signer.sign(&self.claims(settings))?)
    }

    fn signer(&self, settings: &Settings) -> anyhow::Result<Signer> {
        if let Some(path) = &self.key {
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            let file = || format!("cannot sign with {}", path.display());
            return match text.trim() {
                "" => bail!("{} is empty", path.display()),
                pem if pem.starts_with("-----BEGIN") => Signer::pem(pem).with_context(file),
                secret => Ok(Signer::hmac(secret)),
            };
        }
        let (table, keys) = keys(settings, self.channel.is_some());
        if keys.hmac_secret_key.is_empty() {
            bail!("there is no {table}.hmac_secret_key to sign with; set it, or give a key with --key FILE");
        }
        Ok(Signer::hmac(keys.hmac_secret_key.expose()))
    }

    fn claims(&self, settings: &Settings) -> Value {
        let (_, keys) = keys(settings, self.channel.is_some());
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        let ttl = i64::try_from(self.ttl.as_secs()).unwrap_or(i64::MAX);
        let end = self.exp.unwrap_or_else(|| now.saturating_add(ttl));
        let mut claims = Map::new();
        let text = |text: &str| (!text.is_empty()).then(|| Value::from(text));
        let user = if keys.user_id_claim.is_empty() { "sub" } else { &keys.user_id_claim };
        let id = uuid::Uuid::new_v4().to_string();
        for (name, value) in [
            (user, text(&self.user)),
            ("channel", self.channel.as_deref().map(Value::from)),
            ("iat", Some(now.into())),
            ("exp", (!self.no_expiry).then(|| end.into())),
            ("jti", Some(id.into())),
            ("aud", text(&keys.audience)),
            ("iss", text(&keys.issuer)),
            ("info", self.info.clone()),
            ("meta", self.meta.clone()),
            ("caps", self.caps.clone()),
        ] {
            if let Some(value) = value {
                claims.insert(name.to_owned(), value);
            }
        }
        claims.extend(self.claim.iter().cloned());
        Value::Object(claims)
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let whole = parse_duration(text).filter(|duration| duration.as_secs() > 0);
    whole.ok_or_else(|| "write at least a second, such as 90s, 10m or 24h".to_owned())
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("this is no JSON: {error}"))
}

fn claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| "write NAME=JSON".to_owned())?;
    Ok((name.to_owned(), json(value)?))
}
