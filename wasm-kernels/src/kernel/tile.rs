//! The inner loop of matrix products: 4 or 8 rows times 4 tokens, in registers.
//!
//! ```text
//! for each block of 32 columns (half of one, where scales belong to halves):
//!     d[group][k] = -bias * rotate(sums of the tokens' codes, k)
//!     for each step of 4 columns:
//!         x = the step's codes of 4 tokens, w[group] = the step's codes of 4 rows
//!         d[group][k] += dot(rotate(x, k), w[group])            k = 0..4
//!     acc[group][k] += d[group][k] * (scales of the rows * rotate(scales of the tokens, k))
//! ```
//! Lane r of `d[.][k]` is row r with token r - k: all 16 products of 4 rows and 4 tokens come from two loads and three
//! rotations. That matters where every load is checked against the end of memory, as in Deno. 8 running sums, 4 rotated
//! vectors and one of weights fit the 16 registers of x86. What bounds the loop are the multipliers: 64 dot products
//! and 24 floating point operations per block.
//!
//! Codes of 8 bits in two planes take two sums each, so they come one group at a time.
use super::quantize::{BLOCK, MINUS_FIRST, MINUS_SUM, SCALE, SCALED_SUM};
use crate::quant::{load, unrolled, Group, Masks};
use crate::simd::*;

/// Tokens of a tile.
pub const TOKENS: usize = 4;

/// What differs between formats in the inner loop.
pub trait Shape {
    /// Scales belong to 16 columns, not 32.
    const HALVES: bool;
    /// Values have offsets; there is no bias then.
    const OFFSET: bool;
    /// Codes have a second plane for their sign; there is no bias then.
    const SPLIT: bool;
}

/// Lane r of the k-th is lane r - k.
#[cfg_attr(target_arch = "wasm32", inline(always))]
fn rotations(v: v128) -> [v128; TOKENS] {
    [v, i32x4_shuffle::<3, 0, 1, 2>(v, v), i32x4_shuffle::<2, 3, 0, 1>(v, v), i32x4_shuffle::<1, 2, 3, 0>(v, v)]
}

/// Lane r of the k-th is lane r of vector r - k: from sums per token to sums per rotation, and back.
#[cfg_attr(target_arch = "wasm32", inline(always))]
pub fn diagonals([a, b, c, d]: [v128; TOKENS]) -> [v128; TOKENS] {
    let (ab, cd) = (i32x4_shuffle::<0, 5, 2, 7>(a, b), i32x4_shuffle::<0, 5, 2, 7>(c, d));
    let (da, bc) = (i32x4_shuffle::<0, 5, 2, 7>(d, a), i32x4_shuffle::<0, 5, 2, 7>(b, c));
    [
        i32x4_shuffle::<0, 1, 6, 7>(ab, cd),
        i32x4_shuffle::<0, 1, 6, 7>(da, bc),
        i32x4_shuffle::<4, 5, 2, 3>(ab, cd),
        i32x4_shuffle::<4, 5, 2, 3>(da, bc),
    ]
}

/// Adds to `acc[group][k]` the products of the groups' `n_blocks` blocks with the four tokens at `x`. `bias` is what is in
/// the codes too much.
///
/// # Safety
/// `n_blocks` blocks of four tokens are readable at `x`. `n_blocks` is at most the groups'.
#[cfg_attr(target_arch = "wasm32", inline(always))]
pub unsafe fn tile<S: Shape, const GROUPS: usize>(
    acc: &mut [[v128; TOKENS]; GROUPS],
    groups: [&Group; GROUPS],
    n_blocks: usize,
    mut x: *const u8,
    bias: v128,
    masks: &Masks,
) {
    // As with one token alone: of four blocks the first halves, then the second ones.
    let run = if S::HALVES { masks.trips(4) } else { n_blocks };
    for first in (0..n_blocks).step_by(run) {
        for half in 0..if S::HALVES { masks.trips(2) } else { 1 } {
            let mut x = x;
            for block in first..first + run {
                let field = |at: usize| v128_load(x.add(TOKENS * at) as *const v128);
                let scale = field(SCALE);
                let minus_sum = match (S::HALVES, half) {
                    (false, _) => field(MINUS_SUM),
                    (true, 0) => field(MINUS_FIRST),
                    (true, _) => i32x4_sub(field(MINUS_SUM), field(MINUS_FIRST)),
                };
                let zero = [i32x4_splat(0); TOKENS];
                let start = if S::OFFSET || S::SPLIT { zero } else { rotations(i32x4_mul(minus_sum, bias)) };
                let (mut low, mut high) = ([start; GROUPS], [zero; GROUPS]);
                let first = 4 * half;
                for step in first..first + if S::HALVES { masks.trips(4) } else { masks.trips(8) } {
                    let x = rotations(v128_load(x.add(16 * step) as *const v128));
                    unrolled!(GROUPS, g => {
                        let w = load(groups[g].low[block].get_unchecked(step));
                        unrolled!(TOKENS, k => low[g][k] = dot4_i8x16_u7x16_add(x[k], w, low[g][k]));
                        if S::SPLIT {
                            let w = load(groups[g].high[block].get_unchecked(step));
                            unrolled!(TOKENS, k => high[g][k] = dot4_i8x16_u7x16_add(x[k], w, high[g][k]));
                        }
                    });
                }
                let scale_x = rotations(scale);
                unrolled!(GROUPS, g => {
                    let scale_w = load(groups[g].scales[block].get_unchecked(half));
                    unrolled!(TOKENS, k => {
                        let d = if S::SPLIT { i32x4_sub(low[g][k], i32x4_shl(high[g][k], 7)) } else { low[g][k] };
                        acc[g][k] = f32x4_madd(f32x4_convert_i32x4(d), f32x4_mul(scale_w, scale_x[k]), acc[g][k]);
                    });
                });
                if S::OFFSET {
                    let sum = if S::HALVES {
                        f32x4_neg(f32x4_mul(f32x4_convert_i32x4(minus_sum), scale))
                    } else {
                        field(SCALED_SUM)
                    };
                    let sum = rotations(sum);
                    unrolled!(GROUPS, g => {
                        let offset = load(groups[g].offsets[block].get_unchecked(half));
                        unrolled!(TOKENS, k => acc[g][k] = f32x4_madd(offset, sum[k], acc[g][k]));
                    });
                }
                x = x.add(TOKENS * BLOCK);
            }
        }
        x = x.add(run * TOKENS * BLOCK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagonals_invert_themselves_and_match_rotations() {
        let v: [v128; 4] =
            core::array::from_fn(|i| i32x4(4 * i as i32, 4 * i as i32 + 1, 4 * i as i32 + 2, 4 * i as i32 + 3));
        assert_eq!(diagonals(diagonals(v)), v);
        // Token i splatted: then lane r of diagonal k is token r - k, as in the rotations of (0, 1, 2, 3).
        let tokens = [0, 1, 2, 3].map(i32x4_splat);
        assert_eq!(diagonals(tokens), rotations(i32x4(0, 1, 2, 3)));
    }
}
