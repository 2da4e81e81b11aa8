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
use super::chunk::Runs;
use super::rows::{Logits, TILE};
use super::{MAX_DIM, ROWS};
use crate::kernel::kv::half::Widen;
use crate::kernel::kv::keys::{BLOCK, GROUP};
use crate::kernel::kv::{KvType, Shape};
use crate::kernel::lanes::load;
use crate::kernel::logits::{largest_size, max_lane};
use crate::kernel::scalar::nearest;
use crate::simd::*;
use core::mem::MaybeUninit;

/// Words of one prepared query: `MAX_DIM` floats, or fewer words of integers.
const STRIDE: usize = MAX_DIM;
const BLOCKS: usize = MAX_DIM / BLOCK;
/// Groups of slots that share the splats of a query.
const SHARED: usize = 2;

/// Queries in the form that the keys' type asks for.
pub struct PreparedQueries {
    shape: Shape,
    words: MaybeUninit<[[u32; STRIDE]; ROWS]>,
    /// Q8_0: what a query's unit stands for, times the scale of logits.
    units: [f32; ROWS],
    /// Q4_0: per block the unit, and the offset of a logit, both times the scale of logits.
    blocks: MaybeUninit<[[(f32, f32); BLOCKS]; ROWS]>,
}

impl PreparedQueries {
    pub fn new(shape: Shape) -> Self {
        // Not cleared: it would cost as much as a short attention, and `set` writes what is read.
        Self { shape, words: MaybeUninit::uninit(), units: [0.0; ROWS], blocks: MaybeUninit::uninit() }
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
                let top = largest_size(q);
                let factor = f32x4_splat(if top > 0.0 { 8191.0 / top } else { 0.0 });
                self.units[row] = top / 8191.0 * scale;
                // Adding 2^23 rounds to an integer and leaves it in the low bits.
                let (offset, mask) = (f32x4_splat(8192.0 + 8_388_608.0), i32x4_splat(16383));
                for (i, x) in q.chunks(16).enumerate() {
                    // Behind a last eight come zeros; there is room for their words.
                    let quads = x.as_chunks::<4>().0;
                    let n = |j: usize| quads.get(j).map_or(mask, |x| f32x4_add(f32x4_mul(load(x), factor), offset));
                    let words = dot14_pack(core::array::from_fn(|j| v128_and(n(j), mask)));
                    // SAFETY: as above; a row has more than the `q.len() / 2` words that are asked for.
                    unsafe { (out.add(8 * i) as *mut [v128; 2]).write_unaligned(words) };
                }
            }
            KvType::Q4_0 => {
                for (b, block) in q.chunks(BLOCK).enumerate() {
                    let top = largest_size(block);
                    let factor = if top > 0.0 { 127.0 / top } else { 0.0 };
                    let (low, high) = block.split_at(block.len() / 2);
                    let mut sum = 0;
                    let mut word = |x: &[f32]| {
                        let bytes: [i8; 4] = core::array::from_fn(|j| nearest(x[j] * factor) as i8);
                        sum += bytes.iter().map(|&b| b as i32).sum::<i32>();
                        u32::from_le_bytes(bytes.map(|b| b as u8))
                    };
                    let first = b * BLOCK / 4;
                    for (i, (low, high)) in low.chunks_exact(4).zip(high.chunks_exact(4)).enumerate() {
                        put(first + 2 * i, word(low));
                        put(first + 2 * i + 1, word(high));
                    }
                    // Vectors of codes are taken in pairs; behind an odd last one comes nothing.
                    put(first + block.len() / 4, 0);
                    put(first + block.len() / 4 + 1, 0);
                    let unit = top / 127.0 * scale;
                    let blocks = self.blocks.as_mut_ptr() as *mut [(f32, f32); BLOCKS];
                    // SAFETY: a row below `ROWS`, and a block of at most `MAX_DIM` dims.
                    unsafe { (*blocks.add(row))[b] = (unit, -7.5 * sum as f32 * unit) };
                }
            }
        }
    }
}

/// `logits[i][s]` of rows `first + i < first + n_rows` and the slots of the runs of `keys`; returns the largest of each
/// row.
pub fn score(
    logits: &mut Logits,
    queries: &PreparedQueries,
    first: usize,
    n_rows: usize,
    keys: &[u32],
    runs: &Runs,
) -> [f32; TILE] {
    let score_rows = match (queries.shape.kind, n_rows) {
        (_, 1) => score_rows::<1>,
        // Two and three rows of floats go with copies of the last: a function each is not worth its code.
        (KvType::F32 | KvType::F16, _) => score_rows::<TILE>,
        (_, 2) => score_rows::<2>,
        (_, 3) => score_rows::<3>,
        _ => score_rows::<TILE>,
    };
    assert!(runs.end() * queries.shape.key_words() <= keys.len() && first + n_rows <= ROWS);
    // SAFETY: `keys` holds all slots of the runs, which end with the last one; rows `first..first + n_rows` are set.
    unsafe { score_rows(logits, queries, first, n_rows, keys.as_ptr(), runs) }
}

unsafe fn score_rows<const R: usize>(
    logits: &mut Logits,
    queries: &PreparedQueries,
    first: usize,
    n_rows: usize,
    keys: *const u32,
    runs: &Runs,
) -> [f32; TILE] {
    let (q, shape) = (queries.row(first), &queries.shape);
    match shape.kind {
        KvType::F32 if R == 1 || R == TILE => {
            let q = core::array::from_fn(|r| queries.row(first + r.min(n_rows - 1)));
            each_group(logits, keys, runs, shape, |keys| [dot_f32::<R>(q, keys, shape.dim)])
        }
        KvType::F16 if R == 1 || R == TILE => {
            let (widen, q) = (Widen::new(), core::array::from_fn(|r| queries.row(first + r.min(n_rows - 1))));
            each_group(logits, keys, runs, shape, |keys| [dot_f16::<R>(q, keys, shape.dim, &widen)])
        }
        KvType::Q8_0 => {
            let units: [v128; R] = core::array::from_fn(|r| f32x4_splat(queries.units[first + r]));
            // Known here, so that the sizes that follow from it are not looked up again for every group.
            let shape = &Shape { kind: KvType::Q8_0, ..*shape };
            each_group::<R, SHARED>(logits, keys, runs, shape, |keys| {
                let sums: [[v128; R]; SHARED] = dot_q8_0(q, keys, shape);
                sums.map(|sums| core::array::from_fn(|r| f32x4_mul(sums[r], units[r])))
            })
        }
        KvType::Q4_0 => {
            let units = (queries.blocks.as_ptr() as *const [(f32, f32); BLOCKS]).add(first);
            let shape = &Shape { kind: KvType::Q4_0, ..*shape };
            each_group(logits, keys, runs, shape, |keys| dot_q4_0::<R>(q, units, keys, shape))
        }
        _ => unreachable!("one or four rows of floats"),
    }
}

/// A function of its own per type and number of rows: one function for all of them would be too large for WASM's
/// compilers to keep sums in registers.
#[inline(never)]
unsafe fn each_group<const R: usize, const G: usize>(
    logits: &mut Logits,
    keys: *const u32,
    runs: &Runs,
    shape: &Shape,
    dots: impl Fn(*const u32) -> [[v128; R]; G],
) -> [f32; TILE] {
    let words = shape.key_words();
    let mut tops = [f32x4_splat(f32::NEG_INFINITY); R];
    for run in runs.iter() {
        for slot in (0..run.n).step_by(G * GROUP) {
            let dots = dots(keys.add((run.slot + slot) * words));
            for g in 0..G {
                for r in 0..R {
                    let place = logits[r].as_mut_ptr().add(run.place + slot + g * GROUP);
                    v128_store(place as *mut v128, dots[g][r]);
                    tops[r] = f32x4_pmax(tops[r], dots[g][r]);
                }
            }
        }
    }
    core::array::from_fn(|r| if r < R { max_lane(tops[r]) } else { f32::NEG_INFINITY })
}

#[inline(always)]
unsafe fn word(keys: *const u32, i: usize) -> v128 {
    v128_load(keys.add(GROUP * i) as *const v128)
}

#[inline(always)]
unsafe fn dot_f32<const R: usize>(q: [*const u32; R], keys: *const u32, dim: usize) -> [v128; R] {
    let mut sums = [f32x4_splat(0.0); R];
    for i in 0..dim {
        let k = word(keys, i);
        for (r, sum) in sums.iter_mut().enumerate() {
            *sum = f32x4_madd(k, v128_load32_splat(q[r].add(i)), *sum);
        }
    }
    sums
}

#[inline(always)]
unsafe fn dot_f16<const R: usize>(q: [*const u32; R], keys: *const u32, dim: usize, widen: &Widen) -> [v128; R] {
    let mut sums = [f32x4_splat(0.0); R];
    for i in 0..dim / 2 {
        let pair = word(keys, i);
        let (even, odd) = (widen.high(i32x4_shl(pair, 16)), widen.high(pair));
        for (r, sum) in sums.iter_mut().enumerate() {
            let q = q[r].add(2 * i);
            *sum = f32x4_madd(even, v128_load32_splat(q), *sum);
            *sum = f32x4_madd(odd, v128_load32_splat(q.add(1)), *sum);
        }
    }
    sums
}

#[inline(always)]
unsafe fn dot_q8_0<const R: usize>(q: *const u32, keys: *const u32, shape: &Shape) -> [[v128; R]; SHARED] {
    let (stride, n_vectors) = (GROUP * shape.key_words(), shape.dim / 4);
    let codes = keys.add(GROUP * shape.key_scale_words());
    let mut sums = [[f32x4_splat(0.0); R]; SHARED];
    for b in 0..shape.key_scale_words() {
        let headers: [v128; SHARED] = core::array::from_fn(|g| word(keys.add(g * stride), b));
        let start = headers.map(|header| i32x4_neg(i32x4_shr(i32x4_shl(header, 16), 10)));
        let block = b * BLOCK / 4..((b + 1) * BLOCK / 4).min(n_vectors);
        let start = start.map(|start| dot14_start(start));
        let acc: [[[v128; SHARED]; 2]; R] = dot_block(q, codes, stride, block, start, Q8);
        for g in 0..SHARED {
            let scale = v128_and(headers[g], u32x4_splat(0xffff_0000));
            for r in 0..R {
                let dot = dot14_join((acc[r][0][g], acc[r][1][g]));
                sums[g][r] = f32x4_madd(f32x4_convert_i32x4(dot), scale, sums[g][r]);
            }
        }
    }
    sums
}

#[inline(always)]
unsafe fn dot_q4_0<const R: usize>(
    q: *const u32,
    units: *const [(f32, f32); BLOCKS],
    keys: *const u32,
    shape: &Shape,
) -> [[v128; R]; SHARED] {
    let (stride, n_vectors) = (GROUP * shape.key_words(), shape.dim / 8);
    let codes = keys.add(GROUP * shape.key_scale_words());
    let mut sums = [[f32x4_splat(0.0); R]; SHARED];
    for b in 0..shape.dim.div_ceil(BLOCK) {
        let block = b * BLOCK / 8..((b + 1) * BLOCK / 8).min(n_vectors);
        let acc: [[[v128; SHARED]; 2]; R] =
            dot_block(q, codes, stride, block, [(i32x4_splat(0), i32x4_splat(0)); SHARED], Q4);
        for g in 0..SHARED {
            // The scale of an even block lies in the lower half.
            let scales = i32x4_shl(word(keys.add(g * stride), b / 2), 16 - b as u32 % 2 * 16);
            let scale = v128_and(scales, u32x4_splat(0xffff_0000));
            for r in 0..R {
                let (unit, offset) = (*units.add(r))[b];
                let dot = f32x4_convert_i32x4(i32x4_add(acc[r][0][g], acc[r][1][g]));
                let dot = f32x4_madd(dot, f32x4_splat(unit), f32x4_splat(offset));
                sums[g][r] = f32x4_madd(dot, scale, sums[g][r]);
            }
        }
    }
    sums
}

/// Adds the products of a block's vectors of codes with two words each of the rows' queries.
///
/// A vector of four words is loaded at once and splatted in registers: where a runtime checks bounds by comparison, as
/// Deno does, a load costs three instructions. The loop has to stay one: unrolled, LLVM gathers the dots of one sum, each
/// of which waits for the one before. Of a row, one half of its pairs goes before the other: for two rows, 8 sums, 4
/// vectors of codes, the query and 2 of its splats are then all that is alive, and as many as V8 has registers.
#[inline(always)]
unsafe fn dot_block<const R: usize, F: CodeForm>(
    q: *const u32,
    codes: *const u32,
    stride: usize,
    vectors: core::ops::Range<usize>,
    start: [Pair; SHARED],
    form: F,
) -> [[[v128; SHARED]; 2]; R] {
    let mut acc = [[[i32x4_splat(0); SHARED]; 2]; R];
    for r in 0..R {
        for g in 0..SHARED {
            (acc[r][0][g], acc[r][1][g]) = start[g];
        }
    }
    let last = vectors.end - 1;
    let mut i = vectors.start;
    while i < vectors.end {
        let next = if F::PAIRS { i + 1 } else { (i + 1).min(last) };
        let k: [[Pair; SHARED]; 2] =
            [i, next].map(|i| core::array::from_fn(|g| form.open(word(codes.add(g * stride), i))));
        for r in 0..R {
            let q = v128_load(q.add(r * STRIDE + 2 * i) as *const v128);
            let (first, second) = (i32x4_shuffle::<0, 0, 0, 0>(q, q), i32x4_shuffle::<2, 2, 2, 2>(q, q));
            for g in 0..SHARED {
                acc[r][0][g] = form.dot(k[1][g].0, second, form.dot(k[0][g].0, first, acc[r][0][g]));
            }
            let (first, second) = (i32x4_shuffle::<1, 1, 1, 1>(q, q), i32x4_shuffle::<3, 3, 3, 3>(q, q));
            for g in 0..SHARED {
                acc[r][1][g] = form.dot(k[1][g].1, second, form.dot(k[0][g].1, first, acc[r][1][g]));
            }
        }
        i += 2;
    }
    acc
}

/// How a vector of codes meets the two words of a query that belong to it.
trait CodeForm: Copy {
    /// Do vectors always come in twos?
    const PAIRS: bool;
    fn open(self, codes: v128) -> Pair;
    fn dot(self, codes: v128, q: v128, acc: v128) -> v128;
}

/// Bytes, each against a number of 14 bits.
#[derive(Clone, Copy)]
struct Q8;
/// Four low bits against one word of bytes, four high bits against the other.
#[derive(Clone, Copy)]
struct Q4;

impl CodeForm for Q8 {
    const PAIRS: bool = true;
    #[inline(always)]
    fn open(self, codes: v128) -> Pair {
        dot14_bytes(codes)
    }
    #[inline(always)]
    fn dot(self, codes: v128, q: v128, acc: v128) -> v128 {
        dot14_add(codes, q, acc)
    }
}

impl CodeForm for Q4 {
    const PAIRS: bool = false;
    #[inline(always)]
    fn open(self, codes: v128) -> Pair {
        (v128_and(codes, u8x16_splat(15)), u8x16_shr(codes, 4))
    }
    #[inline(always)]
    fn dot(self, codes: v128, q: v128, acc: v128) -> v128 {
        dot4_i8x16_u7x16_add(q, codes, acc)
    }
}
