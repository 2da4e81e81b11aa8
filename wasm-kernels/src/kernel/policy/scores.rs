//! Housekeeping of scores: they follow the slots they belong to.
use super::noise::Row;
use crate::kernel::kv::slots::{self, EMPTY};

/// Each row of scores with the positions of the slots it belongs to; rows are as many as KV heads, a multiple of them,
/// or one for all.
fn rows<'a>(
    scores: &'a mut [f32],
    slots: &'a [u32],
    capacity: usize,
) -> impl Iterator<Item = (&'a mut [f32], &'a [u32])> {
    let head_words = slots::HEADER + capacity;
    let (n_rows, n_kv_heads) = (scores.len() / capacity, slots.len() / head_words);
    scores.chunks_exact_mut(capacity).enumerate().map(move |(row, scores)| {
        let head = row * n_kv_heads / n_rows;
        (scores, &slots[head * head_words + slots::HEADER..][..capacity])
    })
}

/// The score of every empty slot is 0 afterwards.
pub fn clear(scores: &mut [f32], slots: &[u32], capacity: usize) {
    for (scores, positions) in rows(scores, slots, capacity) {
        scores.iter_mut().zip(positions).filter(|(_, &position)| position == EMPTY).for_each(|(score, _)| *score = 0.0);
    }
}

/// Moves scores as closing the holes is going to move the slots.
pub fn compact(scores: &mut [f32], slots: &[u32], capacity: usize) {
    for (scores, positions) in rows(scores, slots, capacity) {
        let mut end = 0;
        for slot in 0..capacity {
            if positions[slot] != EMPTY {
                scores[end] = scores[slot];
                end += 1;
            }
        }
        scores[end..].fill(0.0);
    }
}

/// A uniform draw per slot, by position: the same each time for the same token.
pub fn randomise(scores: &mut [f32], slots: &[u32], capacity: usize, seed: u32, layer: u32) {
    for (row, (scores, positions)) in rows(scores, slots, capacity).enumerate() {
        let draws = Row::new(seed, layer, row as u32, 0);
        for (score, &position) in scores.iter_mut().zip(positions) {
            *score = if position == EMPTY { 0.0 } else { draws.uniform(position) };
        }
    }
}
