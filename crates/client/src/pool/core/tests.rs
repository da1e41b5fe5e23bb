use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Connections and callers are numbers.
type Numbers = Core<u32, u32>;

fn core(connections: usize, waiting: usize, shared: usize) -> Numbers {
    Core::new(Bounds { connections, waiting, shared, idle: 60 * SECOND })
}

fn unused(connection: u32, since: Instant) -> Option<Unused<u32>> {
    Some(Unused { connection, since })
}

/// Who was woken, and with which connection.
fn woken(woken: Woken<u32, u32>) -> Option<(u32, Option<u32>)> {
    woken.map(|(caller, Grant(unused))| (caller, unused.map(|unused| unused.connection)))
}

fn admitted(grant: Option<Grant<u32>>) -> Option<u32> {
    grant.expect("there is room").0.map(|unused| unused.connection)
}

#[test]
fn a_returned_connection_goes_to_whoever_has_waited_longest() {
    let now = Instant::now();
    let mut core = core(1, 10, 1);
    assert_eq!(admitted(core.admit()), None);
    assert!(core.admit().is_none());
    for caller in 1..=3 {
        core.wait(caller).unwrap();
    }
    assert_eq!(woken(core.release(unused(7, now))), Some((1, Some(7))));
    assert!(core.admit().is_none(), "nobody overtakes those who wait");
    assert_eq!(woken(core.release(None)), Some((2, None)));
    assert_eq!(woken(core.release(unused(8, now))), Some((3, Some(8))));
    assert_eq!(woken(core.release(unused(8, now))), None);
    assert_eq!(admitted(core.admit()), Some(8));
}

#[test]
fn who_leaves_the_queue_is_passed_over_and_the_queue_has_an_end() {
    let mut core = core(1, 2, 1);
    core.admit();
    let first = core.wait(1).unwrap();
    core.wait(2).unwrap();
    assert_eq!(core.wait(3), Err(NoPlace::Full(2)));
    assert_eq!(core.forget(first), Some(1));
    assert_eq!(core.forget(first), None);
    assert_eq!(woken(core.release(None)), Some((2, None)));
    assert_eq!((core.stats().waiting, core.stats().refused), (0, 1));
}

#[test]
fn the_connection_that_was_returned_last_is_used_first_so_that_the_others_grow_old() {
    let now = Instant::now();
    let mut core = core(3, 10, 1);
    for connection in 1..=3_u32 {
        core.admit();
        core.release(unused(connection, now + connection * SECOND));
        core.admit();
    }
    for connection in 1..=3_u32 {
        core.release(unused(connection, now + connection * SECOND));
    }
    assert_eq!(core.deadline(), Some(now + 61 * SECOND));
    assert_eq!(admitted(core.admit()), Some(3));
    core.expire(now + 61 * SECOND);
    assert_eq!(core.take_closing(), [1]);
    core.expire(now + 100 * SECOND);
    assert_eq!(core.take_closing(), [2]);
    assert_eq!(core.deadline(), None);
    assert_eq!(core.stats().closed.idle, 2);
}

#[test]
fn what_is_being_closed_counts_until_it_is_gone() {
    let now = Instant::now();
    let mut core = core(1, 10, 1);
    core.admit();
    core.release(unused(1, now));
    core.expire(now + 60 * SECOND);
    assert!(core.admit().is_none());
    core.wait(1).unwrap();
    assert_eq!(core.take_closing(), [1]);
    assert_eq!(woken(core.closed()), Some((1, None)));
}

#[test]
fn a_shared_connection_without_users_makes_way_for_who_waits_and_one_with_users_stays() {
    let now = Instant::now();
    let mut core = core(2, 10, 2);
    core.admit();
    let first = core.promote(0, 10, now);
    core.admit();
    let second = core.promote(1, 11, now);
    core.wait(1).unwrap();
    assert_eq!(core.take_closing(), [0_u32; 0]);
    core.leave(1, second, now);
    assert_eq!(core.take_closing(), [11]);
    core.leave(0, first, now);
    assert_eq!(core.take_closing(), [0_u32; 0], "one is enough for one who waits");
    assert_eq!(woken(core.closed()), Some((1, None)));
    core.wait(2).unwrap();
    assert_eq!(core.take_closing(), [10]);
    assert_eq!((core.stats().closed.evicted, core.stats().shared), (2, 0));
}

#[test]
fn who_used_a_connection_that_was_replaced_does_not_count_on_the_new_one() {
    let now = Instant::now();
    let mut core = core(2, 10, 1);
    core.admit();
    let old = core.promote(0, 1, now);
    assert_eq!(core.join(0), Some((1, old)));
    assert_eq!(core.take_stopped(0, |_| true).0, Some(1));
    assert_eq!(core.join(0), None);
    core.admit();
    let new = core.promote(0, 2, now);
    core.leave(0, old, now);
    core.leave(0, old, now);
    core.expire(now + 100 * SECOND);
    assert_eq!(core.join(0), Some((2, new)), "its user is still there");
    core.leave(0, new, now);
    core.leave(0, new, now);
    core.expire(now + 100 * SECOND);
    assert_eq!(core.join(0), None);
}

#[test]
fn an_ended_pool_gives_nothing_out_and_closes_what_comes_back() {
    let now = Instant::now();
    let mut core = core(3, 10, 1);
    core.admit();
    core.admit();
    core.admit();
    core.promote(0, 9, now);
    core.release(unused(1, now));
    core.admit();
    core.wait(5).unwrap();
    assert_eq!(core.end(), [5]);
    assert!(core.admit().is_none());
    assert_eq!(core.wait(6), Err(NoPlace::Ended));
    assert_eq!(woken(core.release(unused(1, now))), None);
    assert_eq!(woken(core.release(None)), None);
    assert_eq!(core.take_closing(), [9, 1]);
    assert!(!core.is_empty());
    assert_eq!((woken(core.closed()), woken(core.closed())), (None, None));
    assert!(core.is_empty());
}

/// What may happen to a pool. Numbers choose among what there is.
#[derive(Clone, Copy, Debug)]
enum Step {
    Enter,
    Forget(usize),
    Release(usize, bool),
    Replace(usize),
    Promote(usize, usize),
    Join(usize),
    Leave(usize),
    Stop(usize),
    Pass(u64),
    Close,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Enter),
        1 => any::<usize>().prop_map(Step::Forget),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(which, kept)| Step::Release(which, kept)),
        1 => any::<usize>().prop_map(Step::Replace),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(which, slot)| Step::Promote(which, slot)),
        1 => any::<usize>().prop_map(Step::Join),
        1 => any::<usize>().prop_map(Step::Leave),
        1 => any::<usize>().prop_map(Step::Stop),
        1 => (0_u64..90).prop_map(Step::Pass),
        2 => Just(Step::Close),
    ];
    prop::collection::vec(step, 0..200)
}

/// The callers and connections around the books, as they should be.
struct World {
    core: Numbers,
    now: Instant,
    next: u32,
    /// Those with a grant.
    holders: Vec<Option<u32>>,
    /// Those in the queue, first come first.
    queue: Vec<(Ticket, u32)>,
    users: Vec<(usize, Generation)>,
    closing: usize,
    /// Every connection that is open, and none twice.
    open: HashSet<u32>,
}

impl World {
    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// Whoever is woken is the first of the queue.
    fn wake(&mut self, woken: Woken<u32, u32>) {
        if let Some((caller, Grant(unused))) = woken {
            assert_eq!(self.queue.remove(0).1, caller, "first come, first served");
            self.hold(unused);
        }
    }

    /// Who gets a grant without a connection opens one.
    fn hold(&mut self, unused: Option<Unused<u32>>) {
        let connection = match unused {
            Some(unused) => unused.connection,
            None => {
                let number = self.number();
                assert!(self.open.insert(number));
                number
            }
        };
        self.holders.push(Some(connection));
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Enter => match self.core.admit() {
                Some(Grant(unused)) => self.hold(unused),
                None => {
                    let caller = self.number();
                    if let Ok(ticket) = self.core.wait(caller) {
                        self.queue.push((ticket, caller));
                    }
                }
            },
            Step::Forget(which) if !self.queue.is_empty() => {
                let (ticket, caller) = self.queue.remove(which % self.queue.len());
                assert_eq!(self.core.forget(ticket), Some(caller));
            }
            Step::Release(which, kept) if !self.holders.is_empty() => {
                let held = self.holders.remove(which % self.holders.len());
                let kept = held.filter(|_| kept);
                if let (None, Some(given_up)) = (kept, held) {
                    self.open.remove(&given_up);
                }
                let since = self.now;
                let woken = self.core.release(kept.map(|connection| Unused { connection, since }));
                self.wake(woken);
            }
            Step::Replace(which) if !self.holders.is_empty() => {
                let which = which % self.holders.len();
                if let Some(dead) = self.holders[which].take() {
                    self.open.remove(&dead);
                }
                let spare = self.core.spare();
                let holder = self.holders.remove(which);
                assert_eq!(holder, None);
                self.hold(spare);
            }
            Step::Promote(which, slot) if !self.holders.is_empty() => self.promote(which, slot % 2),
            Step::Join(slot) => {
                let joined = self.core.join(slot % 2);
                self.users.extend(joined.map(|(_, generation)| (slot % 2, generation)));
            }
            Step::Leave(which) if !self.users.is_empty() => {
                let (slot, generation) = self.users.remove(which % self.users.len());
                self.core.leave(slot, generation, self.now);
            }
            Step::Stop(slot) => {
                let (stopped, woken) = self.core.take_stopped(slot % 2, |_| true);
                stopped.map(|stopped| self.open.remove(&stopped));
                self.wake(woken);
            }
            Step::Pass(seconds) => {
                self.now += Duration::from_secs(seconds);
                self.core.expire(self.now);
                assert!(self.core.deadline().is_none_or(|deadline| deadline > self.now));
            }
            Step::Close => self.close(),
            Step::Forget(_) | Step::Release(..) | Step::Replace(_) | Step::Promote(..) | Step::Leave(_) => {}
        }
    }

    fn promote(&mut self, which: usize, slot: usize) {
        if self.core.join(slot).is_some_and(|(_, generation)| {
            self.core.leave(slot, generation, self.now);
            true
        }) {
            return; // as in the pool, a slot is filled only when it is empty
        }
        let which = which % self.holders.len();
        if let Some(connection) = self.holders.remove(which) {
            let generation = self.core.promote(slot, connection, self.now);
            self.users.push((slot, generation));
        }
    }

    fn close(&mut self) {
        for connection in self.core.take_closing() {
            assert!(self.open.remove(&connection), "{connection} is open and closed once");
            self.closing += 1;
        }
        if self.closing > 0 {
            self.closing -= 1;
            let woken = self.core.closed();
            self.wake(woken);
        }
    }

    fn check(&self) {
        let stats = self.core.stats();
        assert_eq!((stats.in_use, stats.waiting), (self.holders.len(), self.queue.len()));
        let total = stats.in_use + stats.idle + stats.shared + stats.closing;
        assert!(total <= 3, "{stats:?}");
        assert_eq!(self.open.len() + self.closing, total);
        assert!(stats.waiting == 0 || (total == 3 && stats.idle == 0), "nobody waits in vain: {stats:?}");
    }
}

proptest! {
    #[test]
    fn whatever_happens_connections_stay_below_the_maximum_and_nobody_waits_in_vain(steps in steps()) {
        let mut world = World {
            core: core(3, 4, 2),
            now: Instant::now(),
            next: 0,
            holders: Vec::new(),
            queue: Vec::new(),
            users: Vec::new(),
            closing: 0,
            open: HashSet::new(),
        };
        for step in steps {
            world.step(step);
            world.check();
        }
    }
}
