//! Groups of four interleaved rows times two or four tokens: decoding of several sequences at once.
//!
//! ```text
//! for each block of 32 columns:
//!     d[group][token] = -bias * sum of the token's codes
//!     for each step, each part:
//!         x[token] = 4 codes of the token, splatted
//!         d[group][token] += dot(x[token], codes[part] of 4 rows)
//!     acc[group][token] += d[group][token] * (scales of the 4 rows * scale of the token)
//! ```
//! As `matvec`, but weights are unpacked and their scales widened once for all tokens. The sums are the same integers, and
//! floats are added in the same order, so that a token's products are the same bits alone and in company. Groups times
//! tokens are 8 running sums, as many as the registers hold. Only for formats whose blocks are 32 columns with one scale
//! and no offset; others come apart into panels, which every format shares.
use super::matvec::{splat, ABREAST};
use super::quantize::{BLOCK, MINUS_SUM, SCALE};
use crate::quant::{unrolled, Format, Masks, Opened};
use crate::simd::*;

/// Running sums: sum `group * tokens + token`.
pub const SUMS: usize = 8;
/// Most tokens at once.
const FOUR: usize = 4;

/// Adds to sums the products of `n_blocks` blocks of each group with the activations of some tokens. Those of two are
/// rows `row` bytes apart, those of four are interleaved.
pub type Dot = unsafe fn(
    sums: &mut [v128; SUMS],
    groups: &[*const u8; ABREAST],
    n_blocks: usize,
    x: *const u8,
    row: usize,
    masks: &Masks,
);

/// How a format is multiplied with several tokens.
#[derive(Clone, Copy)]
pub struct Shared {
    pub pair: Dot,
    pub four: Dot,
}

impl Shared {
    /// `None` where panels do as well: with plain SIMD the dot products are most of the work.
    pub const fn of<F: Format>() -> Option<Self> {
        let plain = cfg!(all(target_arch = "wasm32", not(target_feature = "relaxed-simd")));
        if plain || F::COLUMNS != 32 || F::OFFSET || !F::COMMON {
            return None;
        }
        Some(Self { pair: dot::<F, 4, 2>, four: dot::<F, 2, 4> })
    }
}

/// Four codes, or a field, of each token.
#[cfg_attr(target_arch = "wasm32", inline(always))]
unsafe fn splats<const TOKENS: usize>(x: *const u8, row: usize, at: usize) -> [v128; TOKENS] {
    if TOKENS != FOUR {
        return core::array::from_fn(|t| splat(x.add(t * row), at));
    }
    let v = v128_load(x.add(FOUR * at) as *const v128);
    let each = [
        i32x4_shuffle::<0, 0, 0, 0>(v, v),
        i32x4_shuffle::<1, 1, 1, 1>(v, v),
        i32x4_shuffle::<2, 2, 2, 2>(v, v),
        i32x4_shuffle::<3, 3, 3, 3>(v, v),
    ];
    core::array::from_fn(|t| each[t])
}

/// # Safety
/// `n_blocks` blocks of four rows are readable at each group, as many columns of activations at `x`.
#[inline(never)]
unsafe fn dot<F: Format, const GROUPS: usize, const TOKENS: usize>(
    sums: &mut [v128; SUMS],
    groups: &[*const u8; ABREAST],
    n_blocks: usize,
    mut x: *const u8,
    row: usize,
    masks: &Masks,
) {
    let mut groups: [*const u8; GROUPS] = core::array::from_fn(|g| groups[g]);
    let mut acc: [[v128; TOKENS]; GROUPS] = core::array::from_fn(|g| core::array::from_fn(|t| sums[g * TOKENS + t]));
    for _ in 0..n_blocks {
        let opened: [Opened; GROUPS] = core::array::from_fn(|g| F::open(groups[g], masks));
        let start = splats::<TOKENS>(x, row, MINUS_SUM).map(|minus_sum| {
            if F::WIDE {
                i32x4_mul(minus_sum, masks.wide.bias)
            } else {
                i32x4_shl(minus_sum, F::BIAS_BITS)
            }
        });
        let mut d = [start; GROUPS];
        // Unrolled, LLVM would gather the dots of one sum, and what all of them need would not fit the registers.
        for step in 0..masks.trips(4) {
            unrolled!(2, p => {
                let codes_x = splats::<TOKENS>(x, row, 16 * p + 4 * step);
                unrolled!(GROUPS, g => {
                    let code = F::codes(groups[g], 0, step, masks)[p];
                    let code = if F::WIDE { v128_xor(code, masks.wide.flip) } else { code };
                    unrolled!(TOKENS, t => d[g][t] = dot4_i8x16_u7x16_add(codes_x[t], code, d[g][t]));
                });
            });
        }
        let scale_x = splats::<TOKENS>(x, row, SCALE);
        unrolled!(GROUPS, g => {
            let (scale, _) = F::scale(groups[g], &opened[g], 0, 0, 0, masks);
            unrolled!(TOKENS, t => {
                acc[g][t] = f32x4_madd(f32x4_convert_i32x4(d[g][t]), f32x4_mul(scale, scale_x[t]), acc[g][t]);
            });
        });
        x = x.add(if TOKENS == FOUR { FOUR * BLOCK } else { BLOCK });
        groups = groups.map(|group| group.add(4 * F::BYTES));
    }
    unrolled!(GROUPS, g => unrolled!(TOKENS, t => sums[g * TOKENS + t] = acc[g][t]));
}
