//! Up to 16 rows over the slots of one KV head, chunk by chunk.
use super::chunk::{Chunk, Runs};
use super::decoded::{decode_keys, decode_values, most_slots, Scratch};
use super::keys::{self, PreparedQueries};
use super::softmax::{finish, weigh, Mask, Running, Weights};
use super::{values, Cache, Options, Results, CHUNK, SHORT_CHUNK};
use crate::kernel::elementwise::scale;
use crate::kernel::kv::{KvType, Shape};
use core::mem::MaybeUninit;

/// One query head of one token.
#[derive(Clone, Copy, Default)]
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

/// Room for what rows share: not cleared, since each chunk writes before it reads.
struct Room {
    logits: Logits,
    weights: [Weights; TILE],
    scales: [f32; CHUNK],
}

#[inline(never)]
pub fn attend_rows(
    results: &mut Results,
    q: &[f32],
    rows: &[Row],
    kv_head: usize,
    head: &Cache,
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
    let mut room = MaybeUninit::<Room>::uninit();
    // SAFETY: any bits are numbers.
    let Room { logits, weights, scales } = unsafe { &mut *room.as_mut_ptr() };
    // As even as they go: nine rows are three tiles of three.
    let tile = rows.len().div_ceil(rows.len().div_ceil(TILE));
    let is_float = |kind| matches!(kind, KvType::F32 | KvType::F16);
    let most = match scratch {
        Some(_) => most_slots(key.dim.max(value.dim)),
        None if is_float(key.kind) || is_float(value.kind) || options.window > 0 => SHORT_CHUNK,
        None => CHUNK,
    };
    // What is decoded is so by blocks, and values of 4 bits have slots of both halves of a block in a byte.
    let whole = scratch.is_some() || value.kind == KvType::Q4_0;
    if head.extras.active.is_some() {
        hide(results, rows, head.key.capacity, 0, head.slots.len());
    }
    let (mut next, mut runs) = (0, Runs::new());
    loop {
        runs.take(&mut next, head.slots.len(), most, head.extras.active, whole);
        let n_slots = runs.n_slots();
        if n_slots == 0 {
            break;
        }
        let chunk = Chunk::new(&runs, head, value, scales);
        if rows.iter().all(|row| row.mask.hides(chunk.range)) {
            // Where slots are left out, all are hidden so far.
            if runs.is_one_piece() {
                hide(results, rows, head.key.capacity, runs.start(), n_slots);
            }
            continue;
        }
        let (mut keys, mut values) = ((head.keys, &runs), (head.values, &runs));
        let in_order;
        if let Some(scratch) = &mut scratch {
            in_order = runs.in_order();
            if decoding.decodes_keys() {
                keys = (decode_keys(&mut scratch.keys, head, kv_head, &runs), &in_order);
            }
            if decoding.decodes_values() {
                values = (decode_values(&mut scratch.values, head, kv_head, &runs), &in_order);
            }
        }
        for first in (0..rows.len()).step_by(tile) {
            let rows = &rows[first..(first + tile).min(rows.len())];
            let tops = keys::score(logits, &queries, first, rows.len(), keys.0, keys.1);
            for (i, row) in rows.iter().enumerate() {
                // Weights are made of 16 logits at a time.
                logits[i][n_slots..n_slots.next_multiple_of(16)].fill(f32::NEG_INFINITY);
                let logits = &mut logits[i][..n_slots.next_multiple_of(16)];
                let top = finish(&mut logits[..n_slots], tops[i], row, &chunk, options.softcap);
                let state = &mut running[first + i];
                let mut scores = results.scores.as_mut().map(|scores| &mut scores[row.in_scores * head.key.capacity..]);
                if let Some(factor) = state.raise(top.logit) {
                    scale(&mut results.out[row.in_q * dim..][..dim], factor);
                    scores.iter_mut().for_each(|scores| scale(&mut scores[..runs.start()], factor));
                }
                weigh(&mut weights[i], state, logits, top, &chunk, value.kind);
                scores.into_iter().for_each(|scores| keep(scores, &runs, &logits[..n_slots]));
            }
            values::add(results.out, rows, (weights, logits), values.0, values.1, value);
        }
    }
    for (row, state) in rows.iter().zip(&running) {
        let out = &mut results.out[row.in_q * dim..][..dim];
        results.lse[row.in_scores] = state.finish(out, value.kind);
    }
}

/// Puts the weights of a chunk to the other ones of its row.
#[inline(never)]
pub fn keep(scores: &mut [f32], runs: &Runs, weights: &[f32]) {
    if runs.is_one_piece() {
        return scores[runs.start()..runs.end()].copy_from_slice(weights);
    }
    for run in runs.iter() {
        scores[run.slot..][..run.n].copy_from_slice(&weights[run.place..][..run.n]);
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
