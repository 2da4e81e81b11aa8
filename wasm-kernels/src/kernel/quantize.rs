//! Activations as signed bytes, ready to be the first operand of a byte dot product.
//!
//! ```text
//! per block of 32 columns:  scale = max |x| / 127,  code = round(x / scale),  sum of the codes
//! ```
//! A block takes 48 bytes: `code i8[32]`, `scale f32`, `scale * sum f32`, `-sum i32`, `-sum of the first half i32`. The
//! sums let a weight `code - bias` be multiplied as an unsigned `code`: `bias * -sum` is where the dot product starts.
//! A block with a NaN or an infinity gets a scale that makes every product with it NaN or infinite.
use crate::simd::*;

/// Columns of a block.
pub const COLUMNS: usize = 32;
/// Bytes of a block.
pub const BLOCK: usize = 48;
/// Bytes from the start of a block to its fields.
pub const SCALE: usize = 32;
pub const SCALED_SUM: usize = 36;
pub const MINUS_SUM: usize = 40;
pub const MINUS_FIRST: usize = 44;

/// Bytes of one row of `n_cols` activations; `n_cols` is a multiple of 32.
pub const fn quantized_bytes(n_cols: usize) -> usize {
    n_cols / COLUMNS * BLOCK
}

/// Below this a block counts as zero: 127 divided by it would leave the range of f32.
const TINY: f32 = 1e-36;

/// Rows of any length that are multiples of 32, one after the other.
pub fn quantize(xq: &mut [u8], x: &[f32]) {
    for (block, x) in xq.chunks_exact_mut(BLOCK).zip(x.chunks_exact(COLUMNS)) {
        unsafe { quantize_block(block.as_mut_ptr(), x.as_ptr()) }
    }
}

/// # Safety
/// 32 floats are readable at `x`, 48 bytes writable at `block`.
#[inline(always)]
pub unsafe fn quantize_block(block: *mut u8, x: *const f32) {
    let x: [v128; 8] = core::array::from_fn(|i| v128_load(x.add(4 * i) as *const v128));
    let largest = x.iter().fold(f32x4_splat(0.0), |m, &v| f32x4_max(m, f32x4_abs(v)));
    let largest = f32x4_max(largest, i64x2_shuffle::<1, 0>(largest, largest));
    let largest = f32x4_extract_lane::<0>(f32x4_max(largest, i32x4_shuffle::<1, 0, 3, 2>(largest, largest)));
    let factor = f32x4_splat(if largest < TINY { 0.0 } else { 127.0 / largest });
    let scale = if largest < TINY { 0.0 } else { largest / 127.0 };

    // Adding 1.5 * 2^23 leaves the rounded integer in the low bits.
    let magic = f32x4_splat(12_582_912.0);
    let code = x.map(|v| i32x4_sub(f32x4_add(f32x4_mul(v, factor), magic), magic));
    let half: [v128; 2] = core::array::from_fn(|h| {
        let pairs = [code[4 * h], code[4 * h + 2]].into_iter().zip([code[4 * h + 1], code[4 * h + 3]]);
        let mut pairs = pairs.map(|(a, b)| i16x8_narrow_i32x4(a, b));
        i8x16_narrow_i16x8(pairs.next().unwrap_unchecked(), pairs.next().unwrap_unchecked())
    });
    let sum = half.map(|h| {
        let quarters = i32x4_extadd_pairwise_i16x8(i16x8_extadd_pairwise_i8x16(h));
        let halves = i32x4_add(quarters, i64x2_shuffle::<1, 0>(quarters, quarters));
        i32x4_extract_lane::<0>(halves) + i32x4_extract_lane::<1>(halves)
    });
    v128_store(block as *mut v128, half[0]);
    v128_store(block.add(16) as *mut v128, half[1]);
    (block.add(SCALE) as *mut f32).write(scale);
    (block.add(SCALED_SUM) as *mut f32).write(scale * (sum[0] + sum[1]) as f32);
    (block.add(MINUS_SUM) as *mut i32).write(-(sum[0] + sum[1]));
    (block.add(MINUS_FIRST) as *mut i32).write(-sum[0]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Random;

    #[test]
    fn codes_scales_and_sums_match_their_definitions() {
        let mut random = Random(11);
        for factor in [1.0, 0.0, 1e-30, 1e-38, 1e30, 3e4] {
            let x: Vec<f32> = random.floats(96).iter().map(|x| x * factor).collect();
            let mut xq = vec![0u8; quantized_bytes(96)];
            quantize(&mut xq, &x);
            for (block, x) in xq.chunks(BLOCK).zip(x.chunks(32)) {
                let word = |at: usize| <[u8; 4]>::try_from(&block[at..at + 4]).unwrap();
                let scale = f32::from_le_bytes(word(SCALE));
                let codes: Vec<i32> = block[..32].iter().map(|&c| c as i8 as i32).collect();
                for (&code, &x) in codes.iter().zip(x) {
                    let tolerance = scale as f64 * 0.5001 + 1e-36;
                    assert!((x as f64 - scale as f64 * code as f64).abs() <= tolerance, "{x} {scale} {code}");
                }
                let sum = codes.iter().sum::<i32>();
                assert_eq!(i32::from_le_bytes(word(MINUS_SUM)), -sum);
                assert_eq!(i32::from_le_bytes(word(MINUS_FIRST)), -codes[..16].iter().sum::<i32>());
                assert_eq!(f32::from_le_bytes(word(SCALED_SUM)), scale * sum as f32);
            }
        }
    }

    #[test]
    fn nan_and_infinity_are_not_swallowed() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = [1.0; 32];
            x[17] = bad;
            let mut xq = [0u8; BLOCK];
            quantize(&mut xq, &x);
            assert!(!f32::from_le_bytes(xq[SCALE..SCALE + 4].try_into().unwrap()).is_finite());
        }
    }
}
