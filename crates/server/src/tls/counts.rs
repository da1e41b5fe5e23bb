use crate::metrics::{Number, Page};

/// What is counted of TLS.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    handshakes: [Number; Outcome::ALL.len()],
    waiting: Number,
    in_flight: Number,
    reloads: [Number; 2],
    /// When the first of the certificates in use expires, in Unix seconds.
    expires: Number,
}

/// How a TLS handshake ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// There is a connection.
    Full,
    /// There is a connection that goes on from an earlier one.
    Resumed,
    /// The peer speaks no TLS.
    Plain,
    /// The peer broke the protocol, or did not show what it must.
    Refused,
    /// The peer left.
    Gone,
    /// It took too long.
    Late,
    /// Too many others were under way, for too long.
    Crowded,
}

impl Outcome {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Full, "full"),
        (Self::Resumed, "resumed"),
        (Self::Plain, "plain"),
        (Self::Refused, "refused"),
        (Self::Gone, "gone"),
        (Self::Late, "late"),
        (Self::Crowded, "crowded"),
    ];

    /// Whether it counts against the peer's address.
    pub(crate) const fn is_failure(self) -> bool {
        match self {
            Self::Plain | Self::Refused | Self::Late => true,
            Self::Full | Self::Resumed | Self::Gone | Self::Crowded => false,
        }
    }
}

impl Counts {
    pub(crate) fn handshake(&self, outcome: Outcome) {
        self.handshakes[outcome as usize].add(1);
    }

    /// Counts a handshake as under way until what is returned is dropped.
    pub(super) fn in_flight(&self) -> Present<'_> {
        self.in_flight.add(1);
        Present(&self.in_flight)
    }

    /// Counts a handshake as waiting for its turn until what is returned is dropped.
    pub(super) fn waiting(&self) -> Present<'_> {
        self.waiting.add(1);
        Present(&self.waiting)
    }

    pub(super) fn reload(&self, is_taken: bool) {
        self.reloads[usize::from(!is_taken)].add(1);
    }

    /// Notes when the first of the certificates in use expires, in Unix seconds.
    pub(super) fn expires(&self, at: Option<u64>) {
        self.expires.set(at.unwrap_or(0));
    }

    /// Writes the exposition text.
    pub(crate) fn render(&self, page: &mut Page) {
        let name = "throng_tls_handshakes_total";
        page.family(name, "counter", "TLS handshakes, by how they ended.");
        for (outcome, label) in Outcome::ALL {
            page.sample(name, &[("result", label)], self.handshakes[outcome as usize].get());
        }
        let help = "TLS handshakes for which keys are being computed.";
        page.single("throng_tls_handshakes_in_flight", "gauge", help, self.in_flight.get());
        let help = "TLS handshakes that wait for their turn.";
        page.single("throng_tls_handshakes_waiting", "gauge", help, self.waiting.get());
        let name = "throng_tls_reloads_total";
        page.family(name, "counter", "Changed certificates that were read, by whether they could be used.");
        for (number, label) in self.reloads.iter().zip(["taken", "refused"]) {
            page.sample(name, &[("result", label)], number.get());
        }
        let help = "When the first of the certificates in use expires, in seconds since 1970; 0 without TLS.";
        page.single("throng_tls_certificate_expiry_seconds", "gauge", help, self.expires.get());
    }
}

/// A handshake that is counted as waiting or under way.
#[derive(Debug)]
pub(super) struct Present<'c>(&'c Number);

impl Drop for Present<'_> {
    fn drop(&mut self) {
        self.0.subtract(1);
    }
}
