//! What must hold for any stream of bytes. The fuzz target `frame` runs this check on what it invents, and a test runs it on
//! the committed seeds.

use throng_protocol::frame::FrameLimits;

use crate::oracle::compare;
use crate::support::{decode_in_pieces, decode_whole};

/// Takes limits and the size of reads from the first two bytes, the stream from the others. Returns the number of
/// events. A broken rule is a panic.
pub(crate) fn frame(bytes: &[u8]) -> usize {
    let &[choice, size, ref stream @ ..] = bytes else { return 0 };
    let limits = FrameLimits {
        message_bytes: [0, 50, 1_000, 70_000][usize::from(choice & 3)],
        fragments: [1, 2, 5, u32::MAX][usize::from(choice >> 2 & 3)],
    };
    if let Err(complaint) = compare(stream, &limits) {
        panic!("{complaint}");
    }
    let whole = decode_whole(stream, &limits);
    assert_eq!(decode_in_pieces(stream, &[usize::from(size), 1, 7], &limits), whole);
    whole.events.len()
}
