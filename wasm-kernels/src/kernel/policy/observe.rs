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
//! - With an exponential draw E the Gumbel noise is -ln E, so that e^((x - ln E) / tau) at tau 1, as in a prompt, is e^x / E,
//!   and at tau 2, where Keyformer's rise ends, e^(x / 2) / sqrt(E): no second logarithm.
//! - Exponentials and draws are passes of their own: the constants of either fit the registers, those of both don't.
//! - A token's own step counts as important to it, so that the last query never lies before the token itself.
//! - decay 0 keeps the last query only (TOVA), 1 sums (H2O, Keyformer), between lies a moving average.
//!
//! Sources: Keyformer, arXiv 2403.09054 §3.3; H2O, arXiv 2306.14048; TOVA, arXiv 2401.06104; CORM, arXiv 2404.15949.
use super::noise::{self, Draws, Row};
use crate::kernel::kv::slots;
use crate::kernel::lanes::{load, store};
use crate::kernel::math::Exp;
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
    let row = Row::new(options.seed, options.layer, head, position);
    let rate = 1.0 / options.tau;
    let sum = match options.noise {
        Noise::None if options.tau == 1.0 => return add_weights(scores, logits, lse, options),
        Noise::None => exponentiate(logits, lse, rate),
        Noise::Gumbel if options.tau == 1.0 => {
            exponentiate_roughly(logits, lse, 1.0);
            let draws = Draws::new(row);
            weigh(logits, positions, |weight, at| f32x4_div(weight, draws.exponential(at)))
        }
        Noise::Gumbel if options.tau == 2.0 => {
            exponentiate_roughly(logits, lse, 0.5);
            let draws = Draws::new(row);
            weigh(logits, positions, |weight, at| f32x4_div(weight, f32x4_sqrt(draws.exponential(at))))
        }
        Noise::Gumbel => {
            let draws = Draws::new(row);
            weigh(logits, positions, |x, at| f32x4_add(x, draws.gumbel(at)));
            exponentiate_roughly(logits, lse + noise::GUMBEL_MOST, rate)
        }
        Noise::Gaussian => {
            let draws = Draws::new(row);
            weigh(logits, positions, |x, at| f32x4_add(x, draws.gaussian(at)));
            exponentiate_roughly(logits, lse + noise::GAUSSIAN_MOST, rate)
        }
        Noise::Given(noise, stride) => {
            let noise = &noise[(head as usize * stride + position as usize) * stride..][..stride];
            let mut most = 0.0f32;
            for (logit, &position) in logits.iter_mut().zip(positions) {
                // An empty slot's position lies behind the end.
                if let (Some(&noise), true) = (noise.get(position as usize), *logit > f32::NEG_INFINITY) {
                    most = most.max(noise);
                    *logit += noise;
                }
            }
            exponentiate(logits, lse + most, rate)
        }
    };
    if sum > 0.0 {
        accumulate(scores, logits, options, options.weight / sum, |weight| weight);
    }
}

/// Plain weights straight into scores.
#[inline(never)]
fn add_weights(scores: &mut [f32], logits: &[f32], lse: f32, options: Options) {
    let (exp, lse) = (Exp::new(), f32x4_splat(lse));
    accumulate(scores, logits, options, options.weight, |x| exp.nonpositive([f32x4_sub(x, lse)])[0]);
}

/// Replaces logits x by e^((x - bound) rate), where no x lies above the bound; returns the sum.
#[inline(never)]
fn exponentiate(logits: &mut [f32], bound: f32, rate: f32) -> f32 {
    let (exp, bound, rate) = (Exp::new(), f32x4_splat(bound), f32x4_splat(rate));
    let mut sum = f32x4_splat(0.0);
    for quad in logits.as_chunks_mut::<4>().0 {
        let [weight] = exp.nonpositive([f32x4_mul(f32x4_sub(load(quad), bound), rate)]);
        sum = f32x4_add(sum, weight);
        store(quad, weight);
    }
    f32x4_sum(sum)
}

/// 2^f for |f| <= 1/2, highest power first: a weighted minimax fit, to a relative 3e-6.
const EXP2: [f32; 5] = [9.570_1e-3, 5.591_786e-2, 0.240_247_45, 0.693_121_8, 0.999_999_3];

/// `exponentiate` to a relative 2e-5, for weights that bear noise drawn no better.
#[inline(never)]
fn exponentiate_roughly(logits: &mut [f32], bound: f32, rate: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    let factor = rate * core::f32::consts::LOG2_E;
    let [factor, offset, round, lowest] = opaque([factor, -bound * factor, ROUND, -126.0]).map(|x| f32x4_splat(x));
    let [c0, c1, c2, c3, c4] = opaque(EXP2).map(|x| f32x4_splat(x));
    let mut sum = f32x4_splat(0.0);
    for quad in logits.as_chunks_mut::<4>().0 {
        let x = f32x4_madd(load(quad), factor, offset);
        let rounded = f32x4_add(x, round);
        let f = f32x4_sub(x, f32x4_sub(rounded, round));
        let p = f32x4_madd(f32x4_madd(f32x4_madd(f32x4_madd(c0, f, c1), f, c2), f, c3), f, c4);
        let weight = v128_andnot(i32x4_add(p, i32x4_shl(rounded, 23)), f32x4_lt(x, lowest));
        sum = f32x4_add(sum, weight);
        store(quad, weight);
    }
    f32x4_sum(sum)
}

/// Replaces each x by `f(x, position)`; returns the sum.
#[inline(always)]
fn weigh(x: &mut [f32], positions: &[u32], f: impl Fn(v128, v128) -> v128) -> f32 {
    let mut sum = f32x4_splat(0.0);
    for (quad, positions) in x.as_chunks_mut::<4>().0.iter_mut().zip(positions.as_chunks::<4>().0) {
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
    let exp = Exp::new();
    let quads = logits.as_chunks::<4>().0.iter().zip(positions.as_chunks::<4>().0);
    for (score, (logits, positions)) in scores.as_chunks_mut::<4>().0.iter_mut().zip(quads) {
        // SAFETY: the reference covers 16 readable bytes.
        let positions = unsafe { v128_load(positions.as_ptr() as *const v128) };
        let [weight] = exp.nonpositive([f32x4_sub(load(logits), lse)]);
        let minor = v128_andnot(f32x4_lt(weight, least), i32x4_eq(positions, own));
        store(score, v128_bitselect(load(score), now, minor));
    }
}
