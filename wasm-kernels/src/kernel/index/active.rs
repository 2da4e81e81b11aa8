//! Bitmaps of slots, 32 to a word, the lowest bit first.

/// Sets the bits of the slots from `start` to `end`.
pub fn set(bits: &mut [u32], start: usize, end: usize) {
    let mut slot = start;
    while slot < end {
        let (word, first) = (slot / 32, slot % 32);
        let n = (32 - first).min(end - slot);
        bits[word] |= (u32::MAX >> (32 - n)) << first;
        slot += n;
    }
}
