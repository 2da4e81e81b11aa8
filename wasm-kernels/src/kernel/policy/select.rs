//! Which slots stay: the sinks, the recent ones, and the best of the rest up to a budget; the others are emptied.
//!
//! ```text
//! sinks       position < first
//! recent      position >= last
//! candidates  all other occupied slots; as many leave as there are more occupied slots than the budget
//! order       lower score first, the later position first among equals, NaN before all
//! few leave   one pass that holds the worst so far, as after a token or some; of 16 slots most fail one comparison
//! many leave  bisection of the score that separates both sets, then of the position among its equals
//! ```
//! - Candidates are one unsigned comparison, `position - first < last - first`, which empty slots fail too.
//! - Bisection counts over the bits of a score, made comparable as an integer: at most 64 passes over the slots,
//!   whatever their number, and no memory.
//!
//! Sources: Keyformer, arXiv 2403.09054 Algorithm 1; H2O, arXiv 2306.14048; StreamingLLM, arXiv 2309.17453.
use crate::kernel::kv::slots::{self, Head};
use crate::kernel::lanes::load;
use crate::simd::*;

/// Leaving slots that are found in one pass.
pub(super) const FEW: usize = 16;

/// Slots that are looked at together in that pass.
const AT_ONCE: usize = 16;

/// What stays.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// Slots per KV head.
    pub budget: usize,
    /// Positions below this one stay.
    pub first: u32,
    /// Positions from this one on stay.
    pub last: u32,
}

/// Empties slots of every head. `scores` are `f32[rows, capacity]`, a row per KV head or one for all; without them the
/// earliest position leaves first. The score of a slot that leaves becomes 0 if `clear`.
pub fn select(region: &mut [u32], mut scores: Option<&mut [f32]>, capacity: usize, keep: Keep, clear: bool) {
    let n_kv_heads = region.len() / (slots::HEADER + capacity);
    for (h, mut head) in slots::heads(region, capacity).enumerate() {
        let leaving = head.n_occupied().saturating_sub(keep.budget);
        if leaving == 0 {
            continue;
        }
        let Some(scores) = scores.as_deref_mut() else {
            thin(&mut head, None, keep, leaving);
            continue;
        };
        let n_rows = scores.len() / capacity;
        let row = &mut scores[h * n_rows / n_kv_heads * capacity..][..capacity];
        // A row for all heads is read until the last of them, which all lose the same slots.
        let clear = clear && (n_rows == n_kv_heads || h + 1 == n_kv_heads);
        if leaving <= FEW {
            let (slots, n) = thin_few(&mut head, Some(row), keep, leaving);
            slots[..n].iter().filter(|_| clear).for_each(|&slot| row[slot] = 0.0);
            continue;
        }
        thin(&mut head, Some(row), keep, leaving);
        if clear {
            let empty = head.positions().iter().zip(row.iter_mut()).filter(|(&position, _)| position == slots::EMPTY);
            empty.for_each(|(_, score)| *score = 0.0);
        }
    }
}

/// `thin` for at most `FEW` slots; returns which ones, and how many.
fn thin_few(head: &mut Head, scores: Option<&[f32]>, keep: Keep, leaving: usize) -> ([usize; FEW], usize) {
    let (slots, n) = Candidates::of(head, scores, keep).worst(leaving);
    slots[..n].iter().for_each(|&slot| head.evict(slot));
    (slots, n)
}

/// Empties `leaving` slots of a head, or all candidates if they are fewer.
pub(super) fn thin(head: &mut Head, scores: Option<&[f32]>, keep: Keep, leaving: usize) {
    if leaving <= FEW {
        thin_few(head, scores, keep, leaving);
        return;
    }
    let candidates = Candidates::of(head, scores, keep);
    let staying = candidates.count(|_, _| u32x4_splat(u32::MAX)).saturating_sub(leaving);
    let (bound, latest) = if staying == 0 { (u32::MAX, 0) } else { candidates.border(staying) };
    for slot in 0..head.n_slots() {
        let candidates = Candidates::of(head, scores, keep);
        let (key, position) = candidates.at(slot);
        let stays = staying > 0 && (key > bound || key == bound && position <= latest);
        if candidates.includes(position) && !stays {
            head.evict(slot);
        }
    }
}

/// The slots that may leave, each with a key: the score as an integer that orders the same way.
#[derive(Clone, Copy)]
pub(super) struct Candidates<'a> {
    positions: &'a [u32],
    scores: Option<&'a [f32]>,
    first: u32,
    span: u32,
}

impl<'a> Candidates<'a> {
    pub(super) fn of(head: &'a Head, scores: Option<&'a [f32]>, keep: Keep) -> Self {
        let positions = &head.positions()[..head.n_slots().next_multiple_of(32)];
        Self { positions, scores, first: keep.first, span: keep.last.saturating_sub(keep.first) }
    }

    fn includes(&self, position: u32) -> bool {
        position.wrapping_sub(self.first) < self.span
    }

    /// Key and position of a slot.
    pub(super) fn at(&self, slot: usize) -> (u32, u32) {
        let position = self.positions[slot];
        let key = self.scores.map_or(position, |scores| u32x4_extract_lane::<0>(key(f32x4_splat(scores[slot]))));
        (key, position)
    }

    /// Keys of the slots 4 i and following, which hold these positions.
    #[inline(always)]
    fn keys(&self, i: usize, positions: v128) -> v128 {
        self.scores.map_or(positions, |scores| key(load(scores[4 * i..][..4].try_into().unwrap())))
    }

    /// Folds `f(state, key, position, is a candidate)` over four slots at a time.
    #[inline(always)]
    fn fold(&self, start: v128, f: impl Fn(v128, v128, v128, v128) -> v128) -> [u32; 4] {
        let (first, span) = (u32x4_splat(self.first), u32x4_splat(self.span));
        let mut state = start;
        for (i, positions) in self.positions.as_chunks::<4>().0.iter().enumerate() {
            // SAFETY: the reference covers 16 readable bytes.
            let positions = unsafe { v128_load(positions.as_ptr() as *const v128) };
            state = f(state, self.keys(i, positions), positions, u32x4_lt(i32x4_sub(positions, first), span));
        }
        [
            u32x4_extract_lane::<0>(state),
            u32x4_extract_lane::<1>(state),
            u32x4_extract_lane::<2>(state),
            u32x4_extract_lane::<3>(state),
        ]
    }

    /// How many candidates have `f(key, position)` set.
    #[inline(always)]
    pub(super) fn count(&self, f: impl Fn(v128, v128) -> v128) -> usize {
        let lanes = self.fold(u32x4_splat(0), |n, key, position, is| i32x4_sub(n, v128_and(is, f(key, position))));
        lanes.into_iter().sum::<u32>() as usize
    }

    /// The slots that leave first, `wanted <= FEW` of them, or fewer if there are not as many; how many they are.
    pub(super) fn worst(&self, wanted: usize) -> ([usize; FEW], usize) {
        // In order of leaving: key, later positions first, slot.
        let mut found = [(0, 0, 0); FEW];
        let mut n = 0;
        // A score, or a position, above which no slot is among the worst.
        let mut bound = self.scores.map_or(u32x4_splat(u32::MAX), |_| f32x4_splat(f32::INFINITY));
        // An unsigned comparison, as a signed one: those of vectors are.
        let [first, span] = opaque([self.first.wrapping_add(1 << 31), self.span ^ 1 << 31]).map(|x| u32x4_splat(x));
        // Which of four slots may be among the worst.
        let hits = |positions: &[u32; 4], scores: Option<&[f32; 4]>, bound: v128| {
            // SAFETY: the reference covers 16 readable bytes.
            let positions = unsafe { v128_load(positions.as_ptr() as *const v128) };
            let above = match scores {
                Some(scores) => f32x4_gt(load(scores), bound),
                None => u32x4_gt(positions, bound),
            };
            v128_andnot(i32x4_lt(i32x4_sub(positions, first), span), above)
        };
        let scores = self.scores.map(|scores| scores.as_chunks::<AT_ONCE>().0);
        // From the end: as long as slots lie in order of position, scores fall towards it, and the worst are found first.
        for (block, positions) in self.positions.as_chunks::<AT_ONCE>().0.iter().enumerate().rev() {
            let quads = positions.as_chunks::<4>().0;
            let scores = scores.map(|scores| scores[block].as_chunks::<4>().0);
            let any = (0..AT_ONCE / 4)
                .fold(u32x4_splat(0), |any, i| v128_or(any, hits(&quads[i], scores.map(|scores| &scores[i]), bound)));
            if !v128_any_true(any) {
                continue;
            }
            for i in 0..AT_ONCE / 4 {
                if !v128_any_true(hits(&quads[i], scores.map(|scores| &scores[i]), bound)) {
                    continue;
                }
                let start = AT_ONCE * block + 4 * i;
                for slot in start..start + 4 {
                    let (key, position) = self.at(slot);
                    let entry = (key, !position, slot);
                    if !self.includes(position) || n == wanted && entry > found[n - 1] {
                        continue;
                    }
                    n = (n + 1).min(wanted);
                    let place = found[..n - 1].iter().take_while(|&&other| other < entry).count();
                    found.copy_within(place..n - 1, place + 1);
                    found[place] = entry;
                }
                if n == wanted {
                    let last = found[n - 1].2;
                    bound = self.scores.map_or(u32x4_splat(self.positions[last]), |scores| f32x4_splat(scores[last]));
                }
            }
        }
        (found.map(|(_, _, slot)| slot), n)
    }

    /// The key and the position of the worst of the `staying` best.
    fn border(&self, staying: usize) -> (u32, u32) {
        let bound = largest(|bound| self.count(|key, _| u32x4_ge(key, u32x4_splat(bound))) >= staying);
        let equal = |key: v128| i32x4_eq(key, u32x4_splat(bound));
        let places = staying - self.count(|key, _| u32x4_gt(key, u32x4_splat(bound)));
        let latest = largest(|end| {
            self.count(|key, position| v128_and(equal(key), u32x4_lt(position, u32x4_splat(end)))) < places
        });
        (bound, latest)
    }
}

/// Orders floats as unsigned integers; NaN is the least of all, and both zeros are one.
#[inline(always)]
pub(crate) fn key(score: v128) -> v128 {
    let score = f32x4_add(score, f32x4_splat(0.0));
    let flipped = v128_xor(score, v128_or(i32x4_shr(score, 31), u32x4_splat(0x8000_0000)));
    v128_and(flipped, f32x4_eq(score, score))
}

/// The largest number of which `holds` is true; it is true of 0, and of all below one of which it is true.
pub(crate) fn largest(mut holds: impl FnMut(u32) -> bool) -> u32 {
    (0..32).rev().fold(0, |found, bit| if holds(found | 1 << bit) { found | 1 << bit } else { found })
}
