//! Mean and covariance of the queries of a text, before rotation, and what they say of queries to come.
//!
//! ```text
//! statistics of a query head: [n, mean of d, covariance times n of row 0, row 1, ... up to the diagonal]
//! gather    n += 1;  e = q - mean;  mean += e / n;  C += (n - 1) / n * e eᵀ                 Welford's update
//! expect    z(k) = s m·k' + s²/2 k'ᵀ(C/n)k',  k' = R̄ᵀ k
//!           p = softmax of z over the slots;  score = (mean of p over a KV head's query heads + ε) * |v|
//! ```
//! - z is the logarithm of the mean of e^(s q·k) over queries q with that mean and covariance, turned by the rotation R̄
//!   that is the mean over the positions to come. Turning the key back once serves mean and covariance alike.
//! - Only half of a covariance is stored; k'ᵀCk' is its diagonal and twice the rest.
//! - A biased slot stands for several tokens: its bias is added to z. ALiBi adds the slope's part that differs by slot.
//! - Bound by k'ᵀCk': d² / 8 products of four slots, for each query head.
//!
//! Source: Expected Attention, arXiv 2510.00636 §3.
use super::blocks::{each_quad, used, MAX_DIM};
use crate::kernel::kv::keys::GROUP;
use crate::kernel::kv::slots::EMPTY;
use crate::kernel::kv::values::read_value;
use crate::kernel::kv::{Shape, Stored};
use crate::kernel::lanes::{load, store, zip};
use crate::kernel::math::exp_nonpositive;
use crate::kernel::rope::RopeStyle;
use crate::kernel::scalar::{sin_cos, sqrt};
use crate::simd::*;

/// Floats of the statistics of one query head.
pub fn statistics(dim: usize) -> usize {
    1 + dim + dim * (dim + 1) / 2
}

/// Adds queries `q f32[T, H, d]` to `stats f32[H, statistics(d)]`; those at positions below `first` are left out.
pub fn gather(stats: &mut [f32], q: &[f32], positions: &[u32], dim: usize, first: u32) {
    let n_heads = stats.len() / statistics(dim);
    let mut errors = [0.0; MAX_DIM];
    let errors = &mut errors[..dim];
    for (h, stats) in stats.chunks_exact_mut(statistics(dim)).enumerate() {
        let (n, stats) = stats.split_first_mut().unwrap();
        let (mean, covariance) = stats.split_at_mut(dim);
        for (q, _) in q.chunks_exact(n_heads * dim).zip(positions).filter(|&(_, &position)| position >= first) {
            *n += 1.0;
            errors.copy_from_slice(&q[h * dim..][..dim]);
            zip(errors, mean, |a, b| f32x4_sub(a, b));
            let rate = f32x4_splat(1.0 / *n);
            zip(mean, errors, |mean, error| f32x4_madd(error, rate, mean));
            let mut row_start = 0;
            for i in 0..dim {
                let weight = f32x4_splat((*n - 1.0) / *n * errors[i]);
                let row = &mut covariance[row_start..][..i + 1];
                zip(row, &errors[..i + 1], |sum, error| f32x4_madd(error, weight, sum));
                row_start += i + 1;
            }
        }
    }
}

/// What turns queries to come, on average.
#[derive(Clone, Copy)]
pub struct Turn<'a> {
    /// `f32[dims / 2, 2]`: means of (cos, sin).
    pub table: &'a [f32],
    pub style: RopeStyle,
}

/// `table f32[dims / 2, 2]` = `magnitude` times the mean of (cos, sin) over `n` positions from `start` on.
///
/// The mean of e^(ipf) over them is e^(if(start + (n - 1) / 2)) sin(nf / 2) / (n sin(f / 2)).
pub fn mean_rotation(table: &mut [f32], inv_freq: &[f32], start: u32, n: u32, magnitude: f32) {
    for (pair, &frequency) in table.as_chunks_mut::<2>().0.iter_mut().zip(inv_freq) {
        let half = frequency as f64 / 2.0;
        let (sin, cos) = sin_cos((2.0 * start as f64 + n as f64 - 1.0) * half);
        let spread = n as f64 * sin_cos(half).0;
        let length = magnitude as f64 * if spread == 0.0 { 1.0 } else { sin_cos(n as f64 * half).0 / spread };
        *pair = [(cos * length) as f32, (sin * length) as f32];
    }
}

/// How queries to come meet slots.
#[derive(Clone, Copy)]
pub struct Future<'a> {
    /// `f32[H, statistics(d)]`
    pub stats: &'a [f32],
    pub turn: Option<Turn<'a>>,
    /// `f32[G, capacity]`
    pub bias: Option<&'a [f32]>,
    /// ALiBi slopes `f32[H]`.
    pub slopes: Option<&'a [f32]>,
    /// `u8[G, value_bytes]`
    pub values: &'a [u8],
    pub value: Shape,
    pub scale: f32,
    pub epsilon: f32,
    /// Slots at earlier positions take no part and get 0.
    pub first: u32,
}

/// Writes `out f32[G, capacity]`; `room f32[capacity]` is overwritten. Empty slots get 0.
pub fn expect(out: &mut [f32], room: &mut [f32], cache: Stored, future: Future) {
    let (capacity, dim, stride) = (cache.key.capacity, cache.key.dim, statistics(cache.key.dim));
    let group = future.stats.len() / stride / cache.n_kv_heads();
    for (head, out) in out.chunks_exact_mut(capacity).enumerate() {
        let n_slots = used(cache.slots, capacity, head);
        let positions = cache.positions(head);
        let values = &future.values[head * future.value.value_bytes()..];
        out.fill(0.0);
        for h in head * group..(head + 1) * group {
            let stats = &future.stats[h * stride..][..stride];
            let slope = future.slopes.map_or(0.0, |slopes| slopes[h]);
            each_quad(cache.keys_of(head), positions, &cache.key, n_slots, |quad| {
                let mut keys = [f32x4_splat(0.0); MAX_DIM];
                let keys = &mut keys[..dim];
                keys.iter_mut().enumerate().for_each(|(i, key)| *key = quad.dim(i));
                if let Some(turn) = &future.turn {
                    turn_back(keys, turn);
                }
                let mut z = expected_logit(keys, stats, future.scale);
                if let Some(bias) = future.bias {
                    z = f32x4_add(z, load(bias[head * capacity + quad.slot..][..4].try_into().unwrap()));
                }
                z = f32x4_madd(f32x4_convert_i32x4(quad.positions), f32x4_splat(slope), z);
                let left_out = v128_or(
                    i32x4_eq(quad.positions, u32x4_splat(EMPTY)),
                    u32x4_lt(quad.positions, u32x4_splat(future.first)),
                );
                let z = v128_bitselect(f32x4_splat(f32::NEG_INFINITY), z, left_out);
                store((&mut room[quad.slot..][..4]).try_into().unwrap(), z);
            });
            add_softmax(&mut out[..n_slots], &mut room[..n_slots], 1.0 / group as f32);
        }
        let mut value = [0.0; MAX_DIM];
        let value = &mut value[..future.value.dim];
        for slot in 0..n_slots {
            if positions[slot] == EMPTY || positions[slot] < future.first {
                out[slot] = 0.0;
                continue;
            }
            read_value(values, &future.value, slot, value);
            out[slot] = (out[slot] + future.epsilon) * sqrt(value.iter().map(|x| x * x).sum());
        }
    }
}

/// Four keys turned by the transposed mean rotation.
fn turn_back(keys: &mut [v128], turn: &Turn) {
    let half = turn.table.len() / 2;
    for (i, &[cos, sin]) in turn.table.as_chunks::<2>().0.iter().enumerate() {
        let (first, second) = match turn.style {
            RopeStyle::Neighbours => (2 * i, 2 * i + 1),
            RopeStyle::Halves => (i, i + half),
        };
        let (a, b, cos, sin) = (keys[first], keys[second], f32x4_splat(cos), f32x4_splat(sin));
        keys[first] = f32x4_add(f32x4_mul(a, cos), f32x4_mul(b, sin));
        keys[second] = f32x4_sub(f32x4_mul(b, cos), f32x4_mul(a, sin));
    }
}

/// z of four keys.
fn expected_logit(keys: &[v128], stats: &[f32], scale: f32) -> v128 {
    let (n, mean, covariance) = (stats[0].max(1.0), &stats[1..=keys.len()], &stats[1 + keys.len()..]);
    let mut linear = f32x4_splat(0.0);
    let mut squared = f32x4_splat(0.0);
    let mut row = covariance;
    for (i, &key) in keys.iter().enumerate() {
        linear = f32x4_madd(key, f32x4_splat(mean[i]), linear);
        let before = keys[..i]
            .iter()
            .zip(row)
            .fold(f32x4_splat(0.0), |sum, (&other, &c)| f32x4_madd(other, f32x4_splat(c), sum));
        let own = f32x4_mul(key, f32x4_splat(0.5 * row[i]));
        squared = f32x4_madd(key, f32x4_add(before, own), squared);
        row = &row[i + 1..];
    }
    let by = |x: v128, factor: f32| f32x4_mul(x, f32x4_splat(factor));
    f32x4_add(by(linear, scale), by(squared, scale * scale / n))
}

/// out += weight softmax(z); z is overwritten.
fn add_softmax(out: &mut [f32], z: &mut [f32], weight: f32) {
    let most = z.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if most == f32::NEG_INFINITY {
        return;
    }
    let mut sum = f32x4_splat(0.0);
    for quad in z.as_chunks_mut::<GROUP>().0 {
        let e = exp_nonpositive(f32x4_sub(load(quad), f32x4_splat(most)));
        sum = f32x4_add(sum, e);
        store(quad, e);
    }
    let factor = f32x4_splat(weight / f32x4_sum(sum));
    zip(out, z, |out, e| f32x4_madd(e, factor, out));
}
