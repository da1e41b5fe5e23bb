use bytes::Bytes;
use throng_protocol::{Format, Limits, PushEvent, Reply, fossil};
use throng_registry::SlowPolicy;

use crate::world::{CHANNELS, Channel, Kind, Record, text};

/// A subscription as its client sees it.
struct View<'r> {
    record: &'r Record,
    /// Number of the last publication that was read.
    last: usize,
    /// How many were read.
    read: usize,
    joins: Vec<u64>,
    base: Option<String>,
    closed: bool,
}

/// Reads a client's bytes as the client does. Returns, by channel, how many publications its subscriptions did not get.
///
/// `settled` says that everything has been written; `ended` that the table wanted the client gone.
pub(crate) fn check(
    channels: &[Channel],
    records: &[Record],
    bytes: &[u8],
    settled: bool,
    ended: bool,
) -> Vec<(usize, usize)> {
    let mut views: Vec<View<'_>> = Vec::new();
    let mut open: Vec<Option<usize>> = vec![None; CHANNELS];
    let mut replies = 0;
    for message in messages(bytes, settled) {
        let words: Vec<_> = message.split(' ').collect();
        match words[0] {
            "sub" => {
                let channel = words[1].parse::<usize>().unwrap();
                assert_eq!(open[channel], None);
                open[channel] = Some(views.len());
                views.push(View::new(&records[views.len()], channel));
            }
            "unsub" => {
                let view = open[words[1].parse::<usize>().unwrap()].take().unwrap();
                views[view].closed = true;
            }
            "reply" => {
                replies += 1;
                assert_eq!(words[1], replies.to_string());
            }
            _ => {
                let (channel, event) = push(&message);
                let view = open[channel].expect("an event outside of a subscription");
                views[view].take(&channels[channel], event);
            }
        }
    }
    if ended || !settled {
        return Vec::new();
    }
    assert_eq!(views.len(), records.len(), "every subscription was answered");
    views.iter().map(|view| (view.record.channel, view.missing(&channels[view.record.channel]))).collect()
}

impl<'r> View<'r> {
    fn new(record: &'r Record, channel: usize) -> Self {
        assert_eq!(record.channel, channel);
        let base = record.has_base.then(|| text(channel, record.start.number));
        Self { record, last: record.start.number, read: 0, joins: Vec::new(), base, closed: false }
    }

    fn take(&mut self, channel: &Channel, event: PushEvent) {
        assert!(!self.closed);
        match event {
            PushEvent::Publication(publication) => {
                let data = publication.data;
                let data = if channel.kind == Kind::Delta { data.unquoted().unwrap() } else { data };
                let data = if publication.delta {
                    let base = self.base.as_ref().expect("a patch of something");
                    fossil::apply(base.as_bytes(), data.as_bytes(), 10_000).unwrap()
                } else {
                    data.as_bytes().to_vec()
                };
                let data = String::from_utf8(data).unwrap();
                let number = data.trim_matches('"').rsplit(' ').next().unwrap().parse::<usize>().unwrap();
                assert_eq!(data, text(self.record.channel, number), "what was published");
                self.read(channel, number);
                self.base = Some(data);
            }
            PushEvent::Join(join) => {
                let user = join.info.unwrap().user;
                let sequence = user.split_once(' ').unwrap().1.parse::<u64>().unwrap();
                assert!(sequence > self.joins.last().copied().unwrap_or(self.record.start.sequence));
                self.joins.push(sequence);
            }
            other => panic!("{other:?}"),
        }
    }

    fn read(&mut self, channel: &Channel, number: usize) {
        assert!(number > self.last, "doubled, reordered, or from before the subscription");
        let between = self.last + 1..number;
        let positioned = channel.kind == Kind::Positioned;
        let exact = positioned || channel.policy == SlowPolicy::Disconnect;
        let skipped = between.clone().any(|it| positioned || !channel.published[it - 1].vanished);
        assert!(!exact || !skipped, "nothing was left out between {} and {number}", self.last);
        if positioned && self.read > 0 {
            assert_eq!(channel.epoch_of(number), channel.epoch_of(self.last), "one stream");
        }
        self.last = number;
        self.read += 1;
    }

    /// How many publications the client did not get, although it was subscribed and they arrived.
    fn missing(&self, channel: &Channel) -> usize {
        let (start, end) = (self.record.start, channel.end_of(self.record));
        let arrived = (start.number + 1..=end.number).filter(|it| !channel.published[it - 1].vanished);
        let missing = arrived.count() - self.read;
        if self.record.lost && channel.kind != Kind::Positioned {
            assert_eq!(self.read, 0, "too much came to be held, so that the subscription never began");
            return 0;
        }
        if channel.kind == Kind::Positioned {
            // Whoever has left knows by the last publication how far it has come, and that all before it was there.
            let told = self.record.lost || self.record.end.is_some();
            assert!(missing == 0 || told, "a loss that nobody was told of");
        }
        if !self.record.lost {
            let joins = channel.joins.iter().copied();
            let expected: Vec<_> =
                joins.filter(|it| (start.sequence + 1..=end.sequence).contains(it)).collect();
            assert_eq!(self.joins, expected, "who joined");
        }
        missing
    }
}

/// The texts of whole frames; behind them only the beginning of one may stand, unless all was written.
fn messages(mut rest: &[u8], settled: bool) -> Vec<String> {
    let mut messages = Vec::new();
    loop {
        let (header, length) = match rest {
            [0x81, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([*high, *low]))),
            [0x81, length, ..] if *length < 126 => (2, usize::from(*length)),
            _ => break,
        };
        let Some(frame) = rest.get(header..header + length) else { break };
        messages.push(String::from_utf8(frame.to_vec()).unwrap());
        rest = &rest[header + length..];
    }
    assert!(!settled || rest.is_empty(), "a whole number of frames");
    messages
}

fn push(message: &str) -> (usize, PushEvent) {
    let frame = Bytes::copy_from_slice(message.as_bytes());
    match Format::Json.decode_replies(frame, &Limits::for_replies()).next() {
        Some(Ok(Reply::Push(push))) => (push.channel["channel".len()..].parse().unwrap(), push.event),
        other => panic!("{other:?}"),
    }
}
