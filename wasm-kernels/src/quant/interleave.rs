//! How four rows lie interleaved: the same bytes as before, block by block, in another order.
//!
//! ```text
//! four rows, one block each = half floats: h0 of rows 0..4, h1 of rows 0..4, ..
//!                             all else:    word 0 of rows 0..4, word 1 of rows 0..4, ..
//! ```
//! A word of 4 bytes is what a dot product sums up in a lane, so one vector holds the same columns of four rows: an
//! activation is splatted, never gathered, and no lanes are summed at the end. Half floats are side by side to become
//! a vector of four floats.
use super::{Format, Unpacked};
use core::ops::Range;

/// Bytes of the largest block.
const MAX_BYTES: usize = 210;

/// Bytes of a block that are neither of its half floats, which come first or last.
const fn words<F: Format>() -> Range<usize> {
    if F::HALF_FLOATS.start == 0 {
        F::HALF_FLOATS.end..F::BYTES
    } else {
        0..F::HALF_FLOATS.start
    }
}

/// Interleaves the same block of four rows.
#[cfg_attr(target_arch = "wasm32", inline(always))]
pub fn interleave<F: Format>(rows: [&[u8]; 4], group: &mut [u8]) {
    let (halves, lanes) = group.split_at_mut(4 * F::HALF_FLOATS.len());
    for (lane, row) in rows.into_iter().enumerate() {
        for (half, to) in row[F::HALF_FLOATS].chunks_exact(2).zip(halves.chunks_exact_mut(8)) {
            to[2 * lane..2 * lane + 2].copy_from_slice(half);
        }
        for (word, to) in row[words::<F>()].chunks_exact(4).zip(lanes.chunks_exact_mut(16)) {
            to[4 * lane..4 * lane + 4].copy_from_slice(word);
        }
    }
}

/// Takes the block of row `lane` of four interleaved ones apart.
pub fn unpack_lane<F: Format>(group: &[u8], lane: usize, out: &mut Unpacked) {
    let mut block = [0; MAX_BYTES];
    let (halves, lanes) = group[..4 * F::BYTES].split_at(4 * F::HALF_FLOATS.len());
    for (half, from) in block[F::HALF_FLOATS].chunks_exact_mut(2).zip(halves.chunks_exact(8)) {
        half.copy_from_slice(&from[2 * lane..2 * lane + 2]);
    }
    for (word, from) in block[words::<F>()].chunks_exact_mut(4).zip(lanes.chunks_exact(16)) {
        word.copy_from_slice(&from[4 * lane..4 * lane + 4]);
    }
    F::unpack(&block[..F::BYTES], out);
}
