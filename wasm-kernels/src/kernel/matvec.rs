//! Groups of four interleaved rows times one row of activations: the inner loop of decoding.
//!
//! ```text
//! for each block of 32 columns:
//!     x[step] = 4 codes of x, splatted
//!     for each group:
//!         d = -bias * sum of x's codes
//!         for each step of 4 columns:  d += dot(x[step], codes of 4 rows)
//!         acc[group] += d * (scale of the 4 rows * scale of x)
//! ```
//! Every weight is read once, unpacked in registers and used once, so reading memory is the bound to reach for.
//! Several groups side by side share what is done with x, and give the memory more than one stream to fetch.
use super::quantize::{splats, Fields, BLOCK};
use crate::quant::{unrolled, Format, Masks, Opened, Vectors};
use crate::simd::*;

/// Adds to `acc` the products of `n_blocks` blocks of each group with the activations at `x`. `SPLIT` takes codes of 8
/// bits apart.
///
/// # Safety
/// `n_blocks` blocks of four rows are readable at each group, as many columns of activations at `x`.
#[cfg_attr(target_arch = "wasm32", inline(always))]
pub unsafe fn dot<F: Format, const GROUPS: usize, const SPLIT: bool>(
    acc: &mut [v128; GROUPS],
    mut groups: [*const u8; GROUPS],
    n_blocks: usize,
    mut x: *const u8,
    masks: &Masks,
) {
    for _ in 0..n_blocks {
        let opened: [Opened; GROUPS] = core::array::from_fn(|g| F::open(groups[g], masks));
        for run in 0..masks.runs::<F>() {
            unrolled!(F::RUN, i => {
                let at = x.add(i * BLOCK);
                let ([a, b, c, d], [e, f, g, h]) = (splats(at), splats(at.add(16)));
                let (codes, fields) = ([a, b, c, d, e, f, g, h], Fields::of_one(at));
                for g in 0..GROUPS {
                    let w = F::vectors(groups[g], &opened[g], run, i, masks);
                    acc[g] = add::<F, SPLIT>(acc[g], w, codes, fields, masks);
                }
            });
            x = x.add(F::RUN * BLOCK);
        }
        groups = groups.map(|group| group.add(4 * F::BYTES));
    }
}

/// `acc` plus the product of 32 columns.
#[cfg_attr(target_arch = "wasm32", inline(always))]
unsafe fn add<F: Format, const SPLIT: bool>(
    mut acc: v128,
    w: Vectors,
    x: [v128; 8],
    fields: Fields,
    masks: &Masks,
) -> v128 {
    let zero = i32x4_splat(0);
    // Sums of the two halves; with one scale for both, the bias is in the first.
    let minus_sum = match F::GROUP {
        16 => [fields.minus_first, i32x4_sub(fields.minus_sum, fields.minus_first)],
        _ => [fields.minus_sum, zero],
    };
    let mut low = match (F::BIAS_BITS, F::WIDE && !SPLIT) {
        (_, true) => [i32x4_mul(minus_sum[0], masks.wide.bias), zero],
        (0, _) => [zero; 2],
        (bits, _) => minus_sum.map(|s| i32x4_shl(s, bits)),
    };
    let mut high = [zero; 2];
    for (step, (&w, &x)) in w.codes.iter().zip(&x).enumerate() {
        let half = step / 4;
        if SPLIT {
            low[half] = dot4_i8x16_u7x16_add(x, v128_and(w, masks.x7f), low[half]);
            high[half] = dot4_i8x16_u7x16_add(x, v128_and(u16x8_shr(w, 7), masks.x01), high[half]);
        } else {
            let w = if F::WIDE { v128_xor(w, masks.wide.flip) } else { w };
            low[half] = dot4_i8x16_u7x16_add(x, w, low[half]);
        }
    }
    if F::GROUP == 32 {
        let mut d = i32x4_add(low[0], low[1]);
        if SPLIT {
            d = i32x4_sub(d, i32x4_shl(i32x4_add(high[0], high[1]), 7));
        }
        acc = f32x4_madd(f32x4_convert_i32x4(d), f32x4_mul(w.scales[0], fields.scale), acc);
        return if F::OFFSET { f32x4_madd(w.offsets[0], fields.scaled_sum, acc) } else { acc };
    }
    for half in 0..2 {
        acc = f32x4_madd(f32x4_convert_i32x4(low[half]), f32x4_mul(w.scales[half], fields.scale), acc);
        if F::OFFSET {
            let sum = f32x4_neg(f32x4_mul(f32x4_convert_i32x4(minus_sum[half]), fields.scale));
            acc = f32x4_madd(w.offsets[half], sum, acc);
        }
    }
    acc
}
