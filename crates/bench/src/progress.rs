//! What a run tells while it runs.

/// Is told how far a run has come. Called a few times per second from the thread that generates the load, so it must be quick.
pub trait Observer {
    /// A phase began: its name, and how much there is to do in it (connections or milliseconds).
    fn phase(&mut self, name: &'static str, total: u64);

    /// So much of the phase is done; `detail` is a short text for people.
    fn advance(&mut self, done: u64, detail: &str);
}

/// An observer that tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn phase(&mut self, _name: &'static str, _total: u64) {}

    fn advance(&mut self, _done: u64, _detail: &str) {}
}
