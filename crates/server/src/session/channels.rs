//! Which channel names lead somewhere, and which of those a client may subscribe to. Reference sections 3.5 and 3.18.

use throng_protocol::{ChannelName, ChannelNameError, ErrorCode};

/// Separates a namespace from the rest of a name.
const NAMESPACE_BOUNDARY: char = ':';
/// First character of channels that need a subscription token.
const PRIVATE_PREFIX: char = '$';
/// Separates a name from the users it is limited to.
const USER_BOUNDARY: char = '#';

/// The channel that a client means, if there is one of that name.
///
/// No namespaces are configured yet, so a name with one is unknown: that also keeps the relay's rooms, which live in a
/// namespace of their own, out of the protocol's reach.
pub(super) fn resolve(
    text: &str,
    name: Result<ChannelName, ChannelNameError>,
) -> Result<ChannelName, ErrorCode> {
    if let Err(ChannelNameError::TooLong { .. }) = name {
        return Err(ErrorCode::BadRequest);
    }
    if text.contains(NAMESPACE_BOUNDARY) {
        return Err(ErrorCode::UnknownChannel);
    }
    name.map_err(|_| ErrorCode::BadRequest)
}

/// Lets a client subscribe unless the name asks for a proof that nobody can give yet: a `$` channel needs a subscription
/// token, a name with `#` lists the users that may.
pub(super) fn may_subscribe(channel: ChannelName) -> Result<ChannelName, ErrorCode> {
    let limited = channel.as_str().starts_with(PRIVATE_PREFIX) || channel.as_str().contains(USER_BOUNDARY);
    if limited { Err(ErrorCode::PermissionDenied) } else { Ok(channel) }
}
