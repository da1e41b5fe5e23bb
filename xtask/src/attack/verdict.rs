//! What must hold under an attack and after it, and the judgement of what was seen.

use std::{fmt, time::Duration};

use super::{answers::Answers, pair::Phase};

/// How many times its quiet p99 the well-behaved pair may take under attack.
const SLOWER: u32 = 3;
/// A p99 up to this is good whatever the quiet one was: below it the scheduler of a small machine is measured.
pub(super) const P99_FLOOR: Duration = Duration::from_millis(15);
/// How far from where it stood before the attack the memory may stay. The allocator keeps some for the next crowd.
const RSS_SLACK: u64 = 24 << 20;
/// The same for descriptors: the checks have connections of their own.
const DESCRIPTOR_SLACK: u64 = 8;

/// Bounds of one attack, on top of what the server had before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// MiB of resident memory.
    pub(super) rss_mib: u64,
    /// Open descriptors.
    pub(super) descriptors: u64,
}

/// What the server's process holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Usage {
    /// Bytes of resident memory.
    pub(super) rss: u64,
    /// Open descriptors.
    pub(super) descriptors: u64,
}

/// All that was seen of one attack.
#[derive(Debug)]
pub(super) struct Observation {
    pub(super) before: Usage,
    pub(super) peak: Usage,
    /// When it had come to rest, or when the wait for that was over.
    pub(super) after: Usage,
    pub(super) quiet_p99: Duration,
    pub(super) pair: Phase,
    /// Panics that the server counted meanwhile.
    pub(super) panics: u64,
    /// What `/health` answered at the end; `None` for nothing.
    pub(super) health: Option<u16>,
    pub(super) answers: Answers,
}

/// Something that does not hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Complaint {
    /// The pair took too long.
    P99 {
        /// What it took.
        took: Duration,
        /// What it may take.
        allowed: Duration,
    },
    /// Anything else, as a sentence.
    Other(String),
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::P99 { took, allowed } => write!(f, "the pair's p99 was {took:.1?}, above {allowed:.1?}"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

impl From<String> for Complaint {
    fn from(complaint: String) -> Self {
        Self::Other(complaint)
    }
}

impl Complaint {
    /// Whether it is of what takes a quiet machine to measure.
    pub(super) const fn is_of_the_p99(&self) -> bool {
        matches!(self, Self::P99 { .. })
    }
}

impl Usage {
    /// Both at their highest.
    pub(super) fn max(self, other: Self) -> Self {
        Self { rss: self.rss.max(other.rss), descriptors: self.descriptors.max(other.descriptors) }
    }

    /// Whether what was taken since `before` has been given back.
    pub(super) const fn is_back_at(&self, before: &Self) -> bool {
        self.rss <= before.rss + RSS_SLACK && self.descriptors <= before.descriptors + DESCRIPTOR_SLACK
    }
}

/// The longest p99 that the pair may have under attack.
pub(super) fn allowed_p99(quiet: Duration) -> Duration {
    (quiet * SLOWER).max(P99_FLOOR)
}

/// Everything that does not hold; nothing if the attack failed.
pub(super) fn judge(seen: &Observation, bounds: &Bounds) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut complain = |holds: bool, what: String| {
        if !holds {
            complaints.push(Complaint::Other(what));
        }
    };
    complain(seen.health == Some(200), format!("/health answered {:?}", seen.health));
    complain(seen.panics == 0, format!("{} panic(s)", seen.panics));
    let Observation { before, peak, after, .. } = seen;
    let grown = peak.rss.saturating_sub(before.rss);
    complain(
        grown <= bounds.rss_mib << 20,
        format!("memory grew by {} MiB, above {} MiB", grown >> 20, bounds.rss_mib),
    );
    let opened = peak.descriptors.saturating_sub(before.descriptors);
    complain(
        opened <= bounds.descriptors,
        format!("{opened} descriptors were opened, above {}", bounds.descriptors),
    );
    complain(
        after.is_back_at(before),
        format!(
            "what was taken was not given back: {} MiB and {} descriptors before, {} MiB and {} descriptors after",
            before.rss >> 20,
            before.descriptors,
            after.rss >> 20,
            after.descriptors
        ),
    );
    judge_pair(&seen.pair, &mut complain);
    complain(seen.answers.total() > 0, "nothing was answered, so that nothing is proven".to_owned());
    let (took, allowed) = (seen.pair.p99, allowed_p99(seen.quiet_p99));
    if took > allowed {
        complaints.push(Complaint::P99 { took, allowed });
    }
    complaints.extend(seen.answers.wrong().map(Complaint::from));
    complaints
}

fn judge_pair(pair: &Phase, complain: &mut impl FnMut(bool, String)) {
    complain(
        pair.trouble.is_none(),
        format!("the well-behaved pair: {}", pair.trouble.as_deref().unwrap_or("")),
    );
    complain(pair.received == pair.sent, format!("the pair sent {} and got {}", pair.sent, pair.received));
    complain(pair.sent > 0, "the pair sent nothing, so that nothing is proven".to_owned());
}

#[cfg(test)]
mod tests {
    use super::{super::answers::Seen, *};

    const BOUNDS: Bounds = Bounds { rss_mib: 10, descriptors: 100 };

    /// An attack that came to nothing.
    fn good() -> Observation {
        let before = Usage { rss: 50 << 20, descriptors: 30 };
        let mut answers = Answers::default();
        answers.expect("a bad frame", &[Seen::Close(1002)], Seen::Close(1002));
        Observation {
            before,
            peak: Usage { rss: 60 << 20, descriptors: 130 },
            after: before,
            quiet_p99: Duration::from_millis(1),
            pair: Phase { sent: 100, received: 100, p99: P99_FLOOR, trouble: None },
            panics: 0,
            health: Some(200),
            answers,
        }
    }

    #[test]
    fn an_attack_that_came_to_nothing_is_no_complaint() {
        assert_eq!(judge(&good(), &BOUNDS), []);
    }

    #[test]
    fn each_broken_promise_is_a_complaint_of_its_own() {
        type Plant = fn(&mut Observation);
        let plants: [(&str, Plant); 13] = [
            ("/health", |seen| seen.health = None),
            ("/health", |seen| seen.health = Some(503)),
            ("panic", |seen| seen.panics = 1),
            ("memory grew", |seen| seen.peak.rss += 1),
            ("descriptors were opened", |seen| seen.peak.descriptors += 1),
            ("not given back", |seen| seen.after.rss += RSS_SLACK + 1),
            ("not given back", |seen| seen.after.descriptors += DESCRIPTOR_SLACK + 1),
            ("p99", |seen| seen.pair.p99 += Duration::from_nanos(1)),
            ("sent 100 and got 99", |seen| seen.pair.received -= 1),
            ("sent nothing", |seen| (seen.pair.sent, seen.pair.received) = (0, 0)),
            ("pair: cut", |seen| seen.pair.trouble = Some("cut".into())),
            ("nothing was answered", |seen| seen.answers = Answers::default()),
            ("a bad frame", |seen| seen.answers.expect("a bad frame", &[Seen::Close(1002)], Seen::Silence)),
        ];
        for (expected, plant) in plants {
            let mut seen = good();
            plant(&mut seen);
            let complaints = judge(&seen, &BOUNDS);
            assert_eq!(complaints.len(), 1, "{expected}: {complaints:?}");
            assert!(complaints[0].to_string().contains(expected), "{expected}: {complaints:?}");
        }
    }

    #[test]
    fn a_slow_machine_is_measured_by_its_own_quiet_time() {
        let quiet = Duration::from_millis(20);
        assert_eq!(allowed_p99(quiet), Duration::from_millis(60));
        assert_eq!(allowed_p99(Duration::from_micros(200)), P99_FLOOR);
    }
}
