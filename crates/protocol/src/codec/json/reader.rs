use std::borrow::Cow;
use std::str::FromStr;

use bytes::{Buf, Bytes};

use super::string;
use crate::{DecodeError, Format, Limits};

/// Cuts the first line of a frame off.
pub(crate) fn cut(frame: &mut Bytes, max: usize) -> Result<Bytes, DecodeError> {
    let len = memchr::memchr(b'\n', frame).unwrap_or(frame.len());
    if len > max {
        return Err(DecodeError::TooLong { bytes: len, max });
    }
    let line = frame.split_to(len);
    if !frame.is_empty() {
        frame.advance(1);
    }
    Ok(line)
}

/// True if the bytes are one JSON value by RFC 8259, not nested too deeply for us.
pub(crate) fn is_value(bytes: &Bytes, nesting: usize) -> bool {
    let limits = Limits { nesting, ..Limits::default() };
    Reader::new(bytes, &limits).and_then(|mut reader| reader.skip().and_then(|()| reader.finish())).is_ok()
}

/// The text of a JSON text that is one string literal.
pub(crate) fn read_string(bytes: &Bytes) -> Option<String> {
    let mut reader = Reader::new(bytes, &Limits::default()).ok()?;
    if reader.peek() != Some(b'"') {
        return None; // `null` too, which elsewhere stands for the empty string
    }
    let text = reader.string().ok()?.into_owned();
    reader.finish().is_ok().then_some(text)
}

/// Reads one JSON text from front to back. `null` stands for the zero value everywhere but in payloads.
pub(crate) struct Reader<'a> {
    bytes: &'a Bytes,
    text: &'a str,
    at: usize,
    nesting: usize,
    depth: usize,
    elements: usize,
    elements_seen: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a Bytes, limits: &Limits) -> Result<Self, DecodeError> {
        let text = std::str::from_utf8(bytes).map_err(|error| malformed(error.valid_up_to(), "UTF-8"))?;
        Ok(Self {
            bytes,
            text,
            at: 0,
            nesting: limits.nesting.min(Limits::MAX_NESTING),
            depth: 0,
            elements: limits.elements,
            elements_seen: 0,
        })
    }

    /// Makes sure that only white space is left.
    pub(crate) fn finish(mut self) -> Result<(), DecodeError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.expected("the end")),
        }
    }

    /// Gives the members of an object to `each`, which must read their values.
    pub(crate) fn object(
        &mut self,
        mut each: impl FnMut(&mut Self, &str) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        if self.take_null() {
            return Ok(());
        }
        self.sequence(b'{', b'}', "an object", |reader| {
            let key = reader.string()?;
            reader.colon()?;
            each(reader, &key)
        })
    }

    /// Calls `each` for the elements of an array, which must read them.
    pub(crate) fn array(
        &mut self,
        each: impl FnMut(&mut Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        if self.take_null() {
            return Ok(());
        }
        self.sequence(b'[', b']', "an array", each)
    }

    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        if self.take_null() {
            return Ok(Cow::Borrowed(""));
        }
        let (content, escaped) = self.string_token()?;
        if !escaped {
            return Ok(Cow::Borrowed(content));
        }
        match string::unescape(content) {
            Some(text) => Ok(Cow::Owned(text)),
            None => Err(self.expected("a string of whole characters")),
        }
    }

    pub(crate) fn integer<T: FromStr + Default>(&mut self) -> Result<T, DecodeError> {
        if self.take_null() {
            return Ok(T::default());
        }
        self.peek();
        let start = self.at;
        self.number()?;
        // A fraction, an exponent or too large a number does not parse.
        self.text[start..self.at].parse().map_err(|_| malformed(start, "an integer in range"))
    }

    /// Any number, rounded to what 64 bits hold.
    pub(crate) fn double(&mut self) -> Result<f64, DecodeError> {
        if self.take_null() {
            return Ok(0.0);
        }
        self.peek();
        let start = self.at;
        self.number()?;
        let number = self.text[start..self.at].parse().ok().filter(|number: &f64| number.is_finite());
        number.ok_or_else(|| malformed(start, "a number in range"))
    }

    pub(crate) fn boolean(&mut self) -> Result<bool, DecodeError> {
        self.peek();
        if self.take("true") {
            return Ok(true);
        }
        if self.take("false") || self.take("null") {
            return Ok(false);
        }
        Err(self.expected("true or false"))
    }

    /// Reads `null`, if that comes next.
    pub(crate) fn take_null(&mut self) -> bool {
        self.peek() == Some(b'n') && self.take("null")
    }

    /// Any value as a slice of the frame: checked, but neither parsed nor copied.
    pub(crate) fn raw(&mut self) -> Result<Bytes, DecodeError> {
        self.peek();
        let start = self.at;
        self.skip()?;
        Ok(self.bytes.slice(start..self.at))
    }

    /// Reads any value and forgets it. Recursion ends at the nesting limit.
    pub(crate) fn skip(&mut self) -> Result<(), DecodeError> {
        match self.peek() {
            Some(b'{') => self.sequence(b'{', b'}', "an object", |reader| {
                reader.string_token()?;
                reader.colon()?;
                reader.skip()
            }),
            Some(b'[') => self.sequence(b'[', b']', "an array", Self::skip),
            Some(b'"') => self.string_token().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ if self.take("true") || self.take("false") || self.take("null") => Ok(()),
            _ => Err(self.expected("a value")),
        }
    }

    /// Counts an element of a list or map against the limit; not called for what is in payloads.
    pub(crate) fn count_element(&mut self) -> Result<(), DecodeError> {
        if self.elements_seen == self.elements {
            return Err(DecodeError::TooManyElements { max: self.elements });
        }
        self.elements_seen += 1;
        Ok(())
    }

    /// What the reader stands at, after white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        let space = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
        self.at += space;
        rest.get(space).copied()
    }

    pub(super) const fn expected(&self, expected: &'static str) -> DecodeError {
        malformed(self.at, expected)
    }

    fn sequence(
        &mut self,
        open: u8,
        close: u8,
        name: &'static str,
        mut each: impl FnMut(&mut Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        if self.peek() != Some(open) {
            return Err(self.expected(name));
        }
        if self.depth == self.nesting {
            return Err(DecodeError::TooDeep { max: self.nesting });
        }
        self.depth += 1;
        self.at += 1;
        if self.peek() != Some(close) {
            each(self)?;
            while self.peek() == Some(b',') {
                self.at += 1;
                each(self)?;
            }
            if self.peek() != Some(close) {
                return Err(self.expected("a comma or the end of the list"));
            }
        }
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }

    /// Moves past `token`, if the reader stands right at it.
    fn take(&mut self, token: &str) -> bool {
        let found = self.text.as_bytes()[self.at..].starts_with(token.as_bytes());
        if found {
            self.at += token.len();
        }
        found
    }

    fn colon(&mut self) -> Result<(), DecodeError> {
        if self.peek() != Some(b':') {
            return Err(self.expected("a colon"));
        }
        self.at += 1;
        Ok(())
    }

    /// The content of a string and whether it has escapes, which are well-formed but not undone.
    fn string_token(&mut self) -> Result<(&'a str, bool), DecodeError> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a string"));
        }
        let start = self.at + 1;
        let scanned = string::scan(&self.text.as_bytes()[start..])
            .map_err(|at| malformed(start + at, "a character or the end of the string"))?;
        self.at = start + scanned.len + 1;
        Ok((&self.text[start..start + scanned.len], scanned.escaped))
    }

    fn number(&mut self) -> Result<(), DecodeError> {
        self.take("-");
        if !self.take("0") {
            self.digits()?;
        }
        if self.take(".") {
            self.digits()?;
        }
        if self.take("e") || self.take("E") {
            let _ = self.take("+") || self.take("-");
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), DecodeError> {
        let rest = &self.text.as_bytes()[self.at..];
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return Err(self.expected("a digit"));
        }
        self.at += count;
        Ok(())
    }
}

const fn malformed(position: usize, expected: &'static str) -> DecodeError {
    DecodeError::Malformed { format: Format::Json, position, expected }
}
