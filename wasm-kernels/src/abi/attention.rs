//! The KV cache of one layer, and attention over it. Storage types of keys and values: 0 F32, 1 F16, 2 Q4_0, 8 Q8_0.
use super::{codec, optional, read, write};
use crate::kernel::attend;
use crate::kernel::kv::{slots, KvType, Shape, Stored};
use crate::kernel::rope::RopeStyle;
use wasm_bindgen::prelude::wasm_bindgen;

pub(super) fn shape(kind: u32, dim: u32, capacity: u32) -> Shape {
    Shape { kind: KvType::from_id(kind), dim: dim as usize, capacity: capacity as usize }
}

pub(super) fn slots_words(n_kv_heads: u32, capacity: u32) -> u32 {
    n_kv_heads * (slots::HEADER as u32 + capacity)
}

/// Bytes of the keys, or values, of all KV heads of a layer. `capacity` is a multiple of 32, `head_dim` of 8.
#[wasm_bindgen]
pub fn kv_bytes(capacity: u32, n_kv_heads: u32, head_dim: u32, kind: u32, is_value: u32) -> u32 {
    let shape = shape(kind, head_dim, capacity);
    n_kv_heads * if is_value == 0 { shape.key_bytes() } else { shape.value_bytes() } as u32
}

/// Empties a slots region: per KV head `u32 [n_slots, n_free, first_free, 0]` and `u32 position[capacity]`.
#[wasm_bindgen]
pub fn kv_reset(slots: u32, n_kv_heads: u32, capacity: u32) {
    checked!(write(slots, 4 * slots_words(n_kv_heads, capacity)));
    let slots = unsafe { write(slots, slots_words(n_kv_heads, capacity)) };
    slots::heads(slots, capacity as usize).for_each(|mut head| head.reset());
}

/// Stores tokens `k f32[T, G, k_dim]`, `v f32[T, G, v_dim]` in empty slots of every head, lowest first. There must be
/// room for all of them. `ranks u32[G, capacity]` (or 0), the place of each slot's token among those of its head, are
/// brought up to date.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn kv_append(
    keys: u32,
    values: u32,
    slots: u32,
    ranks: u32,
    k: u32,
    v: u32,
    positions: u32,
    n_tokens: u32,
    n_kv_heads: u32,
    k_dim: u32,
    v_dim: u32,
    capacity: u32,
    k_type: u32,
    v_type: u32,
) {
    let rows = n_tokens * n_kv_heads;
    checked!(read(k, 4 * rows * k_dim), read(v, 4 * rows * v_dim), read(positions, 4 * n_tokens));
    let mut cache =
        unsafe { cache_mut(keys, values, slots, ranks, n_kv_heads, k_dim, v_dim, capacity, k_type, v_type) };
    let (k, v, positions) = unsafe { (read(k, rows * k_dim), read(v, rows * v_dim), read(positions, n_tokens)) };
    cache.append(k, v, positions);
}

/// Empties every slot whose position is `position` or later.
#[wasm_bindgen]
pub fn kv_truncate(slots: u32, n_kv_heads: u32, capacity: u32, position: u32) {
    checked!(write(slots, 4 * slots_words(n_kv_heads, capacity)));
    let slots = unsafe { write(slots, slots_words(n_kv_heads, capacity)) };
    slots::heads(slots, capacity as usize).for_each(|mut head| head.truncate(position));
}

/// Closes the holes of every head; occupied slots keep their order.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn kv_compact(
    keys: u32,
    values: u32,
    slots: u32,
    ranks: u32,
    n_kv_heads: u32,
    k_dim: u32,
    v_dim: u32,
    capacity: u32,
    k_type: u32,
    v_type: u32,
) {
    unsafe { cache_mut(keys, values, slots, ranks, n_kv_heads, k_dim, v_dim, capacity, k_type, v_type) }.compact();
}

#[allow(clippy::too_many_arguments)]
pub(super) unsafe fn cache_mut<'a>(
    keys: u32,
    values: u32,
    slots: u32,
    ranks: u32,
    n_kv_heads: u32,
    k_dim: u32,
    v_dim: u32,
    capacity: u32,
    k_type: u32,
    v_type: u32,
) -> slots::Cache<'a> {
    let (key, value) = (shape(k_type, k_dim, capacity), shape(v_type, v_dim, capacity));
    let (key_bytes, value_bytes) = (n_kv_heads * key.key_bytes() as u32, n_kv_heads * value.value_bytes() as u32);
    let n_slots = slots_words(n_kv_heads, capacity);
    checked!(write(keys, key_bytes), write(values, value_bytes), write(slots, 4 * n_slots));
    slots::Cache {
        keys: write(keys, key_bytes / 4),
        values: write(values, value_bytes),
        slots: write(slots, n_slots),
        ranks: (ranks != 0).then(|| write(ranks, n_kv_heads * capacity)),
        key,
        value,
    }
}

pub(super) unsafe fn stored<'a>(
    keys: u32,
    slots: u32,
    n_kv_heads: u32,
    dim: u32,
    capacity: u32,
    kind: u32,
) -> Stored<'a> {
    let key = shape(kind, dim, capacity);
    let (key_bytes, n_slots) = (n_kv_heads * key.key_bytes() as u32, slots_words(n_kv_heads, capacity));
    checked!(read(keys, key_bytes), read(slots, 4 * n_slots));
    Stored { keys: read(keys, key_bytes / 4), slots: read(slots, n_slots), key }
}

/// Attention of the queries `q f32[T, H, k_dim]` at `positions` over every slot they may see.
///
/// `out f32[T, H, v_dim]`; `scores f32[H, T, capacity]`, or 0: not kept, receives e^logit of slots below a head's `n_slots`
/// (rounded up to 32), up to a factor per row, 0 where masked, and leaves the others as they are; `lse f32[H, T]`. A slot is
/// visible to a token if its position is the token's or earlier, and, with `window` > 0, later than the token's less
/// `window`. Logits are `scale * q·k`, then `softcap * tanh(logit / softcap)` if `softcap` > 0, then with `slopes f32[H]`
/// (or 0) less `slope * distance`.
///
/// What follows may be 0: absent. `bias f32[G, capacity]` is added to logits. `active u32[G, capacity / 32]`: slots whose
/// bit is 0 are not visible. `ranks u32[G, capacity]`: distances and rotation go by these instead of positions. `table
/// f32[n_rows, rope_dims / 2, 2]`: keys and queries come unrotated and are turned by these rows. `codec`: how keys or
/// values are stored if not as `k_type` and `v_type` say, see `codec::open`.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn attend(
    out: u32,
    scores: u32,
    lse: u32,
    q: u32,
    keys: u32,
    values: u32,
    slots: u32,
    positions: u32,
    slopes: u32,
    bias: u32,
    active: u32,
    ranks: u32,
    table: u32,
    codec: u32,
    n_tokens: u32,
    n_heads: u32,
    n_kv_heads: u32,
    k_dim: u32,
    v_dim: u32,
    capacity: u32,
    n_rows: u32,
    rope_dims: u32,
    k_type: u32,
    v_type: u32,
    rope_style: u32,
    scale: f32,
    softcap: f32,
    window: u32,
) {
    let (key, value) = (shape(k_type, k_dim, capacity), shape(v_type, v_dim, capacity));
    let codec = unsafe { codec::open(codec) };
    let (has_keys, has_values) = codec.as_ref().map_or((false, false), |codec| {
        let codec = codec.as_codec();
        (codec.has_keys(), codec.has_values())
    });
    let key_bytes = if has_keys { 0 } else { n_kv_heads * key.key_bytes() as u32 };
    let value_bytes = if has_values { 0 } else { n_kv_heads * value.value_bytes() as u32 };
    let (rows, n_slots) = (n_tokens * n_heads, slots_words(n_kv_heads, capacity));
    checked!(
        write(out, 4 * rows * v_dim),
        write(lse, 4 * rows),
        read(q, 4 * rows * k_dim),
        read(keys, key_bytes),
        read(values, value_bytes),
        read(slots, 4 * n_slots),
        // A tile may begin at any token.
        read(positions & !15, 4 * n_tokens + (positions & 15)),
    );
    unsafe {
        let rotation = attend::decoded::Rotation {
            table: read(table, n_rows * rope_dims),
            dims: rope_dims as usize,
            style: RopeStyle::from_id(rope_style),
        };
        let cache = attend::Cache {
            keys: read(keys, key_bytes / 4),
            values: read(values, value_bytes),
            slots: read(slots, n_slots),
            key,
            value,
            extras: attend::Extras {
                bias: optional(bias, n_kv_heads * capacity),
                active: optional(active, n_kv_heads * capacity / 32),
                ranks: optional(ranks, n_kv_heads * capacity),
                decoding: attend::decoded::Decoding {
                    codec: codec.as_ref().map(|codec| codec.as_codec()),
                    rotation: (table != 0).then_some(rotation),
                },
            },
        };
        let queries = attend::Queries {
            q: read(q, rows * k_dim),
            positions: read(positions, n_tokens),
            slopes: optional(slopes, n_heads),
            n_heads: n_heads as usize,
        };
        let mut results = attend::Results {
            out: write(out, rows * v_dim),
            scores: (scores != 0).then(|| write(scores, rows * capacity)),
            lse: write(lse, rows),
        };
        attend::attend(&mut results, queries, cache, attend::Options { scale, softcap, window });
    }
}

/// `out f32[T, H, v_dim]` and `lse f32[H, T]`, attention over some slots, become those over these and others, `out2` and
/// `lse2`.
#[wasm_bindgen]
pub fn attend_join(out: u32, lse: u32, out2: u32, lse2: u32, n_tokens: u32, n_heads: u32, v_dim: u32) {
    let rows = n_tokens * n_heads;
    checked!(write(out, 4 * rows * v_dim), write(lse, 4 * rows), read(out2, 4 * rows * v_dim), read(lse2, 4 * rows));
    unsafe {
        let other = attend::join::Part { out: read(out2, rows * v_dim), lse: read(lse2, rows) };
        attend::join::join(write(out, rows * v_dim), write(lse, rows), other, n_tokens as usize);
    }
}
