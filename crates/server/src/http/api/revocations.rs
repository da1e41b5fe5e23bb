//! Who and what is not to be let in any more.

use throng_engine::{EngineError, Revocation, Subject};
use throng_protocol::ErrorCode;
use throng_protocol::api::{
    ApiError, BlockUserRequest, BlockUserResult, InvalidateTokensRequest, InvalidateTokensResult,
    InvalidateUserTokensRequest, InvalidateUserTokensResult, PardonRequest, PardonResult, RevocationInfo,
    RevocationsRequest, RevocationsResult, RevokeChannelRequest, RevokeChannelResult, RevokeTokenRequest,
    RevokeTokenResult, RevokeUserRequest, RevokeUserResult, UnblockUserRequest, UnblockUserResult,
};

use super::{Api, count};
use crate::node::RevokeError;

/// How many revocations are listed when no number is asked for, and how many at most.
const LISTED: (usize, usize) = (100, 10_000);

impl Api {
    pub(super) async fn revoke_token(
        &self,
        request: RevokeTokenRequest,
    ) -> Result<RevokeTokenResult, ApiError> {
        self.revoke(Subject::Token(request.uid.into()), request.expire_at).await?;
        Ok(RevokeTokenResult {})
    }

    pub(super) async fn invalidate_user_tokens(
        &self,
        request: InvalidateUserTokensRequest,
    ) -> Result<InvalidateUserTokensResult, ApiError> {
        let before = match request.issued_before {
            // What was issued in this very second was issued before, too.
            0 => self.node.revocation_time() + 1,
            before => before,
        };
        let user = Some(request.user.into());
        self.revoke(Subject::Issued { user, before }, request.expire_at).await?;
        Ok(InvalidateUserTokensResult {})
    }

    pub(super) async fn invalidate_tokens(
        &self,
        request: InvalidateTokensRequest,
    ) -> Result<InvalidateTokensResult, ApiError> {
        let before = request.issued_before;
        if before <= 0 {
            // What concerns everybody is not done by an empty request.
            return Err(ErrorCode::BadRequest.into());
        }
        self.revoke(Subject::Issued { user: None, before }, request.expire_at).await?;
        Ok(InvalidateTokensResult {})
    }

    pub(super) async fn revoke_user(&self, request: RevokeUserRequest) -> Result<RevokeUserResult, ApiError> {
        self.revoke(Subject::User(request.user.into()), request.expire_at).await?;
        Ok(RevokeUserResult {})
    }

    pub(super) async fn revoke_channel(
        &self,
        request: RevokeChannelRequest,
    ) -> Result<RevokeChannelResult, ApiError> {
        let RevokeChannelRequest { user, channel, expire_at } = request;
        self.channel(&channel)?;
        self.revoke(Subject::Channel { user: user.into(), channel: channel.into() }, expire_at).await?;
        Ok(RevokeChannelResult {})
    }

    pub(super) async fn block_user(&self, request: BlockUserRequest) -> Result<BlockUserResult, ApiError> {
        self.revoke(Subject::Blocked(request.user.into()), request.expire_at).await?;
        Ok(BlockUserResult {})
    }

    pub(super) async fn unblock_user(
        &self,
        request: UnblockUserRequest,
    ) -> Result<UnblockUserResult, ApiError> {
        self.take_back(&Subject::Blocked(request.user.into())).await?;
        Ok(UnblockUserResult {})
    }

    pub(super) async fn pardon(&self, request: PardonRequest) -> Result<PardonResult, ApiError> {
        let PardonRequest { uid, user, channel, issued_before } = request;
        let subject = match (uid.is_empty(), user.is_empty(), channel.is_empty(), issued_before) {
            (false, true, true, false) => Subject::Token(uid.into()),
            (true, false, true, false) => Subject::User(user.into()),
            (true, false, false, false) => Subject::Channel { user: user.into(), channel: channel.into() },
            (true, false, true, true) => Subject::Issued { user: Some(user.into()), before: 0 },
            (true, true, true, true) => Subject::Issued { user: None, before: 0 },
            _ => return Err(ErrorCode::BadRequest.into()),
        };
        Ok(PardonResult { pardoned: self.take_back(&subject).await? })
    }

    pub(super) fn revocations(&self, request: &RevocationsRequest) -> RevocationsResult {
        let (usual, most) = LISTED;
        let limit = match usize::try_from(request.limit).unwrap_or(most) {
            0 => usual,
            limit => limit.min(most),
        };
        let user = (!request.user.is_empty()).then_some(request.user.as_str());
        let (revocations, total) = self.node.revocations(user, limit);
        RevocationsResult { revocations: revocations.into_iter().map(told).collect(), total: count(total) }
    }

    async fn revoke(&self, subject: Subject, expire_at: i64) -> Result<(), ApiError> {
        self.node.revoke(subject, expire_at).await.map_err(refusal)
    }

    async fn take_back(&self, subject: &Subject) -> Result<bool, ApiError> {
        self.node.pardon(subject).await.map_err(refusal)
    }
}

/// The code's own words, and what is behind them where only that helps.
fn refusal(error: RevokeError) -> ApiError {
    let (code, why) = match &error {
        RevokeError::Name | RevokeError::TooLong => (ErrorCode::BadRequest, error.to_string()),
        RevokeError::Past => (ErrorCode::Expired, error.to_string()),
        RevokeError::Engine(EngineError::Full(full)) => {
            (ErrorCode::LimitExceeded, format!("{full}, as engine.memory.revocations says"))
        }
        RevokeError::Engine(error) => (ErrorCode::Internal, error.to_string()),
    };
    ApiError { code: code.code(), message: format!("{}: {why}", code.api_message()).into() }
}

fn told(revocation: Revocation) -> RevocationInfo {
    let Revocation { subject, expires: expire_at } = revocation;
    let info = RevocationInfo { expire_at, ..RevocationInfo::default() };
    let kind = |kind: &str| kind.to_owned();
    match subject {
        Subject::Token(uid) => RevocationInfo { kind: kind("token"), uid: uid.into(), ..info },
        Subject::User(user) => RevocationInfo { kind: kind("user"), user: user.into(), ..info },
        Subject::Channel { user, channel } => {
            RevocationInfo { kind: kind("channel"), user: user.into(), channel: channel.into(), ..info }
        }
        Subject::Issued { user, before } => RevocationInfo {
            kind: kind("issued_before"),
            user: user.map(String::from).unwrap_or_default(),
            issued_before: before,
            ..info
        },
        Subject::Blocked(user) => RevocationInfo { kind: kind("blocked_user"), user: user.into(), ..info },
    }
}
