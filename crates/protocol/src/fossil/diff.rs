use super::checksum;

/// Shortest run that is copied, and the distance of the blocks of the source that are looked for in the target.
///
/// To copy 16 bytes takes at most 9 and makes one more insertion necessary, whose head has at most 7: so no copy makes
/// a patch longer.
const BLOCK: usize = 1 << BLOCK_BITS;
const BLOCK_BITS: u32 = 4;

/// Blocks with the same hash that are tried, so that a source full of equal blocks costs no more than another.
const MAX_CANDIDATES: usize = 16;

/// A patch that makes `target` from `source`; see [`apply`](super::apply()).
///
/// Finds runs of at least 16 bytes wherever they moved. Takes time and memory in proportion to the lengths, whatever
/// the bytes. The patch is never longer than one that holds all of the target, and where the target is UTF-8 the
/// patch is too, because no character is taken apart. Callers send the target itself when the patch is not shorter.
pub fn diff(source: &[u8], target: &[u8]) -> Vec<u8> {
    let mut patch = Vec::new();
    write_number(target.len(), &mut patch);
    patch.push(b'\n');
    match Index::new(source) {
        Some(index) if target.len() >= BLOCK => write_commands(source, &index, target, &mut patch),
        _ => write_insert(target, &mut patch),
    }
    write_number(checksum(target) as usize, &mut patch);
    patch.push(b';');
    patch
}

fn write_commands(source: &[u8], index: &Index, target: &[u8], out: &mut Vec<u8>) {
    let mut search = Search { source, target, done: 0, aligned: 0 };
    let (mut at, mut hash) = (0, block_hash(&target[..BLOCK]));
    while at + BLOCK <= target.len() {
        if let Some(run) = search.longest(at, index.candidates(hash)) {
            write_insert(&target[search.done..run.target], out);
            write_copy(run, out);
            at = run.target + run.len;
            search.done = at;
            search.aligned = run.source + run.len;
            hash = target.get(at..at + BLOCK).map_or(0, block_hash);
        } else {
            hash = target.get(at + BLOCK).map_or(0, |&next| rolled(hash, target[at], next));
            at += 1;
            search.aligned += 1;
        }
    }
    write_insert(&target[search.done..], out);
}

/// Where the blocks of a source are, by hash: chains in the order of the source. Takes 8 to 16 bytes a block.
struct Index {
    /// By the top bits of the spread hash, 1 + the number of the chain's first block; 0 for none.
    heads: Vec<u32>,
    /// By number of a block, the same of the block after it in its chain.
    next: Vec<u32>,
    shift: u32,
}

impl Index {
    /// None if the source has no block, or more than can be numbered in 32 bits, which is no payload.
    fn new(source: &[u8]) -> Option<Self> {
        let blocks = u32::try_from(source.len() / BLOCK)
            .ok()
            .filter(|&blocks| (1..u32::MAX >> 1).contains(&blocks))?;
        // At least two heads, because a shift by all 32 bits is none.
        let bits = blocks.next_power_of_two().ilog2().max(1);
        let (heads, next) = (vec![0; 1 << bits], vec![0; blocks as usize]);
        let mut index = Self { heads, next, shift: u32::BITS - bits };
        // From the back, so that a chain begins with the block that has most of the source behind it.
        for (number, block) in (1..blocks + 1).zip(source.chunks_exact(BLOCK)).rev() {
            let head = index.head(block_hash(block));
            index.next[number as usize - 1] = std::mem::replace(&mut index.heads[head], number);
        }
        Some(index)
    }

    /// Offsets of blocks that may have this hash.
    fn candidates(&self, hash: u32) -> impl Iterator<Item = usize> {
        let mut number = self.heads[self.head(hash)] as usize;
        let chain = std::iter::from_fn(move || {
            let index = number.checked_sub(1)?;
            number = self.next[index] as usize;
            Some(index * BLOCK)
        });
        chain.take(MAX_CANDIDATES)
    }

    /// The top bits are those that all bytes of the block have a say in.
    const fn head(&self, hash: u32) -> usize {
        (hash.wrapping_mul(0x9e37_79b1) >> self.shift) as usize
    }
}

/// Bytes that source and target have in common.
#[derive(Clone, Copy)]
struct Run {
    source: usize,
    target: usize,
    len: usize,
}

struct Search<'a> {
    source: &'a [u8],
    target: &'a [u8],
    /// How much of the target there are commands for.
    done: usize,
    /// Where the source is if nothing was inserted or removed since the last run; may lie behind its end.
    aligned: usize,
}

impl Search<'_> {
    /// The longest run through `at` that has a candidate there, or goes on where the last run ended.
    ///
    /// The longest is used, so what is compared here is at most some times what the patch then has behind it; only
    /// runs that are too short in whole characters are passed over, and these cost a few bytes each.
    fn longest(&self, at: usize, candidates: impl Iterator<Item = usize>) -> Option<Run> {
        std::iter::once(self.aligned)
            .chain(candidates)
            .filter_map(|source| self.run(source, at))
            .reduce(|best, run| if run.len > best.len { run } else { best })
    }

    fn run(&self, source: usize, at: usize) -> Option<Run> {
        let after = common_prefix(self.source.get(source..)?, &self.target[at..]);
        if after < BLOCK {
            return None;
        }
        let before = common_suffix(&self.source[..source], &self.target[self.done..at]);
        let start = self.character_start(at - before);
        let end = self.character_end(at + after);
        let run = Run { source: source + start - at, target: start, len: end - start };
        (run.len >= BLOCK).then_some(run)
    }

    /// The first place from `at` on that is not inside a UTF-8 character; `at` itself where there is no UTF-8.
    fn character_start(&self, at: usize) -> usize {
        (at..self.target.len()).take(4).find(|&place| !self.splits_character(place)).unwrap_or(at)
    }

    /// The last place up to `at` that is not inside a UTF-8 character; `at` itself where there is no UTF-8.
    fn character_end(&self, at: usize) -> usize {
        (0..=at).rev().take(4).find(|&place| !self.splits_character(place)).unwrap_or(at)
    }

    fn splits_character(&self, place: usize) -> bool {
        self.target.get(place).is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000)
    }
}

/// Factor of the rolling hash: the number that a block stands for in this base, modulo 2^32.
const BASE: u32 = 0x0100_0193;

fn block_hash(block: &[u8]) -> u32 {
    block.iter().fold(0, |hash: u32, &byte| hash.wrapping_mul(BASE).wrapping_add(byte.into()))
}

/// The hash of the block one byte further on.
const fn rolled(hash: u32, leaving: u8, entering: u8) -> u32 {
    const LEAVING: u32 = BASE.wrapping_pow(1 << BLOCK_BITS);
    hash.wrapping_mul(BASE).wrapping_add(entering as u32).wrapping_sub((leaving as u32).wrapping_mul(LEAVING))
}

fn common_prefix(left: &[u8], right: &[u8]) -> usize {
    const STEP: usize = 32;
    let steps = left.chunks_exact(STEP).zip(right.chunks_exact(STEP));
    let whole = STEP * steps.take_while(|(left, right)| left == right).count();
    let rest = left[whole..].iter().zip(&right[whole..]);
    whole + rest.take_while(|(left, right)| left == right).count()
}

fn common_suffix(left: &[u8], right: &[u8]) -> usize {
    left.iter().rev().zip(right.iter().rev()).take_while(|(left, right)| left == right).count()
}

/// Nothing for no bytes.
fn write_insert(bytes: &[u8], out: &mut Vec<u8>) {
    if !bytes.is_empty() {
        write_number(bytes.len(), out);
        out.push(b':');
        out.extend_from_slice(bytes);
    }
}

fn write_copy(run: Run, out: &mut Vec<u8>) {
    write_number(run.len, out);
    out.push(b'@');
    write_number(run.source, out);
    out.push(b',');
}

/// By their values.
const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";

fn write_number(number: usize, out: &mut Vec<u8>) {
    let digits = (0..digit_count(number)).rev().map(|place| DIGITS[(number >> (6 * place)) % DIGITS.len()]);
    out.extend(digits);
}

const fn digit_count(number: usize) -> usize {
    match number.checked_ilog2() {
        Some(bits) => bits as usize / 6 + 1,
        None => 1,
    }
}
