//! Up to 16 rows over the slots of one KV head, chunk by chunk.
use super::decoded::{decode_keys, decode_values, most_slots, Scratch};
use super::keys::{self, PreparedQueries};
use super::softmax::{finish, weigh, Chunk, Mask, Running, Weights};
use super::{values, Cache, Options, Results, CHUNK};
use crate::kernel::elementwise::scale;
use crate::kernel::kv::values::BLOCK;
use crate::kernel::kv::{KvType, Shape};

/// One query head of one token.
#[derive(Clone, Copy)]
pub struct Row {
    /// Index of the row in `q` and `out`.
    pub in_q: usize,
    /// Index of the row in `scores` and `lse`.
    pub in_scores: usize,
    pub mask: Mask,
    /// Of ALiBi; 0: none.
    pub slope: f32,
    /// What distances and rotation go by: the position, or the place in the cache.
    pub index: u32,
}

/// Logits of the rows of a tile, slot by slot.
pub type Logits = [[f32; CHUNK]; TILE];
/// Rows that share the loads of an innermost loop.
pub const TILE: usize = 4;

pub fn attend_rows(
    results: &mut Results,
    q: &[f32],
    rows: &[Row],
    kv_head: usize,
    head: Cache,
    options: Options,
    mut scratch: Option<&mut Scratch>,
) {
    let (dim, decoding) = (head.value.dim, head.extras.decoding);
    let float = |shape: Shape, decoded: bool| Shape { kind: if decoded { KvType::F32 } else { shape.kind }, ..shape };
    let key = float(head.key, decoding.decodes_keys());
    let value = float(head.value, decoding.decodes_values());
    let mut queries = PreparedQueries::new(key);
    for (i, row) in rows.iter().enumerate() {
        let q = &q[row.in_q * key.dim..][..key.dim];
        match &decoding.rotation {
            None => queries.set(i, q, options.scale),
            Some(rotation) => queries.set(i, &rotation.turned(q, row.index)[..key.dim], options.scale),
        }
        results.out[row.in_q * dim..][..dim].fill(0.0);
    }
    let mut running = [Running::default(); super::ROWS];
    let mut logits: Logits = [[0.0; CHUNK]; TILE];
    let mut weights = [Weights::default(); TILE];
    // As even as they go: nine rows are three tiles of three.
    let tile = rows.len().div_ceil(rows.len().div_ceil(4));
    let most = if scratch.is_some() { most_slots(key.dim.max(value.dim)) } else { CHUNK };
    let mut start = 0;
    while start < head.slots.len() {
        let (n_slots, is_read) = run(head.extras.active, start, most.min(head.slots.len() - start));
        let positions = &head.slots[start..][..n_slots];
        let at = start;
        start += n_slots;
        if !is_read {
            hide(results, rows, head.key.capacity, at, n_slots);
            continue;
        }
        let in_memory = head.values.get(at / BLOCK * head.value.value_block_bytes()..).unwrap_or_default();
        let chunk = Chunk::new(positions, in_memory, value, &head.extras, at);
        if rows.iter().all(|row| row.mask.hides(&chunk)) {
            hide(results, rows, head.key.capacity, at, n_slots);
            continue;
        }
        let mut keys = head.keys.get(at * head.key.key_words()..).unwrap_or_default();
        let mut values = in_memory;
        if let Some(scratch) = &mut scratch {
            keys = decode_keys(&mut scratch.keys, &head, kv_head, at, positions, keys);
            values = decode_values(&mut scratch.values, &head, kv_head, at, positions, values);
        }
        for first in (0..rows.len()).step_by(tile) {
            let rows = &rows[first..(first + tile).min(rows.len())];
            let tops = keys::score(&mut logits, &queries, first, rows.len(), keys, n_slots);
            for (i, row) in rows.iter().enumerate() {
                let logits = &mut logits[i][..n_slots];
                let top = finish(logits, tops[i], row, &chunk, options.softcap);
                let state = &mut running[first + i];
                let mut scores = results.scores.as_mut().map(|scores| &mut scores[row.in_scores * head.key.capacity..]);
                if let Some(factor) = state.raise(top.logit) {
                    scale(&mut results.out[row.in_q * dim..][..dim], factor);
                    scores.iter_mut().for_each(|scores| scale(&mut scores[..at], factor));
                }
                weigh(&mut weights[i], state, logits, top, &chunk, value.kind);
                scores.into_iter().for_each(|scores| scores[at..][..n_slots].copy_from_slice(logits));
            }
            values::add(results.out, rows, &weights, values, n_slots, value);
        }
    }
    for (row, state) in rows.iter().zip(running) {
        let out = &mut results.out[row.in_q * dim..][..dim];
        results.lse[row.in_scores] = state.finish(out, value.kind);
    }
}

/// The weights of slots that no row sees.
#[inline(never)]
pub fn hide(results: &mut Results, rows: &[Row], capacity: usize, start: usize, n_slots: usize) {
    if let Some(scores) = &mut results.scores {
        for row in rows {
            scores[row.in_scores * capacity + start..][..n_slots].fill(0.0);
        }
    }
}

/// How many of the `n_slots` slots from `start` on form one chunk, and whether it is read: blocks that are and blocks
/// that are not never lie in one.
pub fn run(active: Option<&[u32]>, start: usize, n_slots: usize) -> (usize, bool) {
    let Some(active) = active else { return (n_slots, true) };
    let blocks = &active[start / BLOCK..(start + n_slots) / BLOCK];
    let is_read = blocks[0] != 0;
    (BLOCK * blocks.iter().take_while(|&&bits| (bits != 0) == is_read).count(), is_read)
}
