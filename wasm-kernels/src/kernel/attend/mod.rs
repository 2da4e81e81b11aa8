//! Attention of a tile of tokens over the cache of one layer, every head at once.
//! Sources: arXiv 1706.03762 §3.2.1, 2305.13245 (grouped queries), 1805.02867 (softmax in one pass).
//!
//! ```text
//! for every KV head, for up to 16 of the (token, query head) rows that share it:
//!   max = -inf, sum = 0, out = 0
//!   for every chunk of 384 slots (see `CHUNK`):
//!     logits  = scale * q·K                                                keys.rs
//!     max, sum, out rescaled if a logit passes max far; p = e^(logit - max)  softmax.rs
//!     out    += p·V                                                        values.rs
//!   out /= sum, lse = max + ln(sum)
//! ```
//! - A chunk's keys and values stay in the nearest caches while all rows pass over them, so that memory is read once for
//!   all; up to four rows at a time go through the innermost loops and share the loads of K and V there.
//! - Keys and values of 4 and 8 bits are never widened to floats: both products are byte dots (see `simd::dot14`). With
//!   8-bit keys and with all values the other operand is rounded to 14 bits, 64 times finer than the cache's own
//!   rounding; queries before 4-bit keys take 8 bits.
//! - A chunk that no row may see is skipped, and one that all rows see completely is not masked.
//! - What else a cache may have (`Extras`) leaves this path as it is: a bias and a set of slots to be read are applied
//!   where masks are; keys that are rotated at reading, and coded ones, become floats first (decoded.rs).
//! - Bound by the byte dots, two per 16 products.
// Rows, groups and dims run through several arrays at once.
#![allow(clippy::needless_range_loop)]
mod chunk;
pub mod decoded;
#[cfg(test)]
mod extras_tests;
pub mod join;
mod keys;
pub mod looked_up;
mod rows;
mod softmax;
#[cfg(test)]
mod tests;
mod values;

use super::kv::slots;
use super::kv::Shape;
use decoded::{Decoding, Scratch};
use looked_up::attend_row;
use rows::{attend_rows, Row};
use softmax::Mask;

/// Slots per chunk of 4- and 8-bit keys and values: the sums of products of 14-bit and 8-bit numbers stay within 32 bits.
const CHUNK: usize = 384;
/// Slots per chunk of floats, which are larger, and where a window hides slots: a hidden chunk is passed over.
const SHORT_CHUNK: usize = 128;
/// Rows that pass over a chunk together.
const ROWS: usize = 16;
/// Widest head.
pub const MAX_DIM: usize = 256;

/// How logits are made, besides by the dot product.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub scale: f32,
    /// `cap * tanh(logit / cap)`; 0: none.
    pub softcap: f32,
    /// Number of latest positions a token sees, itself included; 0: all.
    pub window: u32,
}

/// Keys, values and slots of one layer, to be read.
#[derive(Clone, Copy)]
pub struct Cache<'a> {
    /// `u32[G, key_bytes / 4]`
    pub keys: &'a [u32],
    /// `u8[G, value_bytes]`
    pub values: &'a [u8],
    /// `u32[G, 4 + capacity]`
    pub slots: &'a [u32],
    pub key: Shape,
    pub value: Shape,
    pub extras: Extras<'a>,
}

/// What a cache may have beside keys, values and slots.
#[derive(Clone, Copy, Default)]
pub struct Extras<'a> {
    /// `f32[G, capacity]`: added to logits.
    pub bias: Option<&'a [f32]>,
    /// `u32[G, capacity / 32]`: a slot whose bit is 0 is not read, and 32 without any are passed over.
    pub active: Option<&'a [u32]>,
    /// `u32[G, capacity]`: place of each slot's token among those of its head, by which distances and rotations go in
    /// place of its position. A query's place is the number of slots at earlier positions.
    pub ranks: Option<&'a [u32]>,
    pub decoding: Decoding<'a>,
}

impl Extras<'_> {
    /// Those of one of the heads.
    fn of_head(self, head: usize, capacity: usize) -> Self {
        Self {
            bias: self.bias.map(|bias| &bias[head * capacity..][..capacity]),
            active: self.active.map(|active| &active[head * capacity / 32..][..capacity / 32]),
            ranks: self.ranks.map(|ranks| &ranks[head * capacity..][..capacity]),
            decoding: self.decoding,
        }
    }
}

/// The tokens of a tile.
#[derive(Clone, Copy)]
pub struct Queries<'a> {
    /// `f32[T, H, key.dim]`
    pub q: &'a [f32],
    /// `u32[T]`
    pub positions: &'a [u32],
    /// `f32[H]`: slopes of ALiBi (arXiv 2108.12409).
    pub slopes: Option<&'a [f32]>,
    pub n_heads: usize,
}

/// Where results go.
pub struct Results<'a> {
    /// `f32[T, H, value.dim]`; 0 where a row sees nothing.
    pub out: &'a mut [f32],
    /// `f32[H, T, capacity]`: the weights of the slots below a head's `n_slots`, up to a factor of each row; 0 where masked.
    pub scores: Option<&'a mut [f32]>,
    /// `f32[H, T]`: log-sum-exp of the logits; -infinity where a row sees nothing.
    pub lse: &'a mut [f32],
}

pub fn attend(results: &mut Results, tile: Queries, cache: Cache, options: Options) {
    let decoding = cache.extras.decoding;
    if decoding.decodes_keys() || decoding.decodes_values() {
        attend_decoded(results, tile, cache, options);
    } else {
        attend_heads(results, tile, cache, options, None);
    }
}

/// A function of its own, so that plain attention needs no room for blocks.
#[inline(never)]
fn attend_decoded(results: &mut Results, tile: Queries, cache: Cache, options: Options) {
    attend_heads(results, tile, cache, options, Some(&mut Scratch::new()));
}

#[inline(never)]
fn attend_heads(
    results: &mut Results,
    tile: Queries,
    cache: Cache,
    options: Options,
    mut scratch: Option<&mut Scratch>,
) {
    let capacity = cache.key.capacity;
    let n_kv_heads = cache.slots.len() / (slots::HEADER + capacity);
    let (n_tokens, group) = (tile.positions.len(), tile.n_heads / n_kv_heads);
    let (key_words, value_bytes) = (cache.key.key_bytes() / 4, cache.value.value_bytes());
    for kv_head in 0..n_kv_heads {
        // Where a codec has them, the cache holds none.
        let head = Cache {
            keys: cache.keys.get(kv_head * key_words..).unwrap_or_default(),
            values: cache.values.get(kv_head * value_bytes..).unwrap_or_default(),
            slots: slots::positions(cache.slots, capacity, kv_head),
            extras: cache.extras.of_head(kv_head, capacity),
            ..cache
        };
        let row = |i: usize| {
            let (token, h) = (i / group, kv_head * group + i % group);
            let position = tile.positions[token];
            Row {
                in_q: token * tile.n_heads + h,
                in_scores: h * n_tokens + token,
                mask: Mask::new(position, options.window),
                slope: tile.slopes.map_or(0.0, |slopes| slopes[h]),
                index: if head.extras.ranks.is_some() { rank_of(head.slots, position) } else { position },
            }
        };
        let tables = cache.extras.decoding.tables().filter(|_| group == 1);
        let n_rows = n_tokens * group;
        let mut rows = [Row::default(); ROWS];
        for start in (0..n_rows).step_by(ROWS) {
            let rows = &mut rows[..ROWS.min(n_rows - start)];
            rows.iter_mut().enumerate().for_each(|(i, place)| *place = row(start + i));
            match (tables, &mut scratch) {
                (Some(tables), Some(scratch)) => rows
                    .iter()
                    .for_each(|row| attend_row(results, tile.q, row, kv_head, &head, options, tables, scratch)),
                _ => attend_rows(results, tile.q, rows, kv_head, &head, options, scratch.as_deref_mut()),
            }
        }
    }
}

/// How many of these positions lie before `position`; empty slots do not.
#[inline(never)]
fn rank_of(positions: &[u32], position: u32) -> u32 {
    positions.iter().map(|&other| (other < position) as u32).sum()
}
