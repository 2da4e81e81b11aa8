//! Scaled dot products of a tile of queries with the keys of a chunk.
//!
//! ```text
//! for every group of 4 slots, for every word of its keys (4 dims of 8 bits, 2 halves, 1 float):
//!   load one vector, lane = slot; for every row: multiply with the row's splatted operand, add to the row's lanes
//! ```
//! Q8_0: the query becomes `n - 8192` with n of 14 bits, one scale for the head; accumulators start from -8192 times
//! the stored sum of the block's codes, so that the offset costs nothing per row.
//! Q4_0: the query becomes signed bytes per block of 32, the codes are the unsigned operand; -7.5 times the bytes' sum
//! is the offset.
use super::rows::Logits;
use super::{CHUNK, MAX_DIM, ROWS};
use crate::kernel::kv::keys::{BLOCK, GROUP};
use crate::kernel::kv::{KvType, Shape};
use crate::quant::f16x4_to_f32x4;
use crate::simd::*;
use core::mem::MaybeUninit;

/// Words of one prepared query: `MAX_DIM` floats, or fewer words of integers.
const STRIDE: usize = MAX_DIM;
const BLOCKS: usize = MAX_DIM / BLOCK;

/// Queries in the form that the keys' type asks for.
pub struct PreparedQueries {
    shape: Shape,
    words: MaybeUninit<[[u32; STRIDE]; ROWS]>,
    /// Q8_0: what a query's unit stands for, times the scale of logits.
    units: [f32; ROWS],
    /// Q4_0: per block the unit, and the offset of a logit, both times the scale of logits.
    blocks: [[(f32, f32); BLOCKS]; ROWS],
}

impl PreparedQueries {
    pub fn new(shape: Shape) -> Self {
        // Not cleared: it would cost as much as a short attention, and `set` writes what is read.
        Self { shape, words: MaybeUninit::uninit(), units: [0.0; ROWS], blocks: [[(0.0, 0.0); BLOCKS]; ROWS] }
    }

    fn row(&self, row: usize) -> *const u32 {
        debug_assert!(row < ROWS);
        // SAFETY: within the array.
        unsafe { (self.words.as_ptr() as *const u32).add(row * STRIDE) }
    }

    pub fn set(&mut self, row: usize, q: &[f32], scale: f32) {
        assert!(row < ROWS && q.len() <= MAX_DIM);
        // SAFETY: at most `q.len() <= STRIDE` words of a row below `ROWS` are written.
        let out = unsafe { (self.words.as_mut_ptr() as *mut u32).add(row * STRIDE) };
        let put = |i: usize, word: u32| unsafe { *out.add(i) = word };
        match self.shape.kind {
            KvType::F32 | KvType::F16 => q.iter().enumerate().for_each(|(i, x)| put(i, (x * scale).to_bits())),
            KvType::Q8_0 => {
                let top = q.iter().fold(0.0, |max: f32, x| max.max(x.abs()));
                let factor = if top > 0.0 { 8191.0 / top } else { 0.0 };
                self.units[row] = top / 8191.0 * scale;
                for (i, x) in q.chunks_exact(4).enumerate() {
                    let [first, second] =
                        dot14_words(core::array::from_fn(|j| ((x[j] * factor).round_ties_even() + 8192.0) as u16));
                    put(2 * i, first);
                    put(2 * i + 1, second);
                }
            }
            KvType::Q4_0 => {
                for (b, block) in q.chunks(BLOCK).enumerate() {
                    let top = block.iter().fold(0.0, |max: f32, x| max.max(x.abs()));
                    let factor = if top > 0.0 { 127.0 / top } else { 0.0 };
                    let mut sum = 0;
                    for (i, x) in block.chunks_exact(4).enumerate() {
                        let bytes: [i8; 4] = core::array::from_fn(|j| (x[j] * factor).round_ties_even() as i8);
                        sum += bytes.iter().map(|&b| b as i32).sum::<i32>();
                        put(b * BLOCK / 4 + i, u32::from_le_bytes(bytes.map(|b| b as u8)));
                    }
                    let unit = top / 127.0 * scale;
                    self.blocks[row][b] = (unit, -7.5 * sum as f32 * unit);
                }
            }
        }
    }
}

/// `logits[i][s]` of rows `first + i < first + n_rows` and slots `start + s < start + n_slots`, a multiple of 4.
pub fn score(
    logits: &mut Logits,
    queries: &PreparedQueries,
    first: usize,
    n_rows: usize,
    keys: &[u32],
    start: usize,
    n_slots: usize,
) {
    let words = queries.shape.key_words();
    let keys = &keys[start * words..][..n_slots * words];
    // SAFETY: `keys` holds `n_slots` whole slots, at most `CHUNK`; rows `first..first + n_rows` are set.
    unsafe {
        match n_rows {
            1 => score_rows::<1>(logits, queries, first, keys, n_slots),
            2 => score_rows::<2>(logits, queries, first, keys, n_slots),
            3 => score_rows::<3>(logits, queries, first, keys, n_slots),
            _ => score_rows::<4>(logits, queries, first, keys, n_slots),
        }
    }
}

unsafe fn score_rows<const R: usize>(
    logits: &mut Logits,
    queries: &PreparedQueries,
    first: usize,
    keys: &[u32],
    n_slots: usize,
) {
    debug_assert!(n_slots <= CHUNK && first + R <= ROWS);
    let q = queries.row(first);
    let shape = &queries.shape;
    for group in 0..n_slots / GROUP {
        let keys = keys.as_ptr().add(group * GROUP * shape.key_words());
        let sums: [v128; R] = match shape.kind {
            KvType::F32 => dot_f32(q, keys, shape.dim),
            KvType::F16 => dot_f16(q, keys, shape.dim),
            KvType::Q8_0 => {
                let sums: [v128; R] = dot_q8_0(q, keys, shape);
                core::array::from_fn(|r| f32x4_mul(sums[r], f32x4_splat(queries.units[first + r])))
            }
            KvType::Q4_0 => dot_q4_0(q, &queries.blocks[first..], keys, shape),
        };
        for r in 0..R {
            v128_store(logits[r][group * GROUP..].as_mut_ptr() as *mut v128, sums[r]);
        }
    }
}

#[inline(always)]
unsafe fn word(keys: *const u32, i: usize) -> v128 {
    v128_load(keys.add(GROUP * i) as *const v128)
}

#[inline(always)]
unsafe fn dot_f32<const R: usize>(q: *const u32, keys: *const u32, dim: usize) -> [v128; R] {
    let mut sums = [f32x4_splat(0.0); R];
    for i in 0..dim {
        let k = word(keys, i);
        for (r, sum) in sums.iter_mut().enumerate() {
            *sum = f32x4_madd(k, v128_load32_splat(q.add(r * STRIDE + i)), *sum);
        }
    }
    sums
}

#[inline(always)]
unsafe fn dot_f16<const R: usize>(q: *const u32, keys: *const u32, dim: usize) -> [v128; R] {
    let mut sums = [f32x4_splat(0.0); R];
    for i in 0..dim / 2 {
        let pair = word(keys, i);
        let even = f16x4_to_f32x4(i32x4_shr(i32x4_shl(pair, 16), 16));
        let odd = f16x4_to_f32x4(i32x4_shr(pair, 16));
        for (r, sum) in sums.iter_mut().enumerate() {
            let q = q.add(r * STRIDE + 2 * i);
            *sum = f32x4_madd(even, v128_load32_splat(q), *sum);
            *sum = f32x4_madd(odd, v128_load32_splat(q.add(1)), *sum);
        }
    }
    sums
}

#[inline(always)]
unsafe fn dot_q8_0<const R: usize>(q: *const u32, keys: *const u32, shape: &Shape) -> [v128; R] {
    let codes = shape.key_scale_words();
    let mut sums = [f32x4_splat(0.0); R];
    let mut block = |b: usize, pieces: usize| {
        let header = word(keys, b);
        let code_sum = i32x4_shr(i32x4_shl(header, 16), 16);
        let mut acc = [dot14_start(i32x4_neg(i32x4_shl(code_sum, 6))); R];
        for i in b * BLOCK / 4..b * BLOCK / 4 + pieces {
            let k = dot14_bytes(word(keys, codes + i));
            for (r, acc) in acc.iter_mut().enumerate() {
                let q = q.add(r * STRIDE + 2 * i);
                acc.0 = dot14_add(k.0, v128_load32_splat(q), acc.0);
                acc.1 = dot14_add(k.1, v128_load32_splat(q.add(1)), acc.1);
            }
        }
        let scale = v128_and(header, u32x4_splat(0xffff_0000));
        for (sum, acc) in sums.iter_mut().zip(acc) {
            *sum = f32x4_madd(f32x4_convert_i32x4(dot14_join(acc)), scale, *sum);
        }
    };
    for b in 0..shape.dim / BLOCK {
        block(b, BLOCK / 4);
    }
    if shape.dim % BLOCK > 0 {
        block(shape.dim / BLOCK, shape.dim % BLOCK / 4);
    }
    sums
}

#[inline(always)]
unsafe fn dot_q4_0<const R: usize>(
    q: *const u32,
    units: &[[(f32, f32); BLOCKS]],
    keys: *const u32,
    shape: &Shape,
) -> [v128; R] {
    let codes = shape.key_scale_words();
    let mut sums = [f32x4_splat(0.0); R];
    let mut block = |b: usize, half: usize| {
        let mut acc = [i32x4_splat(0); R];
        for i in 0..half {
            let pair = word(keys, codes + b * BLOCK / 8 + i);
            let (low, high) = (v128_and(pair, u8x16_splat(15)), u8x16_shr(pair, 4));
            for (r, acc) in acc.iter_mut().enumerate() {
                let q = q.add(r * STRIDE + b * BLOCK / 4 + i);
                *acc = dot4_i8x16_u7x16_add(v128_load32_splat(q), low, *acc);
                *acc = dot4_i8x16_u7x16_add(v128_load32_splat(q.add(half)), high, *acc);
            }
        }
        let scales = word(keys, b / 2);
        let scale = if b % 2 == 0 { i32x4_shl(scales, 16) } else { v128_and(scales, u32x4_splat(0xffff_0000)) };
        for (r, sum) in sums.iter_mut().enumerate() {
            let (unit, offset) = units[r][b];
            let dot = f32x4_madd(f32x4_convert_i32x4(acc[r]), f32x4_splat(unit), f32x4_splat(offset));
            *sum = f32x4_madd(dot, scale, *sum);
        }
    };
    for b in 0..shape.dim / BLOCK {
        block(b, BLOCK / 8);
    }
    if shape.dim % BLOCK > 0 {
        block(shape.dim / BLOCK, shape.dim % BLOCK / 8);
    }
    sums
}
