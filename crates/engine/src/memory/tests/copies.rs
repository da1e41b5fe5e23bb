//! What is kept holds no read buffer, and what is not kept is not copied.

use throng_protocol::ClientInfo;

use super::*;

/// A slice in the middle of a large buffer, as payloads come out of a read, and the buffer itself.
fn slice() -> (Payload, Payload) {
    let buffer = Payload::from(vec![b'x'; 65_536]);
    (Payload::new(buffer.as_bytes().slice(100..110)), buffer)
}

fn from_buffer(data: Payload, chan_info: Payload, conn_info: Payload) -> Event {
    let info = Some(ClientInfo { conn_info, chan_info, ..ClientInfo::default() });
    let publication = Publication { data, info, ..Publication::default() };
    Event::new(Message::Publication(Arc::new(publication)))
}

#[test]
fn what_is_stored_keeps_no_read_buffer_alive() {
    let node = Node::new(MemoryLimits::default());
    let ((data, buffer), (chan, chan_buffer), (conn, conn_buffer)) = (slice(), slice(), slice());
    node.subscribe("news");
    now(node.engine.publish(&name("news"), from_buffer(data, chan, conn), &stored())).unwrap();
    for buffer in [buffer, chan_buffer, conn_buffer] {
        assert!(buffer.as_bytes().is_unique(), "neither the stream nor the delivery holds the buffer");
    }
}

#[test]
fn what_is_stored_and_what_is_delivered_are_one() {
    let node = Node::new(MemoryLimits::default());
    node.subscribe("news");
    node.store("news", "a");
    let kept = now(node.engine.history(&name("news"), &history(), &HistoryQuery::default())).unwrap();
    let delivered = node.engine.sink().deliveries(&name("news"));
    let Message::Publication(delivered) = &delivered[0].event.message else { panic!("it is a publication") };
    assert!(Arc::ptr_eq(delivered, &kept.publications.unwrap()[0]));
}

#[test]
fn a_publisher_that_keeps_its_publication_does_not_see_it_change() {
    let node = Node::new(MemoryLimits::default());
    let event = event("a");
    now(node.engine.publish(&name("news"), event.clone(), &stored())).unwrap();
    let Message::Publication(own) = event.message else { panic!("it is a publication") };
    assert_eq!((own.offset, &*own.epoch), (0, ""));
}

#[test]
fn what_is_not_stored_is_passed_on_as_it_is() {
    let node = Node::new(MemoryLimits::default());
    node.subscribe("news");
    let (data, _buffer) = slice();
    let address = data.as_bytes().as_ptr();
    now(node.engine.publish(&name("news"), event(data), &PublishOptions::default())).unwrap();
    let delivered = node.engine.sink().deliveries(&name("news"));
    let Message::Publication(delivered) = &delivered[0].event.message else { panic!("it is a publication") };
    assert_eq!(delivered.data.as_bytes().as_ptr(), address);
}
