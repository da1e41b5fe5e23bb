use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, BufReader, Stdin};

/// Longest line that is read, in bytes. Servers take less; this bounds the memory.
const MAX_LINE_BYTES: usize = 1 << 20;

/// The lines of stdin, without their ends.
pub(crate) struct Lines<R> {
    reader: R,
    /// What was read of the line so far.
    line: Vec<u8>,
}

/// The program's stdin.
pub(crate) fn stdin() -> Lines<BufReader<Stdin>> {
    Lines::new(BufReader::new(tokio::io::stdin()))
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(crate) const fn new(reader: R) -> Self {
        Self { reader, line: Vec::new() }
    }

    /// The next line; none at the end. Cancel safe: what was read is kept for the next call.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let available = self.reader.fill_buf().await?;
            if available.is_empty() {
                return Ok((!self.line.is_empty()).then(|| self.take()));
            }
            let (part, ended) = match available.iter().position(|byte| *byte == b'\n') {
                Some(end) => (&available[..end], true),
                None => (available, false),
            };
            if self.line.len() + part.len() > MAX_LINE_BYTES {
                let problem = format!("a line is longer than {MAX_LINE_BYTES} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
            }
            let consumed = part.len() + usize::from(ended);
            self.line.extend_from_slice(part);
            self.reader.consume(consumed);
            if ended {
                return Ok(Some(self.take()));
            }
        }
    }

    fn take(&mut self) -> Vec<u8> {
        if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        std::mem::take(&mut self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(input: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        // A buffer of three bytes, so that lines arrive in pieces.
        let mut lines = Lines::new(BufReader::with_capacity(3, input));
        let mut all = Vec::new();
        while let Some(line) = lines.next().await? {
            all.push(line);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn lines_lose_their_ends_and_nothing_else() {
        for (input, expected) in [
            (&b""[..], &[][..]),
            (b"one", &[&b"one"[..]]),
            (b"one\n", &[b"one"]),
            (b"one\r\ntwo\n\nfour", &[b"one", b"two", b"", b"four"]),
            (b"\xff\x00\n", &[b"\xff\x00"]),
        ] {
            assert_eq!(lines(input).await.unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn an_endless_line_is_an_error() {
        let input = vec![b'x'; MAX_LINE_BYTES + 1];
        assert_eq!(lines(&input).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(lines(&input[1..]).await.is_ok());
    }
}
