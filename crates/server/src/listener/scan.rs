//! Looks at the raw bytes of HTTP/1.1 requests for what hyper lets pass and others may read in another way: request smuggling.
//!
//! hyper takes a line that ends without a carriage return, drops one of two equal `Content-Length` headers, and prefers
//! `Transfer-Encoding` where both are there (RFC 9112 sections 2.2, 6.1 and 6.3 let it). A proxy in between that decides otherwise
//! would see another request behind the first than we do. So this keeps up with hyper, request by request, and says
//! [`Verdict::Bad`] where two readers could differ.

use parking_lot::Mutex;

/// What was found so far.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// Nothing is wrong.
    Clean,
    /// A request asked for a WebSocket. What follows it is looked at no longer.
    Upgrade,
    /// Two readers could differ in what they see.
    Bad,
}

/// Where the one who reads tells the one who answers, who may be some requests behind.
#[derive(Debug)]
pub(super) struct Finding(Mutex<(Verdict, usize)>);

impl Default for Finding {
    fn default() -> Self {
        Self(Mutex::new((Verdict::Clean, 0)))
    }
}

impl Finding {
    /// The verdict on a request and all before it, which are counted from 1.
    pub(super) fn on(&self, request: usize) -> Verdict {
        let (verdict, found_in) = *self.0.lock();
        if found_in <= request { verdict } else { Verdict::Clean }
    }

    /// Takes over what was found, and in which request.
    pub(super) fn set(&self, verdict: Verdict, request: usize) {
        *self.0.lock() = (verdict, request);
    }
}

/// Bytes of a line that are looked at. Only lines that frame a body must fit, and these are short.
const LINE: usize = 256;

/// Follows the requests of one connection. Sans-io.
#[derive(Debug)]
pub(super) struct Scanner {
    state: State,
    verdict: Verdict,
    /// Requests that have begun.
    requests: usize,
    /// The line so far, without its end; not more than [`LINE`] bytes of it.
    line: Vec<u8>,
    /// The last byte was a carriage return, which must end the line.
    returned: bool,
    framing: Framing,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Before a request, where an empty line means nothing.
    Start,
    Headers,
    /// So many bytes of a body are to come.
    Body(u64),
    ChunkSize,
    /// So many bytes of a chunk, its line end included.
    Chunk(u64),
    Trailers,
    /// Nothing more is looked at.
    Done,
}

/// What a request's headers say of its body.
#[derive(Clone, Copy, Debug, Default)]
struct Framing {
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            state: State::Start,
            verdict: Verdict::Clean,
            requests: 0,
            line: Vec::new(),
            returned: false,
            framing: Framing::default(),
        }
    }
}

impl Scanner {
    /// Looks at the next bytes, and returns the verdict on all that came. A bad one stays.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Verdict {
        while !bytes.is_empty() && self.state != State::Done {
            match &mut self.state {
                State::Body(left) | State::Chunk(left) => {
                    let skipped = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= skipped as u64;
                    bytes = &bytes[skipped..];
                    self.state = match self.state {
                        State::Body(0) => State::Start,
                        State::Chunk(0) => State::ChunkSize,
                        other => other,
                    };
                }
                State::Start | State::Headers | State::ChunkSize | State::Trailers => {
                    self.byte(bytes[0]);
                    bytes = &bytes[1..];
                }
                State::Done => {}
            }
        }
        self.verdict
    }

    /// How many requests have begun: the verdict is about the last of them.
    pub(super) const fn requests(&self) -> usize {
        self.requests
    }

    fn byte(&mut self, byte: u8) {
        match (byte, std::mem::replace(&mut self.returned, byte == b'\r')) {
            (b'\n', true) => {
                let line = std::mem::take(&mut self.line);
                self.end_of_line(&line);
                self.line = line;
                self.line.clear();
            }
            // A line end that is none for everybody.
            (b'\n', false) | (_, true) => self.end(Verdict::Bad),
            (b'\r', false) => {}
            (_, false) if self.line.len() < LINE => self.line.push(byte),
            (_, false) => {}
        }
    }

    fn end_of_line(&mut self, line: &[u8]) {
        match self.state {
            State::Start if line.is_empty() => {}
            State::Start => {
                self.requests += 1;
                self.state = State::Headers;
            }
            State::Headers if line.is_empty() => self.end_of_head(),
            State::Headers => self.header(line),
            State::ChunkSize => self.chunk(line),
            State::Trailers if line.is_empty() => self.next_request(),
            State::Trailers => {}
            State::Body(_) | State::Chunk(_) | State::Done => {}
        }
    }

    fn header(&mut self, line: &[u8]) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return self.end(Verdict::Bad) };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        // A folded line continues the one before for some, and a space before the colon belongs to the name for others.
        if name.is_empty() || name.iter().any(u8::is_ascii_whitespace) {
            return self.end(Verdict::Bad);
        }
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("content-length") {
            match number(value, 10).filter(|_| line.len() < LINE) {
                Some(length) if self.framing.length.is_none() => self.framing.length = Some(length),
                _ => self.end(Verdict::Bad),
            }
        } else if is("transfer-encoding") {
            if self.framing.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return self.end(Verdict::Bad);
            }
            self.framing.chunked = true;
        } else if is("upgrade") {
            let mut tokens = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            self.framing.upgrade |= tokens.any(|token| token.eq_ignore_ascii_case(b"websocket"));
        }
    }

    fn end_of_head(&mut self) {
        let framing = std::mem::take(&mut self.framing);
        match (framing.length, framing.chunked) {
            (Some(_), true) => self.end(Verdict::Bad),
            _ if framing.upgrade => self.end(Verdict::Upgrade),
            (Some(length), false) if length > 0 => self.state = State::Body(length),
            (None, true) => self.state = State::ChunkSize,
            (Some(_) | None, false) => self.next_request(),
        }
    }

    fn chunk(&mut self, line: &[u8]) {
        let size = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
        match number(size, 16) {
            Some(0) => self.state = State::Trailers,
            Some(size) if size <= u64::MAX - 2 => self.state = State::Chunk(size + 2),
            Some(_) | None => self.end(Verdict::Bad),
        }
    }

    fn next_request(&mut self) {
        self.state = State::Start;
    }

    fn end(&mut self, verdict: Verdict) {
        self.state = State::Done;
        self.verdict = verdict;
    }
}

/// A number of digits alone.
fn number(digits: &[u8], radix: u32) -> Option<u64> {
    let plain = !digits.is_empty() && digits.iter().all(|digit| char::from(*digit).is_digit(radix));
    let text = std::str::from_utf8(digits).ok().filter(|_| plain)?;
    u64::from_str_radix(text, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "POST /api/info HTTP/1.1\r\nHost: localhost\r\n";

    /// The verdict, which must be the same however the bytes are cut.
    fn verdict(bytes: &str) -> Verdict {
        let at_once = Scanner::default().feed(bytes.as_bytes());
        let mut scanner = Scanner::default();
        let by_bytes = bytes.as_bytes().iter().fold(Verdict::Clean, |_, byte| scanner.feed(&[*byte]));
        assert_eq!(at_once, by_bytes);
        at_once
    }

    #[test]
    fn plain_requests_are_clean_one_after_the_other() {
        let length = format!("{HEAD}Content-Length: 2\r\n\r\n{{}}");
        let chunked = format!(
            "{HEAD}Transfer-Encoding: Chunked\r\n\r\n1;x=y\r\n{{\r\nA \r\n}}\n\n\n\n\n\n\n\n\n\r\n0\r\nT: x\r\n\r\n"
        );
        let get = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        assert_eq!(verdict(&[&length, &chunked, get, "\r\n", &length].concat()), Verdict::Clean);
    }

    #[test]
    fn two_lengths_or_a_length_and_chunks_are_bad_in_any_order() {
        for headers in [
            "Content-Length: 2\r\nContent-Length: 2\r\n",
            "Content-Length: 2\r\nContent-Length: 3\r\n",
            "Content-Length: 2, 2\r\n",
            "Content-Length: +2\r\n",
            "Content-Length: 0x2\r\n",
            "Content-Length:\r\n",
            "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Transfer-Encoding: identity, chunked\r\n",
            "Transfer-Encoding: xchunked\r\n",
        ] {
            assert_eq!(verdict(&format!("{HEAD}{headers}\r\n")), Verdict::Bad, "{headers:?}");
        }
    }

    #[test]
    fn lines_that_not_everybody_ends_or_begins_alike_are_bad() {
        for headers in [
            "Content-Length: 2\n\r\n",
            "X: a\r\n b\r\n\r\n",
            "X: a\r\n\tb: c\r\n\r\n",
            "Content-Length : 2\r\n\r\n",
            "X: a\rContent-Length: 2\r\n\r\n",
            ": a\r\n\r\n",
            "no colon\r\n\r\n",
        ] {
            assert_eq!(verdict(&format!("{HEAD}{headers}")), Verdict::Bad, "{headers:?}");
        }
        assert_eq!(verdict("GET / HTTP/1.1\nHost: localhost\r\n\r\n"), Verdict::Bad);
    }

    #[test]
    fn what_is_wrong_behind_a_body_is_found() {
        let bad = format!("{HEAD}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n");
        for first in
            ["Content-Length: 3\r\n\r\n\n\n\n", "Transfer-Encoding: chunked\r\n\r\n3\r\n\n\n\n\r\n0\r\n\r\n"]
        {
            assert_eq!(verdict(&format!("{HEAD}{first}{bad}")), Verdict::Bad, "{first:?}");
        }
        assert_eq!(verdict(&format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n1\n")), Verdict::Bad);
        assert_eq!(verdict(&format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n-1\r\n")), Verdict::Bad);
    }

    #[test]
    fn a_verdict_is_about_the_request_that_it_was_found_in_and_those_behind() {
        let mut scanner = Scanner::default();
        let finding = Finding::default();
        let verdict = scanner.feed(format!("{HEAD}\r\n{HEAD}Content-Length: x\r\n\r\n").as_bytes());
        finding.set(verdict, scanner.requests());
        assert_eq!(
            [1, 2, 3].map(|request| finding.on(request)),
            [Verdict::Clean, Verdict::Bad, Verdict::Bad]
        );
    }

    #[test]
    fn nothing_is_looked_at_behind_an_upgrade() {
        let upgrade = "GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: x, WebSocket\r\n\r\n\n\n\n";
        assert_eq!(verdict(upgrade), Verdict::Upgrade);
        let other = "GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c, xwebsocket\r\n\r\n\n";
        assert_eq!(verdict(other), Verdict::Bad);
    }

    proptest::proptest! {
        #[test]
        fn memory_is_bounded_whatever_comes(bytes: Vec<u8>, times in 1_usize..200) {
            let mut scanner = Scanner::default();
            for _ in 0..times {
                scanner.feed(&bytes);
                proptest::prop_assert!(scanner.line.len() <= LINE);
            }
        }
    }
}
