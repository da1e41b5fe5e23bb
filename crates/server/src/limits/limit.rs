use super::{BYTE_UNIT, Rate};
use crate::config;

/// A limit, and its label in the metrics.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Limit {
    ConnectionCommands,
    ConnectionBytes,
    ConnectionPublish,
    ConnectionSubscribe,
    ConnectionErrors,
    UserPublish,
    UserSubscribe,
    UserHistory,
    UserPresence,
    UserRpc,
    ChannelPublish,
}

/// What clients do, as users are limited in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Operation {
    Publish,
    Subscribe,
    History,
    Presence,
    Rpc,
}

impl Limit {
    /// All, those of connections first, each at the place that is its number.
    pub(super) const ALL: [(Self, &'static str); 11] = [
        (Self::ConnectionCommands, "connection_commands"),
        (Self::ConnectionBytes, "connection_bytes"),
        (Self::ConnectionPublish, "connection_publish"),
        (Self::ConnectionSubscribe, "connection_subscribe"),
        (Self::ConnectionErrors, "connection_errors"),
        (Self::UserPublish, "user_publish"),
        (Self::UserSubscribe, "user_subscribe"),
        (Self::UserHistory, "user_history"),
        (Self::UserPresence, "user_presence"),
        (Self::UserRpc, "user_rpc"),
        (Self::ChannelPublish, "channel_publish"),
    ];

    /// How many of them are a connection's.
    pub(super) const OF_CONNECTION: usize = 5;

    pub(super) fn rate(self, settings: &config::Limits) -> Rate {
        let per_second = match self {
            Self::ConnectionCommands => settings.connection_commands,
            Self::ConnectionBytes => settings.connection_bytes.div_ceil(BYTE_UNIT),
            Self::ConnectionPublish => settings.connection_publish,
            Self::ConnectionSubscribe => settings.connection_subscribe,
            Self::ConnectionErrors => settings.connection_errors,
            Self::UserPublish => settings.user_publish,
            Self::UserSubscribe => settings.user_subscribe,
            Self::UserHistory => settings.user_history,
            Self::UserPresence => settings.user_presence,
            Self::UserRpc => settings.user_rpc,
            Self::ChannelPublish => settings.channel_publish,
        };
        let number = |count: u128| u32::try_from(count).unwrap_or(u32::MAX);
        let burst = per_second as u128 * settings.burst.as_millis() / 1_000;
        Rate::new(number(per_second as u128), number(burst))
    }
}

impl Operation {
    /// All, each at the place that is its number.
    pub(super) const ALL: [Self; 5] =
        [Self::Publish, Self::Subscribe, Self::History, Self::Presence, Self::Rpc];

    /// How often a user may do it.
    pub(super) const fn user_limit(self) -> Limit {
        match self {
            Self::Publish => Limit::UserPublish,
            Self::Subscribe => Limit::UserSubscribe,
            Self::History => Limit::UserHistory,
            Self::Presence => Limit::UserPresence,
            Self::Rpc => Limit::UserRpc,
        }
    }

    /// How often a connection may do it, beyond the limit for commands.
    pub(crate) const fn connection_limit(self) -> Option<Limit> {
        match self {
            Self::Publish => Some(Limit::ConnectionPublish),
            Self::Subscribe => Some(Limit::ConnectionSubscribe),
            Self::History | Self::Presence | Self::Rpc => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn limits_stand_at_the_place_that_is_their_number() {
        assert!(Limit::ALL.iter().enumerate().all(|(place, (limit, _))| *limit as usize == place));
        assert!(Operation::ALL.iter().enumerate().all(|(place, operation)| *operation as usize == place));
        assert_eq!(Limit::ConnectionErrors as usize + 1, Limit::OF_CONNECTION);
    }

    #[test]
    fn a_rate_lets_as_much_through_at_once_as_in_the_time_of_a_burst() {
        let settings = config::Limits {
            burst: Duration::from_millis(2_500),
            connection_commands: 10,
            connection_bytes: 1_600,
            ..config::Limits::default()
        };
        assert_eq!(Limit::ConnectionCommands.rate(&settings), Rate::new(10, 25));
        assert_eq!(Limit::ConnectionBytes.rate(&settings), Rate::new(100, 250));
    }
}
