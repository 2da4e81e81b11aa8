//! Groups of four interleaved rows times one row of activations: the inner loop of decoding.
//!
//! ```text
//! for each block of columns, for each pass over the groups, for each run of columns:
//!     d[group][part] = -bias * sum of x's codes
//!     for each step:
//!         x[part] = 4 codes of x, splatted
//!         d[group][part] += dot(x[part], codes[part] of 4 rows)
//!     acc[group] += d[group][part] * (scales of the 4 rows * scale of x)
//! ```
//! Every weight is read once, unpacked in registers and used once, so reading memory is the bound to reach for.
//! Several groups side by side share what is done with x, and give the memory more than one stream to fetch. Groups
//! times parts are 8 running sums, as many as the registers hold beside all else; a format of four parts takes two passes
//! for its four groups.
use super::quantize::{BLOCK, MINUS_FIRST, MINUS_SUM, SCALE, SCALED_SUM};
use crate::quant::{unrolled, Format, Masks, Opened};
use crate::simd::*;

/// Parts of any format.
const MAX_PARTS: usize = 4;
/// Groups side by side.
pub const ABREAST: usize = 4;

/// Adds to sums the products of `n_blocks` blocks of each group with the activations at `x`.
pub type Dot =
    unsafe fn(sums: &mut [v128; ABREAST], groups: &[*const u8; ABREAST], n_blocks: usize, x: *const u8, masks: &Masks);

/// The `Dot` that takes `GROUPS` groups in a pass. `SPLIT` takes codes of 8 bits apart.
///
/// # Safety
/// `n_blocks` blocks of four rows are readable at each group, as many columns of activations at `x`.
#[inline(never)]
pub unsafe fn dot<F: Format, const GROUPS: usize, const SPLIT: bool>(
    sums: &mut [v128; ABREAST],
    groups: &[*const u8; ABREAST],
    n_blocks: usize,
    mut x: *const u8,
    masks: &Masks,
) {
    let mut groups = *groups;
    for _ in 0..n_blocks {
        for pass in 0..if GROUPS == ABREAST { 1 } else { masks.trips(ABREAST / GROUPS) } {
            let first = pass * GROUPS;
            let groups: [*const u8; GROUPS] = core::array::from_fn(|g| *groups.get_unchecked(first + g));
            let mut acc: [v128; GROUPS] = core::array::from_fn(|g| *sums.get_unchecked(first + g));
            let opened: [Opened; GROUPS] = core::array::from_fn(|g| F::open(groups[g], masks));
            let mut x = x;
            for run in 0..masks.runs::<F>() {
                unrolled!(32 / F::GROUP, half => {
                    let d = steps::<F, GROUPS, SPLIT>(groups, run, half, x, masks);
                    unrolled!(F::RUN / 32, i => {
                        let x = x.add(i * BLOCK);
                        let scale_x = splat(x, SCALE);
                        unrolled!(GROUPS, g => {
                            let (scale, offset) = F::scale(groups[g], &opened[g], run, i, half, masks);
                            // The two parts of a run of 32 columns are halves of one block.
                            let d = if F::RUN == 32 { i32x4_add(d[g][0], d[g][1]) } else { d[g][i] };
                            acc[g] = f32x4_madd(f32x4_convert_i32x4(d), f32x4_mul(scale, scale_x), acc[g]);
                            if F::OFFSET {
                                let sum = match F::GROUP {
                                    16 => f32x4_mul(f32x4_convert_i32x4(minus_half(x, half)), f32x4_neg(scale_x)),
                                    _ => splat(x, SCALED_SUM),
                                };
                                acc[g] = f32x4_madd(offset, sum, acc[g]);
                            }
                        });
                    });
                });
                x = x.add(F::RUN / 32 * BLOCK);
            }
            unrolled!(GROUPS, g => *sums.get_unchecked_mut(first + g) = acc[g]);
        }
        x = x.add(F::COLUMNS / 32 * BLOCK);
        groups = groups.map(|group| group.add(4 * F::BYTES));
    }
}

/// A field or four codes of a block.
#[cfg_attr(target_arch = "wasm32", inline(always))]
pub unsafe fn splat(x: *const u8, at: usize) -> v128 {
    v128_load32_splat(x.add(at) as *const u32)
}

/// Minus the sum of the codes of one half of a block.
#[cfg_attr(target_arch = "wasm32", inline(always))]
unsafe fn minus_half(x: *const u8, half: usize) -> v128 {
    if half == 0 {
        splat(x, MINUS_FIRST)
    } else {
        i32x4_sub(splat(x, MINUS_SUM), splat(x, MINUS_FIRST))
    }
}

/// Products of the codes alone, per part: of a run, or of the `half` of its blocks where scales belong to halves.
#[cfg_attr(target_arch = "wasm32", inline(always))]
unsafe fn steps<F: Format, const GROUPS: usize, const SPLIT: bool>(
    groups: [*const u8; GROUPS],
    run: usize,
    half: usize,
    x: *const u8,
    masks: &Masks,
) -> [[v128; MAX_PARTS]; GROUPS] {
    let zero = i32x4_splat(0);
    let start = |p: usize| match (F::GROUP, F::BIAS_BITS, F::WIDE && !SPLIT) {
        (_, 0, false) => zero,
        (16, bits, _) => i32x4_shl(minus_half(x.add(codes_at::<F>(p)), half), bits),
        _ if p > 0 => zero,
        (_, bits, false) => i32x4_shl(splat(x, MINUS_SUM), bits),
        (_, _, true) => i32x4_mul(splat(x, MINUS_SUM), masks.wide.bias),
    };
    let start: [v128; MAX_PARTS] = core::array::from_fn(|p| if p < F::PARTS { start(p) } else { zero });
    let (low, high) = ([start; GROUPS], [[zero; MAX_PARTS]; GROUPS]);
    let n = if F::GROUP == 16 { 4 } else { F::RUN / F::PARTS / 4 };
    let mut sums = Sums { low, high };
    // A run of 32 columns is short enough to unroll.
    if F::RUN == 32 {
        unrolled!(n, i => sums.add::<F, SPLIT>(groups, run, n * half + i, x, masks));
    } else {
        for step in n * half..n * half + masks.trips(n) {
            sums.add::<F, SPLIT>(groups, run, step, x, masks);
        }
    }
    if SPLIT {
        for (low, high) in sums.low.iter_mut().flatten().zip(sums.high.iter().flatten()) {
            *low = i32x4_sub(*low, i32x4_shl(*high, 7));
        }
    }
    sums.low
}

/// Where part `part` of a run has its codes, from the run's first block on.
#[cfg_attr(target_arch = "wasm32", inline(always))]
fn codes_at<F: Format>(part: usize) -> usize {
    let column = part * (F::RUN / F::PARTS);
    column / 32 * BLOCK + column % 32
}

/// Products of codes, and with codes taken apart of their signs, per group and part.
struct Sums<const GROUPS: usize> {
    low: [[v128; MAX_PARTS]; GROUPS],
    high: [[v128; MAX_PARTS]; GROUPS],
}

impl<const GROUPS: usize> Sums<GROUPS> {
    /// One step.
    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn add<F: Format, const SPLIT: bool>(
        &mut self,
        groups: [*const u8; GROUPS],
        run: usize,
        step: usize,
        x: *const u8,
        masks: &Masks,
    ) {
        let Self { low, high } = self;
        let zero = i32x4_splat(0);
        let codes_x: [v128; MAX_PARTS] =
            core::array::from_fn(|p| if p < F::PARTS { splat(x, codes_at::<F>(p) + 4 * step) } else { zero });
        unrolled!(GROUPS, g => {
            let codes = F::codes(groups[g], run, step, masks);
            unrolled!(F::PARTS, p => {
                if SPLIT {
                    low[g][p] = dot4_i8x16_u7x16_add(codes_x[p], v128_and(codes[p], masks.x7f), low[g][p]);
                    let sign = v128_and(u16x8_shr(codes[p], 7), masks.x01);
                    high[g][p] = dot4_i8x16_u7x16_add(codes_x[p], sign, high[g][p]);
                } else {
                    let code = if F::WIDE { v128_xor(codes[p], masks.wide.flip) } else { codes[p] };
                    low[g][p] = dot4_i8x16_u7x16_add(codes_x[p], code, low[g][p]);
                }
            });
        });
    }
}
