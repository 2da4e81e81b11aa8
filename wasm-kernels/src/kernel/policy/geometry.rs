//! Scores of slots from their keys alone.
//!
//! ```text
//! KeyDiff   minus the cosine between a key and the mean of all keys of its head, each first brought to length 1
//! Knorm     minus the length of the key
//! ```
//! Sources: KeyDiff, arXiv 2504.15364 §3; Knorm, arXiv 2406.11430 §3.
use super::blocks::{each_quad, used, Quad, MAX_DIM};
use crate::kernel::kv::slots::EMPTY;
use crate::kernel::kv::Stored;
use crate::kernel::lanes::store;
use crate::kernel::scalar::sqrt;
use crate::simd::*;

#[derive(Clone, Copy, PartialEq)]
pub enum Geometry {
    KeyDiff = 0,
    KeyNorm = 1,
}

impl Geometry {
    pub fn from_id(id: u32) -> Self {
        [Self::KeyDiff, Self::KeyNorm][id as usize]
    }
}

/// `out f32[G, capacity]`; empty slots get 0.
pub fn geometry(out: &mut [f32], cache: Stored, kind: Geometry) {
    let (capacity, dim) = (cache.key.capacity, cache.key.dim);
    for (head, out) in out.chunks_exact_mut(capacity).enumerate() {
        let n_slots = used(cache.slots, capacity, head);
        out[n_slots..].fill(0.0);
        let each = |visit: &mut dyn FnMut(Quad)| {
            each_quad(cache.keys_of(head), cache.positions(head), &cache.key, n_slots, visit)
        };
        let put = |out: &mut [f32], quad: &Quad, score: v128| {
            let held = v128_andnot(score, i32x4_eq(quad.positions, u32x4_splat(EMPTY)));
            store((&mut out[quad.slot..][..4]).try_into().unwrap(), held);
        };
        if kind == Geometry::KeyNorm {
            each(&mut |quad| put(out, &quad, f32x4_neg(f32x4_sqrt(quad.squares()))));
            continue;
        }
        // The mean's length does not matter, so that a sum is enough.
        let mut sums = [f32x4_splat(0.0); MAX_DIM];
        each(&mut |quad| {
            let inverse = inverse_length(&quad);
            for (i, sum) in sums[..dim].iter_mut().enumerate() {
                *sum = f32x4_madd(quad.dim(i), inverse, *sum);
            }
        });
        let mean: [f32; MAX_DIM] = core::array::from_fn(|i| f32x4_sum(sums[i]));
        let mean = &mean[..dim];
        let length = sqrt(mean.iter().map(|x| x * x).sum());
        let factor = f32x4_splat(if length > 0.0 { -1.0 / length } else { 0.0 });
        each(&mut |quad| {
            let cosine = f32x4_mul(quad.dot(mean), inverse_length(&quad));
            put(out, &quad, f32x4_mul(cosine, factor));
        });
    }
}

/// One over the lengths of the keys; 0 for empty slots and for keys of zeros.
fn inverse_length(quad: &Quad) -> v128 {
    let squares = quad.squares();
    let inverse = f32x4_div(f32x4_splat(1.0), f32x4_sqrt(squares));
    let none = v128_or(i32x4_eq(quad.positions, u32x4_splat(EMPTY)), f32x4_eq(squares, f32x4_splat(0.0)));
    v128_andnot(inverse, none)
}
