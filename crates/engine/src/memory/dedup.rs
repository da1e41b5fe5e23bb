use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use throng_protocol::ChannelName;

use crate::Published;
use crate::memory::is_due;

/// Results of publishing by idempotency key.
///
/// Keys are spread over stripes. A stripe is locked while one of its keys is published, so that two who publish the same key
/// at once publish it once. Each stripe has its share of the bound, and forgets its oldest key when that is used up.
#[derive(Debug)]
pub(super) struct Dedup {
    stripes: Box<[Mutex<Stripe>]>,
    hasher: RandomState,
    keys_per_stripe: usize,
    ttl: Duration,
    count: AtomicUsize,
    evicted: AtomicU64,
}

type Key = (ChannelName, Box<str>);

#[derive(Debug, Default)]
struct Stripe {
    kept: HashMap<Arc<Key>, Published>,
    /// In the order in which they were kept, which is that in which they expire (`None`: never).
    order: VecDeque<(Option<Instant>, Arc<Key>)>,
}

impl Dedup {
    const MAX_STRIPES: usize = 64;
    /// Fewer would make the shares of stripes so small that chance decides how many keys fit.
    const MIN_SHARE: usize = 64;

    pub(super) fn new(keys: usize, ttl: Duration) -> Self {
        let stripes = (keys / Self::MIN_SHARE).clamp(1, Self::MAX_STRIPES);
        Self {
            stripes: (0..stripes).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            keys_per_stripe: keys / stripes,
            ttl,
            count: AtomicUsize::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    /// The kept result of the key, marked as suppressed; or else that of `publish`, which is kept if it is no error.
    pub(super) fn once<E>(
        &self,
        channel: &ChannelName,
        key: &str,
        now: Instant,
        publish: impl FnOnce() -> Result<Published, E>,
    ) -> Result<Published, E> {
        let key: Key = (channel.clone(), key.into());
        let [a, b, ..] = self.hasher.hash_one(&key).to_ne_bytes();
        let stripe = usize::from(u16::from_ne_bytes([a, b])) % self.stripes.len();
        let mut stripe = self.stripes[stripe].lock();
        self.expire(&mut stripe, now, usize::MAX);
        if let Some(kept) = stripe.kept.get(&key) {
            return Ok(Published { suppressed: true, ..*kept });
        }
        let published = publish()?;
        self.keep(&mut stripe, Arc::new(key), published, now);
        Ok(published)
    }

    /// Frees keys whose time is over, a bounded number of each stripe.
    pub(super) fn sweep(&self, now: Instant) {
        const KEYS_PER_STRIPE: usize = 256;
        self.stripes.iter().for_each(|stripe| self.expire(&mut stripe.lock(), now, KEYS_PER_STRIPE));
    }

    /// Keys that went because there were too many, so far.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Keys whose results are kept.
    pub(super) fn key_count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn keep(&self, stripe: &mut Stripe, key: Arc<Key>, published: Published, now: Instant) {
        if self.keys_per_stripe == 0 {
            return;
        }
        if stripe.order.len() >= self.keys_per_stripe {
            self.evicted.fetch_add(1, Ordering::Relaxed);
            self.forget_oldest(stripe);
        }
        stripe.kept.insert(Arc::clone(&key), published);
        stripe.order.push_back((now.checked_add(self.ttl), key));
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Forgets at most `most` of the keys whose time is over.
    fn expire(&self, stripe: &mut Stripe, now: Instant, most: usize) {
        let mut expired = 0;
        while expired < most && stripe.order.front().is_some_and(|(expires, _)| is_due(*expires, now)) {
            self.forget_oldest(stripe);
            expired += 1;
        }
    }

    fn forget_oldest(&self, stripe: &mut Stripe) {
        if let Some((_, key)) = stripe.order.pop_front() {
            stripe.kept.remove(&key);
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
