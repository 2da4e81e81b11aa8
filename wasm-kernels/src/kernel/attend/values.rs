//! Weighted sums of the values of a chunk.
//!
//! ```text
//! for every 4 dims, for every group of 4 slots:
//!   load one vector, lane = dim, byte = slot; for every row: dot with the splatted weights of the four slots
//! out[row] += unit * the sums
//! ```
//! F32 and F16 rows are added up slot by slot, the slots that no row gives weight to left out.
use super::rows::{Row, TILE};
use super::softmax::Weights;
use super::CHUNK;
use crate::kernel::kv::half::Widen;
use crate::kernel::kv::values::BLOCK;
use crate::kernel::kv::{KvType, Shape};
use crate::kernel::lanes::load;
use crate::simd::*;

/// `out[row] += weights[row] · values`, over `n_slots` slots, a multiple of 32.
pub fn add(out: &mut [f32], rows: &[Row], weights: &[Weights; TILE], values: &[u8], n_slots: usize, shape: Shape) {
    let n_blocks = n_slots / BLOCK;
    let values = &values[..n_blocks * shape.value_block_bytes()];
    let places: [*mut f32; TILE] =
        core::array::from_fn(|i| out[rows[i.min(rows.len() - 1)].in_q * shape.dim..][..shape.dim].as_mut_ptr());
    // SAFETY: `places` are rows of `out` of `shape.dim` floats, as many as `rows`; `values` holds whole blocks.
    unsafe {
        match rows.len() {
            1 => add_rows::<1>(places, weights, values, n_blocks, shape),
            2 => add_rows::<2>(places, weights, values, n_blocks, shape),
            3 => add_rows::<3>(places, weights, values, n_blocks, shape),
            _ => add_rows::<4>(places, weights, values, n_blocks, shape),
        }
    }
}

unsafe fn add_rows<const R: usize>(
    out: [*mut f32; TILE],
    weights: &[Weights; TILE],
    values: &[u8],
    n_blocks: usize,
    shape: Shape,
) {
    match shape.kind {
        KvType::F32 => add_floats::<R>(out, weights, n_blocks, shape.dim, |slot, dim| {
            v128_load(values.as_ptr().add(4 * (slot * shape.dim + dim)) as *const v128)
        }),
        KvType::F16 => {
            let widen = Widen::new();
            add_floats::<R>(out, weights, n_blocks, shape.dim, |slot, dim| {
                let halves = values.as_ptr().add(2 * (slot * shape.dim + dim));
                widen.low(i32x4_load_extend_i16x4(halves as *const i16))
            })
        }
        KvType::Q8_0 => add_codes::<R, false>(out, weights, values, n_blocks, shape),
        KvType::Q4_0 => add_codes::<R, true>(out, weights, values, n_blocks, shape),
    }
}

/// Vectors of dims that share the loads of weights.
const D: usize = 2;

#[inline(never)]
unsafe fn add_codes<const R: usize, const FOUR_BITS: bool>(
    out: [*mut f32; TILE],
    weights: &[Weights; TILE],
    values: &[u8],
    n_blocks: usize,
    shape: Shape,
) {
    let stride = shape.value_block_bytes();
    // Unknown to the compiler, which would unroll the loop and then put the dots of one sum in a row, each waiting for
    // the one before.
    let n_vectors = opaque(if FOUR_BITS { BLOCK / 8 } else { BLOCK / 4 });
    for d in (0..shape.dim / 4).step_by(D) {
        let mut acc = [[dot14_start(i32x4_splat(0)); R]; D];
        for block in 0..n_blocks {
            let codes = values.as_ptr().add(block * stride + 4 * BLOCK + 16 * d * n_vectors);
            let mut dot = |group: usize, codes: [[v128; D]; 2]| {
                let words: [v128; R] = core::array::from_fn(|r| {
                    let group = block * BLOCK / 4 + group;
                    v128_load(weights[r].words.as_ptr().add(2 * group) as *const v128)
                });
                let codes = codes.map(|codes| codes.map(|codes| dot14_bytes(codes)));
                for r in 0..R {
                    let w = words[r];
                    let (high, low) = (i32x4_shuffle::<0, 0, 0, 0>(w, w), i32x4_shuffle::<1, 1, 1, 1>(w, w));
                    for d in 0..D {
                        acc[d][r].0 = dot14_add(codes[0][d].0, high, acc[d][r].0);
                        acc[d][r].1 = dot14_add(codes[0][d].1, low, acc[d][r].1);
                    }
                }
                for r in 0..R {
                    let w = words[r];
                    let (high, low) = (i32x4_shuffle::<2, 2, 2, 2>(w, w), i32x4_shuffle::<3, 3, 3, 3>(w, w));
                    for d in 0..D {
                        acc[d][r].0 = dot14_add(codes[1][d].0, high, acc[d][r].0);
                        acc[d][r].1 = dot14_add(codes[1][d].1, low, acc[d][r].1);
                    }
                }
            };
            for i in (0..n_vectors).step_by(2) {
                let load = |d: usize, i: usize| v128_load(codes.add(16 * (d * n_vectors + i)) as *const v128);
                let codes = [i, i + 1].map(|i| core::array::from_fn(|d| load(d, i)));
                if FOUR_BITS {
                    dot(i, codes.map(|codes: [v128; D]| codes.map(|codes| v128_and(codes, u8x16_splat(15)))));
                    dot(i + BLOCK / 8, codes.map(|codes| codes.map(|codes| u8x16_shr(codes, 4))));
                } else {
                    dot(i, codes);
                }
            }
        }
        for (i, acc) in acc.into_iter().enumerate() {
            for r in 0..R {
                let place = out[r].add(4 * (d + i)) as *mut v128;
                let sum = f32x4_convert_i32x4(dot14_join(acc[r]));
                v128_store(place, f32x4_madd(sum, f32x4_splat(weights[r].unit), v128_load(place)));
            }
        }
    }
}

#[inline(never)]
unsafe fn add_floats<const R: usize>(
    out: [*mut f32; TILE],
    weights: &[Weights; TILE],
    n_blocks: usize,
    dim: usize,
    value: impl Fn(usize, usize) -> v128,
) {
    let (mut seen, mut n_seen) = ([(0, [0f32; TILE]); CHUNK], 0);
    for slot in 0..n_blocks * BLOCK {
        let of_rows = core::array::from_fn(|r| if r < R { weights[r].floats[slot] } else { 0.0 });
        seen[n_seen] = (slot, of_rows);
        n_seen += of_rows.iter().any(|&weight| weight != 0.0) as usize;
    }
    for d in (0..dim).step_by(4 * D) {
        let place = |r: usize, i: usize| out[r].add(d + 4 * i) as *mut v128;
        let mut acc: [[v128; R]; D] = core::array::from_fn(|i| core::array::from_fn(|r| v128_load(place(r, i))));
        for (slot, of_rows) in &seen[..n_seen] {
            let w = load(of_rows);
            let w = [
                i32x4_shuffle::<0, 0, 0, 0>(w, w),
                i32x4_shuffle::<1, 1, 1, 1>(w, w),
                i32x4_shuffle::<2, 2, 2, 2>(w, w),
                i32x4_shuffle::<3, 3, 3, 3>(w, w),
            ];
            for (i, acc) in acc.iter_mut().enumerate() {
                let v = value(*slot, d + 4 * i);
                for r in 0..R {
                    acc[r] = f32x4_madd(v, w[r], acc[r]);
                }
            }
        }
        for (i, acc) in acc.into_iter().enumerate() {
            for r in 0..R {
                v128_store(place(r, i), acc[r]);
            }
        }
    }
}
