//! Rules by which slots leave whatever the budget.
//!
//! ```text
//! below   candidates whose score is below a bound: positions from `first` up to `last`
//! at      the slot with so many others at earlier positions, until a budget is kept
//! ```
//! Sources: CORM, arXiv 2404.15949 (a score there is the last query that found the slot important); Elastic Cache,
//! arXiv 2407.18121 §3.3.
use super::select::largest;
use crate::kernel::kv::slots;

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
            if range.includes(head.positions()[slot]) && !(scores[slot] >= bound) {
                head.evict(slot);
            }
        }
    }
}

/// Empties the slot of each head that has `index` occupied ones at earlier positions, again and again until no more than
/// `budget` are occupied, or none is there.
pub fn at(region: &mut [u32], capacity: usize, index: usize, budget: usize) {
    for mut head in slots::heads(region, capacity) {
        while head.n_occupied() > budget.max(index) {
            let positions = &head.positions()[..head.n_slots()];
            // The largest position that no more than `index` others lie before.
            let position = largest(|bound| positions.iter().filter(|&&position| position < bound).count() <= index);
            let slot = positions.iter().position(|&other| other == position);
            slot.into_iter().for_each(|slot| head.evict(slot));
        }
    }
}
