//! Who may come into a room of the relay: everybody where anonymous clients may connect, elsewhere those with a token.

use std::sync::Arc;

use http::{StatusCode, Uri};
use throng_protocol::{ChannelName, Payload};
use throng_registry::ClientId;

use super::handshake::Refused;
use crate::auth::{ConnectionToken, Operation, TokenError};
use crate::handlers::{ConnectEvent, ConnectReply, HandlerError};
use crate::http::parameter;
use crate::metrics::Handshake;
use crate::node::{Node, is_past};
use crate::session::{Grant, Identity};

/// What somebody who comes into a room of the relay has shown.
#[derive(Debug)]
pub(crate) struct Pass {
    pub(crate) identity: Arc<Identity>,
    /// When it is over, in Unix seconds; `None` for never.
    pub(crate) expires: Option<i64>,
}

/// Who is behind a request for a room of the relay; `None` if everybody may come in and it brought no token.
///
/// A connect handler decides as it does for the protocol. Otherwise a token must be valid where there is a key for it, and is
/// ignored where there is none and only this machine can connect. A token that has capabilities must allow to subscribe to the
/// room.
///
/// # Errors
///
/// The handshake is refused: 401 for a token that is wrong, has expired, was revoked or is needed, and for a user who is blocked,
/// 403 for a room that it does not allow, 503 if it cannot be checked now.
pub(super) async fn pass(
    node: &Node,
    client: ClientId,
    room: &ChannelName,
    uri: &Uri,
) -> Result<Option<Arc<Pass>>, Refused> {
    let token = parameter(uri, "token").map(String::from_utf8).transpose().map_err(|_| WRONG)?;
    let token = token.unwrap_or_default();
    let grant = if node.rules.asks_who_connects() {
        asked(node, client, token).await?
    } else if node.rules.is_token_checked(&token) {
        verified(node, client, &token).await?
    } else if node.rules.lets_strangers_in() {
        return Ok(None);
    } else {
        return Err(MISSING);
    };
    let expires = grant.expires;
    let identity = Arc::new(Identity::from(grant));
    let may_enter =
        identity.capabilities().is_none_or(|able| able.allows(room.as_str(), Operation::Subscribe));
    if !may_enter {
        node.rules.counts.denied(Operation::Subscribe);
        tracing::debug!(connection = %client, user = ?identity.user, operation = "subscribe", channel = ?room.as_str(),
            "permission denied");
        return Err(refused(StatusCode::FORBIDDEN, "the token does not allow this room\n"));
    }
    // A revocation from here on is noticed when the room is entered.
    node.admits(&identity.credential).map_err(|_| REVOKED)?;
    Ok(Some(Arc::new(Pass { identity, expires })))
}

async fn verified(node: &Node, client: ClientId, token: &str) -> Result<Grant, Refused> {
    let denied = |error: &TokenError, refused: Refused| {
        tracing::info!(connection = %client, operation = "relay", %error, "token refused");
        refused
    };
    let verified = node.tokens.connection(token).await;
    let token: ConnectionToken = verified.map_err(|error| match error {
        TokenError::Expired | TokenError::Invalid(_) => denied(&error, WRONG),
        TokenError::Unavailable(_) => denied(&error, NOT_NOW),
    })?;
    if token.user.is_empty() && !node.rules.lets_anonymous_tokens_in() {
        return Err(denied(&TokenError::Invalid("it names no user".into()), WRONG));
    }
    if token.expires.is_some_and(is_past) {
        return Err(denied(&TokenError::Expired, WRONG));
    }
    Ok(Grant::from(token))
}

/// Has the application's connect handler decide.
async fn asked(node: &Node, client: ClientId, token: String) -> Result<Grant, Refused> {
    let handler = node.handlers.set.connect.as_ref().ok_or(MISSING)?;
    let event = ConnectEvent {
        client: client.to_string(),
        token,
        data: Payload::default(),
        name: "relay".to_owned(),
        version: String::new(),
    };
    let reply = node.handlers.ask(handler, event).await.map_err(|error| {
        tracing::debug!(connection = %client, operation = "relay", %error, "the handler refused");
        match error {
            HandlerError::Error(error) if error.temporary => NOT_NOW,
            HandlerError::Error(_) | HandlerError::Disconnect { .. } => WRONG,
        }
    })?;
    let ConnectReply { user, meta, expire_at, .. } = reply;
    let expires = (expire_at != 0).then_some(expire_at);
    if expires.is_some_and(is_past) {
        return Err(WRONG);
    }
    Ok(Grant { user, meta, expires, ..Grant::default() })
}

const WRONG: Refused = refused(StatusCode::UNAUTHORIZED, "the token is not valid\n");
const REVOKED: Refused = refused(StatusCode::UNAUTHORIZED, "what was shown does not count any more\n");
const MISSING: Refused = refused(StatusCode::UNAUTHORIZED, "a token is needed here: ?token=...\n");
const NOT_NOW: Refused =
    refused(StatusCode::SERVICE_UNAVAILABLE, "the token cannot be checked now; try again\n");

const fn refused(status: StatusCode, message: &'static str) -> Refused {
    Refused::new(Handshake::Unauthorized, status, message)
}
