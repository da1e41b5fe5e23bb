use super::checksum;

/// Why a patch was refused. What a client does then: forget its payload and start again.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PatchError {
    /// The bytes are not a patch, or not all of one.
    #[error("not a patch: expected {expected} at byte {position}")]
    Malformed {
        /// Where reading stopped, from the start of the patch.
        position: usize,
        /// What could have stood there.
        expected: &'static str,
    },
    /// The target would be longer than allowed.
    #[error("target of {bytes} bytes, at most {max} are allowed")]
    TooLong {
        /// Its length, as the patch declares it.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A command copies what the source does not have: the patch was made for another one.
    #[error("copies {len} bytes from offset {offset} of a source of {source_len} bytes")]
    OutsideSource {
        /// First byte to copy.
        offset: usize,
        /// How many bytes to copy.
        len: usize,
        /// How long the source is.
        source_len: usize,
    },
    /// The commands make less or more than the patch declares; if more, reading stopped there.
    #[error("target of {made} bytes where {declared} were declared")]
    WrongLength {
        /// What the patch declares.
        declared: usize,
        /// What the commands make.
        made: usize,
    },
    /// The target is not the one that the patch was made for, and so the source is not either.
    #[error("target with checksum {made:#010x} where {declared:#010x} was declared")]
    WrongChecksum {
        /// What the patch declares.
        declared: u32,
        /// What the commands made.
        made: u32,
    },
}

/// Makes the target from the source that a patch was made for.
///
/// Nothing is allocated before the patch has been read once in full: what it declares, what its commands make, and
/// `max_bytes`, the longest target in bytes, must agree with each other.
///
/// # Errors
///
/// Refuses what is not a patch, one for another source, and one whose target is longer than `max_bytes`.
pub fn apply(source: &[u8], patch: &[u8], max_bytes: usize) -> Result<Vec<u8>, PatchError> {
    let mut reader = Reader { patch, at: 0 };
    let declared = reader.number()?;
    reader.take(b'\n', "the end of the line")?;
    if declared > max_bytes {
        return Err(PatchError::TooLong { bytes: declared, max: max_bytes });
    }
    let commands = reader.at;
    let checked = reader.commands(source, declared, |_| {})?;

    reader.at = commands;
    let mut target = Vec::with_capacity(declared);
    reader.commands(source, declared, |bytes| target.extend_from_slice(bytes))?;
    let made = checksum(&target);
    if made == checked { Ok(target) } else { Err(PatchError::WrongChecksum { declared: checked, made }) }
}

struct Reader<'a> {
    patch: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Gives the pieces of the target to `each`, and returns the declared checksum.
    fn commands(
        &mut self,
        source: &'a [u8],
        declared: usize,
        mut each: impl FnMut(&'a [u8]),
    ) -> Result<u32, PatchError> {
        let mut made = 0_usize;
        loop {
            let start = self.at;
            let number = self.number()?;
            let piece = match self.peek() {
                Some(b'@') => self.copied(number, source)?,
                Some(b':') => self.inserted(number)?,
                Some(b';') if made != declared => return Err(PatchError::WrongLength { declared, made }),
                Some(b';') => {
                    self.at += 1;
                    return self.end(start, number);
                }
                _ => return Err(self.expected("'@', ':' or ';'")),
            };
            // Neither can be larger than memory, so the sum of both is in range.
            made += piece.len();
            if made > declared {
                return Err(PatchError::WrongLength { declared, made });
            }
            each(piece);
        }
    }

    /// What the command that goes on here copies.
    fn copied(&mut self, len: usize, source: &'a [u8]) -> Result<&'a [u8], PatchError> {
        self.at += 1;
        let offset = self.number()?;
        self.take(b',', "a comma")?;
        let piece = offset.checked_add(len).and_then(|end| source.get(offset..end));
        piece.ok_or(PatchError::OutsideSource { offset, len, source_len: source.len() })
    }

    /// What the command that goes on here inserts.
    fn inserted(&mut self, len: usize) -> Result<&'a [u8], PatchError> {
        self.at += 1;
        let rest = &self.patch[self.at..];
        let piece = rest.get(..len).ok_or(malformed(self.patch.len(), "the rest of an insertion"))?;
        self.at += len;
        Ok(piece)
    }

    fn end(&self, start: usize, checksum: usize) -> Result<u32, PatchError> {
        if self.at < self.patch.len() {
            return Err(self.expected("the end"));
        }
        u32::try_from(checksum).map_err(|_| malformed(start, "a checksum of 32 bits"))
    }

    fn number(&mut self) -> Result<usize, PatchError> {
        let start = self.at;
        let mut number = 0_usize;
        while let Some(digit) = self.peek().and_then(value) {
            if number > usize::MAX >> 6 {
                return Err(malformed(start, "a number in range"));
            }
            number = number << 6 | digit;
            self.at += 1;
        }
        if self.at == start { Err(self.expected("a number")) } else { Ok(number) }
    }

    fn take(&mut self, byte: u8, name: &'static str) -> Result<(), PatchError> {
        if self.peek() != Some(byte) {
            return Err(self.expected(name));
        }
        self.at += 1;
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.patch.get(self.at).copied()
    }

    const fn expected(&self, expected: &'static str) -> PatchError {
        malformed(self.at, expected)
    }
}

const fn malformed(position: usize, expected: &'static str) -> PatchError {
    PatchError::Malformed { position, expected }
}

fn value(digit: u8) -> Option<usize> {
    let value = match digit {
        b'0'..=b'9' => digit - b'0',
        b'A'..=b'Z' => digit - b'A' + 10,
        b'_' => 36,
        b'a'..=b'z' => digit - b'a' + 37,
        b'~' => 63,
        _ => return None,
    };
    Some(value.into())
}
