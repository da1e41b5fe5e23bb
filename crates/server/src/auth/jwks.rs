//! Keys that are fetched: kept by their names, renewed in the background, and old ones kept as long as no new ones can be had.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::Uri;
use jsonwebtoken::Algorithm;
use parking_lot::Mutex;
use rustls::RootCertStore;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::runtime::Handle;
use tokio::sync::{OwnedMutexGuard, Semaphore};
use tokio::time::{Instant, sleep};

use crate::metrics::Number;

use super::fetch::{FetchError, Fetcher};
use super::keys::{Jwk, Key};
use super::parts::invalid;
use super::template::{Groups, Template};
use super::{TokenError, TokensError};

/// Keys that one set may have.
const MAX_KEYS: usize = 100;
/// Sets that are kept; at the bound the one without keys, else the one, that was not used for longest goes.
const MAX_SETS: usize = 64;
/// Fetches that may run at once.
const MAX_FETCHES: usize = 8;
/// Fetches that tokens may cause within a second.
const MAX_FETCHES_PER_SECOND: usize = 16;
/// Tokens that may wait for a fetch.
const MAX_WAITING: usize = 1_024;

/// When keys are fetched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// The age at which a set is renewed.
    pub(super) refresh: Duration,
    /// How often the ages are looked at, and a fetch that failed is repeated.
    pub(super) tick: Duration,
    /// The least time between two fetches of a set that tokens cause.
    pub(super) pause: Duration,
    /// Time that an attempt may take.
    pub(super) patience: Duration,
    /// The time after which a set that no token has used is let go.
    pub(super) forget: Duration,
}

impl Default for Times {
    /// Upstream's, where it has them.
    fn default() -> Self {
        Self {
            refresh: Duration::from_hours(1),
            tick: Duration::from_secs(30),
            pause: Duration::from_secs(5),
            patience: Duration::from_secs(1),
            forget: Duration::from_hours(24),
        }
    }
}

/// The key sets behind a URL.
#[derive(Debug)]
pub(super) struct Jwks {
    template: Template,
    fetcher: Fetcher,
    times: Times,
    runtime: Handle,
    sets: Mutex<HashMap<String, Arc<Set>>>,
    fetches: Semaphore,
    waiting: Semaphore,
    /// The present second, and how many fetches it has seen.
    recent: Mutex<(Instant, usize)>,
    pub(super) counts: Counts,
}

/// What is counted of fetches.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) fetched: Number,
    pub(super) failed: Number,
    /// Fetches that a bound has prevented.
    pub(super) held_back: Number,
}

/// The keys at one URL.
#[derive(Debug)]
struct Set {
    uri: Uri,
    /// Whoever fetches holds it.
    turn: Arc<tokio::sync::Mutex<()>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    keys: Vec<(String, Arc<Key>)>,
    /// When the keys came.
    fetched: Option<Instant>,
    /// When the last fetch began.
    tried: Option<Instant>,
    used: Instant,
}

impl Jwks {
    /// Fetches keys from a URL on this runtime, also in the background, until it is let go.
    ///
    /// # Errors
    ///
    /// [`TokensError`] if the URL is none, or the system trusts no certificates.
    pub(super) fn new(url: &str, runtime: &Handle) -> Result<Arc<Self>, TokensError> {
        let times = Times::default();
        let template = Template::parse(url).map_err(|_| TokensError::Url)?;
        let fetcher = if template.is_https() {
            Fetcher::new(times.patience)
        } else {
            Fetcher::trusting(RootCertStore::empty(), times.patience)
        };
        Self::with(template, fetcher?, times, runtime)
    }

    pub(super) fn with(
        template: Template,
        fetcher: Fetcher,
        times: Times,
        runtime: &Handle,
    ) -> Result<Arc<Self>, TokensError> {
        let jwks = Arc::new(Self {
            fetcher,
            times,
            runtime: runtime.clone(),
            sets: Mutex::default(),
            fetches: Semaphore::new(MAX_FETCHES),
            waiting: Semaphore::new(MAX_WAITING),
            recent: Mutex::new((Instant::now(), 0)),
            counts: Counts::default(),
            template,
        });
        if jwks.is_fixed() {
            // So that the first token finds keys.
            jwks.set(Groups::default()).map_err(|_| TokensError::Url)?;
        }
        runtime.spawn(keep_fresh(Arc::downgrade(&jwks)));
        Ok(jwks)
    }

    /// The keys of this name for this algorithm; none if the key is for others. The groups are asked for if the URL has any.
    ///
    /// # Errors
    ///
    /// [`TokenError::Invalid`] if there is no such key, [`TokenError::Unavailable`] if that cannot be found out now.
    pub(super) async fn keys(
        self: &Arc<Self>,
        kid: &str,
        algorithm: Algorithm,
        groups: impl FnOnce() -> Result<Groups, TokenError>,
    ) -> Result<Vec<Arc<Key>>, TokenError> {
        let set = self.set(if self.is_fixed() { Groups::default() } else { groups()? })?;
        if let Some(keys) = set.find(kid, algorithm) {
            return Ok(keys);
        }
        let asked = Instant::now();
        let _waits = self.waiting.try_acquire().map_err(|_| self.held_back())?;
        let turn = Arc::clone(&set.turn).lock_owned().await;
        if set.state.lock().fetched.is_none_or(|fetched| fetched < asked) {
            self.fetch_for_token(&set, turn).await?;
        }
        set.find(kid, algorithm).ok_or_else(|| invalid("its header names a key (kid) that does not exist"))
    }

    /// How many sets of keys there are.
    pub(super) fn len(&self) -> usize {
        self.sets.lock().len()
    }

    /// Whether there is only one URL.
    fn is_fixed(&self) -> bool {
        self.template.groups().next().is_none()
    }

    fn held_back(&self) -> TokenError {
        self.counts.held_back.add(1);
        TokenError::Unavailable("keys are not fetched that often".into())
    }

    /// The set at the URL that the groups make.
    fn set(&self, groups: Groups) -> Result<Arc<Set>, TokenError> {
        let fits = || invalid("its issuer or audience makes no URL of keys");
        let url = self.template.fill(&groups).ok_or_else(fits)?;
        let mut sets = self.sets.lock();
        if let Some(set) = sets.get(&url) {
            set.state.lock().used = Instant::now();
            return Ok(Arc::clone(set));
        }
        let uri = url.parse().map_err(|_| fits())?;
        if sets.len() >= MAX_SETS {
            let age = |set: &Arc<Set>| {
                let state = set.state.lock();
                (!state.keys.is_empty(), state.used)
            };
            let oldest = sets.iter().min_by_key(|(_, set)| age(set)).map(|(url, _)| url.clone());
            oldest.and_then(|url| sets.remove(&url));
        }
        let state = State { keys: Vec::new(), fetched: None, tried: None, used: Instant::now() };
        let set = Arc::new(Set { uri, turn: Arc::default(), state: Mutex::new(state) });
        sets.insert(url, Arc::clone(&set));
        Ok(set)
    }

    /// Fetches a set because a token names a key that is not in it, unless that was tried a moment ago.
    async fn fetch_for_token(
        self: &Arc<Self>,
        set: &Arc<Set>,
        turn: OwnedMutexGuard<()>,
    ) -> Result<(), TokenError> {
        let lately = set.state.lock().tried.is_some_and(|tried| tried.elapsed() < self.times.pause);
        if lately || !self.may_fetch() {
            return Err(self.held_back());
        }
        // On a task of its own: a client that leaves does not cut it short, and cause the next one.
        let fetched = self.runtime.spawn(Arc::clone(self).fetch(Arc::clone(set), turn)).await;
        if fetched.unwrap_or(false) {
            Ok(())
        } else {
            Err(TokenError::Unavailable("the keys cannot be fetched".into()))
        }
    }

    /// Counts a fetch, if this second may see one more.
    fn may_fetch(&self) -> bool {
        let (since, count) = &mut *self.recent.lock();
        if since.elapsed() >= Duration::from_secs(1) {
            (*since, *count) = (Instant::now(), 0);
        }
        *count += 1;
        *count <= MAX_FETCHES_PER_SECOND
    }

    /// Fetches a set, and says whether that went well. The keys stay as they are if it did not.
    async fn fetch(self: Arc<Self>, set: Arc<Set>, _turn: OwnedMutexGuard<()>) -> bool {
        set.state.lock().tried = Some(Instant::now());
        let outcome = match self.fetches.try_acquire() {
            Ok(_permit) => self.fetcher.get(&set.uri).await.and_then(|body| read(&body)),
            Err(_) => Err(FetchError::Busy),
        };
        match outcome {
            Ok(keys) => {
                self.counts.fetched.add(1);
                let mut state = set.state.lock();
                (state.keys, state.fetched) = (keys, Some(Instant::now()));
                true
            }
            Err(error) => {
                self.counts.failed.add(1);
                let kept = set.state.lock().keys.len();
                // A query may hold a secret.
                let (host, path) = (set.uri.host().unwrap_or_default(), set.uri.path());
                let error = anyhow::Error::from(error);
                tracing::warn!(host, path, kept, "keys for tokens cannot be fetched: {error:#}");
                false
            }
        }
    }

    /// The sets that are to be fetched in the background.
    fn due(&self) -> Vec<Arc<Set>> {
        let mut sets = self.sets.lock();
        if !self.is_fixed() {
            sets.retain(|_, set| set.state.lock().used.elapsed() < self.times.forget);
        }
        sets.values().filter(|set| set.is_due(&self.times)).cloned().collect()
    }
}

impl Set {
    /// The keys of this name for this algorithm; `None` if no key has the name.
    fn find(&self, kid: &str, algorithm: Algorithm) -> Option<Vec<Arc<Key>>> {
        let state = self.state.lock();
        let named: Vec<_> = state.keys.iter().filter(|(name, _)| name == kid).map(|(_, key)| key).collect();
        let fitting = named.iter().filter(|key| key.allows(algorithm)).map(|key| Arc::clone(key));
        (!named.is_empty()).then(|| fitting.collect())
    }

    fn is_due(&self, times: &Times) -> bool {
        let state = self.state.lock();
        let past = |at: Option<Instant>, age| at.is_none_or(|at| at.elapsed() >= age);
        past(state.fetched, times.refresh) && past(state.tried, times.tick)
    }
}

/// Fetches what is due until the keys are let go.
async fn keep_fresh(jwks: Weak<Jwks>) {
    loop {
        let Some(jwks) = jwks.upgrade() else { return };
        for set in jwks.due() {
            let turn = Arc::clone(&set.turn).lock_owned().await;
            if set.is_due(&jwks.times) {
                Arc::clone(&jwks).fetch(set, turn).await;
            }
        }
        let tick = jwks.times.tick;
        drop(jwks);
        sleep(tick).await;
    }
}

/// The keys of a set that can be used, by their names.
fn read(body: &[u8]) -> Result<Vec<(String, Arc<Key>)>, FetchError> {
    #[derive(Deserialize)]
    struct Body<'b> {
        #[serde(borrow)]
        keys: Vec<&'b RawValue>,
    }

    let Body { keys } = serde_json::from_slice(body).map_err(|_| FetchError::NoSet)?;
    if keys.len() > MAX_KEYS {
        return Err(FetchError::Many(MAX_KEYS));
    }
    let usable = |raw: &RawValue| {
        let jwk: Jwk = serde_json::from_str(raw.get()).ok()?;
        let key =
            jwk.key().inspect_err(|error| tracing::debug!("a fetched key {error}, and is left out")).ok();
        Some((jwk.kid?, Arc::new(key?.1)))
    };
    let keys: Vec<_> = keys.into_iter().filter_map(usable).collect();
    if keys.is_empty() { Err(FetchError::Empty) } else { Ok(keys) }
}

#[cfg(test)]
mod tests;
