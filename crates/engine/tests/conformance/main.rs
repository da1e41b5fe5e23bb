//! The memory engine does what an engine must do, and the suite that says so takes engines that answer and deliver later, and
//! notices engines that do otherwise.

mod delayed;
mod faulty;

use std::time::Duration;

use throng_engine::conformance::{self, Harness, Recorder};
use throng_engine::{ManualClock, MemoryEngine, MemoryLimits, Sink};

use crate::delayed::Delayed;
use crate::faulty::{Fault, Faulty};

/// Makes engines whose time stands still until the suite moves it.
#[derive(Default)]
struct Memory(ManualClock);

impl Memory {
    fn memory<S: Sink>(&self, sink: S, idempotency_ttl: Duration) -> MemoryEngine<S> {
        let limits = MemoryLimits { idempotency_ttl, ..MemoryLimits::default() };
        MemoryEngine::with_clock(sink, limits, self.0.clock())
    }
}

impl Harness for Memory {
    type Engine = MemoryEngine<Recorder>;

    fn engine(&self, recorder: Recorder) -> Self::Engine {
        self.memory(recorder, self.idempotency_ttl())
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        conformance::block_on(future)
    }

    fn advance(&self, engine: &Self::Engine, time: Duration) {
        self.0.advance(time);
        engine.sweep();
    }
}

/// The same without a sweep: what has expired is gone before its memory is.
#[derive(Default)]
struct Unswept(Memory);

impl Harness for Unswept {
    type Engine = MemoryEngine<Recorder>;

    fn engine(&self, recorder: Recorder) -> Self::Engine {
        self.0.engine(recorder)
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        conformance::block_on(future)
    }

    fn advance(&self, _: &Self::Engine, time: Duration) {
        self.0.0.advance(time);
    }
}

#[derive(Default)]
struct Asynchronous(Memory);

impl Harness for Asynchronous {
    type Engine = Delayed;

    fn engine(&self, recorder: Recorder) -> Self::Engine {
        Delayed::new(recorder, |sink| self.0.memory(sink, self.idempotency_ttl()))
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        conformance::block_on(future)
    }

    fn advance(&self, _: &Self::Engine, time: Duration) {
        self.0.0.advance(time);
    }
}

struct Broken(Memory, Fault);

impl Harness for Broken {
    type Engine = Faulty;

    fn engine(&self, recorder: Recorder) -> Self::Engine {
        Faulty::new(recorder, self.1, |sink| self.0.memory(sink, self.idempotency_ttl()))
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        conformance::block_on(future)
    }

    fn advance(&self, _: &Self::Engine, time: Duration) {
        if self.1 != Fault::ForgetsTime {
            self.0.0.advance(time);
        }
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(100)
    }
}

/// Whether an engine with this fault passes a check.
fn passes(fault: Fault, name: &str) -> bool {
    let check = conformance::checks().into_iter().find(|check| check.name == name);
    let check = check.unwrap_or_else(|| panic!("there is no check {name}"));
    let harness = Broken(Memory::default(), fault);
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (check.run)(&harness))).is_ok()
}

#[test]
fn the_memory_engine_does_what_an_engine_must_do() {
    conformance::run_all(&Memory::default());
}

#[test]
fn the_memory_engine_does_not_need_the_sweep_for_it() {
    conformance::run_all(&Unswept::default());
}

#[test]
fn an_engine_that_answers_and_delivers_later_can_do_what_an_engine_must_do() {
    conformance::run_all(&Asynchronous::default());
}

/// Some faults show only when calls fall together in a certain way, which a busy machine may keep them from doing once.
#[test]
fn the_suite_notices_engines_that_do_otherwise() {
    const TRIES: usize = 20;

    for (fault, name) in faulty::NOTICED_BY {
        assert!(passes(Fault::None, name), "{name} has nothing against an engine without fault");
        assert!((0..TRIES).any(|_| !passes(*fault, name)), "{fault:?} is noticed by {name}");
    }
}
