use crate::auth::Operation;
use crate::metrics::{Number, Page};

/// What sessions have denied, and what of theirs was over.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    denials: [Number; Operation::COUNT],
    expired: [Number; Expired::ALL.len()],
}

/// What was over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Expired {
    Connection,
    Subscription,
}

impl Expired {
    const ALL: [(Self, &'static str); 2] =
        [(Self::Connection, "connection"), (Self::Subscription, "subscription")];
}

impl Counts {
    /// Counts that a client was refused what it may not do.
    pub(crate) fn denied(&self, operation: Operation) {
        self.denials[operation as usize].add(1);
    }

    /// Counts what ended because its time was over.
    pub(crate) fn expired(&self, what: Expired) {
        self.expired[what as usize].add(1);
    }

    /// Writes the numbers.
    pub(crate) fn render(&self, page: &mut Page) {
        let help = "What clients were refused because they may not do it, by what it was.";
        page.family("throng_permission_denials_total", "counter", help);
        for operation in [Operation::Subscribe, Operation::Publish, Operation::Presence, Operation::History] {
            let count = self.denials[operation as usize].get();
            page.sample("throng_permission_denials_total", &[("operation", operation.name())], count);
        }
        let help = "Connections and subscriptions that ended because nobody prolonged them in time.";
        page.family("throng_expired_total", "counter", help);
        for (what, label) in Expired::ALL {
            page.sample("throng_expired_total", &[("what", label)], self.expired[what as usize].get());
        }
    }
}
