//! Attention over codes that name entries of codebooks, one row at a time: no key and no value is opened.
//!
//! ```text
//! table[u][j] = scale * q[u]·centre[u][j]                     u: group of channels, j: code
//! for every chunk of 128 slots:
//!   logit = sum over u of table[u][code[u]]                   a token that is still exact: scale * q·k
//!   p     = e^(logit - max), as ever
//!   sums[u][code[u]] += p                                     a token that is still exact: out += p v
//! out += sum over j of sums[u][j] * centre[u][j];  out /= sum
//! ```
//! - Keys that turn when they are read have no such tables: those would differ by position. Where several query heads
//!   share a key, opening it once for all of them is faster.
//! - Bound by the look-ups, one per group of channels and slot, where opening takes one per channel.
use super::chunk::{Chunk, Runs};
use super::decoded::{Block, Scratch};
use super::rows::{hide, keep, Row};
use super::softmax::{finish, weigh, Running, Weights};
use super::{Cache, Options, Results, CHUNK, SHORT_CHUNK};
use crate::kernel::elementwise::scale;
use crate::kernel::kv::values::BLOCK;
use crate::kernel::kv::{KvType, Shape};

/// Keys and values that are read by tables.
pub trait Tables {
    /// Writes the products of a query with a head's centres.
    fn tabulate(&self, head: usize, q: &[f32], scale: f32, table: &mut [f32]);
    /// Writes the block's logits and returns the largest. What empty slots get does not matter.
    fn score(&self, block: &Block, q: &[f32], scale: f32, table: &[f32], logits: &mut [f32]) -> f32;
    /// Adds the block's weights to the sums of their codes, or their values to `out`.
    fn gather(&self, block: &Block, weights: &[f32], sums: &mut [f32], out: &mut [f32]);
    /// Adds a head's centres times their sums to `out`.
    fn spread(&self, head: usize, sums: &[f32], out: &mut [f32]);
}

#[allow(clippy::too_many_arguments)]
#[inline(never)]
pub fn attend_row(
    results: &mut Results,
    q: &[f32],
    row: &Row,
    kv_head: usize,
    head: &Cache,
    options: Options,
    (tables, sizes): (&dyn Tables, [usize; 2]),
    scratch: &mut Scratch,
) {
    let capacity = head.key.capacity;
    let (table, sums) = (scratch.keys.floats(sizes[0]), scratch.values.floats(sizes[1]));
    let q = &q[row.in_q * head.key.dim..][..head.key.dim];
    let out = row.in_q * head.value.dim..(row.in_q + 1) * head.value.dim;
    tables.tabulate(kv_head, q, options.scale, table);
    sums.fill(0.0);
    results.out[out.clone()].fill(0.0);
    let float = Shape { kind: KvType::F32, ..head.value };
    let (mut running, mut weights) = (Running::default(), Weights::default());
    let (mut logits, mut scales) = ([0.0; SHORT_CHUNK], [0.0; CHUNK]);
    if head.extras.active.is_some() {
        hide(results, core::slice::from_ref(row), capacity, 0, head.slots.len());
    }
    let (mut next, mut runs) = (0, Runs::new());
    loop {
        runs.take(&mut next, head.slots.len(), SHORT_CHUNK, head.extras.active, true);
        let n_slots = runs.n_slots();
        if n_slots == 0 {
            break;
        }
        let logits = &mut logits[..n_slots];
        let chunk = Chunk::new(&runs, head, float, &mut scales);
        if row.mask.hides(chunk.range) {
            // Where slots are left out, all are hidden so far.
            if runs.is_one_piece() {
                hide(results, core::slice::from_ref(row), capacity, runs.start(), n_slots);
            }
            continue;
        }
        let mut top = f32::NEG_INFINITY;
        for (run, logits) in runs.iter().zip(logits.chunks_exact_mut(BLOCK)) {
            let block = Block::new(head, kv_head, run.slot);
            top = top.max(tables.score(&block, q, options.scale, table, logits));
        }
        let top = finish(logits, top, row, &chunk, options.softcap);
        let mut scores = results.scores.as_mut().map(|scores| &mut scores[row.in_scores * capacity..]);
        let out = &mut results.out[out.clone()];
        if let Some(factor) = running.raise(top.logit) {
            scale(out, factor);
            scale(sums, factor);
            scores.iter_mut().for_each(|scores| scale(&mut scores[..runs.start()], factor));
        }
        weigh(&mut weights, &mut running, logits, top, &chunk, KvType::F32);
        scores.into_iter().for_each(|scores| keep(scores, &runs, logits));
        for (run, weights) in runs.iter().zip(logits.chunks_exact(BLOCK)) {
            tables.gather(&Block::new(head, kv_head, run.slot), weights, sums, out);
        }
    }
    let out = &mut results.out[out];
    tables.spread(kv_head, sums, out);
    results.lse[row.in_scores] = running.finish(out, KvType::F32);
}
