use throng_protocol::Join;

use super::*;
use crate::{SlowReader, mailbox::mailbox_with};

impl Talk {
    /// A subscription whose reader may fall behind by one event and then ends.
    fn impatient(&mut self) -> Reader {
        self.generation += 1;
        let key = SubscriptionKey { channel: "news".into(), generation: self.generation };
        let bounds = QueueBounds { events: 1, bytes: 1_000 };
        let (events, reader) = mailbox_with(bounds, SlowReader::Unsubscribe);
        let (ready, confirmed) = oneshot::channel();
        let options = Box::default();
        self.handle(Input::Subscribe(NewSubscription { key: key.clone(), options, events, ready }));
        let id = self.asked_for("news");
        self.confirm(id);
        Reader { key, events: reader, ready: confirmed }
    }
}

const END: &str = "unsubscribed: the stream was read too slowly";

#[test]
fn a_reader_that_is_too_slow_is_unsubscribed_where_that_was_chosen() {
    let join = PushEvent::Join(Join { info: None });
    for (too_much, shown) in [(publication("2"), "1"), (join, "1")] {
        let mut talk = Talk::connected();
        let news = talk.impatient();
        talk.push("news", publication("1"));
        assert_eq!(talk.sent(), []);
        talk.push("news", too_much);
        let left = talk.left("news");
        talk.push("news", publication("3"));
        assert_eq!(news.all(), [shown, END]);
        // The channel is free again as soon as the server has let go of it.
        talk.handle(Input::Abandoned(news.key.clone()));
        assert_eq!(talk.sent(), []);
        let again = talk.subscribe("news");
        assert_eq!(talk.sent(), []);
        talk.answer(left, Ok(Outcome::Unsubscribe(throng_protocol::UnsubscribeResult::default())));
        let id = talk.asked_for("news");
        talk.confirm(id);
        talk.push("news", publication("4"));
        assert_eq!(again.all(), ["4"]);
    }
}

#[test]
fn a_reader_for_whom_the_interruption_is_too_much_is_not_subscribed_again() {
    let mut talk = Talk::connected();
    let news = talk.impatient();
    talk.push("news", publication("1"));
    talk.push("news", unsubscribe(2_500));
    assert_eq!(talk.sent(), []);
    assert_eq!(news.all(), ["1", END]);

    let mut talk = Talk::connected();
    let news = talk.impatient();
    talk.push("news", publication("1"));
    talk.reconnect(1006);
    assert_eq!(talk.sent(), []);
    assert_eq!(news.all(), ["1", END]);
}
