//! Scores of slots and the choice of what stays in a cache; see `kernel::policy`.
//!
//! `scores f32[rows, capacity]` have a row per query head, per KV head, or one for the layer.
use super::attention::slots_words;
use super::{optional, read, write};
use crate::kernel::policy::observe::{self, Noise, Reduce};
use crate::kernel::policy::{cut, pool, scores, select, spread};
use wasm_bindgen::prelude::wasm_bindgen;

/// Adds to `scores f32[rows, capacity]` what a tile of queries shows: softmax((logits + noise) / tau) times `weight`,
/// reduced over the heads of a row after `scores *= decay` for each token. `reduce`: 0 the sum, 1 the largest, 2 the
/// position of the last query whose plain weight was at least one over its keys, 3 the same with one over its position + 1.
///
/// `weights f32[H, T, capacity]` are as `attend` left them, and are used up. `noise_kind`: 0 none, 1 Gumbel, 2 Gaussian, both drawn by (seed, layer, head, position of query, position of key), 3 as given in
/// `noise f32[H, noise_stride, noise_stride]` by positions of query and key. tau >= 0.5.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn policy_observe(
    scores: u32,
    weights: u32,
    slots: u32,
    positions: u32,
    noise: u32,
    n_rows: u32,
    n_tokens: u32,
    n_heads: u32,
    n_kv_heads: u32,
    capacity: u32,
    noise_stride: u32,
    noise_kind: u32,
    reduce: u32,
    seed: u32,
    layer: u32,
    weight: f32,
    decay: f32,
    tau: f32,
) {
    let (rows, n_slots) = (n_heads * n_tokens, slots_words(n_kv_heads, capacity));
    checked!(write(scores, 4 * n_rows * capacity), write(weights, 4 * rows * capacity), read(slots, 4 * n_slots),);
    unsafe {
        let tile = observe::Tile {
            positions: read(positions, n_tokens),
            slots: read(slots, n_slots),
            capacity: capacity as usize,
        };
        let noise = match noise_kind {
            0 => Noise::None,
            1 => Noise::Gumbel,
            2 => Noise::Gaussian,
            _ => Noise::Given(read(noise, n_heads * noise_stride * noise_stride), noise_stride as usize),
        };
        let reduce = Reduce::from_id(reduce);
        let options = observe::Options { reduce, noise, seed, layer, weight, decay, tau };
        observe::observe(write(scores, n_rows * capacity), write(weights, rows * capacity), tile, options);
    }
}

/// `out f32[G, capacity]` = mean over the query heads of a KV head of `scores f32[H, capacity]`, each first averaged (or
/// with `max` maximised) over `width` neighbouring slots. Slots lie in order of position; those at positions from `end`
/// on get 0 and are no neighbours.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn policy_pool(
    out: u32,
    scores: u32,
    slots: u32,
    n_heads: u32,
    n_kv_heads: u32,
    capacity: u32,
    width: u32,
    max: u32,
    end: u32,
) {
    let n_slots = slots_words(n_kv_heads, capacity);
    checked!(write(out, 4 * n_kv_heads * capacity), read(scores, 4 * n_heads * capacity), read(slots, 4 * n_slots),);
    unsafe {
        let (out, scores) = (write(out, n_kv_heads * capacity), read(scores, n_heads * capacity));
        pool::pool(out, scores, read(slots, n_slots), capacity as usize, width as usize, max != 0, end);
    }
}

/// Empties all slots of each head but `budget`: positions below `first` and from `last` on stay, then those of the highest
/// `scores f32[rows, capacity]` (rows: KV heads, or 1; offset 0: the latest stay), the earlier position first among equals.
/// With `clear` the scores of slots that leave become 0.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn policy_select(
    slots: u32,
    scores: u32,
    n_rows: u32,
    n_kv_heads: u32,
    capacity: u32,
    budget: u32,
    first: u32,
    last: u32,
    clear: u32,
) {
    let n_slots = slots_words(n_kv_heads, capacity);
    checked!(write(slots, 4 * n_slots));
    unsafe {
        let scores = (scores != 0).then(|| write(scores, n_rows * capacity));
        let keep = select::Keep { budget: budget as usize, first, last };
        select::select(write(slots, n_slots), scores, capacity as usize, keep, clear != 0);
    }
}

/// Empties the slots of each head at positions from `first` up to `last` whose score is below `bound`, or no number;
/// rows of `scores f32[rows, capacity]` as in `policy_select`.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn policy_cut(
    slots: u32,
    scores: u32,
    n_rows: u32,
    n_kv_heads: u32,
    capacity: u32,
    first: u32,
    last: u32,
    bound: f32,
) {
    let n_slots = slots_words(n_kv_heads, capacity);
    checked!(write(slots, 4 * n_slots), read(scores, 4 * n_rows * capacity));
    unsafe {
        let range = cut::Range { first, last };
        cut::below(write(slots, n_slots), read(scores, n_rows * capacity), capacity as usize, range, bound);
    }
}

/// Empties slots of each head at positions from `first` up to `last`: all but the fewest that, with those that stay, have
/// a share `tau` of the sum of `scores f32[G, capacity]`, none of which is negative.
#[wasm_bindgen]
pub fn policy_cut_share(slots: u32, scores: u32, n_kv_heads: u32, capacity: u32, first: u32, last: u32, tau: f32) {
    let n_slots = slots_words(n_kv_heads, capacity);
    checked!(write(slots, 4 * n_slots), read(scores, 4 * n_kv_heads * capacity));
    unsafe {
        let scores = read(scores, n_kv_heads * capacity);
        cut::share(write(slots, n_slots), scores, capacity as usize, cut::Range { first, last }, tau);
    }
}

/// Empties the slot of each head with `index` occupied ones at earlier positions until at most `budget` are occupied.
#[wasm_bindgen]
pub fn policy_evict_at(slots: u32, n_kv_heads: u32, capacity: u32, index: u32, budget: u32) {
    let n_slots = slots_words(n_kv_heads, capacity);
    checked!(write(slots, 4 * n_slots));
    unsafe { cut::at(write(slots, n_slots), capacity as usize, index as usize, budget as usize) }
}

/// Empties slots of a layer but `total` of all heads together: positions below `first` and from `last` on stay, then the
/// `least` best of each head by `scores f32[G, capacity]`, then the best of all; no head keeps more than `most`.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn policy_spread(
    slots: u32,
    scores: u32,
    n_kv_heads: u32,
    capacity: u32,
    total: u32,
    least: u32,
    most: u32,
    first: u32,
    last: u32,
) {
    let n_slots = slots_words(n_kv_heads, capacity);
    checked!(write(slots, 4 * n_slots), read(scores, 4 * n_kv_heads * capacity));
    let [total, least, most] = [total, least, most].map(|n| n as usize);
    unsafe {
        let scores = read(scores, n_kv_heads * capacity);
        let how = spread::Spread { total, least, most, first, last };
        spread::spread(write(slots, n_slots), scores, capacity as usize, how);
    }
}

/// Sets the scores of empty slots to 0; without slots (offset 0) all scores.
#[wasm_bindgen]
pub fn policy_clear(scores: u32, slots: u32, n_rows: u32, n_kv_heads: u32, capacity: u32) {
    checked!(write(scores, 4 * n_rows * capacity));
    unsafe {
        let scores = write(scores, n_rows * capacity);
        match optional(slots, slots_words(n_kv_heads, capacity)) {
            None => scores.fill(0.0),
            Some(slots) => scores::clear(scores, slots, capacity as usize),
        }
    }
}

/// Moves scores as `kv_compact` will move the slots; to be called before it.
#[wasm_bindgen]
pub fn policy_compact(scores: u32, slots: u32, n_rows: u32, n_kv_heads: u32, capacity: u32) {
    let n_slots = slots_words(n_kv_heads, capacity);
    checked!(write(scores, 4 * n_rows * capacity), read(slots, 4 * n_slots));
    unsafe { scores::compact(write(scores, n_rows * capacity), read(slots, n_slots), capacity as usize) }
}

/// Sets the score of each occupied slot to a uniform draw by (seed, layer, row, position).
#[wasm_bindgen]
pub fn policy_randomise(scores: u32, slots: u32, n_rows: u32, n_kv_heads: u32, capacity: u32, seed: u32, layer: u32) {
    let n_slots = slots_words(n_kv_heads, capacity);
    checked!(write(scores, 4 * n_rows * capacity), read(slots, 4 * n_slots));
    unsafe { scores::randomise(write(scores, n_rows * capacity), read(slots, n_slots), capacity as usize, seed, layer) }
}
