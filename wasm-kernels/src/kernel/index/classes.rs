//! What stays by the class of its token: separators, line ends, anchors.
//!
//! ```text
//! mark      score of a token's slot = 1 if its class is wanted, else 0
//! thin      once more than `over` slots are held: of the positions from `first` to `last`, the unmarked leave, and of the
//!           marked all but the latest `most`
//! evict     positions from `from` to `to` leave
//! ```
//! Classes are one byte for each token of the vocabulary. Marks lie where a policy's scores do, `f32[rows, capacity]`, a
//! row for each KV head or one for all of them. Sources: SepLLM, arXiv 2412.12094; AnLLM, arXiv 2402.07616 §3.2.
use super::slot_of;
use crate::kernel::kv::slots::{self, Head, EMPTY, HEADER};

/// Marks the slots of the tokens `ids u32[T]` at `positions u32[T]`, which have just been appended.
pub fn mark(marks: &mut [f32], slots: &[u32], capacity: usize, ids: &[u32], positions: &[u32], classes: &[u8]) {
    let head_words = HEADER + capacity;
    let (n_rows, n_kv_heads) = (marks.len() / capacity, slots.len() / head_words);
    for (row, marks) in marks.chunks_exact_mut(capacity).enumerate() {
        let slots = &slots[row * n_kv_heads / n_rows * head_words..][..head_words];
        let held = &slots[HEADER..][..slots[0] as usize];
        let first = held.len().saturating_sub(ids.len());
        for (i, (&id, &position)) in ids.iter().zip(positions).enumerate() {
            if let Some(slot) = slot_of(held, position, first + i) {
                marks[slot] = classes[id as usize].min(1) as f32;
            }
        }
    }
}

/// What stays.
#[derive(Clone, Copy)]
pub struct Keep {
    /// With at most so many slots nothing leaves.
    pub over: usize,
    /// Positions below this one stay.
    pub first: u32,
    /// Positions from this one on stay.
    pub last: u32,
    /// Of the marked ones between, the latest so many stay.
    pub most: usize,
}

/// Empties slots of every head, and clears their marks.
pub fn thin(region: &mut [u32], marks: &mut [f32], capacity: usize, keep: Keep) {
    let n_kv_heads = region.len() / (HEADER + capacity);
    let n_rows = marks.len() / capacity;
    for (h, mut head) in slots::heads(region, capacity).enumerate() {
        if head.n_occupied() <= keep.over {
            continue;
        }
        let marks = &marks[h * n_rows / n_kv_heads * capacity..][..capacity];
        let between = |position: u32| position >= keep.first && position < keep.last;
        let marked = |head: &Head, from: u32| {
            let held = head.positions()[..head.n_slots()].iter().zip(marks);
            held.filter(|(&position, &mark)| mark > 0.0 && between(position) && position >= from).count()
        };
        // Marked ones stay from here on: the first position behind which there are not too many.
        let (mut low, mut high) = (keep.first, keep.last.max(keep.first));
        while low < high {
            let middle = low + (high - low) / 2;
            if marked(&head, middle) <= keep.most {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        for (slot, &mark) in marks.iter().enumerate().take(head.n_slots()) {
            let position = head.positions()[slot];
            let stays = mark > 0.0 && position >= low;
            if position != EMPTY && between(position) && !stays {
                head.evict(slot);
            }
        }
    }
    crate::kernel::policy::scores::clear(marks, region, capacity);
}

/// Empties the slots of the positions from `from` to `to`.
pub fn evict(region: &mut [u32], capacity: usize, from: u32, to: u32) {
    for mut head in slots::heads(region, capacity) {
        for slot in (0..head.n_slots()).rev() {
            let position = head.positions().get(slot).copied().unwrap_or(EMPTY);
            if position >= from && position < to {
                head.evict(slot);
            }
        }
    }
}
