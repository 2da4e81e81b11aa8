//! Policies that look at stored keys and values, or at queries; see `kernel::policy`.
use super::attention::{shape, slots_words, stored};
use super::{optional, read, write};
use crate::kernel::policy::geometry::{self, Geometry};
use crate::kernel::policy::merge::{self, Changed, Join};
use crate::kernel::policy::{cut::Range, echo, queries};
use crate::kernel::rope::RopeStyle;
use wasm_bindgen::prelude::wasm_bindgen;

fn statistics(dim: u32) -> u32 {
    queries::statistics(dim as usize) as u32
}

/// `out f32[G, capacity]` = scores of the slots by their keys: `kind` 0 minus the cosine with their mean direction, 1 minus
/// the length.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn policy_geometry(
    out: u32,
    keys: u32,
    slots: u32,
    n_kv_heads: u32,
    k_dim: u32,
    capacity: u32,
    k_type: u32,
    kind: u32,
) {
    checked!(write(out, 4 * n_kv_heads * capacity));
    unsafe {
        let cache = stored(keys, slots, n_kv_heads, k_dim, capacity, k_type);
        geometry::geometry(write(out, n_kv_heads * capacity), cache, Geometry::from_id(kind));
    }
}

/// Adds queries `q f32[T, H, d]`, not rotated yet, at positions from `first` on to `stats f32[H, 1 + d + d (d + 1) / 2]`.
#[wasm_bindgen]
pub fn policy_gather(stats: u32, q: u32, positions: u32, n_tokens: u32, n_heads: u32, dim: u32, first: u32) {
    let n_stats = n_heads * statistics(dim);
    checked!(write(stats, 4 * n_stats), read(q, 4 * n_tokens * n_heads * dim));
    unsafe {
        let (q, positions) = (read(q, n_tokens * n_heads * dim), read(positions, n_tokens));
        queries::gather(write(stats, n_stats), q, positions, dim as usize, first);
    }
}

/// `table f32[half, 2]` = `magnitude` times the mean of (cos, sin)(position * frequency) over `n` positions from `start` on.
#[wasm_bindgen]
pub fn policy_mean_rotation(table: u32, inv_freq: u32, half: u32, start: u32, n: u32, magnitude: f32) {
    checked!(write(table, 8 * half), read(inv_freq, 4 * half));
    unsafe { queries::mean_rotation(write(table, 2 * half), read(inv_freq, half), start, n, magnitude) }
}

/// `out f32[G, capacity]` = (the weight that queries like those of `stats f32[H, 1 + d + d (d + 1) / 2]`, turned by
/// `table f32[rope_dims / 2, 2]` (or 0), will give the slots of positions from `first` on + `epsilon`) times the lengths of
/// the values. `room f32[capacity]`; `bias f32[G, capacity]` and `slopes f32[H]` (or 0) as in `attend`.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn policy_expect(
    out: u32,
    room: u32,
    keys: u32,
    values: u32,
    slots: u32,
    stats: u32,
    table: u32,
    bias: u32,
    slopes: u32,
    n_heads: u32,
    n_kv_heads: u32,
    k_dim: u32,
    v_dim: u32,
    capacity: u32,
    rope_dims: u32,
    first: u32,
    k_type: u32,
    v_type: u32,
    rope_style: u32,
    scale: f32,
    epsilon: f32,
) {
    let n_stats = n_heads * statistics(k_dim);
    checked!(write(out, 4 * n_kv_heads * capacity), write(room, 4 * capacity), read(stats, 4 * n_stats));
    unsafe {
        let cache = stored(keys, slots, n_kv_heads, k_dim, capacity, k_type);
        let value = shape(v_type, v_dim, capacity);
        let turn =
            optional(table, rope_dims).map(|table| queries::Turn { table, style: RopeStyle::from_id(rope_style) });
        let future = queries::Future {
            values: read(values, n_kv_heads * value.value_bytes() as u32),
            value,
            stats: read(stats, n_stats),
            turn,
            bias: optional(bias, n_kv_heads * capacity),
            slopes: optional(slopes, n_heads),
            scale,
            epsilon,
            first,
        };
        queries::expect(write(out, n_kv_heads * capacity), write(room, capacity), cache, future);
    }
}

/// Writes to `scores f32[G, capacity]`, in the lowest empty slots, how much each of a chunk's tokens would help to repeat
/// the chunk. `q f32[T, H, d]` and `k f32[T, G, d]` are rotated; `turn f32[rope_dims / 2, 2]` (or 0) turns them on by T
/// positions, `slopes f32[H]` (or 0) as in `attend`. Positions below `sinks` that lie in the cache take part.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn policy_echo(
    scores: u32,
    q: u32,
    k: u32,
    positions: u32,
    keys: u32,
    slots: u32,
    turn: u32,
    slopes: u32,
    n_tokens: u32,
    n_heads: u32,
    n_kv_heads: u32,
    k_dim: u32,
    capacity: u32,
    rope_dims: u32,
    sinks: u32,
    k_type: u32,
    rope_style: u32,
    scale: f32,
) {
    checked!(
        write(scores, 4 * n_kv_heads * capacity),
        read(q, 4 * n_tokens * n_heads * k_dim),
        read(k, 4 * n_tokens * n_kv_heads * k_dim),
    );
    unsafe {
        let cache = stored(keys, slots, n_kv_heads, k_dim, capacity, k_type);
        let chunk = echo::Chunk {
            q: read(q, n_tokens * n_heads * k_dim),
            k: read(k, n_tokens * n_kv_heads * k_dim),
            positions: read(positions, n_tokens),
            turn: optional(turn, rope_dims),
            style: RopeStyle::from_id(rope_style),
            slopes: optional(slopes, n_heads),
            n_heads: n_heads as usize,
            scale,
            sinks,
        };
        echo::echo(write(scores, n_kv_heads * capacity), cache, chunk);
    }
}

/// `before u32[G, 4 + capacity]` = the slots, to be compared with after some of them have been emptied.
#[wasm_bindgen]
pub fn policy_mark(before: u32, slots: u32, n_kv_heads: u32, capacity: u32) {
    let n_slots = slots_words(n_kv_heads, capacity);
    checked!(write(before, 4 * n_slots), read(slots, 4 * n_slots));
    unsafe { write::<u32>(before, n_slots).copy_from_slice(read(slots, n_slots)) }
}

/// What slots held that have been emptied since `policy_mark` joins slots that stayed, at positions from `first` up to
/// `last`: by `scores f32[G, capacity]` into the value of the key that is most alike, whose `bias f32[G, capacity]` grows;
/// or, without scores and bias (0), into the mean of keys and values at the nearest position. `before` is used up.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn policy_join(
    keys: u32,
    values: u32,
    scores: u32,
    bias: u32,
    before: u32,
    slots: u32,
    n_kv_heads: u32,
    k_dim: u32,
    v_dim: u32,
    capacity: u32,
    first: u32,
    last: u32,
    k_type: u32,
    v_type: u32,
) {
    let (key, value) = (shape(k_type, k_dim, capacity), shape(v_type, v_dim, capacity));
    let (key_bytes, value_bytes) = (n_kv_heads * key.key_bytes() as u32, n_kv_heads * value.value_bytes() as u32);
    let (n_slots, n_scores) = (slots_words(n_kv_heads, capacity), n_kv_heads * capacity);
    checked!(write(keys, key_bytes), write(values, value_bytes), write(before, 4 * n_slots), read(slots, 4 * n_slots));
    unsafe {
        let cache = Changed {
            keys: write(keys, key_bytes / 4),
            values: write(values, value_bytes),
            slots: read(slots, n_slots),
            key,
            value,
        };
        let join = match scores {
            0 => Join::Mean,
            _ => Join::Fold { scores: write(scores, n_scores), bias: write(bias, n_scores) },
        };
        merge::join(cache, write(before, n_slots), Range { first, last }, join);
    }
}
