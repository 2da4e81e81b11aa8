//! Four interleaved rows times one row of activations: the inner loop of decoding.
//!
//! ```text
//! for each block of 32 columns:
//!     d = -bias * sum of x's codes
//!     for each step of 4 columns:  d += dot(x's 4 codes, splatted; codes of 4 rows)
//!     acc += d * (scale of the 4 rows * scale of x)
//! ```
//! Every weight is read once, unpacked in registers and used once, so reading memory is the bound to reach for; the
//! same order of sums as in `tile`, and so the same result.
use super::quantize::{BLOCK, MINUS_FIRST, MINUS_SUM, SCALE, SCALED_SUM};
use crate::quant::{unrolled, Format, Vectors};
use crate::simd::*;

/// `acc` plus the product of `n_blocks` blocks of four rows with the activations at `x`.
///
/// # Safety
/// `n_blocks` blocks of four rows are readable at `group`, as many columns of activations at `x`.
#[inline(always)]
pub unsafe fn dot4<F: Format>(mut acc: v128, mut group: *const u8, n_blocks: usize, mut x: *const u8) -> v128 {
    for _ in 0..n_blocks {
        unrolled!(F::COLUMNS / 32, i => acc = add::<F>(acc, F::vectors(group, i), x.add(i * BLOCK)));
        group = group.add(4 * F::BYTES);
        x = x.add(F::COLUMNS / 32 * BLOCK);
    }
    acc
}

/// `acc` plus the product of 32 columns.
#[inline(always)]
unsafe fn add<F: Format>(mut acc: v128, w: Vectors, x: *const u8) -> v128 {
    let splat = |at: usize| v128_load32_splat(x.add(at) as *const u32);
    let zero = i32x4_splat(0);
    // Sums of the two halves; with one scale for both, the bias is in the first.
    let minus_sum = match F::GROUP {
        16 => [splat(MINUS_FIRST), i32x4_sub(splat(MINUS_SUM), splat(MINUS_FIRST))],
        _ => [splat(MINUS_SUM), zero],
    };
    let mut low = minus_sum.map(|s| if F::BIAS_BITS == 0 { zero } else { i32x4_shl(s, F::BIAS_BITS) });
    let mut high = [zero; 2];
    for (step, &w) in w.codes.iter().enumerate() {
        let (half, x) = (step / 4, splat(4 * step));
        if F::WIDE {
            low[half] = dot4_i8x16_u7x16_add(x, v128_and(w, u8x16_splat(127)), low[half]);
            high[half] = dot4_i8x16_u7x16_add(x, v128_and(u16x8_shr(w, 7), u8x16_splat(1)), high[half]);
        } else {
            low[half] = dot4_i8x16_u7x16_add(x, w, low[half]);
        }
    }
    let scale_x = splat(SCALE);
    if F::GROUP == 32 {
        let mut d = i32x4_add(low[0], low[1]);
        if F::WIDE {
            d = i32x4_sub(d, i32x4_shl(i32x4_add(high[0], high[1]), 7));
        }
        acc = f32x4_madd(f32x4_convert_i32x4(d), f32x4_mul(w.scales[0], scale_x), acc);
        return if F::OFFSET { f32x4_madd(w.offsets[0], splat(SCALED_SUM), acc) } else { acc };
    }
    for half in 0..2 {
        acc = f32x4_madd(f32x4_convert_i32x4(low[half]), f32x4_mul(w.scales[half], scale_x), acc);
        if F::OFFSET {
            let sum = f32x4_neg(f32x4_mul(f32x4_convert_i32x4(minus_sum[half]), scale_x));
            acc = f32x4_madd(w.offsets[half], sum, acc);
        }
    }
    acc
}
