//! tungstenite as a second opinion: the same bytes must get the same verdict. Where the two differ on purpose, the
//! difference is named here and proved, not passed over.
//!
//! The fuzz target `frame` includes this file, `support` and `check`, so these depend on nothing else of the tests.

use std::io::{self, Read, Write};

use throng_protocol::frame::{CONTROL_BYTES, Decoder, Event, FrameError, FrameLimits, MessageKind};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket};

/// What a decoder made of a stream.
#[derive(Clone, Debug, PartialEq)]
struct Verdict<E> {
    heard: Vec<Heard>,
    end: End<E>,
}

#[derive(Clone, Debug, PartialEq)]
enum Heard {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

#[derive(Clone, Debug, PartialEq)]
enum End<E> {
    /// The stream may go on.
    Waiting,
    /// The client closed, with this code and reason.
    Closed(Option<(u16, String)>),
    Refused(E),
}

/// Says how the verdicts on `bytes` differ without being meant to. `Ok` names the intended difference, if there was one.
pub(crate) fn compare(bytes: &[u8], limits: &FrameLimits) -> Result<Option<Difference>, String> {
    let ours = ours(bytes, limits);
    let theirs = theirs(bytes, limits);
    let complaint = || format!("ours {ours:?}\ntheirs {theirs:?}\nlimits {limits:?}\nbytes {bytes:02x?}");
    if !theirs.heard.starts_with(&ours.heard) {
        return Err(format!("different messages\n{}", complaint()));
    }
    let same_messages = ours.heard.len() == theirs.heard.len();
    let same_end = match (&ours.end, &theirs.end) {
        (End::Waiting, End::Waiting) => true,
        (End::Closed(ours), End::Closed(theirs)) => ours == theirs,
        (End::Refused(ours), End::Refused(theirs)) => ours.close_code() == *theirs,
        _ => false,
    };
    if same_messages && same_end {
        return Ok(None);
    }
    Difference::ALL
        .into_iter()
        .find(|difference| difference.explains(bytes, limits, &ours, &theirs))
        .map(Some)
        .ok_or_else(|| format!("different verdicts\n{}", complaint()))
}

/// Where throng differs from tungstenite on purpose.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Difference {
    /// tungstenite judges a frame once all of it has come, we as soon as a byte is wrong. Proof: with the rest of the
    /// frame supplied the verdicts agree, without another message.
    FailFast,
    /// tungstenite does not limit the number of fragments. Proof: with unlimited fragments the verdicts agree.
    FragmentLimit,
    /// tungstenite accepts lengths that are not in their shortest form, which RFC 6455 (section 5.2) demands.
    /// Proof: up to that frame nothing is wrong.
    LengthNotMinimal,
    /// A frame that is too long and breaks another rule: tungstenite says 1009, we 1002, as for any frame that breaks
    /// that rule. Proof: up to that frame nothing is wrong, and it is too long.
    TooLongAndWrong,
    /// A close code that must not be sent: tungstenite reports a close frame of its own making in place of an error.
    BadCloseCode,
    /// 1014 (bad gateway) has been registered since; tungstenite takes it for a bad code.
    BadGateway,
}

impl Difference {
    pub(crate) const ALL: [Self; 6] = [
        Self::FailFast,
        Self::FragmentLimit,
        Self::LengthNotMinimal,
        Self::TooLongAndWrong,
        Self::BadCloseCode,
        Self::BadGateway,
    ];

    fn explains(
        self,
        bytes: &[u8],
        limits: &FrameLimits,
        ours: &Verdict<FrameError>,
        theirs: &Verdict<u16>,
    ) -> bool {
        // What tungstenite answers to a close code that it does not like.
        let protest = End::Closed(Some((1002, "Protocol violation".to_owned())));
        let nothing_wrong_before = |broken: Option<RawFrame>| {
            broken.is_some_and(|frame| {
                let before = &bytes[..frame.start];
                let ours_before = self::ours(before, limits);
                ours_before.end == End::Waiting
                    && ours_before.heard == ours.heard
                    && compare(before, limits) == Ok(None)
            })
        };
        match (self, &ours.end) {
            (Self::FailFast, End::Refused(_)) if theirs.end == End::Waiting => {
                let completed = with_last_frame_completed(bytes, limits);
                completed.len() > bytes.len()
                    && self::theirs(&completed, limits).heard == ours.heard
                    && matches!(compare(&completed, limits), Ok(None | Some(Self::TooLongAndWrong)))
            }
            (Self::FragmentLimit, End::Refused(FrameError::TooManyFragments { .. })) => {
                let unlimited = FrameLimits { fragments: u32::MAX, ..*limits };
                compare(bytes, &unlimited).is_ok()
            }
            (
                Self::LengthNotMinimal,
                // A control frame that does not write its length in seven bits cannot be a right one.
                End::Refused(FrameError::LengthNotMinimal { .. } | FrameError::ControlTooLong(_)),
            ) => nothing_wrong_before(raw_frames(bytes).find(|frame| !frame.minimal)),
            (Self::TooLongAndWrong, End::Refused(error)) => {
                let too_long = |frame: &RawFrame| frame.len > max_frame_bytes(limits) as u64;
                error.close_code() == 1002
                    && theirs.end == End::Refused(1009)
                    && nothing_wrong_before(raw_frames(bytes).find(too_long))
            }
            (Self::BadCloseCode, End::Refused(FrameError::CloseCode(_))) => theirs.end == protest,
            (Self::BadGateway, End::Closed(Some((1014, _)))) => theirs.end == protest,
            _ => false,
        }
    }
}

fn ours(bytes: &[u8], limits: &FrameLimits) -> Verdict<FrameError> {
    let mut bytes = bytes.to_vec();
    let mut input = &mut bytes[..];
    let mut decoder = Decoder::new();
    let mut heard = Vec::new();
    let end = loop {
        let (used, event) = match decoder.decode(input, limits) {
            Ok(decoded) => decoded,
            Err(error) => break End::Refused(error),
        };
        match event {
            None => break End::Waiting,
            Some(Event::Message { kind: MessageKind::Text, data }) => {
                heard.push(Heard::Text(data.into_owned()))
            }
            Some(Event::Message { kind: MessageKind::Binary, data }) => {
                heard.push(Heard::Binary(data.into_owned()))
            }
            Some(Event::Ping(data)) => heard.push(Heard::Ping(data.into_owned())),
            Some(Event::Pong(data)) => heard.push(Heard::Pong(data.into_owned())),
            Some(Event::Close(close)) => {
                break End::Closed(close.map(|close| (close.code, close.reason.into_owned())));
            }
        }
        input = &mut input[used..];
    };
    Verdict { heard, end }
}

fn theirs(bytes: &[u8], limits: &FrameLimits) -> Verdict<u16> {
    let config = WebSocketConfig::default()
        .read_buffer_size(4_096)
        .max_message_size(Some(limits.message_bytes))
        .max_frame_size(Some(max_frame_bytes(limits)));
    let mut server = WebSocket::from_raw_socket(FromClient(bytes), Role::Server, Some(config));
    let mut heard = Vec::new();
    let end = loop {
        match server.read() {
            Ok(Message::Text(text)) => heard.push(Heard::Text(text.as_bytes().to_vec())),
            Ok(Message::Binary(data)) => heard.push(Heard::Binary(data.to_vec())),
            Ok(Message::Ping(data)) => heard.push(Heard::Ping(data.to_vec())),
            Ok(Message::Pong(data)) => heard.push(Heard::Pong(data.to_vec())),
            Ok(Message::Close(close)) => {
                break End::Closed(close.map(|close| (close.code.into(), close.reason.to_string())));
            }
            Ok(Message::Frame(frame)) => panic!("reading gave a raw frame: {frame}"),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => break End::Waiting,
            Err(Error::Protocol(_)) => break End::Refused(1002),
            Err(Error::Utf8(_)) => break End::Refused(1007),
            Err(Error::Capacity(_)) => break End::Refused(1009),
            Err(error) => panic!("unforeseen: {error}"),
        }
    };
    Verdict { heard, end }
}

/// Beyond this length tungstenite refuses a frame by its header. It knows no difference between data and control frames,
/// so its limit must let the latter pass.
fn max_frame_bytes(limits: &FrameLimits) -> usize {
    limits.message_bytes.max(CONTROL_BYTES)
}

/// A client that has sent something and is silent now. What it is answered is thrown away.
struct FromClient<'a>(&'a [u8]);

impl Read for FromClient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { self.0.read(buffer) }
    }
}

impl Write for FromClient<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Ok(buffer.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where a frame is in the stream, without any judgement. Bytes that are missing count as 0.
#[derive(Clone, Copy)]
struct RawFrame {
    start: usize,
    header_len: usize,
    len: u64,
    minimal: bool,
}

fn raw_frames(bytes: &[u8]) -> impl Iterator<Item = RawFrame> {
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let start = next.filter(|&start| start < bytes.len())?;
        let byte = |at: usize| bytes.get(start + at).copied().unwrap_or(0);
        let second = byte(1);
        let number = |count: usize| (0..count).fold(0, |number, at| number << 8 | u64::from(byte(2 + at)));
        let (extra, len, minimal) = match second & 0x7f {
            126 => (2, number(2), number(2) > 125),
            127 => (8, number(8), number(8) > 65_535),
            len => (0, u64::from(len), true),
        };
        let header_len = 2 + extra + if second & 0x80 == 0 { 0 } else { 4 };
        next = usize::try_from(len).ok().and_then(|len| start.checked_add(header_len)?.checked_add(len));
        Some(RawFrame { start, header_len, len, minimal })
    })
}

/// The stream with zeroes for what is missing of its last frame; only of its header if the frame is too long anyway.
fn with_last_frame_completed(bytes: &[u8], limits: &FrameLimits) -> Vec<u8> {
    let mut completed = bytes.to_vec();
    if let Some(frame) = raw_frames(bytes).last() {
        let payload_len =
            usize::try_from(frame.len).ok().filter(|&len| len <= max_frame_bytes(limits)).unwrap_or(0);
        let end = frame.start + frame.header_len + payload_len;
        completed.resize(end.max(bytes.len()), 0);
    }
    completed
}
