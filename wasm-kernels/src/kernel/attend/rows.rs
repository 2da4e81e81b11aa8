//! Up to 16 rows over the slots of one KV head, chunk by chunk.
use super::keys::{self, PreparedQueries};
use super::softmax::{finish, weigh, Chunk, Mask, Running, Weights};
use super::{values, Cache, Options, Results, CHUNK};
use crate::kernel::elementwise::scale;
use crate::kernel::kv::values::BLOCK;

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
}

/// Logits of the rows of a tile, slot by slot.
pub type Logits = [[f32; CHUNK]; TILE];
/// Rows that share the loads of an innermost loop.
pub const TILE: usize = 4;

pub fn attend_rows(results: &mut Results, q: &[f32], rows: &[Row], head: Cache, options: Options) {
    let dim = head.value.dim;
    let mut queries = PreparedQueries::new(head.key);
    for (i, row) in rows.iter().enumerate() {
        queries.set(i, &q[row.in_q * head.key.dim..][..head.key.dim], options.scale);
        results.out[row.in_q * dim..][..dim].fill(0.0);
    }
    let mut running = [Running::default(); super::ROWS];
    let mut logits: Logits = [[0.0; CHUNK]; TILE];
    let mut weights = [Weights::default(); TILE];
    // As even as they go: nine rows are three tiles of three.
    let tile = rows.len().div_ceil(rows.len().div_ceil(4));
    for start in (0..head.slots.len()).step_by(CHUNK) {
        let positions = &head.slots[start..(start + CHUNK).min(head.slots.len())];
        let values = &head.values[start / BLOCK * head.value.value_block_bytes()..];
        let chunk = Chunk::new(positions, values, head.value);
        if rows.iter().all(|row| row.mask.hides(&chunk)) {
            if let Some(scores) = &mut results.scores {
                for row in rows {
                    scores[row.in_scores * head.key.capacity + start..][..positions.len()].fill(f32::NEG_INFINITY);
                }
            }
            continue;
        }
        for first in (0..rows.len()).step_by(tile) {
            let rows = &rows[first..(first + tile).min(rows.len())];
            let tops = keys::score(&mut logits, &queries, first, rows.len(), head.keys, start, positions.len());
            for (i, row) in rows.iter().enumerate() {
                let logits = &mut logits[i][..positions.len()];
                let top = finish(logits, tops[i], row, &chunk, options.softcap);
                if let Some(scores) = &mut results.scores {
                    scores[row.in_scores * head.key.capacity + start..][..logits.len()].copy_from_slice(logits);
                }
                let state = &mut running[first + i];
                if let Some(factor) = state.raise(top.logit) {
                    scale(&mut results.out[row.in_q * dim..][..dim], factor);
                }
                weigh(&mut weights[i], state, logits, top, &chunk, head.value.kind);
            }
            values::add(results.out, rows, &weights, values, positions.len(), head.value);
        }
    }
    for (row, state) in rows.iter().zip(running) {
        let out = &mut results.out[row.in_q * dim..][..dim];
        results.lse[row.in_scores] = state.finish(out, head.value.kind);
    }
}
