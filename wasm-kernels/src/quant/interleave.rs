//! How four rows lie interleaved: the same bytes as before, block by block, in another order.
//!
//! ```text
//! group of 4 rows, one block of each = half floats:  h0 of rows 0..4, h1 of rows 0..4, ..
//!                                      all else:     word 0 of rows 0..4, word 1 of rows 0..4, ..
//! ```
//! A word of 4 bytes is what a dot product sums up in a lane, so one vector holds the same columns of four rows: an
//! activation is splatted, never gathered, and no lanes are summed at the end. Half floats are side by side to become
//! a vector of four floats. One to three last rows stay as they are in the file.
use crate::simd::*;
use core::ops::Range;

/// One block of each of four rows; `group` is as long as all of them.
#[inline(never)]
pub fn interleave_block(group: &mut [u8], blocks: [&[u8]; 4], half_floats: &Range<usize>) {
    let (halves, words) = group.split_at_mut(4 * half_floats.len());
    for (to, at) in halves.chunks_exact_mut(8).zip(half_floats.clone().step_by(2)) {
        for (to, block) in to.chunks_exact_mut(2).zip(blocks) {
            to.copy_from_slice(&block[at..at + 2]);
        }
    }
    let first = if half_floats.start == 0 { half_floats.end } else { 0 };
    let (fours, rest) = words.as_chunks_mut::<64>();
    for (i, to) in fours.iter_mut().enumerate() {
        // SAFETY: the slices cover 16 readable bytes each, and `to` 64 writable ones.
        unsafe {
            let words = blocks.map(|block| v128_load(block[first + 16 * i..][..16].as_ptr() as *const v128));
            let to = to.as_mut_ptr() as *mut v128;
            transpose(words).into_iter().enumerate().for_each(|(i, words)| v128_store(to.add(i), words));
        }
    }
    let first = first + 16 * fours.len();
    for (i, to) in rest.chunks_exact_mut(16).enumerate() {
        for (to, block) in to.chunks_exact_mut(4).zip(blocks) {
            to.copy_from_slice(&block[first + 4 * i..][..4]);
        }
    }
}
