//! A cascade of ring buffers; see `kernel::policy::cascade`. `rings u32[G, 16]`: how many sinks a head holds, then how many
//! tokens each ring.
use super::{read, write};
use crate::kernel::kv::slots::HEADER;
use crate::kernel::policy::cascade::{self, Form, WORDS};
use wasm_bindgen::prelude::wasm_bindgen;

/// `scores f32[G, capacity] = kept * scores + gain * ` the largest of each KV head's `gathered f32[H, capacity]`, which
/// become 0; scores of positions below `sinks` are 0.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn cascade_average(
    scores: u32,
    gathered: u32,
    slots: u32,
    n_heads: u32,
    n_kv_heads: u32,
    capacity: u32,
    sinks: u32,
    kept: f32,
    gain: f32,
) {
    let n_slots = n_kv_heads * (HEADER as u32 + capacity);
    checked!(
        write(scores, 4 * n_kv_heads * capacity),
        write(gathered, 4 * n_heads * capacity),
        read(slots, 4 * n_slots),
    );
    unsafe {
        let (scores, gathered) = (write(scores, n_kv_heads * capacity), write(gathered, n_heads * capacity));
        cascade::average(scores, gathered, read(slots, n_slots), sinks, kept, gain);
    }
}

/// Takes all tokens that are in no ring yet into the cascade, the earliest first, and empties the slots of what leaves it.
/// `scores f32[G, capacity]`, `ranks u32[G, capacity]`.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn cascade_insert(
    slots: u32,
    scores: u32,
    ranks: u32,
    rings: u32,
    n_kv_heads: u32,
    capacity: u32,
    sinks: u32,
    n_rings: u32,
    size: u32,
) {
    let (n, n_slots) = (n_kv_heads * capacity, n_kv_heads * (HEADER as u32 + capacity));
    let n_words = n_kv_heads * WORDS as u32;
    checked!(write(slots, 4 * n_slots), write(scores, 4 * n), write(ranks, 4 * n), write(rings, 4 * n_words));
    let form = Form { sinks: sinks as usize, rings: n_rings as usize, size: size as usize };
    unsafe { cascade::insert(write(slots, n_slots), write(scores, n), write(ranks, n), write(rings, n_words), form) }
}

/// Brings the numbers up to date after the latest tokens, or all, have been emptied.
#[wasm_bindgen]
pub fn cascade_trim(rings: u32, slots: u32, n_kv_heads: u32, capacity: u32) {
    let (n_words, n_slots) = (n_kv_heads * WORDS as u32, n_kv_heads * (HEADER as u32 + capacity));
    checked!(write(rings, 4 * n_words), write(slots, 4 * n_slots));
    unsafe { cascade::trim(write(rings, n_words), write(slots, n_slots)) }
}
