use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::RwLock;

use super::{Barred, Bearer, Revocation, Subject, is_older};
use crate::Clock;

/// The revocations that a node knows of.
///
/// A lookup takes a shared lock for as long as two or three maps are asked, and nothing at all while there are no revocations.
/// Revocations whose time is over mean nobody, even before they are swept.
#[derive(Debug)]
pub struct Revocations {
    held: RwLock<Held>,
    /// How many there are, for those who ask without the lock.
    count: AtomicUsize,
    limit: usize,
    time: UnixTime,
}

/// As many revocations as are allowed hold now, so that there is no room for one more.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{limit} revocations hold, which is the bound")]
pub struct Full {
    /// The bound.
    pub limit: usize,
}

#[derive(Debug, Default)]
struct Held {
    tokens: HashMap<Box<str>, i64>,
    users: HashMap<Box<str>, OfUser>,
    everybody: Option<Issued>,
    count: usize,
    /// No revocation expires before; it may be too early.
    earliest: i64,
}

/// What concerns one user. Times are those at which it ends.
#[derive(Debug, Default)]
struct OfUser {
    revoked: Option<i64>,
    blocked: Option<i64>,
    issued: Option<Issued>,
    channels: HashMap<Box<str>, i64>,
}

/// Everything before a time is revoked.
#[derive(Clone, Copy, Debug)]
struct Issued {
    before: i64,
    expires: i64,
}

/// Unix time that passes as the engine's clock does.
#[derive(Debug)]
struct UnixTime {
    clock: Clock,
    start: Instant,
    at_start: Duration,
}

impl Revocations {
    /// No revocation, with room for `limit`.
    #[must_use]
    pub fn new(limit: usize, clock: Clock) -> Self {
        let (held, count) = (RwLock::default(), AtomicUsize::new(0));
        Self { held, count, limit, time: UnixTime::new(clock) }
    }

    /// The time by which revocations end, in Unix seconds.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.time.now()
    }

    /// How many there are, those included that have ended and are not yet swept.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Why this bearer must not be let in; `None` if nothing speaks against it.
    pub fn judge(&self, bearer: &Bearer<'_>) -> Option<Barred> {
        if self.is_empty() {
            return None;
        }
        let now = self.now();
        let held = self.held.read();
        let of_user = if bearer.user.is_empty() { None } else { held.users.get(bearer.user) };
        let holds = |expires: Option<i64>| expires.is_some_and(|expires| expires > now);
        if of_user.is_some_and(|of_user| holds(of_user.blocked)) {
            return Some(Barred::Blocked);
        }
        let too_old = |issued: Option<Issued>| {
            issued.is_some_and(|issued| issued.expires > now && is_older(bearer, issued.before))
        };
        let revoked = of_user.is_some_and(|of_user| holds(of_user.revoked) || too_old(of_user.issued))
            || too_old(held.everybody)
            || bearer.token.is_some_and(|id| holds(held.tokens.get(id).copied()));
        revoked.then_some(Barred::Revoked)
    }

    /// Whether this user must not subscribe to this channel.
    pub fn bars(&self, user: &str, channel: &str) -> bool {
        if self.is_empty() {
            return false;
        }
        let expires =
            self.held.read().users.get(user).and_then(|of_user| of_user.channels.get(channel)).copied();
        expires.is_some_and(|expires| expires > self.now())
    }

    /// Adds a revocation. One of the same subject is joined with it: the later of both times holds, also of those before
    /// which things were issued. Returns what holds now. One that is over already changes nothing, unless its subject is there.
    ///
    /// # Errors
    ///
    /// [`Full`] if the subject is a new one and as many as are allowed hold already; then nothing has changed.
    pub fn add(&self, revocation: Revocation) -> Result<Revocation, Full> {
        let now = self.now();
        let mut held = self.held.write();
        if !held.contains(&revocation.subject) {
            if revocation.expires <= now {
                return Ok(revocation);
            }
            if held.count >= self.limit {
                held.sweep(now);
            }
            if held.count >= self.limit {
                return Err(Full { limit: self.limit });
            }
        }
        let joined = held.join(revocation);
        self.count.store(held.count, Ordering::Release);
        Ok(joined)
    }

    /// Removes the revocation of a subject, whatever time an [`Issued`](Subject::Issued) names; false if there was none.
    pub fn remove(&self, subject: &Subject) -> bool {
        let mut held = self.held.write();
        let removed = held.remove(subject);
        self.count.store(held.count, Ordering::Release);
        removed
    }

    /// Lets go of those that have ended, and returns their subjects.
    pub fn sweep(&self) -> Vec<Subject> {
        if self.is_empty() || self.held.read().earliest > self.now() {
            return Vec::new();
        }
        let mut held = self.held.write();
        let ended = held.sweep(self.now());
        self.count.store(held.count, Ordering::Release);
        ended
    }

    /// Those that hold now, in no order and at most so many: all of them, or those that name this user.
    pub fn list(&self, user: Option<&str>, limit: usize) -> Vec<Revocation> {
        let now = self.now();
        let held = self.held.read();
        let wanted = |revocation: &Revocation| revocation.expires > now;
        match user {
            Some(user) => {
                let of_user = held.users.get_key_value(user);
                of_user
                    .into_iter()
                    .flat_map(|(user, of_user)| of_user.all(user))
                    .filter(wanted)
                    .take(limit)
                    .collect()
            }
            None => held.all().filter(wanted).take(limit).collect(),
        }
    }
}

impl Held {
    fn contains(&self, subject: &Subject) -> bool {
        let of = |user: &str| self.users.get(user);
        match subject {
            Subject::Token(id) => self.tokens.contains_key(id),
            Subject::User(user) => of(user).is_some_and(|of_user| of_user.revoked.is_some()),
            Subject::Blocked(user) => of(user).is_some_and(|of_user| of_user.blocked.is_some()),
            Subject::Channel { user, channel } => {
                of(user).is_some_and(|of_user| of_user.channels.contains_key(channel))
            }
            Subject::Issued { user: None, .. } => self.everybody.is_some(),
            Subject::Issued { user: Some(user), .. } => {
                of(user).is_some_and(|of_user| of_user.issued.is_some())
            }
        }
    }

    fn join(&mut self, revocation: Revocation) -> Revocation {
        if !self.contains(&revocation.subject) {
            self.earliest =
                if self.count == 0 { revocation.expires } else { self.earliest.min(revocation.expires) };
            self.count += 1;
        }
        let Revocation { subject, expires } = revocation;
        let later = |slot: &mut Option<i64>| *slot.insert(slot.map_or(expires, |before| before.max(expires)));
        match subject {
            Subject::Token(id) => {
                let end = self.tokens.entry(id.clone()).or_insert(expires);
                *end = expires.max(*end);
                Revocation { subject: Subject::Token(id), expires: *end }
            }
            Subject::User(user) => {
                let expires = later(&mut self.of(&user).revoked);
                Revocation { subject: Subject::User(user), expires }
            }
            Subject::Blocked(user) => {
                let expires = later(&mut self.of(&user).blocked);
                Revocation { subject: Subject::Blocked(user), expires }
            }
            Subject::Channel { user, channel } => {
                let end = self.of(&user).channels.entry(channel.clone()).or_insert(expires);
                *end = expires.max(*end);
                let expires = *end;
                Revocation { subject: Subject::Channel { user, channel }, expires }
            }
            Subject::Issued { user, before } => {
                let slot = match &user {
                    Some(user) => &mut self.of(user).issued,
                    None => &mut self.everybody,
                };
                let issued = Issued { before, expires };
                let Issued { before, expires } =
                    *slot.insert(slot.map_or(issued, |held| held.joined(issued)));
                Revocation { subject: Subject::Issued { user, before }, expires }
            }
        }
    }

    /// What concerns a user, begun if there is nothing yet.
    fn of(&mut self, user: &str) -> &mut OfUser {
        self.users.entry(user.into()).or_default()
    }

    fn remove(&mut self, subject: &Subject) -> bool {
        let removed = match subject {
            Subject::Token(id) => self.tokens.remove(id).is_some(),
            Subject::Issued { user: None, .. } => self.everybody.take().is_some(),
            Subject::User(user)
            | Subject::Blocked(user)
            | Subject::Channel { user, .. }
            | Subject::Issued { user: Some(user), .. } => {
                let Some(of_user) = self.users.get_mut(user) else { return false };
                let removed = of_user.remove(subject);
                if of_user.is_empty() {
                    self.users.remove(user);
                }
                removed
            }
        };
        self.count -= usize::from(removed);
        removed
    }

    fn sweep(&mut self, now: i64) -> Vec<Subject> {
        if self.earliest > now {
            return Vec::new();
        }
        let (ended, held): (Vec<_>, Vec<_>) = self
            .all()
            .map(|revocation| (revocation.expires, revocation.subject))
            .partition(|(expires, _)| *expires <= now);
        self.earliest = held.iter().map(|(expires, _)| *expires).min().unwrap_or_default();
        let ended: Vec<_> = ended.into_iter().map(|(_, subject)| subject).collect();
        for subject in &ended {
            self.remove(subject);
        }
        ended
    }

    fn all(&self) -> impl Iterator<Item = Revocation> + '_ {
        let everybody = self.everybody.map(|issued| issued.of(None));
        let tokens = self
            .tokens
            .iter()
            .map(|(id, expires)| Revocation { subject: Subject::Token(id.clone()), expires: *expires });
        let users = self.users.iter().flat_map(|(user, of_user)| of_user.all(user));
        everybody.into_iter().chain(tokens).chain(users)
    }
}

impl OfUser {
    fn remove(&mut self, subject: &Subject) -> bool {
        match subject {
            Subject::User(_) => self.revoked.take().is_some(),
            Subject::Blocked(_) => self.blocked.take().is_some(),
            Subject::Channel { channel, .. } => self.channels.remove(channel).is_some(),
            Subject::Issued { .. } => self.issued.take().is_some(),
            // It is no user's.
            Subject::Token(_) => false,
        }
    }

    fn is_empty(&self) -> bool {
        let Self { revoked, blocked, issued, channels } = self;
        revoked.is_none() && blocked.is_none() && issued.is_none() && channels.is_empty()
    }

    fn all<'a>(&'a self, user: &'a str) -> impl Iterator<Item = Revocation> + 'a {
        let of = |subject, expires| Revocation { subject, expires };
        let revoked = self.revoked.map(|expires| of(Subject::User(user.into()), expires));
        let blocked = self.blocked.map(|expires| of(Subject::Blocked(user.into()), expires));
        let issued = self.issued.map(|issued| issued.of(Some(user.into())));
        let channels = self.channels.iter().map(move |(channel, expires)| {
            of(Subject::Channel { user: user.into(), channel: channel.clone() }, *expires)
        });
        revoked.into_iter().chain(blocked).chain(issued).chain(channels)
    }
}

impl Issued {
    /// As strict as both: nothing that one of them revokes comes back while the other holds.
    fn joined(self, other: Self) -> Self {
        Self { before: self.before.max(other.before), expires: self.expires.max(other.expires) }
    }

    const fn of(self, user: Option<Box<str>>) -> Revocation {
        Revocation { subject: Subject::Issued { user, before: self.before }, expires: self.expires }
    }
}

impl UnixTime {
    fn new(clock: Clock) -> Self {
        let at_start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { start: clock.now(), clock, at_start }
    }

    fn now(&self) -> i64 {
        let time = self.at_start + self.clock.now().saturating_duration_since(self.start);
        i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ManualClock;

    fn list(limit: usize) -> (Revocations, ManualClock) {
        let clock = ManualClock::default();
        (Revocations::new(limit, clock.clock()), clock)
    }

    fn add(list: &Revocations, subject: Subject, seconds: i64) -> Result<Revocation, Full> {
        list.add(Revocation { subject, expires: list.now() + seconds })
    }

    fn token(id: &str) -> Subject {
        Subject::Token(id.into())
    }

    #[test]
    fn at_the_bound_a_new_one_is_an_error_and_those_that_hold_stay() {
        let (list, clock) = list(2);
        add(&list, token("a"), 10).unwrap();
        add(&list, token("b"), 100).unwrap();
        assert_eq!(add(&list, token("c"), 100), Err(Full { limit: 2 }));
        for id in ["a", "b"] {
            let bearer = Bearer { token: Some(id), ..Bearer::default() };
            assert_eq!(list.judge(&bearer), Some(Barred::Revoked), "{id}");
        }
        add(&list, token("a"), 20).expect("what is there already takes no room");
        clock.advance(Duration::from_secs(20));
        add(&list, token("c"), 100).expect("what has ended makes room");
        assert_eq!(list.len(), 2);
    }

    #[test]
    fn what_comes_twice_is_joined_to_the_stricter_of_both() {
        let (list, _) = list(10);
        let issued = |before| Subject::Issued { user: None, before };
        add(&list, issued(50), 100).unwrap();
        let joined = add(&list, issued(20), 200).unwrap();
        assert_eq!(joined, Revocation { subject: issued(50), expires: list.now() + 200 });
        let joined = add(&list, issued(60), 1).unwrap();
        assert_eq!(joined, Revocation { subject: issued(60), expires: list.now() + 200 });
        assert_eq!(list.list(None, 10), [joined]);
    }

    #[test]
    fn what_has_ended_is_swept_and_named() {
        let (list, clock) = list(10);
        add(&list, Subject::Blocked("ann".into()), 10).unwrap();
        add(&list, Subject::User("ann".into()), 20).unwrap();
        assert_eq!(list.sweep(), []);
        clock.advance(Duration::from_secs(10));
        assert_eq!(list.sweep(), [Subject::Blocked("ann".into())]);
        assert_eq!(list.len(), 1);
        clock.advance(Duration::from_secs(10));
        assert_eq!(list.sweep(), [Subject::User("ann".into())]);
        assert!(list.is_empty() && list.held.read().users.is_empty());
    }

    #[test]
    fn a_list_may_be_one_users_and_is_no_longer_than_wanted() {
        let (list, _) = list(10);
        add(&list, token("a"), 10).unwrap();
        add(&list, Subject::Issued { user: None, before: 1 }, 10).unwrap();
        add(&list, Subject::Issued { user: Some("ann".into()), before: 1 }, 10).unwrap();
        add(&list, Subject::Channel { user: "ann".into(), channel: "news".into() }, 10).unwrap();
        add(&list, Subject::Blocked("bob".into()), 10).unwrap();
        assert_eq!(list.list(None, 100).len(), 5);
        assert_eq!(list.list(None, 3).len(), 3);
        assert_eq!(list.list(Some("ann"), 100).len(), 2);
        assert_eq!(list.list(Some("eve"), 100), []);
    }
}
