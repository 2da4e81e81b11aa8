//! Rules by which slots leave whatever the budget.
//!
//! ```text
//! below   candidates whose score is below a bound: positions from `first` up to `last`
//! share   all but the fewest candidates that, with what stays in any case, have a share tau of the scores' sum
//! at      the slot with so many others at earlier positions, until a budget is kept
//! ```
//! Sources: ZipVL, arXiv 2410.08584 §4.2; CORM, arXiv 2404.15949 (a score there is the last query that found the slot important); Elastic Cache,
//! arXiv 2407.18121 §3.3.
use super::select::{largest, thin, Candidates, Keep};
use crate::kernel::kv::slots::{self, EMPTY};
use crate::simd::*;

/// Positions of the slots that may leave.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    pub first: u32,
    pub last: u32,
}

impl Range {
    pub fn includes(&self, position: u32) -> bool {
        position >= self.first && position < self.last
    }
}

/// Empties every candidate whose score is below `bound`, or no number; `scores` have a row per KV head, or one for all.
pub fn below(region: &mut [u32], scores: &[f32], capacity: usize, range: Range, bound: f32) {
    let (n_rows, n_kv_heads) = (scores.len() / capacity, region.len() / (slots::HEADER + capacity));
    for (h, mut head) in slots::heads(region, capacity).enumerate() {
        let scores = &scores[h * n_rows / n_kv_heads * capacity..][..capacity];
        for slot in (0..head.n_slots()).rev() {
            let below = scores[slot] < bound || scores[slot].is_nan();
            if below && range.includes(head.positions()[slot]) {
                head.evict(slot);
            }
        }
    }
}

/// Empties the candidates of each head that are not needed to reach `tau` of the sum of its scores, which are not negative:
/// `f32[G, capacity]`.
pub fn share(region: &mut [u32], scores: &[f32], capacity: usize, range: Range, tau: f32) {
    for (mut head, scores) in slots::heads(region, capacity).zip(scores.chunks_exact(capacity)) {
        let held = || head.positions()[..head.n_slots()].iter().zip(scores).filter(|(&position, _)| position != EMPTY);
        let candidates = || held().filter(|(&position, _)| range.includes(position)).map(|(_, &score)| score);
        let total: f64 = held().map(|(_, &score)| score as f64).sum();
        let lacking = tau as f64 * total - (total - candidates().map(f64::from).sum::<f64>());
        // Floats that are not negative are in the order of their bits.
        let sum = |border: u32| candidates().filter(|score| score.to_bits() >= border).map(f64::from).sum::<f64>();
        let border = largest(|border| sum(border) >= lacking);
        let above = candidates().filter(|score| score.to_bits() > border).count();
        let equal = candidates().filter(|score| score.to_bits() == border).count();
        let score = f32::from_bits(border) as f64;
        let short = (lacking - sum(border.saturating_add(1))).max(0.0);
        let taken = (0..equal).take_while(|&n| n as f64 * score < short).count();
        let leaving = candidates().count() - above - taken;
        if leaving > 0 {
            thin(&mut head, Some(scores), Keep { budget: 0, first: range.first, last: range.last }, leaving);
        }
    }
}

/// Empties the slot of each head that has `index` occupied ones at earlier positions, again and again until no more than
/// `budget` are occupied, or none is there.
pub fn at(region: &mut [u32], capacity: usize, index: usize, budget: usize) {
    for mut head in slots::heads(region, capacity) {
        while head.n_occupied() > budget.max(index) {
            let all = Candidates::of(&head, None, Keep { budget: 0, first: 0, last: EMPTY });
            // The largest position that no more than `index` others lie before.
            let earlier = |bound: u32| all.count(|_, position| u32x4_lt(position, u32x4_splat(bound)));
            let position = largest(|bound| earlier(bound) <= index);
            let slot = head.positions().iter().position(|&other| other == position);
            slot.into_iter().for_each(|slot| head.evict(slot));
        }
    }
}
