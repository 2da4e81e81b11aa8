//! How four rows lie interleaved: the same bytes as before, block by block, in another order.
//!
//! ```text
//! group of 4 rows, one block of each = half floats:  h0 of rows 0..4, h1 of rows 0..4, ..
//!                                      all else:     word 0 of rows 0..4, word 1 of rows 0..4, ..
//! ```
//! A word of 4 bytes is what a dot product sums up in a lane, so one vector holds the same columns of four rows: an
//! activation is splatted, never gathered, and no lanes are summed at the end. Half floats are side by side to become
//! a vector of four floats. One to three last rows stay as they are in the file.
use super::{Format, Unpacked};
use core::ops::Range;

/// Bytes of the largest block.
const MAX_BYTES: usize = 210;

/// Interleaves rows of `n_blocks` blocks of `bytes` bytes each, in place, four at a time. `scratch` has room for four.
pub fn interleave(w: &mut [u8], scratch: &mut [u8], n_blocks: usize, bytes: usize, half_floats: Range<usize>) {
    let row = n_blocks * bytes;
    let words = if half_floats.start == 0 { half_floats.end..bytes } else { 0..half_floats.start };
    for rows in w.chunks_exact_mut(4 * row) {
        scratch[..4 * row].copy_from_slice(rows);
        for (i, group) in rows.chunks_exact_mut(4 * bytes).enumerate() {
            let block: [&[u8]; 4] = core::array::from_fn(|lane| &scratch[lane * row + i * bytes..][..bytes]);
            let (halves, lanes) = group.split_at_mut(4 * half_floats.len());
            for (to, at) in halves.chunks_exact_mut(8).zip(half_floats.clone().step_by(2)) {
                for lane in 0..4 {
                    to[2 * lane..2 * lane + 2].copy_from_slice(&block[lane][at..at + 2]);
                }
            }
            for (to, at) in lanes.chunks_exact_mut(16).zip(words.clone().step_by(4)) {
                for lane in 0..4 {
                    to[4 * lane..4 * lane + 4].copy_from_slice(&block[lane][at..at + 4]);
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
