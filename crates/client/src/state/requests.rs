use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Requests that were sent on this connection and wait for their answers.
///
/// Ids go up from 1 and start again at 1 after 4,294,967,295. Inside, requests are counted without end, so that the
/// oldest is always the first; as all have the same timeout, it is also the one whose deadline comes first.
#[derive(Debug)]
pub(crate) struct Requests<T> {
    timeout: Duration,
    /// How many were ever begun on this connection: the number of the latest.
    latest: u64,
    waiting: BTreeMap<u64, (Instant, T)>,
}

impl<T> Requests<T> {
    pub(crate) const fn new(timeout: Duration) -> Self {
        Self { timeout, latest: 0, waiting: BTreeMap::new() }
    }

    /// The id of the request that comes next.
    pub(crate) const fn next_id(&self) -> u32 {
        wire_id(self.latest + 1)
    }

    /// Takes the next id for a request that is sent now.
    pub(crate) fn begin(&mut self, request: T, now: Instant) {
        self.latest += 1;
        self.waiting.insert(self.latest, (now + self.timeout, request));
    }

    /// The request that an answer with this id belongs to; none if it has timed out, or never was.
    pub(crate) fn finish(&mut self, id: u32) -> Option<T> {
        let age = match wire_id(self.latest).checked_sub(id) {
            Some(age) => age,
            None => wire_id(self.latest) + (u32::MAX - id),
        };
        let number = self.latest.checked_sub(u64::from(age))?;
        self.waiting.remove(&number).map(|(_, request)| request)
    }

    /// The oldest request whose time is up, taken out.
    pub(crate) fn pop_overdue(&mut self, now: Instant) -> Option<T> {
        let oldest = self.waiting.first_entry()?;
        (oldest.get().0 <= now).then(|| oldest.remove().1)
    }

    /// When the next request is overdue.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|(_, (deadline, _))| *deadline)
    }

    /// All that wait, oldest first; ids start again at 1.
    pub(crate) fn reset(&mut self) -> impl Iterator<Item = T> + use<T> {
        self.latest = 0;
        std::mem::take(&mut self.waiting).into_values().map(|(_, request)| request)
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}

/// Ids run from 1 to `u32::MAX`, again and again. Number 0, before the first request, has the id 0.
#[expect(clippy::cast_possible_truncation, reason = "the remainder is below u32::MAX")]
const fn wire_id(number: u64) -> u32 {
    if number == 0 { 0 } else { ((number - 1) % u32::MAX as u64) as u32 + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(5);

    #[test]
    fn an_answer_finds_its_request_once() {
        let mut requests = Requests::new(TIMEOUT);
        let now = Instant::now();
        for name in ["a", "b", "c"] {
            requests.begin(name, now);
        }
        assert_eq!(requests.finish(2), Some("b"));
        assert_eq!(requests.finish(2), None);
        assert_eq!(requests.finish(3), Some("c"));
        assert_eq!(requests.finish(1), Some("a"));
        for never_sent in [0, 4, u32::MAX] {
            assert_eq!(requests.finish(never_sent), None);
        }
    }

    #[test]
    fn requests_become_overdue_in_the_order_in_which_they_were_sent() {
        let mut requests = Requests::new(TIMEOUT);
        let start = Instant::now();
        requests.begin("a", start);
        requests.begin("b", start + Duration::from_secs(1));
        assert_eq!(requests.deadline(), Some(start + TIMEOUT));
        assert_eq!(requests.pop_overdue(start + TIMEOUT - Duration::from_nanos(1)), None);
        assert_eq!(requests.pop_overdue(start + TIMEOUT), Some("a"));
        assert_eq!(requests.pop_overdue(start + TIMEOUT), None);
        assert_eq!(requests.deadline(), Some(start + Duration::from_secs(1) + TIMEOUT));
    }

    #[test]
    fn ids_start_again_at_one_and_still_find_their_requests() {
        let mut requests = Requests::new(TIMEOUT);
        let now = Instant::now();
        requests.latest = u64::from(u32::MAX) - 2;
        let mut ids = Vec::new();
        for name in ["a", "b", "c", "d"] {
            ids.push(requests.next_id());
            requests.begin(name, now);
        }
        assert_eq!(ids, [u32::MAX - 1, u32::MAX, 1, 2]);
        assert_eq!(requests.pop_overdue(now + TIMEOUT), Some("a"));
        assert_eq!(requests.finish(1), Some("c"));
        assert_eq!(requests.finish(u32::MAX), Some("b"));
        assert_eq!(requests.finish(2), Some("d"));
    }

    #[test]
    fn a_new_connection_starts_at_one_and_gets_back_what_was_unanswered() {
        let mut requests = Requests::new(TIMEOUT);
        let now = Instant::now();
        requests.begin("a", now);
        requests.begin("b", now);
        assert_eq!(requests.reset().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((requests.next_id(), requests.len()), (1, 0));
    }
}
