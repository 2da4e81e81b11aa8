//! What a tile of queries shows about the slots: softmax weights, summed or maximised into scores, or the last query
//! that a slot mattered to.
//!
//! ```text
//! for each token of the tile, for each query head h with logits x of its visible slots:
//!     p = softmax((x + noise) / tau)               only visible slots take part
//!     scores[row of h] = scores * decay            once per token
//!     scores[row of h] += weight p                 or: max(scores, weight p)
//!                                                  or: position of the query where p >= 1 / number of keys
//! ```
//! - A row of scores belongs to one query head, to the heads of a KV head, or to all heads of the layer.
//! - Without noise and with tau 1 the log-sum-exp that attention left makes it a single pass.
//! - Otherwise the weights are made against an upper bound of the exponents, log-sum-exp plus the largest noise, so
//!   that no pass looks for their maximum; they replace the logits until their sum is known.
//! - At tau 1, as in a prompt, Gumbel noise is a division: e^(x - ln E) = e^x / E with an exponential draw E.
//! - A token's own step counts as important to it, so that the last query never lies before the token itself.
//! - decay 0 keeps the last query only (TOVA), 1 sums (H2O, Keyformer), between lies a moving average.
//!
//! Sources: Keyformer, arXiv 2403.09054 §3.3; H2O, arXiv 2306.14048; TOVA, arXiv 2401.06104; CORM, arXiv 2404.15949.
use super::noise::{self, Row};
use crate::kernel::kv::slots;
use crate::kernel::lanes::{load, store};
use crate::kernel::math::exp_nonpositive;
use crate::simd::*;

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
    /// `f32[H, T]`, as attention left them.
    pub lse: &'a [f32],
    /// `u32[T]`
    pub positions: &'a [u32],
    /// `u32[G, 4 + capacity]`
    pub slots: &'a [u32],
    pub capacity: usize,
}

/// Updates `scores f32[rows, capacity]`; `logits f32[H, T, capacity]` are used up.
pub fn observe(scores: &mut [f32], logits: &mut [f32], tile: Tile, options: Options) {
    let Tile { capacity, .. } = tile;
    let (n_rows, n_tokens) = (scores.len() / capacity, tile.positions.len());
    let n_heads = tile.lse.len() / n_tokens;
    let heads_per_row = n_heads / n_rows;
    let heads_per_kv_head = n_heads / (tile.slots.len() / (slots::HEADER + capacity));
    for (row, scores) in scores.chunks_exact_mut(capacity).enumerate() {
        for (token, &position) in tile.positions.iter().enumerate() {
            if options.decay != 1.0 {
                crate::kernel::elementwise::scale(scores, options.decay);
            }
            for head in row * heads_per_row..(row + 1) * heads_per_row {
                let positions = slots::positions(tile.slots, capacity, head / heads_per_kv_head);
                let place = head * n_tokens + token;
                let logits = &mut logits[place * capacity..][..positions.len()];
                let query = (head as u32, position);
                add_row(&mut scores[..positions.len()], logits, positions, tile.lse[place], options, query);
            }
        }
    }
}

/// One query head of one token, with its position.
fn add_row(
    scores: &mut [f32],
    logits: &mut [f32],
    positions: &[u32],
    lse: f32,
    options: Options,
    (head, position): (u32, u32),
) {
    if lse == f32::NEG_INFINITY {
        return;
    }
    if matches!(options.reduce, Reduce::Latest | Reduce::LatestOfAll) {
        return mark(scores, logits, positions, lse, position, options.reduce);
    }
    let rate = f32x4_splat(1.0 / options.tau);
    let row = Row::new(options.seed, options.layer, head, position);
    // e^((x - bound) / tau), where no x lies above the bound.
    let weight = |x: v128, bound: f32| exp_nonpositive(f32x4_mul(f32x4_sub(x, f32x4_splat(bound)), rate));
    let sum = match options.noise {
        Noise::None if options.tau == 1.0 => {
            let lse = f32x4_splat(lse);
            return accumulate(scores, logits, options, options.weight, |x| exp_nonpositive(f32x4_sub(x, lse)));
        }
        Noise::None => weigh(logits, positions, |x, _| weight(x, lse)),
        Noise::Gumbel if options.tau == 1.0 => {
            let lse = f32x4_splat(lse);
            weigh(logits, positions, |x, at| f32x4_div(exp_nonpositive(f32x4_sub(x, lse)), row.exponential(at)))
        }
        Noise::Gumbel => {
            weigh(logits, positions, |x, at| weight(f32x4_add(x, row.gumbel(at)), lse + noise::GUMBEL_MOST))
        }
        Noise::Gaussian => {
            weigh(logits, positions, |x, at| weight(f32x4_add(x, row.gaussian(at)), lse + noise::GAUSSIAN_MOST))
        }
        Noise::Given(noise, stride) => {
            let noise = &noise[(head as usize * stride + position as usize) * stride..][..stride];
            // An empty slot's position lies behind the end.
            let at = |position: u32| noise.get(position as usize).copied().unwrap_or(0.0);
            let visible = logits.iter().zip(positions).filter(|(logit, _)| **logit > f32::NEG_INFINITY);
            let most = visible.map(|(_, &p)| at(p)).fold(0.0, f32::max);
            weigh(logits, positions, |x, p| {
                let noise = f32x4(
                    at(u32x4_extract_lane::<0>(p)),
                    at(u32x4_extract_lane::<1>(p)),
                    at(u32x4_extract_lane::<2>(p)),
                    at(u32x4_extract_lane::<3>(p)),
                );
                weight(f32x4_add(x, noise), lse + most)
            })
        }
    };
    if sum > 0.0 {
        accumulate(scores, logits, options, options.weight / sum, |weight| weight);
    }
}

/// Replaces logits by their weights, `f(logit, position)`; returns the sum.
#[inline(always)]
fn weigh(logits: &mut [f32], positions: &[u32], f: impl Fn(v128, v128) -> v128) -> f32 {
    let mut sum = f32x4_splat(0.0);
    for (quad, positions) in logits.as_chunks_mut::<4>().0.iter_mut().zip(positions.as_chunks::<4>().0) {
        // SAFETY: the reference covers 16 readable bytes.
        let positions = unsafe { v128_load(positions.as_ptr() as *const v128) };
        let weight = f(load(quad), positions);
        sum = f32x4_add(sum, weight);
        store(quad, weight);
    }
    f32x4_sum(sum)
}

/// scores += factor f(x), or the larger of both.
#[inline(always)]
fn accumulate(scores: &mut [f32], x: &[f32], options: Options, factor: f32, f: impl Fn(v128) -> v128) {
    let factor = f32x4_splat(factor);
    for (score, x) in scores.as_chunks_mut::<4>().0.iter_mut().zip(x.as_chunks::<4>().0) {
        let weight = f(load(x));
        let sum = if options.reduce == Reduce::Max {
            f32x4_pmax(load(score), f32x4_mul(weight, factor))
        } else {
            f32x4_madd(weight, factor, load(score))
        };
        store(score, sum);
    }
}

/// Writes the query's position over the scores of the slots that matter to it, its own among them.
#[inline(never)]
fn mark(scores: &mut [f32], logits: &[f32], positions: &[u32], lse: f32, position: u32, reduce: Reduce) {
    let n_keys = match reduce {
        Reduce::LatestOfAll => position + 1,
        _ => logits.iter().filter(|&&logit| logit > f32::NEG_INFINITY).count() as u32,
    };
    let (lse, least) = (f32x4_splat(lse), f32x4_splat(1.0 / n_keys as f32));
    let (own, now) = (u32x4_splat(position), f32x4_splat(position as f32));
    let quads = logits.as_chunks::<4>().0.iter().zip(positions.as_chunks::<4>().0);
    for (score, (logits, positions)) in scores.as_chunks_mut::<4>().0.iter_mut().zip(quads) {
        // SAFETY: the reference covers 16 readable bytes.
        let positions = unsafe { v128_load(positions.as_ptr() as *const v128) };
        let weight = exp_nonpositive(f32x4_sub(load(logits), lse));
        let minor = v128_andnot(f32x4_lt(weight, least), i32x4_eq(positions, own));
        store(score, v128_bitselect(load(score), now, minor));
    }
}
