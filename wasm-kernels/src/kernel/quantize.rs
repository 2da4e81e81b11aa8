//! Activations as signed bytes, ready to be the first operand of a byte dot product.
//!
//! ```text
//! per block of 32 columns:  scale = max |x| / 127,  code = round(x / scale),  sum = sum of the codes
//! ```
//! A block takes 48 bytes: the codes, then `scale f32`, `scale * sum f32`, `-sum i32` and `-sum of the first half
//! i32`. The sums let a weight `code - bias` be multiplied as an unsigned `code`: `bias * -sum` is where the dot product
//! starts. A block with a NaN or an infinity gets a scale that makes every product with it NaN or infinite.
//!
//! Tokens lie in fours as far as they go: the same block of four tokens is interleaved word by word, so that one load
//! brings the same 4 columns, or the same field, of four tokens. The one to three last tokens are plain rows.
use crate::simd::*;

/// Columns of a block.
pub const COLUMNS: usize = 32;
/// Bytes of a block of one token.
pub const BLOCK: usize = 48;
/// Words of a block in front of its fields.
#[cfg(test)]
const FIELDS: usize = 8;
/// Words of a block.
#[cfg(test)]
const WORDS: usize = BLOCK / 4;

/// Bytes of one row of `n_cols` activations; `n_cols` is a multiple of 32.
pub const fn quantized_bytes(n_cols: usize) -> usize {
    n_cols / COLUMNS * BLOCK
}

/// Bytes of a block of one token in front of each field.
pub const SCALE: usize = 32;
pub const SCALED_SUM: usize = 36;
pub const MINUS_SUM: usize = 40;
pub const MINUS_FIRST: usize = 44;

/// Below this a block counts as zero: 127 divided by it would leave the range of f32.
const TINY: f32 = 1e-36;

/// 1.5 * 2^23: added to a float, it leaves the nearest integer in the low bits.
const MAGIC: f32 = 12_582_912.0;

/// `xq` = `n_tokens` rows `x` of `n_cols` columns.
pub fn quantize(xq: &mut [u8], x: &[f32], n_tokens: usize, n_cols: usize) {
    let magic = opaque(f32x4_splat(MAGIC));
    let (grouped, row) = (n_tokens & !3, quantized_bytes(n_cols));
    let (fours, ones) = xq[..n_tokens * row].split_at_mut(grouped * row);
    let (x_fours, x_ones) = x[..n_tokens * n_cols].split_at(grouped * n_cols);
    for (to, x) in fours.chunks_exact_mut(4 * row).zip(x_fours.chunks_exact(4 * n_cols)) {
        for (i, to) in to.chunks_exact_mut(4 * BLOCK).enumerate() {
            // SAFETY: four rows of as many columns.
            unsafe { quantize_four(to, x.as_ptr().add(i * COLUMNS), n_cols, magic) };
        }
    }
    for (to, x) in ones.chunks_exact_mut(BLOCK).zip(x_ones.chunks_exact(COLUMNS)) {
        let block = unsafe { quantize_block(x.as_ptr(), magic) };
        block.iter().enumerate().for_each(|(part, &words)| store(to, 16 * part, words));
    }
}

/// A block of each of four tokens, whose rows are `n_cols` floats apart. What a step of 4 columns rounds to is what lies
/// together in memory; scales and sums are a lane per token.
///
/// # Safety
/// 32 floats are readable in each row.
#[cfg_attr(target_arch = "wasm32", inline(always))]
unsafe fn quantize_four(to: &mut [u8], x: *const f32, n_cols: usize, magic: v128) {
    let floats =
        |step: usize| -> [v128; 4] { core::array::from_fn(|t| v128_load(x.add(t * n_cols + 4 * step) as *const v128)) };
    let lanes = |v: [v128; 4], f: fn(v128, v128) -> v128| transpose(v).into_iter().reduce(f).unwrap_unchecked();
    let (zero, steps) = (i32x4_splat(0), opaque(4));
    let mut largest = [zero; 4];
    for step in 0..2 * steps {
        let x = floats(step);
        largest = core::array::from_fn(|t| i32x4_max(largest[t], f32x4_abs(x[t])));
    }
    let largest = lanes(largest, |a, b| i32x4_max(a, b));
    let tiny = f32x4_lt(largest, f32x4_splat(TINY));
    let scale = v128_andnot(f32x4_div(largest, f32x4_splat(127.0)), tiny);
    let factor = v128_andnot(f32x4_div(f32x4_splat(127.0), largest), tiny);
    let factors = [
        i32x4_shuffle::<0, 0, 0, 0>(factor, factor),
        i32x4_shuffle::<1, 1, 1, 1>(factor, factor),
        i32x4_shuffle::<2, 2, 2, 2>(factor, factor),
        i32x4_shuffle::<3, 3, 3, 3>(factor, factor),
    ];
    let mut sums = [zero; 4];
    for (half, field) in [MINUS_FIRST, MINUS_SUM].into_iter().enumerate() {
        for step in 4 * half..4 * half + steps {
            let x = floats(step);
            let [a, b, c, d]: [v128; 4] =
                core::array::from_fn(|t| i32x4_sub(f32x4_add(f32x4_mul(x[t], factors[t]), magic), magic));
            store(to, 16 * step, i8x16_narrow_i16x8(i16x8_narrow_i32x4(a, b), i16x8_narrow_i32x4(c, d)));
            sums = [i32x4_add(sums[0], a), i32x4_add(sums[1], b), i32x4_add(sums[2], c), i32x4_add(sums[3], d)];
        }
        let minus_sum = i32x4_neg(lanes(sums, |a, b| i32x4_add(a, b)));
        store(to, 4 * field, minus_sum);
        store(to, 4 * SCALED_SUM, f32x4_mul(f32x4_neg(scale), f32x4_convert_i32x4(minus_sum)));
    }
    store(to, 4 * SCALE, scale);
}

#[cfg_attr(target_arch = "wasm32", inline(always))]
fn store(to: &mut [u8], at: usize, value: v128) {
    unsafe { v128_store(to[at..at + 16].as_mut_ptr() as *mut v128, value) }
}

/// The 48 bytes of a block.
///
/// # Safety
/// 32 floats are readable at `x`.
#[cfg_attr(target_arch = "wasm32", inline(always))]
unsafe fn quantize_block(x: *const f32, magic: v128) -> [v128; 3] {
    let x: [v128; 8] = core::array::from_fn(|i| v128_load(x.add(4 * i) as *const v128));
    // Sizes compare like their bits, and those of infinities and NaN are the largest.
    let largest = x.map(|v| f32x4_abs(v)).into_iter().reduce(|a, b| i32x4_max(a, b)).unwrap_unchecked();
    let largest = i32x4_max(largest, i64x2_shuffle::<1, 0>(largest, largest));
    let largest = f32x4_extract_lane::<0>(i32x4_max(largest, i32x4_shuffle::<1, 0, 3, 2>(largest, largest)));
    let (scale, factor) = if largest < TINY { (0.0, 0.0) } else { (largest / 127.0, 127.0 / largest) };

    let factor = f32x4_splat(factor);
    let codes = x.map(|v| i32x4_sub(f32x4_add(f32x4_mul(v, factor), magic), magic));
    let [a, b, c, d, e, f, g, h] = codes;
    let first = i32x4_add(i32x4_add(a, b), i32x4_add(c, d));
    let second = i32x4_add(i32x4_add(e, f), i32x4_add(g, h));
    let pairs = i32x4_add(i32x4_shuffle::<0, 4, 1, 5>(first, second), i32x4_shuffle::<2, 6, 3, 7>(first, second));
    let sums = i32x4_add(pairs, i64x2_shuffle::<1, 0>(pairs, pairs));
    // Those of a block with a NaN mean nothing, and may wrap.
    let minus_first = i32x4_extract_lane::<0>(sums).wrapping_neg();
    let minus_sum = minus_first.wrapping_sub(i32x4_extract_lane::<1>(sums));
    let scaled_sum = -scale * minus_sum as f32;
    [
        i8x16_narrow_i16x8(i16x8_narrow_i32x4(a, b), i16x8_narrow_i32x4(c, d)),
        i8x16_narrow_i16x8(i16x8_narrow_i32x4(e, f), i16x8_narrow_i32x4(g, h)),
        i32x4(scale.to_bits() as i32, scaled_sum.to_bits() as i32, minus_sum, minus_first),
    ]
}

/// Codes and scale of the block of a token that holds column `column`.
#[cfg(test)]
pub fn block_of(xq: &[u8], n_tokens: usize, n_cols: usize, token: usize, column: usize) -> ([i8; COLUMNS], f32) {
    let row = quantized_bytes(n_cols);
    let (interleaved, place) = (token < (n_tokens & !3), token & 3);
    let rows = &xq[if interleaved { (token - place) * row } else { token * row }..];
    let i = column / COLUMNS;
    let (first, step) = if interleaved { (4 * i * WORDS + place, 4) } else { (i * WORDS, 1) };
    let byte = |j: usize| rows[4 * (first + j / 4 * step) + j % 4];
    let scale = f32::from_le_bytes(core::array::from_fn(|j| byte(4 * FIELDS + j)));
    (core::array::from_fn(|j| byte(j) as i8), scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Random;

    #[test]
    fn codes_and_scales_match_their_definitions() {
        let mut random = Random(11);
        for factor in [1.0, 0.0, 1e-30, 1e-38, 1e30, 3e4] {
            for n_tokens in 1..10 {
                let x: Vec<f32> = random.floats(96 * n_tokens).iter().map(|x| x * factor).collect();
                let mut xq = vec![0u8; n_tokens * quantized_bytes(96)];
                quantize(&mut xq, &x, n_tokens, 96);
                for (i, &x) in x.iter().enumerate() {
                    let (codes, scale) = block_of(&xq, n_tokens, 96, i / 96, i % 96);
                    let error = x as f64 - scale as f64 * codes[i % 32] as f64;
                    assert!(error.abs() <= scale as f64 * 0.5001 + 1e-36, "{x} {scale}");
                }
            }
        }
    }

    #[test]
    fn fields_match_their_definitions() {
        let x = Random(12).floats(4 * 32);
        let mut xq = vec![0u8; 4 * BLOCK];
        for (n_tokens, token, step) in [(1, 0, 1), (4, 2, 4)] {
            quantize(&mut xq, &x[..32 * n_tokens], n_tokens, 32);
            let (codes, scale) = block_of(&xq, n_tokens, 32, token, 0);
            let field = |at: usize| xq[step * at + 4 * token..][..4].try_into().unwrap();
            let sum = |codes: &[i8]| codes.iter().map(|&c| c as i32).sum::<i32>();
            assert_eq!(f32::from_le_bytes(field(SCALE)), scale);
            assert_eq!(f32::from_le_bytes(field(SCALED_SUM)), scale * sum(&codes) as f32);
            assert_eq!(i32::from_le_bytes(field(MINUS_SUM)), -sum(&codes));
            assert_eq!(i32::from_le_bytes(field(MINUS_FIRST)), -sum(&codes[..16]));
        }
    }

    #[test]
    fn nan_and_infinity_are_not_swallowed() {
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = [1.0; 32];
            x[17] = bad;
            let mut xq = [0u8; BLOCK];
            quantize(&mut xq, &x, 1, 32);
            assert!(!block_of(&xq, 1, 32, 0, 0).1.is_finite());
        }
    }
}
