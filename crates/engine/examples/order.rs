//! Two threads publish to one channel; the engine puts their events into one order.
//!
//! Run it with `cargo run -p throng-engine --example order`.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use futures_util::FutureExt;
use throng_engine::{
    Busy, Delivery, Engine, Event, MemoryEngine, MemoryLimits, Message, PublishOptions, Sink,
};
use throng_protocol::frame::MessageKind;
use throng_protocol::{ChannelName, Payload};

/// Prints what it is handed.
struct Printer;

impl Sink for Printer {
    type Ticket = ();

    fn reserve(&self, _: &ChannelName) -> Result<(), Busy> {
        Ok(())
    }

    fn deliver(&self, (): (), channel: &ChannelName, delivery: Delivery) {
        println!("{channel} #{}: {:?}", delivery.sequence.get(), delivery.event.message);
    }
}

fn publish(engine: &MemoryEngine<Printer>, channel: &ChannelName, text: &'static str) {
    let event = Event::new(Message::Relay { kind: MessageKind::Text, data: Payload::from(text) });
    let answer = engine.publish(channel, event, &PublishOptions::default()).now_or_never();
    answer.expect("the memory engine answers inline").expect("the printer is never busy");
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = MemoryEngine::new(Printer, MemoryLimits::default());
    let news: ChannelName = "news".parse()?;
    engine.subscribe(&news).now_or_never().expect("the memory engine answers inline")?;
    std::thread::scope(|scope| {
        for text in ["from one thread", "from another"] {
            let (engine, news) = (&engine, &news);
            scope.spawn(move || (0..3).for_each(|_| publish(engine, news, text)));
        }
    });
    Ok(())
}
