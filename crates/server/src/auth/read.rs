//! From claims to what sessions know of a token. Reference sections 5.2 and 5.3.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use throng_protocol::Payload;

use crate::node::Overrides;

use super::capabilities::Entry;
use super::parts::invalid;
use super::values::{Claims, Object, payload, wrong};
use super::{Capabilities, ConnectionToken, Credential, SubscriptionToken, TokenError, TokenSubscription};

/// An entry of claim `subs`.
#[derive(Deserialize)]
struct Subscription {
    info: Option<Box<RawValue>>,
    b64info: Option<String>,
    data: Option<Box<RawValue>>,
    b64data: Option<String>,
    #[serde(default, rename = "override")]
    overrides: OverrideClaims,
}

/// Claim `override`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct OverrideClaims {
    presence: Option<Switch>,
    join_leave: Option<Switch>,
    force_push_join_leave: Option<Switch>,
    force_positioning: Option<Switch>,
    force_recovery: Option<Switch>,
}

#[derive(Deserialize)]
struct Switch {
    value: bool,
}

/// Reads the claims of a connection token. `user_claim` is the one that names the user.
///
/// # Errors
///
/// [`TokenError::Invalid`] for claims that make no sense.
pub(super) fn connection(claims: &Claims<'_>, user_claim: &str) -> Result<ConnectionToken, TokenError> {
    if claims.has("channel") {
        return Err(invalid("claim channel makes it a subscription token"));
    }
    let credential = credential(claims, user_claim)?;
    Ok(ConnectionToken {
        user: credential.user.to_string(),
        expires: expires(claims, &credential)?,
        info: claims.payload("info", "b64info")?,
        meta: meta(claims)?,
        subs: subscriptions(claims)?,
        capabilities: capabilities(claims)?,
        credential,
    })
}

/// Reads the claims of a subscription token.
///
/// # Errors
///
/// [`TokenError::Invalid`] for claims that make no sense.
pub(super) fn subscription(claims: &Claims<'_>, user_claim: &str) -> Result<SubscriptionToken, TokenError> {
    let channel = claims.text("channel")?.filter(|channel| !channel.is_empty());
    let overrides: Option<OverrideClaims> = claims.typed("override", "an object of switches")?;
    let credential = credential(claims, user_claim)?;
    Ok(SubscriptionToken {
        channel: channel.ok_or_else(|| invalid("claim channel is missing"))?,
        client: claims.text("client")?.unwrap_or_default(),
        expires: expires(claims, &credential)?,
        info: claims.payload("info", "b64info")?,
        data: claims.payload("data", "b64data")?,
        overrides: overrides.unwrap_or_default().into(),
        credential,
    })
}

fn credential(claims: &Claims<'_>, user_claim: &str) -> Result<Credential, TokenError> {
    Ok(Credential {
        user: claims.text(user_claim)?.unwrap_or_default().into(),
        id: claims.text("jti")?.map(String::into_boxed_str),
        issued: claims.seconds("iat")?,
        expires: claims.seconds("exp")?,
    })
}

/// When the connection or the subscription expires: by a claim of its own, of which 0 means never, else with the token.
fn expires(claims: &Claims<'_>, credential: &Credential) -> Result<Option<i64>, TokenError> {
    let own = claims.seconds("expire_at")?;
    Ok(own.map_or(credential.expires, |at| (at != 0).then_some(at)))
}

fn meta(claims: &Claims<'_>) -> Result<Payload, TokenError> {
    let meta: Option<Option<Object<IgnoredAny>>> = claims.typed("meta", "an object")?;
    Ok(meta.flatten().and_then(|_| claims.json("meta")).unwrap_or_default())
}

fn subscriptions(claims: &Claims<'_>) -> Result<Vec<TokenSubscription>, TokenError> {
    let named =
        |channel: &str| if channel.is_empty() { Err(invalid("a channel has no name")) } else { Ok(()) };
    if let Some(Object(subs)) = claims.typed::<Object<Subscription>>("subs", "an object of subscriptions")? {
        return subs
            .into_iter()
            .map(|(channel, options)| {
                named(&channel)?;
                options.into_subscription(channel)
            })
            .collect();
    }
    let channels: BTreeSet<String> = claims.typed("channels", "a list of texts")?.unwrap_or_default();
    channels
        .into_iter()
        .map(|channel| {
            named(&channel)?;
            Ok(TokenSubscription { channel, ..TokenSubscription::default() })
        })
        .collect()
}

fn capabilities(claims: &Claims<'_>) -> Result<Option<Arc<Capabilities>>, TokenError> {
    let entries: Option<Vec<Entry>> = claims.typed("caps", "a list of capabilities")?;
    entries.map(|entries| Capabilities::of(entries).map(Arc::new)).transpose()
}

impl Subscription {
    fn into_subscription(self, channel: String) -> Result<TokenSubscription, TokenError> {
        let either = |json: Option<&RawValue>, encoded: Option<&str>| {
            payload(json.map(RawValue::get), encoded)
                .ok_or_else(|| wrong("subs", "JSON in base64 where it should be"))
        };
        Ok(TokenSubscription {
            channel,
            info: either(self.info.as_deref(), self.b64info.as_deref())?,
            data: either(self.data.as_deref(), self.b64data.as_deref())?,
            overrides: self.overrides.into(),
        })
    }
}

impl From<OverrideClaims> for Overrides {
    fn from(claims: OverrideClaims) -> Self {
        let value = |switch: Option<Switch>| switch.map(|Switch { value }| value);
        Self {
            presence: value(claims.presence),
            join_leave: value(claims.join_leave),
            force_push_join_leave: value(claims.force_push_join_leave),
            force_positioning: value(claims.force_positioning),
            force_recovery: value(claims.force_recovery),
        }
    }
}
