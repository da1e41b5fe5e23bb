//! Tokens: when one is asked for, what is done with it, and what follows when there is none.

use throng_protocol::{
    Disconnect as DisconnectPush, Refresh, RefreshRequest, RefreshResult, SubRefreshRequest, SubRefreshResult,
};

use super::*;
use crate::{TokenError, TokenGetter, state::TokenOwner};

const FORMATS: [Format; 2] = [Format::Json, Format::Protobuf];
/// No token of these tests lives so long that it is renewed before.
const TTL_S: u32 = 100;

/// A getter that is never called: here it is the test that answers.
fn getter() -> TokenGetter {
    TokenGetter::new(|| async { unreachable!("the test answers") })
}

fn with_getter(format: Format, token: &str) -> Talk {
    let mut talk = Talk::new(format);
    let settings = Settings { token: token.into(), token_getter: Some(getter()), ..settings(format) };
    let (queue, requests) = send_queue(SendQueue::default());
    talk.queue = queue;
    talk.conversation = Conversation::new(settings, requests, None, 42);
    talk.handle(Input::Start);
    talk
}

/// The same, connected, with a token that expires.
fn connected(format: Format) -> Talk {
    let mut talk = with_getter(format, "first");
    talk.welcomed_for(Some(TTL_S));
    talk.actions();
    talk
}

fn options() -> SubscribeOptions {
    SubscribeOptions { token_getter: Some(getter()), ..SubscribeOptions::default() }
}

impl Talk {
    /// Opens the socket and answers the connect command. Returns the token that came with it.
    fn welcomed_for(&mut self, ttl_s: Option<u32>) -> String {
        self.handle(Input::Opened);
        let (id, Request::Connect(request)) = self.sent_request() else { panic!("no connect command") };
        let result = ConnectResult {
            client: "c1".to_owned(),
            expires: ttl_s.is_some(),
            ttl: ttl_s.unwrap_or_default(),
            ..ConnectResult::default()
        };
        self.answer(id, Ok(Outcome::Connect(result)));
        request.token
    }

    /// Answers the connect command with an error.
    fn refuse(&mut self, code: ErrorCode) {
        self.handle(Input::Opened);
        let (id, _) = self.sent_request();
        self.answer(id, Err(error(code)));
    }

    /// Whom tokens are asked for now.
    fn fetches(&mut self) -> Vec<TokenOwner> {
        let owner = |action| match action {
            Action::FetchToken { owner, .. } => Some(owner),
            Action::Dial { .. } | Action::HangUp | Action::Farewell | Action::Announce(_) => None,
        };
        self.actions().into_iter().filter_map(owner).collect()
    }

    fn give(&mut self, owner: TokenOwner, outcome: Result<&str, TokenError>) {
        self.handle(Input::Token { owner, outcome: outcome.map(Token::from) });
    }

    /// Lets the wait for the one fetch that comes next pass.
    fn fetch_due(&mut self) -> TokenOwner {
        self.pass_to_deadline();
        match self.fetches().as_slice() {
            [owner] => owner.clone(),
            other => panic!("not one token: {other:?}"),
        }
    }

    fn refreshed_with(&mut self) -> (u32, String) {
        match self.sent_request() {
            (id, Request::Refresh(RefreshRequest { token })) => (id, token),
            other => panic!("no refresh command: {other:?}"),
        }
    }

    fn sub_refreshed_with(&mut self, channel: &str) -> (u32, String) {
        match self.sent_request() {
            (id, Request::SubRefresh(SubRefreshRequest { channel: told, token, kind: 0 }))
                if told == channel =>
            {
                (id, token)
            }
            other => panic!("no refresh command for {channel}: {other:?}"),
        }
    }

    /// A subscription that the server has confirmed with a token of this life.
    fn subscribed_for(&mut self, ttl_s: Option<u32>) -> Reader {
        let mut reader = self.subscribe_with("news", options());
        let owner = TokenOwner::Subscription(reader.key.clone());
        assert_eq!(self.fetches(), std::slice::from_ref(&owner));
        assert_eq!(self.sent(), []);
        self.give(owner, Ok("s1"));
        let (id, request) = self.asked_with("news");
        assert_eq!(request.token, "s1");
        let (expires, ttl) = (ttl_s.is_some(), ttl_s.unwrap_or_default());
        self.confirm_with(id, SubscribeResult { expires, ttl, ..SubscribeResult::default() });
        assert!(matches!(reader.ready.try_recv(), Ok(Ok(None))));
        reader
    }
}

fn down() -> TokenError {
    TokenError::temporary("down")
}

#[test]
fn a_client_with_a_getter_and_no_token_dials_when_it_has_one() {
    for format in FORMATS {
        let mut talk = with_getter(format, "");
        assert!(matches!(
            talk.actions().as_slice(),
            [Action::Announce(_), Action::FetchToken { owner: TokenOwner::Connection, .. }]
        ));
        talk.give(TokenOwner::Connection, Ok("first"));
        assert!(matches!(talk.actions()[..], [Action::Dial { .. }]), "{format}");
        assert_eq!(talk.welcomed_for(None), "first");
        // The next connection has the same token.
        talk.lose(3001);
        talk.actions();
        talk.redial();
        assert_eq!(talk.welcomed_for(None), "first");
    }
}

#[test]
fn a_getter_that_fails_is_asked_again_after_a_wait_and_counts_as_a_failed_attempt() {
    let mut talk = with_getter(Format::Json, "");
    assert_eq!(talk.fetches(), [TokenOwner::Connection]);
    for failed in 1..4 {
        talk.give(TokenOwner::Connection, Err(down()));
        match talk.actions().as_slice() {
            [Action::Announce(State::Connecting { failures, last: Some(Disconnect::NoToken(_)) })] => {
                assert_eq!(*failures, failed);
            }
            other => panic!("no failed attempt: {other:?}"),
        }
        assert_eq!(talk.fetch_due(), TokenOwner::Connection);
    }
    talk.give(TokenOwner::Connection, Ok("first"));
    assert!(matches!(talk.actions()[..], [Action::Dial { .. }]));
}

#[test]
fn unauthorized_and_an_empty_token_stop_the_client_whatever_it_is_at() {
    for unauthorized in [Err(TokenError::Unauthorized), Ok("")] {
        let mut talk = with_getter(Format::Json, "");
        talk.give(TokenOwner::Connection, unauthorized.clone());
        assert!(matches!(talk.conversation.stopped(), Some(Disconnect::Unauthorized)));
        assert_eq!(talk.conversation.deadline(), None);

        let mut talk = connected(Format::Json);
        assert_eq!(talk.fetch_due(), TokenOwner::Connection);
        talk.give(TokenOwner::Connection, unauthorized);
        assert!(matches!(talk.actions()[..], [Action::HangUp]));
        assert!(matches!(talk.conversation.stopped(), Some(Disconnect::Unauthorized)));
    }
}

#[test]
fn an_expired_token_is_replaced_where_there_is_a_getter_and_stops_the_client_where_there_is_none() {
    for format in FORMATS {
        let mut talk = with_getter(format, "old");
        talk.actions();
        talk.refuse(ErrorCode::TokenExpired);
        let reason = talk.gave_up_connection();
        assert!(matches!(reason, Disconnect::Refused(error) if error.code == 109));
        assert_eq!(talk.fetch_due(), TokenOwner::Connection);
        talk.give(TokenOwner::Connection, Ok("new"));
        assert!(matches!(talk.actions()[..], [Action::Dial { .. }]));
        assert_eq!(talk.welcomed_for(None), "new");

        let mut talk = Talk::new(format);
        talk.handle(Input::Start);
        talk.refuse(ErrorCode::TokenExpired);
        assert!(matches!(talk.conversation.stopped(), Some(Disconnect::Refused(_))), "{format}");
    }
}

#[test]
fn codes_that_void_the_token_get_a_new_one_before_the_next_attempt_and_others_keep_it() {
    for (code, voids) in [
        (3000, false),
        (3001, false),
        (3004, false),
        (3005, true),
        (3012, false),
        (3014, true),
        (1006, false),
    ] {
        for by_push in [false, true] {
            let mut talk = connected(Format::Json);
            if by_push {
                let push = DisconnectPush { code: u32::from(code), ..DisconnectPush::default() };
                talk.push("", PushEvent::Disconnect(push));
            } else {
                talk.lose(code);
            }
            talk.actions();
            talk.pass_to_deadline();
            match talk.actions().as_slice() {
                [Action::FetchToken { owner: TokenOwner::Connection, .. }] => assert!(voids, "{code}"),
                [Action::Dial { .. }] => assert!(!voids, "{code}"),
                other => panic!("{code}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_connection_is_refreshed_before_its_token_expires_again_and_again() {
    for format in FORMATS {
        let mut talk = connected(format);
        for round in 0..3 {
            let before = talk.now;
            assert_eq!(talk.fetch_due(), TokenOwner::Connection);
            let waited = talk.now - before;
            assert!(waited >= 89 * SECOND && waited < 99 * SECOND, "{waited:?}");
            let token = format!("t{round}");
            talk.give(TokenOwner::Connection, Ok(&token));
            let (id, sent) = talk.refreshed_with();
            assert_eq!(sent, token, "{format}");
            let result = RefreshResult { expires: true, ttl: TTL_S, ..RefreshResult::default() };
            talk.answer(id, Ok(Outcome::Refresh(result)));
        }
        // The newest one goes with the next connection.
        talk.lose(3001);
        talk.actions();
        talk.redial();
        assert_eq!(talk.welcomed_for(None), "t2");
    }
}

#[test]
fn a_refresh_that_fails_for_the_moment_is_tried_again_and_the_connection_stays() {
    type Failure = fn(&mut Talk);
    let failures: [Failure; 4] = [
        |talk| talk.give(TokenOwner::Connection, Err(down())),
        |talk| {
            talk.give(TokenOwner::Connection, Ok("t"));
            let (id, _) = talk.refreshed_with();
            talk.answer(id, Err(error(ErrorCode::Internal)));
        },
        |talk| {
            talk.give(TokenOwner::Connection, Ok("t"));
            let (id, _) = talk.refreshed_with();
            talk.answer(id, Err(error(ErrorCode::TokenExpired)));
        },
        |talk| {
            talk.give(TokenOwner::Connection, Ok("t"));
            talk.refreshed_with();
            talk.pass(5 * SECOND); // no answer
        },
    ];
    for failure in failures {
        let mut talk = connected(Format::Json);
        talk.fetch_due();
        failure(&mut talk);
        assert!(talk.actions().is_empty());
        assert_eq!(talk.fetch_due(), TokenOwner::Connection);
    }
}

#[test]
fn a_refresh_that_is_refused_for_good_stops_the_client() {
    let mut talk = connected(Format::Json);
    talk.fetch_due();
    talk.give(TokenOwner::Connection, Ok("t"));
    let (id, _) = talk.refreshed_with();
    talk.answer(id, Err(error(ErrorCode::PermissionDenied)));
    assert!(matches!(talk.conversation.stopped(), Some(Disconnect::Refused(error)) if error.code == 103));
}

#[test]
fn the_server_may_change_the_time_of_the_refresh_by_a_push_or_end_it() {
    let mut talk = connected(Format::Json);
    talk.push("", PushEvent::Refresh(Refresh { expires: true, ttl: 10 }));
    let before = talk.now;
    assert_eq!(talk.fetch_due(), TokenOwner::Connection);
    assert!(talk.now - before < 10 * SECOND);

    let mut talk = connected(Format::Json);
    talk.push("", PushEvent::Refresh(Refresh::default()));
    talk.pass(1_000 * SECOND);
    assert_eq!(talk.fetches(), []);
}

#[test]
fn a_newer_token_that_arrives_after_the_connection_was_lost_goes_with_the_next_one() {
    let mut talk = connected(Format::Json);
    talk.fetch_due();
    talk.lose(3001);
    talk.actions();
    talk.give(TokenOwner::Connection, Ok("newer"));
    assert_eq!(talk.sent(), []);
    talk.redial();
    assert_eq!(talk.welcomed_for(None), "newer");
}

#[test]
fn a_static_token_is_never_renewed() {
    let mut talk = Talk::new(Format::Json);
    talk.handle(Input::Start);
    talk.welcomed_for(Some(10));
    talk.actions();
    talk.pass(9 * SECOND);
    assert!(talk.actions().is_empty());
    assert_eq!(talk.sent(), []);
}

#[test]
fn a_subscription_is_asked_for_when_its_token_is_there_and_refreshed_before_it_expires() {
    for format in FORMATS {
        let mut talk = Talk::connected_in(format);
        let reader = talk.subscribed_for(Some(20));
        let owner = TokenOwner::Subscription(reader.key.clone());
        for token in ["s2", "s3"] {
            assert_eq!(talk.fetch_due(), owner);
            talk.give(owner.clone(), Ok(token));
            let (id, sent) = talk.sub_refreshed_with("news");
            assert_eq!(sent, token, "{format}");
            talk.answer(id, Ok(Outcome::SubRefresh(SubRefreshResult { expires: true, ttl: 20 })));
            talk.handle(Input::Heard);
        }
        assert_eq!(reader.all(), [""; 0]);
        // The newest one goes with the next connection.
        talk.reconnect(3001);
        let (_, request) = talk.asked_with("news");
        assert_eq!(request.token, "s3");
    }
}

#[test]
fn a_subscriptions_expired_token_is_replaced_and_other_refusals_end_it() {
    let mut talk = Talk::connected();
    let mut reader = talk.subscribe_with("news", SubscribeOptions { token: "old".into(), ..options() });
    let (id, request) = talk.asked_with("news");
    assert_eq!(request.token, "old");
    talk.answer(id, Err(error(ErrorCode::TokenExpired)));
    assert!(reader.ready.try_recv().is_err());
    let owner = talk.fetch_due();
    talk.give(owner, Ok("new"));
    let (id, request) = talk.asked_with("news");
    assert_eq!(request.token, "new");
    talk.answer(id, Err(error(ErrorCode::PermissionDenied)));
    assert!(matches!(reader.ready.try_recv(), Ok(Err(SubscribeError::Refused(_)))));

    let mut reader =
        talk.subscribe_with("fixed", SubscribeOptions { token: "old".into(), ..Default::default() });
    let id = talk.asked_for("fixed");
    talk.answer(id, Err(error(ErrorCode::TokenExpired)));
    assert!(matches!(reader.ready.try_recv(), Ok(Err(SubscribeError::Refused(_)))));
}

#[test]
fn an_unauthorized_subscription_ends_and_the_client_goes_on() {
    for unauthorized in [Err(TokenError::Unauthorized), Ok("")] {
        let mut talk = Talk::connected();
        let mut reader = talk.subscribe_with("news", options());
        talk.actions();
        talk.give(TokenOwner::Subscription(reader.key.clone()), unauthorized.clone());
        assert!(matches!(reader.ready.try_recv(), Ok(Err(SubscribeError::Unauthorized))));
        assert_eq!(talk.sent(), []);

        let reader = talk.subscribed_for(Some(10));
        let owner = talk.fetch_due();
        talk.give(owner, unauthorized);
        assert_eq!(reader.all(), ["unsubscribed: not authorized by the token getter"]);
        talk.left("news");
        assert!(talk.conversation.stopped().is_none());
    }
}

#[test]
fn a_subscription_without_a_token_for_the_moment_waits_and_asks_again() {
    let mut talk = Talk::connected();
    let mut reader = talk.subscribe_with("news", options());
    let owner = TokenOwner::Subscription(reader.key.clone());
    talk.actions();
    for _ in 0..5 {
        talk.give(owner.clone(), Err(down()));
        assert_eq!(talk.fetch_due(), owner);
    }
    talk.give(owner, Ok("s"));
    let id = talk.asked_for("news");
    talk.confirm(id);
    assert!(matches!(reader.ready.try_recv(), Ok(Ok(_))));
}

#[test]
fn unsubscribe_codes_of_expiry_and_void_state_get_a_new_token_and_others_keep_it() {
    for (code, voids) in [(2500, false), (2501, true), (2502, true), (2600, false)] {
        let mut talk = Talk::connected();
        let reader = talk.subscribed_for(None);
        talk.pass(10 * SECOND); // so that it is renewed at once
        talk.push("news", unsubscribe(code));
        assert_eq!(reader.all(), ["subscribing"]);
        if voids {
            let owner = TokenOwner::Subscription(reader.key.clone());
            assert_eq!(talk.fetches(), std::slice::from_ref(&owner), "{code}");
            talk.give(owner, Ok("s2"));
            assert_eq!(talk.asked_with("news").1.token, "s2");
        } else {
            assert_eq!(talk.asked_with("news").1.token, "s1", "{code}");
        }
    }
}

#[test]
fn a_connection_that_voids_all_state_voids_the_tokens_of_subscriptions_too() {
    for (code, voids) in [(3001, false), (3005, false), (3014, true)] {
        let mut talk = Talk::connected();
        let reader = talk.subscribed_for(Some(TTL_S));
        talk.lose(code);
        talk.actions();
        talk.redial();
        talk.welcome();
        let owner = TokenOwner::Subscription(reader.key.clone());
        assert_eq!(talk.fetches().contains(&owner), voids, "{code}");
    }
}

#[test]
fn a_refresh_of_a_subscription_that_is_refused_for_good_ends_it() {
    for (code, ends) in [
        (ErrorCode::Internal, false),
        (ErrorCode::TokenExpired, false),
        (ErrorCode::PermissionDenied, true),
        (ErrorCode::Expired, true),
    ] {
        let mut talk = Talk::connected();
        let reader = talk.subscribed_for(Some(10));
        let owner = talk.fetch_due();
        talk.give(owner, Ok("s2"));
        let (id, _) = talk.sub_refreshed_with("news");
        talk.answer(id, Err(error(code)));
        if ends {
            assert_eq!(reader.all(), [format!("unsubscribed: refused by the server: {code}")]);
            talk.left("news");
        } else {
            assert_eq!(reader.all(), [""; 0]);
            talk.fetch_due();
        }
    }
}

#[test]
fn tokens_of_subscriptions_are_asked_for_a_few_at_a_time_and_not_for_those_that_are_gone() {
    let mut talk = Talk::connected();
    let mut readers: Vec<_> =
        (0..40).map(|number| talk.subscribe_with(&format!("c{number}"), options())).collect();
    let first = talk.fetches();
    assert_eq!(first.len(), 16);
    for gone in readers.drain(20..) {
        talk.handle(Input::Abandoned(gone.key));
    }
    for owner in first {
        talk.give(owner, Err(down()));
    }
    assert_eq!(talk.fetches().len(), 4);
}

#[test]
fn a_token_for_a_subscription_that_is_gone_or_was_replaced_is_not_used() {
    let mut talk = Talk::connected();
    let old = talk.subscribe_with("news", options());
    let owner = TokenOwner::Subscription(old.key.clone());
    talk.handle(Input::Abandoned(old.key));
    talk.actions();
    let new = talk.subscribe_with("news", options());
    talk.give(owner, Ok("old"));
    assert_eq!(talk.sent(), []);
    talk.give(TokenOwner::Subscription(new.key), Ok("new"));
    assert_eq!(talk.asked_with("news").1.token, "new");
}
