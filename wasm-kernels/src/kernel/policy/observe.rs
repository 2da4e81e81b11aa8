//! What a tile of queries shows about the slots: softmax weights, summed or maximised into scores, or the last query
//! that a slot mattered to.
//!
//! ```text
//! for each token of the tile, for each query head h with attention weights p of its slots, 0 where it sees none:
//!     w = (p e^noise)^(1 / tau);  w /= sum of w          that is softmax((x + noise) / tau) of the logits x
//!     scores[row of h] = scores * decay                  once per token
//!     scores[row of h] += weight w                       or: max(scores, weight w)
//!                                                        or: position of the query where p >= 1 / number of keys
//! ```
//! - A row of scores belongs to one query head, to the heads of a KV head, or to all heads of the layer.
//! - Attention leaves its exponentials, up to a factor per row, so that none is computed again.
//! - With an exponential draw E the Gumbel noise is -ln E: w = p / E at tau 1, as in a prompt, and sqrt(p / E) at tau 2,
//!   where Keyformer's rise ends. Between them a power takes a second logarithm and an exponential.
//! - Query heads of a KV head share hashes of their keys, block by block; see noise.rs.
//! - w replaces p until its sum is known. Bound by the vector unit: a draw, its quotient and root are 14 operations for
//!   four slots, what heads share 3 more for each of three.
//! - A token's own step counts as important to it, so that the last query never lies before the token itself.
//! - decay 0 keeps the last query only (TOVA), 1 sums (H2O, Keyformer), between lies a moving average.
//!
//! Sources: Keyformer, arXiv 2403.09054 §3.3; H2O, arXiv 2306.14048; TOVA, arXiv 2401.06104; CORM, arXiv 2404.15949.
use super::noise::{Draws, Row, GAUSSIAN_MOST, SHARED};
use super::power::Power;
use crate::kernel::kv::slots;
use crate::kernel::lanes::{load, store};
use crate::kernel::math::Exp;
use crate::kernel::scalar;
use crate::simd::*;
use core::ops::Range;

/// Slots whose hashes are held at once.
const BLOCK: usize = 1024;
/// Heads that are added to a score together: scores are read once for them.
const TOGETHER: usize = 3;

/// What is added to the logits.
#[derive(Clone, Copy)]
pub enum Noise<'a> {
    None,
    Gumbel,
    Gaussian,
    /// `f32[H, stride, stride]` by positions of query and key.
    Given(&'a [f32], usize),
}

/// What a score is of the weights that a slot got.
#[derive(Clone, Copy, PartialEq)]
pub enum Reduce {
    Sum = 0,
    Max = 1,
    /// Position of the last query whose plain weight for the slot was at least one over the keys that it read.
    Latest = 2,
    /// The same with one over its position + 1 instead, as if nothing had been evicted.
    LatestOfAll = 3,
}

impl Reduce {
    pub fn from_id(id: u32) -> Self {
        [Self::Sum, Self::Max, Self::Latest, Self::LatestOfAll][id as usize]
    }
}

/// How weights become scores.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    pub reduce: Reduce,
    pub noise: Noise<'a>,
    pub seed: u32,
    pub layer: u32,
    pub weight: f32,
    pub decay: f32,
    pub tau: f32,
}

/// A tile of queries.
#[derive(Clone, Copy)]
pub struct Tile<'a> {
    /// `u32[T]`
    pub positions: &'a [u32],
    /// `u32[G, 4 + capacity]`
    pub slots: &'a [u32],
    pub capacity: usize,
}

/// Updates `scores f32[rows, capacity]`; `weights f32[H, T, capacity]` are as attention left them, and are used up.
pub fn observe(scores: &mut [f32], weights: &mut [f32], tile: Tile, options: Options) {
    let Tile { capacity, .. } = tile;
    let (n_rows, n_tokens) = (scores.len() / capacity, tile.positions.len());
    let n_heads = weights.len() / (n_tokens * capacity);
    let group = n_heads / (tile.slots.len() / (slots::HEADER + capacity));
    for (row, scores) in scores.chunks_exact_mut(capacity).enumerate() {
        let end = (row + 1) * n_heads / n_rows;
        for (token, &position) in tile.positions.iter().enumerate() {
            if options.decay != 1.0 {
                crate::kernel::elementwise::scale(scores, options.decay);
            }
            let mut head = row * n_heads / n_rows;
            while head < end {
                // The first of those that share hashes with this one.
                let first = head - head % group % SHARED;
                let heads = head..end.min((head / group + 1) * group).min(first + SHARED);
                head = heads.end;
                let positions = slots::positions(tile.slots, capacity, first / group);
                let place = |head: usize| (head * n_tokens + token) * capacity;
                let query = Query { first, position, positions };
                add_heads(&mut scores[..positions.len()], weights, heads, place, query, options);
            }
        }
    }
}

/// A token, as the query heads see it that share hashes.
struct Query<'a> {
    /// The first of these heads.
    first: usize,
    position: u32,
    /// Of the slots that they see or not.
    positions: &'a [u32],
}

/// Some of the heads that share hashes, the weights of each at `place(head)`.
fn add_heads(
    scores: &mut [f32],
    weights: &mut [f32],
    heads: Range<usize>,
    place: impl Fn(usize) -> usize,
    query: Query,
    options: Options,
) {
    let n_slots = query.positions.len();
    let is_marking = matches!(options.reduce, Reduce::Latest | Reduce::LatestOfAll);
    let mut sums = [0.0; SHARED];
    let mut hashes = [0; BLOCK];
    let row = Row::new(options.seed, options.layer, query.first as u32, query.position);
    for (i, positions) in query.positions.chunks(BLOCK).enumerate() {
        if matches!(options.noise, Noise::Gumbel | Noise::Gaussian) {
            row.hash(&mut hashes, positions);
        }
        for head in heads.clone() {
            let weights = &mut weights[place(head) + i * BLOCK..][..positions.len()];
            let index = head - query.first;
            sums[index] += match options.noise {
                _ if is_marking => temper(weights, 1.0),
                Noise::None => temper(weights, options.tau),
                Noise::Gumbel => add_gumbel(weights, &hashes, index, options.tau),
                Noise::Gaussian => {
                    add_gaussian(weights, &hashes, index);
                    temper(weights, options.tau)
                }
                Noise::Given(noise, stride) => {
                    let noise = &noise[(head * stride + query.position as usize) * stride..][..stride];
                    for (weight, &position) in weights.iter_mut().zip(positions) {
                        // An empty slot's position lies behind the end.
                        *weight *= noise.get(position as usize).map_or(0.0, |&noise| scalar::exp(noise));
                    }
                    temper(weights, options.tau)
                }
            };
        }
    }
    let factors = sums.map(|sum| if sum == 0.0 { 0.0 } else { options.weight / sum });
    let row = |head: usize| &weights[place(head)..][..n_slots];
    let mut rest = heads;
    while let Some(head) = rest.next() {
        let index = head - query.first;
        let factors = &factors[index..];
        match options.reduce {
            Reduce::Sum if rest.len() + 1 >= TOGETHER => {
                sum_up(scores, core::array::from_fn::<_, TOGETHER, _>(|i| row(head + i)), factors);
                rest.nth(TOGETHER - 2);
            }
            Reduce::Sum => sum_up(scores, [row(head)], factors),
            Reduce::Max => maximise(scores, row(head), factors[0]),
            reduce if sums[index] > 0.0 => mark(scores, row(head), &query, sums[index], reduce),
            _ => {}
        }
    }
}

/// Replaces weights p by (p e^Gumbel)^(1 / tau); returns their sum.
#[inline(never)]
fn add_gumbel(weights: &mut [f32], hashes: &[u32], index: usize, tau: f32) -> f32 {
    let draws = Draws::new(index);
    if tau == 2.0 {
        return weigh(weights, hashes, |p, hash| f32x4_sqrt(f32x4_div(p, draws.exponential(hash))));
    }
    let sum = weigh(weights, hashes, |p, hash| f32x4_div(p, draws.exponential(hash)));
    if tau == 1.0 {
        sum
    } else {
        temper(weights, tau)
    }
}

/// Replaces weights p by p e^Gaussian, up to a factor.
#[inline(never)]
fn add_gaussian(weights: &mut [f32], hashes: &[u32], index: usize) {
    let (draws, exp, most) = (Draws::new(index), Exp::new(), f32x4_splat(GAUSSIAN_MOST));
    weigh(weights, hashes, |p, hash| {
        let [e] = exp.nonpositive([f32x4_sub(draws.gaussian(hash), most)]);
        f32x4_mul(p, e)
    });
}

/// Replaces weights by their powers to 1 / tau; returns the sum.
#[inline(never)]
fn temper(weights: &mut [f32], tau: f32) -> f32 {
    if tau == 1.0 {
        let sum = weights.as_chunks::<4>().0.iter().fold(f32x4_splat(0.0), |sum, x| f32x4_add(sum, load(x)));
        return f32x4_sum(sum);
    }
    if tau == 2.0 {
        return replace(weights, |x| f32x4_sqrt(x));
    }
    let power = Power::new(tau);
    replace(weights, |x| power.of(x))
}

/// Replaces each x by `f(x)`; returns the sum.
#[inline(always)]
fn replace(x: &mut [f32], f: impl Fn(v128) -> v128) -> f32 {
    let mut sum = f32x4_splat(0.0);
    for quad in x.as_chunks_mut::<4>().0 {
        let weight = f(load(quad));
        sum = f32x4_add(sum, weight);
        store(quad, weight);
    }
    f32x4_sum(sum)
}

/// Replaces each x by `f(x, hash)`; returns the sum.
#[inline(always)]
fn weigh(x: &mut [f32], hashes: &[u32], f: impl Fn(v128, v128) -> v128) -> f32 {
    let mut sum = f32x4_splat(0.0);
    let quads = x.as_chunks_mut::<4>().0;
    for (i, hashes) in hashes.as_chunks::<4>().0.iter().enumerate().take(quads.len()) {
        // SAFETY: the reference covers 16 readable bytes.
        let hash = unsafe { v128_load(hashes.as_ptr() as *const v128) };
        let weight = f(load(&quads[i]), hash);
        sum = f32x4_add(sum, weight);
        store(&mut quads[i], weight);
    }
    f32x4_sum(sum)
}

/// scores += the sum of factors times rows.
#[inline(never)]
fn sum_up<const N: usize>(scores: &mut [f32], rows: [&[f32]; N], factors: &[f32]) {
    let factors = core::array::from_fn::<_, N, _>(|i| f32x4_splat(factors[i]));
    let quads = scores.as_chunks_mut::<4>().0;
    let rows = rows.map(|row| &row.as_chunks::<4>().0[..quads.len()]);
    for (j, score) in quads.iter_mut().enumerate() {
        store(score, (0..N).fold(load(score), |sum, i| f32x4_madd(load(&rows[i][j]), factors[i], sum)));
    }
}

/// scores = the larger of each and factor x.
#[inline(never)]
fn maximise(scores: &mut [f32], x: &[f32], factor: f32) {
    let factor = f32x4_splat(factor);
    for (score, x) in scores.as_chunks_mut::<4>().0.iter_mut().zip(x.as_chunks::<4>().0) {
        store(score, f32x4_pmax(load(score), f32x4_mul(load(x), factor)));
    }
}

/// Writes the query's position over the scores of the slots that matter to it, its own among them; `sum`: of all weights.
#[inline(never)]
fn mark(scores: &mut [f32], weights: &[f32], query: &Query, sum: f32, reduce: Reduce) {
    let &Query { position, positions, .. } = query;
    let n_keys = match reduce {
        Reduce::LatestOfAll => position + 1,
        _ => weights.iter().filter(|&&weight| weight > 0.0).count() as u32,
    };
    let least = f32x4_splat(sum / n_keys as f32);
    let (own, now) = (u32x4_splat(position), f32x4_splat(position as f32));
    let quads = weights.as_chunks::<4>().0.iter().zip(positions.as_chunks::<4>().0);
    for (score, (weights, positions)) in scores.as_chunks_mut::<4>().0.iter_mut().zip(quads) {
        // SAFETY: the reference covers 16 readable bytes.
        let positions = unsafe { v128_load(positions.as_ptr() as *const v128) };
        let minor = v128_andnot(f32x4_lt(load(weights), least), i32x4_eq(positions, own));
        store(score, v128_bitselect(load(score), now, minor));
    }
}
