use crate::ErrorReply;

/// Declares an enum of wire codes, each with the text that goes with it.
macro_rules! codes {
    (
        $(#[$meta:meta])*
        pub enum $name:ident: $number:ty, $text:ident {
            $($(#[$variant_meta:meta])* $variant:ident = $code:literal $words:literal,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_meta])* #[doc = concat!("\n\nOn the wire: ", $code, " `", $words, "`.")] $variant,)+
        }

        impl $name {
            /// Every code, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The number on the wire.
            pub const fn code(self) -> $number {
                match self {
                    $(Self::$variant => $code,)+
                }
            }

            /// The text that goes with the number: never empty, never valid JSON.
            pub const fn $text(self) -> &'static str {
                match self {
                    $(Self::$variant => $words,)+
                }
            }

            /// The code with this number, if it is one that the protocol names.
            pub const fn from_code(code: $number) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(formatter, "{} ({})", self.$text(), self.code())
            }
        }
    };
}

codes! {
    /// Why a request failed; the connection goes on. Becomes an [`ErrorReply`].
    ///
    /// Applications may use numbers from 400 to 1999 of their own in an `ErrorReply`.
    pub enum ErrorCode: u32, message {
        /// The server failed. Temporary.
        Internal = 100 "internal server error",
        /// The client has not proven who it is.
        Unauthorized = 101 "unauthorized",
        /// The channel's namespace is not configured.
        UnknownChannel = 102 "unknown channel",
        /// The client may not do this.
        PermissionDenied = 103 "permission denied",
        /// No such RPC method.
        MethodNotFound = 104 "method not found",
        /// The client is subscribed to this channel, or about to be.
        AlreadySubscribed = 105 "already subscribed",
        /// A limit such as channels per connection is reached.
        LimitExceeded = 106 "limit exceeded",
        /// The request is well-formed but makes no sense.
        BadRequest = 107 "bad request",
        /// The feature is off or not there.
        NotAvailable = 108 "not available",
        /// The token was good once: the client fetches a new one and tries again.
        TokenExpired = 109 "token expired",
        /// The connection or subscription that was asked for would already be over.
        Expired = 110 "expired",
        /// Too fast. Temporary.
        TooManyRequests = 111 "too many requests",
        /// The stream no longer holds what the client has missed, or never was the client's stream.
        UnrecoverablePosition = 112 "unrecoverable position",
        /// Two page requests for one channel at once. Temporary.
        ConcurrentPagination = 113 "concurrent pagination",
    }
}

impl ErrorCode {
    /// The text that goes with the number in answers of the HTTP server API, which is another one for two codes.
    pub const fn api_message(self) -> &'static str {
        match self {
            Self::MethodNotFound => "not found",
            Self::ConcurrentPagination => "conflict",
            Self::Internal
            | Self::Unauthorized
            | Self::UnknownChannel
            | Self::PermissionDenied
            | Self::AlreadySubscribed
            | Self::LimitExceeded
            | Self::BadRequest
            | Self::NotAvailable
            | Self::TokenExpired
            | Self::Expired
            | Self::TooManyRequests
            | Self::UnrecoverablePosition => self.message(),
        }
    }

    /// True when the same request may succeed later: clients then try again with a growing delay.
    pub const fn temporary(self) -> bool {
        matches!(self, Self::Internal | Self::TooManyRequests | Self::ConcurrentPagination)
    }
}

impl From<ErrorCode> for ErrorReply {
    fn from(code: ErrorCode) -> Self {
        Self { code: code.code(), message: code.message().into(), temporary: code.temporary() }
    }
}

codes! {
    /// Why the server ends a connection: the code and reason of the WebSocket close frame.
    pub enum DisconnectCode: u16, reason {
        /// The client went by itself; no close frame of our own is sent.
        Normal = 3000 "connection closed",
        /// The server stops; clients return to another one, or later.
        Shutdown = 3001 "shutdown",
        /// The server failed.
        Internal = 3004 "internal server error",
        /// The connection's time is over and nobody refreshed it.
        Expired = 3005 "connection expired",
        /// The time of a server-side subscription is over.
        SubscriptionExpired = 3006 "subscription expired",
        /// The client reads more slowly than it is written to.
        Slow = 3008 "slow",
        /// Writing to the client failed.
        WriteError = 3009 "write error",
        /// A server-side subscription lost its position in the stream.
        InsufficientState = 3010 "insufficient state",
        /// Someone asked the server to make this client reconnect.
        ForceReconnect = 3011 "force reconnect",
        /// The client did not answer a ping in time.
        NoPong = 3012 "no pong",
        /// Too fast.
        TooManyRequests = 3013 "too many requests",
        /// What the client remembers is void: it forgets token and positions, then reconnects.
        StateInvalidated = 3014 "state invalidated",
        /// The token is not valid, or belongs to someone else.
        InvalidToken = 3500 "invalid token",
        /// The client broke the protocol.
        BadRequest = 3501 "bad request",
        /// The client did not introduce itself in time.
        Stale = 3502 "stale",
        /// Someone asked the server to end this client.
        ForceDisconnect = 3503 "force disconnect",
        /// The user has too many connections.
        ConnectionLimit = 3504 "connection limit",
        /// The server wanted more server-side subscriptions than one connection may have.
        ChannelLimit = 3505 "channel limit",
        /// A payload cannot be sent in this connection's wire format.
        InappropriateProtocol = 3506 "inappropriate protocol",
        /// The client may not connect.
        PermissionDenied = 3507 "permission denied",
        /// The server cannot do what the client sent, for example `send` without a handler.
        NotAvailable = 3508 "not available",
        /// The client caused too many errors.
        TooManyErrors = 3509 "too many errors",
    }
}

impl DisconnectCode {
    /// True when clients come back by themselves after this code.
    pub const fn reconnect(self) -> bool {
        close_code_reconnects(self.code())
    }
}

/// True when a client that was closed with this WebSocket close code reconnects by itself, as all official SDKs do.
///
/// 3500 to 3999 and 4500 to 4999 are terminal, and so is 1009 (message too big), because the same message would
/// be sent again. Everything else is worth another try.
///
/// ```
/// use throng_protocol::close_code_reconnects;
/// assert!(close_code_reconnects(1006) && close_code_reconnects(3001));
/// assert!(!close_code_reconnects(3500) && !close_code_reconnects(1009));
/// ```
pub const fn close_code_reconnects(code: u16) -> bool {
    !matches!(code, 1009 | 3500..=3999 | 4500..=4999)
}

codes! {
    /// Why the server removed a subscription: the code of an [`Unsubscribe`](crate::Unsubscribe) push.
    pub enum UnsubscribeCode: u32, reason {
        /// Someone asked the server to unsubscribe this client.
        Server = 2000 "server unsubscribe",
        /// The subscription lost its position in the stream: the client resubscribes and recovers.
        InsufficientState = 2500 "insufficient state",
        /// The subscription's time is over: the client resubscribes with a fresh token.
        Expired = 2501 "subscription expired",
        /// What the client remembers is void: it forgets token and position, then resubscribes.
        StateInvalidated = 2502 "state invalidated",
    }
}

impl UnsubscribeCode {
    /// True when a client that was unsubscribed with this code subscribes again by itself: from 2500 up.
    /// Takes the number, because custom codes arrive too.
    pub const fn resubscribes(code: u32) -> bool {
        code >= 2500
    }
}

impl From<UnsubscribeCode> for crate::Unsubscribe {
    fn from(code: UnsubscribeCode) -> Self {
        Self { code: code.code(), reason: code.reason().to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disconnect_codes_reconnect_below_3500_only() {
        for code in DisconnectCode::ALL {
            assert_eq!(code.reconnect(), code.code() < 3500, "{code}");
            assert_eq!(DisconnectCode::from_code(code.code()), Some(*code));
        }
    }

    #[test]
    fn close_code_ranges_are_those_of_the_sdks() {
        for (range, reconnects) in [
            (0..=1008, true),
            (1009..=1009, false),
            (1010..=3499, true),
            (3500..=3999, false),
            (4000..=4499, true),
            (4500..=4999, false),
            (5000..=u16::MAX, true),
        ] {
            for code in range {
                assert_eq!(close_code_reconnects(code), reconnects, "{code}");
            }
        }
    }

    #[test]
    fn only_failures_of_the_moment_are_temporary() {
        let temporary: Vec<u32> =
            ErrorCode::ALL.iter().filter(|code| code.temporary()).map(|code| code.code()).collect();
        assert_eq!(temporary, [100, 111, 113]);
        let reply = ErrorReply::from(ErrorCode::PermissionDenied);
        assert_eq!((reply.code, &*reply.message, reply.temporary), (103, "permission denied", false));
    }

    #[test]
    fn the_api_has_its_own_words_for_two_codes() {
        let differ = ErrorCode::ALL.iter().filter(|code| code.api_message() != code.message());
        let differ: Vec<_> = differ.map(|code| (code.code(), code.api_message())).collect();
        assert_eq!(differ, [(104, "not found"), (113, "conflict")]);
    }

    #[test]
    fn unsubscribe_codes_resubscribe_from_2500_up() {
        assert!(!UnsubscribeCode::resubscribes(UnsubscribeCode::Server.code()));
        assert!(!UnsubscribeCode::resubscribes(2499));
        for code in [2500, 2501, 2502, 2999] {
            assert!(UnsubscribeCode::resubscribes(code));
        }
    }

    #[test]
    fn reasons_fit_a_close_frame_and_are_not_json() {
        // An SDK that can parse the reason as JSON, or finds it empty, ignores the terminal ranges.
        for reason in DisconnectCode::ALL.iter().map(|code| code.reason()) {
            assert!(!reason.is_empty() && reason.len() <= 123);
            assert!(serde_json::from_str::<serde_json::Value>(reason).is_err(), "{reason}");
        }
    }
}
