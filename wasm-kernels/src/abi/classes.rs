//! What stays by class, and ranges that leave; see `kernel::index::classes`. G KV heads, T tokens, V size of the vocabulary.
use super::attention::slots_words;
use super::{read, write};
use crate::kernel::index::classes;
use wasm_bindgen::prelude::wasm_bindgen;

/// `marks f32[rows, capacity]` of the slots of the tokens `ids u32[T]` at `positions u32[T]` = whether their class in
/// `classes u8[V]` is not 0. Rows: KV heads, or 1.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn class_mark(
    marks: u32,
    slots: u32,
    ids: u32,
    positions: u32,
    classes: u32,
    n_rows: u32,
    n_tokens: u32,
    n_vocab: u32,
    n_kv_heads: u32,
    capacity: u32,
) {
    let n_slots = slots_words(n_kv_heads, capacity);
    checked!(write(marks, 4 * n_rows * capacity), read(slots, 4 * n_slots), read(classes, n_vocab));
    unsafe {
        let (ids, positions) = (read(ids, n_tokens), read(positions, n_tokens));
        let marks = write(marks, n_rows * capacity);
        classes::mark(marks, read(slots, n_slots), capacity as usize, ids, positions, read(classes, n_vocab));
    }
}

/// Where a KV head holds more than `over` slots: of the positions from `first` to `last` the unmarked leave, and of the marked
/// all but the latest `most`. Marks as `class_mark` makes them; those of slots that leave become 0.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn class_thin(
    slots: u32,
    marks: u32,
    n_rows: u32,
    n_kv_heads: u32,
    capacity: u32,
    over: u32,
    first: u32,
    last: u32,
    most: u32,
) {
    let n_slots = slots_words(n_kv_heads, capacity);
    checked!(write(slots, 4 * n_slots), write(marks, 4 * n_rows * capacity));
    unsafe {
        let keep = classes::Keep { over: over as usize, first, last, most: most as usize };
        classes::thin(write(slots, n_slots), write(marks, n_rows * capacity), capacity as usize, keep);
    }
}

/// Empties the slots of the positions from `from` to `to`.
#[wasm_bindgen]
pub fn kv_evict_range(slots: u32, n_kv_heads: u32, capacity: u32, from: u32, to: u32) {
    let n_slots = slots_words(n_kv_heads, capacity);
    checked!(write(slots, 4 * n_slots));
    unsafe { classes::evict(write(slots, n_slots), capacity as usize, from, to) }
}
