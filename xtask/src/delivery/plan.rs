//! What a run does and when, all from one seed.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::SmallRng, seq::IndexedRandom};
use throng_protocol::Format;

use super::{
    Options,
    log::Channel,
    namespace::{NAMESPACES, PERSONAL},
};

/// A run, planned.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) channels: Vec<Channel>,
    pub(super) subscribers: Vec<SubscriberPlan>,
    pub(super) publishers: Vec<PublisherPlan>,
    /// What happens to the server, by time.
    pub(super) weather: Vec<(Duration, Weather)>,
    /// After this nothing is done to anybody any more.
    pub(super) length: Duration,
}

/// What is done to the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Weather {
    /// It stands still for this long (SIGSTOP, SIGCONT).
    Stall(Duration),
    /// It is killed (SIGKILL) and started again on the same port.
    Kill,
}

#[derive(Clone, Debug)]
pub(super) struct SubscriberPlan {
    pub(super) format: Format,
    /// The user that it is, with the number of that user's personal channel; `None`: nobody in particular.
    pub(super) user: Option<(String, usize)>,
    /// Asks for delta compression.
    pub(super) delta: bool,
    /// Asks for publications with the tag only, where it can.
    pub(super) filter: bool,
    /// Sends its subscribes in the same frame as its connect.
    pub(super) eager: bool,
    /// Wants error 112 instead of a subscription that is not recovered.
    pub(super) strict: bool,
    /// Its channels, by number, each with how it is subscribed to.
    pub(super) channels: Vec<usize>,
    /// What it does to its own connection, by time.
    pub(super) actions: Vec<(Duration, Action)>,
    /// Waits between connections, in milliseconds; used in turn.
    pub(super) backoff: Vec<u64>,
}

/// What a subscriber does to its own connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Action {
    /// Ends it with a TCP reset.
    Reset,
    /// Ends it with a close frame.
    Close,
    /// Ends it without one.
    Vanish,
    /// Reads nothing for this long.
    Pause(Duration),
    /// Unsubscribes from a channel (by number among its own), and subscribes again after `away`.
    Leave { channel: usize, away: Duration, recover: bool },
}

#[derive(Clone, Debug)]
pub(super) struct PublisherPlan {
    pub(super) door: Door,
    /// For what it publishes where, and when.
    pub(super) seed: u64,
    /// It publishes to the first so many channels: clients may not publish to personal ones.
    pub(super) channels: usize,
    /// Average time between two publications.
    pub(super) pace: Duration,
    /// When it resets its connection.
    pub(super) resets: Vec<Duration>,
}

/// How a publisher publishes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Door {
    WebSocket(Format),
    Http,
}

/// One step of a publisher.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Step {
    pub(super) wait: Duration,
    pub(super) channel: usize,
    /// Publications in a row.
    pub(super) count: u32,
    /// Over HTTP: publishes a single one twice, with one idempotency key.
    pub(super) twice: bool,
}

/// The steps of one publisher, without an end.
#[derive(Debug)]
pub(super) struct Steps {
    random: SmallRng,
    pace: Duration,
    channels: usize,
}

/// Users that subscribers belong to.
const USERS: usize = 3;

fn user(number: usize) -> String {
    format!("user{number}")
}

impl Plan {
    pub(super) fn new(options: &Options) -> Self {
        let mut random = SmallRng::seed_from_u64(options.seed);
        let length = Duration::from_secs(options.seconds);
        let count = usize::from(options.channels);
        let shared = (0..count).map(|number| {
            let namespace = &NAMESPACES[number % NAMESPACES.len()];
            Channel { name: format!("{}:{number}", namespace.name), promise: namespace.promise }
        });
        let personal = (0..USERS).map(|number| {
            let name = format!("{}:#{}", PERSONAL.name, user(number));
            Channel { name, promise: PERSONAL.promise }
        });
        let channels = shared.chain(personal).collect();
        let subscribers =
            (0..options.subscribers).map(|_| SubscriberPlan::new(&mut random, options, length)).collect();
        let pace = Duration::from_secs_f64(f64::from(options.publishers) / f64::from(options.rate));
        let publishers = (0..options.publishers)
            .map(|number| {
                let (door, channels) = match number % 4 {
                    0 => (Door::WebSocket(Format::Json), count),
                    2 => (Door::WebSocket(Format::Protobuf), count),
                    _ => (Door::Http, count + USERS),
                };
                let resets = times(&mut random, length, Duration::from_secs(12));
                PublisherPlan { door, seed: random.random(), channels, pace, resets }
            })
            .collect();
        Self { channels, subscribers, publishers, weather: weather(&mut random, options, length), length }
    }
}

impl SubscriberPlan {
    fn new(random: &mut SmallRng, options: &Options, length: Duration) -> Self {
        let all = usize::from(options.channels);
        let count = random.random_range(all.min(2)..=all.min(6));
        let numbers: Vec<usize> = (0..all).collect();
        let mut channels: Vec<usize> = numbers.sample(random, count).copied().collect();
        channels.sort_unstable();
        let actions = if options.calm {
            Vec::new()
        } else {
            let times = times(random, length, Duration::from_secs(3));
            times.into_iter().map(|time| (time, Action::new(random, count))).collect()
        };
        Self {
            format: if random.random() { Format::Json } else { Format::Protobuf },
            user: random.random_bool(0.5).then(|| {
                let number = random.random_range(0..USERS);
                (user(number), all + number)
            }),
            delta: random.random(),
            filter: random.random(),
            eager: random.random(),
            strict: random.random_ratio(1, 4),
            channels,
            actions,
            backoff: (0..16).map(|_| random.random_range(0..200)).collect(),
        }
    }
}

impl Action {
    fn new(random: &mut SmallRng, channels: usize) -> Self {
        let mut time = |from, to| Duration::from_millis(random.random_range(from..to));
        let (pause, away) = (time(200, 2_500), time(0, 1_500));
        match random.random_range(0..10) {
            0..3 => Self::Reset,
            3 => Self::Close,
            4 => Self::Vanish,
            5..7 => Self::Pause(pause),
            _ => Self::Leave {
                channel: random.random_range(0..channels),
                away,
                recover: random.random_ratio(3, 4),
            },
        }
    }
}

impl PublisherPlan {
    pub(super) fn steps(&self) -> Steps {
        Steps { random: SmallRng::seed_from_u64(self.seed), pace: self.pace, channels: self.channels }
    }
}

impl Iterator for Steps {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        // Now and then many at once, and then as long a silence.
        let count = match self.random.random_range(0..20) {
            0 => self.random.random_range(16..64),
            1..5 => self.random.random_range(2..8),
            _ => 1,
        };
        let wait = self.pace.mul_f64(f64::from(count) * self.random.random_range(0.2..1.8));
        let channel = self.random.random_range(0..self.channels);
        Some(Step { wait, channel, count, twice: count == 1 && self.random.random_ratio(1, 8) })
    }
}

/// Stalls about every 5 seconds, kills about every 8, and at least one of each.
fn weather(random: &mut SmallRng, options: &Options, length: Duration) -> Vec<(Duration, Weather)> {
    if options.calm {
        return Vec::new();
    }
    let mut some = |every: u64, at_least: f64| {
        let mut times = times(random, length, Duration::from_secs(every));
        if times.is_empty() {
            times.push(length.mul_f64(at_least));
        }
        times
    };
    let (stalls, kills) = (some(5, 0.3), some(8, 0.6));
    let stall = |time| (time, Weather::Stall(Duration::from_millis(random.random_range(50..1_500))));
    let mut weather: Vec<_> = stalls.into_iter().map(stall).collect();
    if !options.no_kill {
        weather.extend(kills.into_iter().map(|time| (time, Weather::Kill)));
    }
    weather.sort_by_key(|(time, _)| *time);
    weather
}

/// Random times within `length`, `every` so often on average; the first second and the last half second stay free.
fn times(random: &mut SmallRng, length: Duration, every: Duration) -> Vec<Duration> {
    let (first, last) = (Duration::from_secs(1), length.saturating_sub(Duration::from_millis(500)));
    let mut times = Vec::new();
    let mut time = first;
    loop {
        time += every.mul_f64(random.random_range(0.2..1.8));
        if time > last {
            return times;
        }
        times.push(time);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn options(seed: u64) -> Options {
        Options { seed, seconds: 60, ..Options::usual() }
    }

    #[test]
    fn one_seed_gives_one_plan_and_another_seed_another() {
        let shown = |seed| {
            let plan = Plan::new(&options(seed));
            let steps: Vec<Step> = plan.publishers[0].steps().take(50).collect();
            format!("{plan:?} {steps:?}")
        };
        assert_eq!(shown(1), shown(1));
        assert_ne!(shown(1), shown(2));
    }

    #[test]
    fn a_minute_holds_every_kind_of_trouble() {
        let plan = Plan::new(&options(7));
        let all = || plan.subscribers.iter().flat_map(|subscriber| &subscriber.actions);
        assert!(all().any(|(_, action)| *action == Action::Reset));
        assert!(all().any(|(_, action)| *action == Action::Close));
        assert!(all().any(|(_, action)| *action == Action::Vanish));
        assert!(all().any(|(_, action)| matches!(action, Action::Pause(_))));
        assert!(all().any(|(_, action)| matches!(action, Action::Leave { recover: true, .. })));
        assert!(all().any(|(_, action)| matches!(action, Action::Leave { recover: false, .. })));
        assert!(plan.weather.iter().any(|(_, weather)| *weather == Weather::Kill));
        assert!(plan.weather.iter().any(|(_, weather)| matches!(weather, Weather::Stall(_))));
        assert!(all().all(|(time, _)| *time < plan.length));
    }

    #[test]
    fn the_shortest_run_has_a_stall_and_a_kill() {
        for seed in 0..20 {
            let plan = Plan::new(&Options { seconds: 2, ..options(seed) });
            assert!(plan.weather.iter().any(|(_, weather)| *weather == Weather::Kill));
            assert!(plan.weather.iter().any(|(_, weather)| matches!(weather, Weather::Stall(_))));
        }
    }

    #[test]
    fn nobody_kills_or_cuts_where_that_was_forbidden() {
        let plan = Plan::new(&Options { no_kill: true, ..options(7) });
        assert!(plan.weather.iter().all(|(_, weather)| *weather != Weather::Kill));
        let plan = Plan::new(&Options { calm: true, ..options(7) });
        assert!(plan.weather.is_empty() && plan.subscribers.iter().all(|plan| plan.actions.is_empty()));
    }

    #[test]
    fn every_channel_is_published_to_and_subscribed_to() {
        let plan = Plan::new(&options(3));
        let all: BTreeSet<usize> = (0..plan.channels.len()).collect();
        let steps = plan.publishers[1].steps();
        assert_eq!(steps.take(500).map(|step| step.channel).collect::<BTreeSet<_>>(), all);
        let own = |plan: &SubscriberPlan| {
            plan.channels
                .iter()
                .copied()
                .chain(plan.user.as_ref().map(|(_, number)| *number))
                .collect::<Vec<_>>()
        };
        assert_eq!(plan.subscribers.iter().flat_map(own).collect::<BTreeSet<_>>(), all);
    }

    #[test]
    fn a_users_channel_is_its_personal_one() {
        let plan = Plan::new(&options(3));
        for (user, number) in plan.subscribers.iter().filter_map(|plan| plan.user.as_ref()) {
            assert_eq!(plan.channels[*number].name, format!("personal:#{user}"));
        }
    }
}
