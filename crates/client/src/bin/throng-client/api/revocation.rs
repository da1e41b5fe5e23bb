use throng_protocol::api::{
    ApiCommand, BlockUserRequest, InvalidateTokensRequest, InvalidateUserTokensRequest, PardonRequest,
    RevocationInfo, RevocationsRequest, RevocationsResult, RevokeChannelRequest, RevokeTokenRequest,
    RevokeUserRequest, UnblockUserRequest,
};

use super::args::{RevocationCommand, UntilArguments, UserArguments};
use crate::{failure::Failure, output::Output};

/// What is asked about revocations.
pub(super) fn api_command(command: RevocationCommand) -> ApiCommand {
    let end = |until: UntilArguments| until.expire_at.unwrap_or_default();
    match command {
        RevocationCommand::RevokeToken { uid, until } => {
            RevokeTokenRequest { uid, expire_at: end(until) }.into()
        }
        RevocationCommand::InvalidateUserTokens { who: UserArguments { user }, issued_before, until } => {
            let issued_before = issued_before.unwrap_or_default();
            InvalidateUserTokensRequest { user, issued_before, expire_at: end(until) }.into()
        }
        RevocationCommand::InvalidateTokens { issued_before, until } => {
            InvalidateTokensRequest { issued_before, expire_at: end(until) }.into()
        }
        RevocationCommand::RevokeUser { who: UserArguments { user }, until } => {
            RevokeUserRequest { user, expire_at: end(until) }.into()
        }
        RevocationCommand::RevokeChannel { who: UserArguments { user }, channel, until } => {
            RevokeChannelRequest { user, channel, expire_at: end(until) }.into()
        }
        RevocationCommand::BlockUser { who: UserArguments { user }, until } => {
            BlockUserRequest { user, expire_at: end(until) }.into()
        }
        RevocationCommand::UnblockUser(UserArguments { user }) => UnblockUserRequest { user }.into(),
        RevocationCommand::Pardon { uid, user, channel, issued_before } => {
            PardonRequest { uid, user, channel, issued_before }.into()
        }
        RevocationCommand::Revocations { user, limit } => {
            RevocationsRequest { user, limit: limit.unwrap_or_default() }.into()
        }
    }
}

/// A line for each revocation.
pub(super) fn print(result: &RevocationsResult, output: &mut Output) -> Result<(), Failure> {
    result.revocations.iter().try_for_each(|revocation| {
        let RevocationInfo { kind, uid, user, channel, issued_before, expire_at } = revocation;
        let before = if *issued_before == 0 { String::new() } else { issued_before.to_string() };
        let about: Vec<&str> = [uid, user, channel, &before]
            .into_iter()
            .map(|text| &**text)
            .filter(|text| !text.is_empty())
            .collect();
        output.line(&format!("{kind}\t{}\t{expire_at}", about.join(" ")))
    })?;
    let (shown, total) = (result.revocations.len(), result.total);
    output.inform(&format!("revocations: {shown} shown, {total} in all"));
    Ok(())
}
