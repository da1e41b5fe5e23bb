use std::time::Duration;

use super::method::Target;
use crate::metrics::{Number, Page};

/// How a request of the API ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// With a result. A batch, and whatever it holds, counts as one.
    Done,
    /// With an error of the API.
    Error,
    /// Without a key, or with a wrong one.
    Unauthorized,
    /// There is no such method, or not by this HTTP method.
    Unknown,
    /// The body is not what the method takes, or did not come to its end.
    Malformed,
    /// The body is too long.
    TooLong,
    /// The body did not come in time.
    Late,
    /// There were too many requests at once.
    Overload,
}

impl Outcome {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Done, "ok"),
        (Self::Error, "error"),
        (Self::Unauthorized, "unauthorized"),
        (Self::Unknown, "not_found"),
        (Self::Malformed, "bad_request"),
        (Self::TooLong, "too_long"),
        (Self::Late, "timeout"),
        (Self::Overload, "overload"),
    ];
}

/// What the API counts.
#[derive(Debug)]
pub(crate) struct ApiCounts {
    /// For each target, at its place.
    targets: Box<[TargetCounts]>,
    in_flight: Number,
}

#[derive(Debug, Default)]
struct TargetCounts {
    requests: [Number; Outcome::ALL.len()],
    /// Time from the head of a request to its answer.
    micros: Number,
}

/// A request that is being answered, counted until it is dropped.
#[derive(Debug)]
pub(super) struct InFlight<'c>(&'c Number);

impl ApiCounts {
    pub(super) fn request(&self, target: Target, outcome: Outcome, took: Duration) {
        let counts = &self.targets[target.place()];
        counts.requests[outcome as usize].add(1);
        counts.micros.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    pub(super) fn enter(&self) -> InFlight<'_> {
        self.in_flight.add(1);
        InFlight(&self.in_flight)
    }

    /// Writes the numbers.
    pub(crate) fn render(&self, page: &mut Page) {
        let targets = || Target::all().map(|target| (target.label(), &self.targets[target.place()]));
        page.family("throng_api_requests_total", "counter", "Requests of the server API, by how they ended.");
        for (method, counts) in targets() {
            for (outcome, label) in Outcome::ALL {
                let count = counts.requests[outcome as usize].get();
                // Whoever watches rates needs the usual ones from the start, and is better off without all the others.
                if count > 0 || matches!(outcome, Outcome::Done | Outcome::Error) {
                    page.sample("throng_api_requests_total", &[("method", method), ("result", label)], count);
                }
            }
        }
        page.family("throng_api_request_seconds", "summary", "Time from a request's head to its answer.");
        for (method, counts) in targets() {
            let label = [("method", method)];
            let seconds = Duration::from_micros(counts.micros.get()).as_secs_f64();
            page.sample("throng_api_request_seconds_sum", &label, seconds);
            page.sample(
                "throng_api_request_seconds_count",
                &label,
                counts.requests.iter().map(Number::get).sum::<u64>(),
            );
        }
        let help = "Requests of the server API that are being answered.";
        page.single("throng_api_requests_in_flight", "gauge", help, self.in_flight.get());
    }
}

impl Default for ApiCounts {
    fn default() -> Self {
        Self {
            targets: Target::all().map(|_| TargetCounts::default()).collect(),
            in_flight: Number::default(),
        }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.subtract(1);
    }
}
