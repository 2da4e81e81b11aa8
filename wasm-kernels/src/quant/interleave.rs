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

/// Interleaves rows of `n_blocks` blocks of `bytes` bytes each, in place, four at a time; what is left over stays as
/// it is. `scratch` has room for four rows.
pub fn interleave(w: &mut [u8], scratch: &mut [u8], n_blocks: usize, bytes: usize, half_floats: Range<usize>) {
    let row = n_blocks * bytes;
    for group in w.chunks_exact_mut(4 * row) {
        scratch[..4 * row].copy_from_slice(group);
        for (lane, blocks) in scratch[..4 * row].chunks_exact(row).enumerate() {
            for (block, to) in blocks.chunks_exact(bytes).zip(group.chunks_exact_mut(4 * bytes)) {
                let (halves, lanes) = to.split_at_mut(4 * half_floats.len());
                for (half, to) in block[half_floats.clone()].chunks_exact(2).zip(halves.chunks_exact_mut(8)) {
                    to[2 * lane..2 * lane + 2].copy_from_slice(half);
                }
                let words = if half_floats.start == 0 { &block[half_floats.end..] } else { &block[..half_floats.start] };
                for (word, to) in words.chunks_exact(4).zip(lanes.chunks_exact_mut(16)) {
                    to[4 * lane..4 * lane + 4].copy_from_slice(word);
                }
            }
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
    let words = if F::HALF_FLOATS.start == 0 { F::HALF_FLOATS.end..F::BYTES } else { 0..F::HALF_FLOATS.start };
    for (word, from) in block[words].chunks_exact_mut(4).zip(lanes.chunks_exact(16)) {
        word.copy_from_slice(&from[4 * lane..4 * lane + 4]);
    }
    F::unpack(&block[..F::BYTES], out);
}
