//! What is not accepted any more although it was issued: tokens, users, and places in channels.
//!
//! Every node holds all revocations in a [`Revocations`], so that whoever connects or subscribes is judged without waiting.

mod list;

pub use list::{Full, Revocations};

/// What a revocation is about.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Subject {
    /// The token with this id.
    Token(Box<str>),
    /// Everything that this user holds, whenever it was issued.
    User(Box<str>),
    /// Subscriptions of this user to this channel.
    Channel {
        /// The user.
        user: Box<str>,
        /// The channel.
        channel: Box<str>,
    },
    /// Everything that was issued before a time. What does not say when it was issued counts as older.
    Issued {
        /// Only what this user holds; `None` for everybody's.
        user: Option<Box<str>>,
        /// The time, in Unix seconds; what was issued in that very second is not meant.
        before: i64,
    },
    /// This user as such.
    Blocked(Box<str>),
}

/// A subject, and for how long it stays revoked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Revocation {
    /// What is revoked.
    pub subject: Subject,
    /// Until when, in Unix seconds; that second is over already.
    pub expires: i64,
}

/// What somebody shows to be let in.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Bearer<'a> {
    /// The user; empty for an anonymous one.
    pub user: &'a str,
    /// Id of the token.
    pub token: Option<&'a str>,
    /// When it was issued, in Unix seconds.
    pub issued: Option<i64>,
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Barred {
    /// What was shown is revoked.
    Revoked,
    /// The user is blocked.
    Blocked,
}

impl Subject {
    /// Most bytes of a token's id, a user or a channel that a caller should let through: what an engine keeps is bounded only so.
    pub const MAX_TEXT_BYTES: usize = 1_024;

    /// The user without whom it means nobody; `None` if it may mean anybody.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::Token(_) => None,
            Self::User(user) | Self::Channel { user, .. } | Self::Blocked(user) => Some(user),
            Self::Issued { user, .. } => user.as_deref(),
        }
    }

    /// Whether it means this bearer, or with [`Channel`](Self::Channel) a subscription of this bearer's.
    #[must_use]
    pub fn means(&self, bearer: &Bearer<'_>) -> bool {
        match self {
            Self::Token(id) => bearer.token == Some(id),
            Self::User(user) | Self::Channel { user, .. } | Self::Blocked(user) => bearer.user == &**user,
            Self::Issued { user, before } => {
                user.as_deref().is_none_or(|user| bearer.user == user) && is_older(bearer, *before)
            }
        }
    }
}

fn is_older(bearer: &Bearer<'_>, before: i64) -> bool {
    bearer.issued.is_none_or(|issued| issued < before)
}
