/// The slot of a channel among `slots`: always the same while their number is, and spread evenly. With one slot more,
/// only those channels move that go to the new one (the jump consistent hash of Lamping and Veach).
///
/// 0 when there are no slots.
pub(super) fn slot_of(channel: &str, slots: usize) -> usize {
    let mut key = hash(channel.as_bytes());
    let (mut slot, mut next) = (0, 0);
    while next < slots as u64 {
        slot = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        // (slot + 1) * 2^31 / (the upper 31 bits of the key + 1), without floating point.
        next = ((slot + 1) << 31) / ((key >> 33) + 1);
    }
    usize::try_from(slot).unwrap_or_default() // below `slots`, which is one
}

/// FNV-1a, whose bits are then mixed, because names often differ in their last character alone.
fn hash(bytes: &[u8]) -> u64 {
    let folded = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (folded ^ (folded >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels() -> impl Iterator<Item = String> {
        (0..10_000).map(|number| format!("orders:{number}"))
    }

    #[test]
    fn channels_are_spread_evenly() {
        for slots in [1, 2, 3, 8, 10] {
            let mut counts = vec![0_usize; slots];
            for channel in channels() {
                counts[slot_of(&channel, slots)] += 1;
            }
            let fair = 10_000 / slots;
            assert!(counts.iter().all(|count| count.abs_diff(fair) < fair / 5), "{slots}: {counts:?}");
        }
    }

    #[test]
    fn with_one_slot_more_channels_move_only_to_that_one() {
        for slots in 1..12 {
            let mut moved = 0;
            for channel in channels() {
                let (before, after) = (slot_of(&channel, slots), slot_of(&channel, slots + 1));
                assert!(after == before || after == slots, "{channel}: {before} to {after} of {slots}");
                moved += usize::from(after != before);
            }
            let fair = 10_000 / (slots + 1);
            assert!(moved.abs_diff(fair) < fair / 5, "{slots}: {moved}");
        }
    }

    #[test]
    fn a_channels_slot_does_not_depend_on_the_run() {
        assert_eq!(
            ["news", "chat", "ticker:eur", ""].map(|channel| slot_of(channel, 1_000)),
            [127, 796, 449, 978]
        );
        assert_eq!(slot_of("news", 0), 0);
    }
}
