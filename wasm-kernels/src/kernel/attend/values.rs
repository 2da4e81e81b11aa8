//! Weighted sums of the values of a chunk.
//!
//! ```text
//! for every 4 dims, for every group of 4 slots:
//!   load one vector, lane = dim, byte = slot; for every row: dot with the splatted weights of the four slots
//! out[row] += unit * the sums
//! ```
//! F32 and F16 rows are added up slot by slot, the slots that no row gives weight to left out.
use super::chunk::Runs;
use super::rows::{Logits, Row, TILE};
use super::softmax::Weights;
use super::{MAX_DIM, SHORT_CHUNK};
use crate::kernel::kv::half::Widen;
use crate::kernel::kv::values::BLOCK;
use crate::kernel::kv::{KvType, Shape};
use crate::kernel::lanes::load;
use crate::simd::*;

/// `out[row] += weights[row] · values`, over the slots of the runs; values of floats by the weights that `logits` have
/// become.
pub fn add(
    out: &mut [f32],
    rows: &[Row],
    (weights, logits): (&[Weights; TILE], &Logits),
    values: &[u8],
    runs: &Runs,
    shape: Shape,
) {
    assert!(runs.end().div_ceil(BLOCK) * shape.value_block_bytes() <= values.len());
    let mut spare = [0.0; MAX_DIM];
    let places: [*mut f32; TILE] = core::array::from_fn(|i| match rows.get(i) {
        Some(row) => out[row.in_q * shape.dim..][..shape.dim].as_mut_ptr(),
        None => spare.as_mut_ptr(),
    });
    // SAFETY: `places` are rows of `shape.dim` floats; `values` holds all slots of the runs, which end with the last one.
    unsafe {
        match (shape.kind, rows.len()) {
            (KvType::F32, n) => add_all_floats(places, n, logits, runs, shape.dim, |slot, dim| {
                v128_load(values.as_ptr().add(4 * (slot * shape.dim + dim)) as *const v128)
            }),
            (KvType::F16, n) => {
                let widen = Widen::new();
                add_all_floats(places, n, logits, runs, shape.dim, |slot, dim| {
                    let halves = values.as_ptr().add(2 * (slot * shape.dim + dim));
                    widen.low(i32x4_load_extend_i16x4(halves as *const i16))
                })
            }
            (_, 1) => add_all_codes::<1>(places, weights, values, runs, shape),
            (_, 2) => add_all_codes::<2>(places, weights, values, runs, shape),
            (_, 3) => add_all_codes::<3>(places, weights, values, runs, shape),
            _ => add_all_codes::<4>(places, weights, values, runs, shape),
        }
    }
}

unsafe fn add_all_codes<const R: usize>(
    out: [*mut f32; TILE],
    weights: &[Weights; TILE],
    values: &[u8],
    runs: &Runs,
    shape: Shape,
) {
    match shape.kind {
        KvType::Q4_0 => add_codes::<R, true>(out, weights, values, runs, shape),
        _ => add_codes::<R, false>(out, weights, values, runs, shape),
    }
}

/// Two and three rows go with spare ones: a function for each number of rows is not worth its code.
unsafe fn add_all_floats(
    out: [*mut f32; TILE],
    n_rows: usize,
    weights: &Logits,
    runs: &Runs,
    dim: usize,
    value: impl Fn(usize, usize) -> v128,
) {
    match n_rows {
        1 => add_floats::<1>(out, 1, weights, runs, dim, value),
        _ => add_floats::<TILE>(out, n_rows, weights, runs, dim, value),
    }
}

/// Vectors of dims that share the loads of weights.
const D: usize = 2;

#[inline(never)]
unsafe fn add_codes<const R: usize, const FOUR_BITS: bool>(
    out: [*mut f32; TILE],
    weights: &[Weights; TILE],
    values: &[u8],
    runs: &Runs,
    shape: Shape,
) {
    let stride = shape.value_block_bytes();
    // Unknown to the compiler, which would unroll the loop and then put the dots of one sum in a row, each waiting for
    // the one before.
    let n_vectors = if FOUR_BITS { BLOCK / 8 } else { BLOCK / 4 };
    let all = opaque(n_vectors);
    for d in (0..shape.dim / 4).step_by(D) {
        let mut acc = [[[i32x4_splat(0); D]; 2]; R];
        for run in runs.iter() {
            let codes = values.as_ptr().add(run.slot / BLOCK * stride + 4 * BLOCK + 16 * d * n_vectors);
            // Blocks of 4 bits are whole.
            let (start, end) =
                if FOUR_BITS { (0, all) } else { (run.slot % BLOCK / 4, (run.slot % BLOCK + run.n) / 4) };
            let mut dot = |group: usize, codes: [[v128; D]; 2]| {
                let codes = codes.map(|codes| codes.map(|codes| dot14_bytes(codes)));
                // In the order in which the fewest vectors are alive, see `keys`.
                for r in 0..R {
                    let group = run.place / 4 + group - start;
                    let w = v128_load(weights[r].words.as_ptr().add(2 * group) as *const v128);
                    let (first, second) = (i32x4_shuffle::<0, 0, 0, 0>(w, w), i32x4_shuffle::<2, 2, 2, 2>(w, w));
                    for d in 0..D {
                        acc[r][0][d] = dot14_add(codes[1][d].0, second, dot14_add(codes[0][d].0, first, acc[r][0][d]));
                    }
                    let (first, second) = (i32x4_shuffle::<1, 1, 1, 1>(w, w), i32x4_shuffle::<3, 3, 3, 3>(w, w));
                    for d in 0..D {
                        acc[r][1][d] = dot14_add(codes[1][d].1, second, dot14_add(codes[0][d].1, first, acc[r][1][d]));
                    }
                }
            };
            for i in (start..end).step_by(2) {
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
        for i in 0..D {
            for r in 0..R {
                let place = out[r].add(4 * (d + i)) as *mut v128;
                let sum = f32x4_convert_i32x4(dot14_join((acc[r][0][i], acc[r][1][i])));
                v128_store(place, f32x4_madd(sum, f32x4_splat(weights[r].unit), v128_load(place)));
            }
        }
    }
}

#[inline(never)]
unsafe fn add_floats<const R: usize>(
    out: [*mut f32; TILE],
    n_rows: usize,
    weights: &Logits,
    runs: &Runs,
    dim: usize,
    value: impl Fn(usize, usize) -> v128,
) {
    let (mut seen, mut n_seen) = ([(0, [0f32; TILE]); SHORT_CHUNK], 0);
    for (slot, place) in runs.iter().flat_map(|run| (0..run.n).map(|i| (run.slot + i, run.place + i))) {
        let of_rows = core::array::from_fn(|r| if r < R.min(n_rows) { weights[r][place] } else { 0.0 });
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
