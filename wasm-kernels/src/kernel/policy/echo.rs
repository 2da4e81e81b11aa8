//! How well each token of a chunk would help to write the chunk again, from one pass.
//!
//! ```text
//! for each query j of the chunk, turned on as if the chunk were repeated right behind itself:
//!     logits    of the sinks before the chunk, of the chunk's keys i (from a distance of T + j - i),
//!               and of the repeated keys up to j (from j - i, as in the pass itself)
//!     score of i = max over j and the query heads of a KV head of e^(logit of i - log-sum-exp of all these)
//! ```
//! - Turning on by T is one rotation more of a query that is rotated already.
//! - Scores are written where the tokens are going to lie: in the lowest empty slots.
//!
//! After KVzip, arXiv 2505.23416 §3, which runs the repetition as a second pass over the whole cache.
use super::blocks::MAX_DIM;
use crate::kernel::kv::keys::read_key;
use crate::kernel::kv::slots::EMPTY;
use crate::kernel::kv::Stored;
use crate::kernel::lanes::{load, map};
use crate::kernel::logits::log_sum_exp;
use crate::kernel::math::exp_nonpositive;
use crate::kernel::rope::{rope, RopeStyle};
use crate::simd::*;

/// Longest chunk of a prompt.
const MAX_CHUNK: usize = 4096;
/// Sinks that are looked at.
const MAX_SINKS: usize = 8;

/// A chunk that is about to be stored.
#[derive(Clone, Copy)]
pub struct Chunk<'a> {
    /// `f32[T, H, d]`, rotated.
    pub q: &'a [f32],
    /// `f32[T, G, d]`, rotated.
    pub k: &'a [f32],
    /// `u32[T]`
    pub positions: &'a [u32],
    /// `f32[dims / 2, 2]`: (cos, sin) of T positions; absent without rotation.
    pub turn: Option<&'a [f32]>,
    pub style: RopeStyle,
    /// ALiBi slopes `f32[H]`.
    pub slopes: Option<&'a [f32]>,
    pub n_heads: usize,
    pub scale: f32,
    /// Positions below this one are sinks; the first eight of those before the chunk count.
    pub sinks: u32,
}

/// Writes `scores f32[G, capacity]` of the chunk's tokens.
pub fn echo(scores: &mut [f32], cache: Stored, chunk: Chunk) {
    let (capacity, dim, n) = (cache.key.capacity, cache.key.dim, chunk.positions.len());
    let n_kv_heads = cache.n_kv_heads();
    let group = chunk.n_heads / n_kv_heads;
    // Of the chunk's keys, of the repeated ones, of the sinks.
    let mut logits = [0.0; 2 * MAX_CHUNK + MAX_SINKS];
    for (head, scores) in scores.chunks_exact_mut(capacity).enumerate() {
        let positions = cache.positions(head);
        let first = positions.iter().position(|&position| position == EMPTY).unwrap_or(capacity);
        let empty = || (first..capacity).filter(|&slot| positions[slot] == EMPTY);
        empty().take(n).for_each(|slot| scores[slot] = 0.0);
        let mut sinks = [0.0; MAX_SINKS * MAX_DIM];
        let mut sink_positions = [0; MAX_SINKS];
        let mut n_sinks = 0;
        for slot in (0..capacity).filter(|&slot| positions[slot] < chunk.sinks).take(MAX_SINKS) {
            read_key(cache.keys_of(head), &cache.key, slot, &mut sinks[n_sinks * dim..][..dim]);
            sink_positions[n_sinks] = positions[slot];
            n_sinks += 1;
        }
        for h in head * group..(head + 1) * group {
            let slope = chunk.slopes.map_or(0.0, |slopes| slopes[h]);
            let key = |i: usize| &chunk.k[(i * n_kv_heads + head) * dim..][..dim];
            for j in 0..n {
                let q = &chunk.q[(j * chunk.n_heads + h) * dim..][..dim];
                let mut turned = [0.0; MAX_DIM];
                let turned = &mut turned[..dim];
                turned.copy_from_slice(q);
                if let Some(table) = chunk.turn {
                    rope(turned, table, 1, dim, table.len(), chunk.style);
                }
                let now = chunk.positions[j];
                // Positions as distances from the query, and, turned, from its place in the repetition.
                let logit = |q: &[f32], k: &[f32], distance: u32| chunk.scale * dot(q, k) - slope * distance as f32;
                let later = now + n as u32;
                (0..n).for_each(|i| logits[i] = logit(turned, key(i), later - chunk.positions[i]));
                (0..=j).for_each(|i| logits[n + i] = logit(q, key(i), now - chunk.positions[i]));
                let end = n + j + 1;
                for (i, &position) in sink_positions[..n_sinks].iter().enumerate() {
                    logits[end + i] = logit(turned, &sinks[i * dim..][..dim], later - position);
                }
                let log_sum = f32x4_splat(log_sum_exp(&logits[..end + n_sinks]));
                map(&mut logits[..n], |x| exp_nonpositive(f32x4_sub(x, log_sum)));
                for (slot, &weight) in empty().zip(&logits[..n]) {
                    scores[slot] = scores[slot].max(weight);
                }
            }
        }
    }
}

#[inline(never)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    // Heads are a multiple of 8 wide.
    let pairs = a.as_chunks::<4>().0.iter().zip(b.as_chunks::<4>().0);
    f32x4_sum(pairs.fold(f32x4_splat(0.0), |sum, (a, b)| f32x4_madd(load(a), load(b), sum)))
}
