//! Q6_K: 256 columns; 128 bytes of low nibbles, 64 bytes of upper 2 bits, 16 signed scales, d (f16). Code minus 32.
//!
//! Half n of the columns has bytes 64n.. of the nibbles: columns l and 64 + l are the two of byte l (l < 64). Its
//! upper bits are in bytes 32n..: columns l, 32 + l, 64 + l, 96 + l are bits 0, 2, 4, 6 of byte l (l < 32).
//!
//! In memory the three bytes that hold four codes are settled anew: bits 0 to 5 of each are a code, bits 6 and 7 of all
//! three are the fourth. That is 11 instead of 15 operations for four vectors of codes.
use super::vectors::{bits, nibbles, signed_byte_as_f32, word};
use super::{f16_at, Format, Masks, Opened, Unpacked};
use crate::simd::*;
use core::ops::Range;

pub struct Q6K;

impl Format for Q6K {
    const COLUMNS: usize = 256;
    const BYTES: usize = 210;
    const HALF_FLOATS: Range<usize> = 208..210;
    const GROUP: usize = 16;
    const RUN: usize = 128;
    const PARTS: usize = 4;
    const BIAS_BITS: u32 = 5;

    fn unpack(block: &[u8], out: &mut Unpacked) {
        let d = f16_at(block, 208);
        for column in 0..256 {
            let (half, l) = (column / 128, column % 128);
            let low = block[64 * half + l % 64] >> (4 * (l / 64)) & 15;
            let high = block[128 + 32 * half + l % 32] >> (2 * (l / 32)) & 3;
            out.codes[column] = (low | high << 4) as i8 - 32;
        }
        for (scale, &packed) in out.scales.iter_mut().zip(&block[192..208]) {
            *scale = d * (packed as i8) as f32;
        }
    }

    unsafe fn settle(group: *mut u8, masks: &Masks) {
        for at in 0..16 {
            let at = places(at / 8, at % 8);
            let [x, y, upper] = at.map(|at| word(group, at));
            let ([a, c, ..], [b, d, ..]) = (nibbles(x, masks), nibbles(y, masks));
            let upper = [i16x8_shl(upper, 4), i16x8_shl(upper, 2), upper, u16x8_shr(upper, 2)];
            let low = [a, b, c, d];
            let [a, b, c, d]: [v128; 4] = core::array::from_fn(|p| v128_or(low[p], v128_and(upper[p], masks.x30)));
            let pairs = [
                i16x8_shl(v128_and(d, masks.x03), 6),
                i16x8_shl(v128_and(d, masks.x0c), 4),
                i16x8_shl(v128_and(d, masks.x30), 2),
            ];
            for (i, code) in [a, b, c].into_iter().enumerate() {
                v128_store(group.add(at[i]) as *mut v128, v128_or(code, pairs[i]));
            }
        }
    }

    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn codes(group: *const u8, run: usize, step: usize, masks: &Masks) -> [v128; 4] {
        let [a, b, c] = places(run, step).map(|at| word(group, at));
        let d = v128_or(v128_or(bits::<6>(a, masks.x03), bits::<4>(b, masks.x0c)), bits::<2>(c, masks.x30));
        [v128_and(a, masks.x3f), v128_and(b, masks.x3f), v128_and(c, masks.x3f), d]
    }

    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn scale(group: *const u8, opened: &Opened, run: usize, i: usize, half: usize, _: &Masks) -> (v128, v128) {
        let packed = word(group, 8 + 768 + 16 * (2 * run + i / 2));
        (f32x4_mul(opened.d, signed_byte_as_f32(packed, 2 * (i % 2) + half)), opened.d)
    }
}

/// Where the three vectors of a step are. Per run there are 16 of nibbles, those of the two parts in low nibbles before the
/// others; then per run 8 of upper bits; then 4 of scales.
#[cfg_attr(target_arch = "wasm32", inline(always))]
fn places(run: usize, step: usize) -> [usize; 3] {
    let nibbles = 8 + 256 * run + 16 * step;
    [nibbles, nibbles + 128, 8 + 512 + 128 * run + 16 * step]
}
