//! The inner loop of matrix products: 4 or 8 rows times 1, 2 or 4 tokens, in registers.
//!
//! ```text
//! for each block of 32 columns:
//!     d[group][token] = -bias * sum of the token's codes
//!     for each step of 4 columns:  d[group][token] += dot(token's 4 codes, splatted; codes of 4 rows)
//!     acc[group][token] += d * (scale of the 4 rows * scale of the token)
//! ```
//! 2 groups times 4 tokens are 8 running sums; with the two vectors of codes and the splatted activations they fit
//! the 16 registers of x86. Each load then feeds 2 or 4 dot products, so the multipliers are what bounds the loop.
//! Codes of 8 bits take two sums each, so they come one group at a time.
use super::quantize::{BLOCK, MINUS_FIRST, MINUS_SUM, SCALE, SCALED_SUM};
use crate::quant::{load, Group};
use crate::simd::*;

/// What differs between formats in the inner loop.
pub trait Shape {
    /// Scales belong to 16 columns, not 32.
    const HALVES: bool;
    /// Values have offsets; codes are as they are then, and 64 larger otherwise.
    const OFFSET: bool;
    /// Codes have a second plane for their sign.
    const WIDE: bool;
}

/// Adds to `acc[group][token]` the product of the groups' `n_blocks` blocks with rows of activations at `x`, `stride`
/// bytes apart.
///
/// # Safety
/// `x` points at readable blocks: `n_blocks` for each of the `TOKENS` rows. `n_blocks` is at most the groups'.
#[inline(always)]
pub unsafe fn tile<S: Shape, const GROUPS: usize, const TOKENS: usize>(
    acc: &mut [[v128; TOKENS]; GROUPS],
    groups: [&Group; GROUPS],
    n_blocks: usize,
    x: *const u8,
    stride: usize,
) {
    for block in 0..n_blocks {
        let x: [*const u8; TOKENS] = core::array::from_fn(|t| x.add(t * stride + block * BLOCK));
        let splat = |t: usize, at: usize| v128_load32_splat(x[t].add(at) as *const u32);
        for half in 0..if S::HALVES { 2 } else { 1 } {
            let minus_sum: [v128; TOKENS] = core::array::from_fn(|t| match (S::HALVES, half) {
                (false, _) => splat(t, MINUS_SUM),
                (true, 0) => splat(t, MINUS_FIRST),
                (true, _) => i32x4_sub(splat(t, MINUS_SUM), splat(t, MINUS_FIRST)),
            });
            let start = minus_sum.map(|s| if S::OFFSET || S::WIDE { i32x4_splat(0) } else { i32x4_shl(s, 6) });
            let mut low = [start; GROUPS];
            let mut high = [[i32x4_splat(0); TOKENS]; GROUPS];
            for step in if S::HALVES { 4 * half..4 * half + 4 } else { 0..8 } {
                let w = groups.map(|g| load(&g.low[block][step]));
                let sign = groups.map(|g| load(&g.high[block][step]));
                for t in 0..TOKENS {
                    let x = splat(t, 4 * step);
                    for g in 0..GROUPS {
                        low[g][t] = dot4_i8x16_u7x16_add(x, w[g], low[g][t]);
                        if S::WIDE {
                            high[g][t] = dot4_i8x16_u7x16_add(x, sign[g], high[g][t]);
                        }
                    }
                }
            }
            for t in 0..TOKENS {
                let scale_x = splat(t, SCALE);
                for g in 0..GROUPS {
                    let d = if S::WIDE { i32x4_sub(low[g][t], i32x4_shl(high[g][t], 7)) } else { low[g][t] };
                    let scale = f32x4_mul(load(&groups[g].scales[block][half]), scale_x);
                    acc[g][t] = f32x4_madd(f32x4_convert_i32x4(d), scale, acc[g][t]);
                    if S::OFFSET {
                        let sum = match S::HALVES {
                            false => splat(t, SCALED_SUM),
                            true => f32x4_neg(f32x4_mul(f32x4_convert_i32x4(minus_sum[t]), scale_x)),
                        };
                        acc[g][t] = f32x4_madd(load(&groups[g].offsets[block][half]), sum, acc[g][t]);
                    }
                }
            }
        }
    }
}
