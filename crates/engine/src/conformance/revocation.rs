//! What is revoked, for whom, and until when. Users and tokens of these checks have names that no run before has used.

use crate::conformance::Harness;
use crate::conformance::rig::Rig;
use crate::{Barred, Bearer, Engine, Epoch, Revocation, Subject};

/// One engine, and a user and a token that nobody else has.
struct Court<'h, H: Harness> {
    rig: Rig<'h, H>,
    user: String,
    token: String,
}

impl<'h, H: Harness> Court<'h, H> {
    fn new(harness: &'h H) -> Self {
        let name = |kind: &str| format!("{kind}-{}", Epoch::random());
        Self { rig: Rig::new(harness), user: name("user"), token: name("token") }
    }

    fn now(&self) -> i64 {
        self.rig.engine.revocations().now()
    }

    /// Revokes for so many units of time.
    fn revoke(&self, subject: Subject, units: u32) {
        let time = (self.rig.harness.unit() * units).as_secs();
        let expires = self.now() + i64::try_from(time).expect("some units are no age");
        let revoked = self.rig.engine.revoke(Revocation { subject, expires });
        self.rig.harness.block_on(revoked).expect("revoking works");
    }

    fn pardon(&self, subject: &Subject) -> bool {
        self.rig.harness.block_on(self.rig.engine.pardon(subject)).expect("pardoning works")
    }

    fn bearer(&self) -> Bearer<'_> {
        Bearer { user: &self.user, token: Some(&self.token), issued: Some(100) }
    }

    fn judge(&self, bearer: &Bearer<'_>) -> Option<Barred> {
        self.rig.engine.revocations().judge(bearer)
    }

    fn bars(&self, user: &str, channel: &str) -> bool {
        self.rig.engine.revocations().bars(user, channel)
    }

    fn await_verdict(&self, expected: Option<Barred>) {
        self.rig.wait(|| match self.judge(&self.bearer()) {
            verdict if verdict == expected => Ok(()),
            verdict => Err(format!("the verdict is {verdict:?} and not {expected:?}")),
        });
    }

    fn subjects(&self) -> [Subject; 4] {
        let user = || Box::from(self.user.as_str());
        [
            Subject::Token(self.token.as_str().into()),
            Subject::User(user()),
            Subject::Issued { user: Some(user()), before: 101 },
            Subject::Blocked(user()),
        ]
    }
}

pub(super) fn whoever_is_revoked_is_barred_until_pardoned<H: Harness>(harness: &H) {
    let court = Court::new(harness);
    for subject in court.subjects() {
        let blocked = matches!(subject, Subject::Blocked(_));
        court.await_verdict(None);
        court.revoke(subject.clone(), 5);
        court.await_verdict(Some(if blocked { Barred::Blocked } else { Barred::Revoked }));
        assert!(court.pardon(&subject), "{subject:?} was there");
        court.await_verdict(None);
        assert!(!court.pardon(&subject), "{subject:?} is there no more");
    }
}

pub(super) fn a_revocation_means_nobody_else<H: Harness>(harness: &H) {
    let court = Court::new(harness);
    for subject in court.subjects() {
        court.revoke(subject, 5);
    }
    court.await_verdict(Some(Barred::Blocked));
    for other in [
        Bearer { user: "somebody else", token: Some("another token"), issued: Some(100) },
        Bearer { token: None, user: "", issued: None },
    ] {
        assert_eq!(court.judge(&other), None, "{other:?}");
    }
    let only_token = Bearer { user: "somebody else", ..court.bearer() };
    assert_eq!(court.judge(&only_token), Some(Barred::Revoked), "a token is revoked for whoever shows it");
}

pub(super) fn what_was_issued_before_is_revoked_and_what_was_issued_since_is_not<H: Harness>(harness: &H) {
    let court = Court::new(harness);
    court.revoke(Subject::Issued { user: Some(court.user.as_str().into()), before: 101 }, 5);
    court.await_verdict(Some(Barred::Revoked));
    let issued = |issued| Bearer { issued, ..court.bearer() };
    assert_eq!(court.judge(&issued(Some(101))), None);
    assert_eq!(court.judge(&issued(None)), Some(Barred::Revoked), "what says no time may be old");
    let other = Bearer { user: "somebody else", ..court.bearer() };
    assert_eq!(court.judge(&other), None);
    court.revoke(Subject::Issued { user: None, before: 50 }, 5);
    court.rig.wait(|| {
        let old = Bearer { issued: Some(49), ..other };
        court.judge(&old).map(drop).ok_or_else(|| "what everybody had before is not revoked".to_owned())
    });
    assert_eq!(court.judge(&other), None);
    assert!(court.pardon(&Subject::Issued { user: None, before: 0 }));
}

pub(super) fn a_user_is_kept_out_of_one_channel<H: Harness>(harness: &H) {
    let court = Court::new(harness);
    let subject = Subject::Channel { user: court.user.as_str().into(), channel: "news".into() };
    court.revoke(subject.clone(), 5);
    court.rig.wait(|| match court.bars(&court.user, "news") {
        true => Ok(()),
        false => Err("the user may subscribe".to_owned()),
    });
    assert!(!court.bars(&court.user, "sport"));
    assert!(!court.bars("somebody else", "news"));
    assert_eq!(court.judge(&court.bearer()), None, "the user may connect");
    assert!(court.pardon(&subject));
    court.rig.wait(|| match court.bars(&court.user, "news") {
        true => Err("the user may not subscribe".to_owned()),
        false => Ok(()),
    });
}

pub(super) fn a_revocation_ends_with_its_time<H: Harness>(harness: &H) {
    let court = Court::new(harness);
    for subject in court.subjects() {
        court.revoke(subject, 3);
    }
    court.revoke(Subject::Channel { user: court.user.as_str().into(), channel: "news".into() }, 3);
    court.rig.pass_time(1);
    court.await_verdict(Some(Barred::Blocked));
    court.rig.pass_time(3);
    court.await_verdict(None);
    assert!(!court.bars(&court.user, "news"));
}

pub(super) fn the_sink_hears_of_every_revocation<H: Harness>(harness: &H) {
    let court = Court::new(harness);
    for subject in court.subjects() {
        court.revoke(subject, 5);
    }
    court.rig.wait(|| {
        let heard: Vec<_> = court.rig.recorder.revocations().into_iter().map(|revoked| revoked.subject).collect();
        let all = court.subjects().iter().all(|subject| heard.contains(subject));
        all.then_some(()).ok_or_else(|| format!("the sink heard of {heard:?} only"))
    });
}
