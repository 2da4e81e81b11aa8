//! The place of each slot's token among those of its head: positions that have no gaps, for caches that have.
//!
//! ```text
//! a token that comes:     its place is the number of tokens there; all that come are later than what is there
//! tokens that have left:  places p of theirs; every other place goes down by the number of p below it
//! ```
//! - Slots are emptied without a look at ranks; an empty slot that still has one tells that a token has left, and
//!   `settle` has to run before the slot is taken again.
//! - A few that have left are one pass of vector comparisons. Many are counted in a bitmap of the places themselves, a
//!   window of it at a time.
use super::slots::EMPTY;
use crate::simd::*;

/// Tokens that leave in one pass.
const FEW: usize = 8;
/// Above this many a bitmap is faster.
const MANY: usize = 64;
/// Places of one window, in words of 64.
const WORDS: usize = 64;

/// Brings the ranks of a head up to date with its slots, of which some have been emptied; both `[capacity]`.
#[inline(never)]
pub fn settle(ranks: &mut [u32], positions: &[u32]) {
    loop {
        let mut left = [u32::MAX; FEW];
        let mut n = 0;
        for (quad, (held, at)) in ranks.as_chunks::<4>().0.iter().zip(positions.as_chunks::<4>().0).enumerate() {
            if !v128_any_true(v128_andnot(is_empty(at), is_empty(held))) {
                continue;
            }
            for i in 0..4 {
                if at[i] == EMPTY && held[i] != EMPTY {
                    if n < FEW {
                        left[n] = ranks[4 * quad + i];
                    }
                    n += 1;
                }
            }
        }
        if n == 0 {
            return;
        }
        if n > MANY {
            return settle_many(ranks, positions);
        }
        let left = &left[..n.min(FEW)];
        for rank in ranks.as_chunks_mut::<4>().0 {
            // SAFETY: the reference covers 16 readable and writable bytes.
            unsafe {
                let place = rank.as_mut_ptr() as *mut v128;
                let old = v128_load(place);
                let new = left.iter().fold(old, |new, &p| i32x4_add(new, u32x4_gt(old, u32x4_splat(p))));
                let gone = left.iter().fold(i32x4_splat(0), |gone, &p| v128_or(gone, i32x4_eq(old, u32x4_splat(p))));
                // No slot has a rank of EMPTY that is above some p and stays; and what has left has none any more.
                let none = v128_or(gone, is_empty(rank));
                v128_store(place, v128_or(new, none));
            }
        }
    }
}

/// The token at `rank` has left: those behind it move up.
#[inline(never)]
pub fn leave(ranks: &mut [u32], rank: u32) {
    let left = u32x4_splat(rank);
    for quad in ranks.as_chunks_mut::<4>().0 {
        // SAFETY: the reference covers 16 readable and writable bytes.
        unsafe {
            let place = quad.as_mut_ptr() as *mut v128;
            let old = v128_load(place);
            let new = i32x4_add(old, v128_andnot(u32x4_gt(old, left), is_empty(quad)));
            v128_store(place, v128_or(new, i32x4_eq(old, left)));
        }
    }
}

/// The slot whose token is at `rank`; there must be one.
#[inline(never)]
pub fn slot_of(ranks: &[u32], rank: u32) -> usize {
    for (i, quad) in ranks.as_chunks::<4>().0.iter().enumerate() {
        // SAFETY: the reference covers 16 readable bytes.
        let quad = unsafe { v128_load(quad.as_ptr() as *const v128) };
        if v128_any_true(i32x4_eq(quad, u32x4_splat(rank))) {
            return 4 * i + ranks[4 * i..].iter().position(|&other| other == rank).unwrap_or_default();
        }
    }
    unreachable!("a rank of a slot")
}

#[inline(always)]
fn is_empty(quad: &[u32; 4]) -> v128 {
    // SAFETY: the reference covers 16 readable bytes.
    i32x4_eq(unsafe { v128_load(quad.as_ptr() as *const v128) }, i32x4_splat(-1))
}

#[inline(never)]
fn settle_many(ranks: &mut [u32], positions: &[u32]) {
    let mut start = 0;
    loop {
        let mut left = [0u64; WORDS];
        let mut beyond = false;
        for (&rank, &position) in ranks.iter().zip(positions) {
            let place = rank.wrapping_sub(start) as usize;
            beyond |= rank != EMPTY && rank >= start && place >= 64 * WORDS;
            if position == EMPTY && place < 64 * WORDS {
                left[place / 64] |= 1 << (place % 64);
            }
        }
        let mut below = [0u32; WORDS + 1];
        for i in 0..WORDS {
            below[i + 1] = below[i] + left[i].count_ones();
        }
        for (rank, &position) in ranks.iter_mut().zip(positions).filter(|(rank, _)| **rank != EMPTY && **rank >= start)
        {
            let place = (*rank - start) as usize;
            *rank = match left.get(place / 64) {
                Some(_) if position == EMPTY => EMPTY,
                Some(word) => *rank - below[place / 64] - (word & ((1 << (place % 64)) - 1)).count_ones(),
                None => *rank - below[WORDS],
            };
        }
        if !beyond {
            return;
        }
        start += 64 * WORDS as u32 - below[WORDS];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Random;

    /// Whatever leaves, ranks are those that sorting gives.
    #[test]
    fn ranks_are_places_in_order_of_position() {
        let mut random = Random(41);
        for capacity in [32, 96, 1024, 9984] {
            let (mut ranks, mut positions) = (vec![0; capacity], vec![EMPTY; capacity]);
            settle(&mut ranks, &positions);
            assert!(ranks.iter().all(|&rank| rank == EMPTY));
            let mut next = 0;
            for leaving in [0, 1, 7, 8, 9, 40, 65, 300, 5000, 9000, 3, capacity] {
                for slot in 0..capacity {
                    if positions[slot] == EMPTY && random.below(4) > 0 {
                        ranks[slot] = positions.iter().filter(|&&p| p != EMPTY).count() as u32;
                        positions[slot] = next;
                        next += 1 + random.below(3) as u32;
                    }
                }
                (0..leaving.min(capacity)).for_each(|_| positions[random.below(capacity)] = EMPTY);
                settle(&mut ranks, &positions);
                let mut order: Vec<usize> = (0..capacity).filter(|&slot| positions[slot] != EMPTY).collect();
                order.sort_by_key(|&slot| positions[slot]);
                let mut wanted = vec![EMPTY; capacity];
                order.iter().enumerate().for_each(|(rank, &slot)| wanted[slot] = rank as u32);
                assert!(ranks == wanted, "{capacity} slots, {leaving} left");
            }
        }
    }
}
