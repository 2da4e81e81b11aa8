//! Q6_K: 256 columns; 128 bytes of low nibbles, 64 bytes of upper 2 bits, 16 signed scales, d (f16). Code minus 32.
//!
//! Half n of the columns has bytes 64n.. of the nibbles: columns l and 64 + l are the two of byte l (l < 64). Its
//! upper bits are in bytes 32n..: columns l, 32 + l, 64 + l, 96 + l are bits 0, 2, 4, 6 of byte l (l < 32).
use super::vectors::{nibbles, signed_byte_as_f32, word};
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

    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn codes(group: *const u8, run: usize, step: usize, masks: &Masks) -> [v128; 4] {
        // Vectors: per run 16 of nibbles, those of the two parts in low nibbles before the others; then per run 8 of upper
        // bits; then 4 of scales.
        let at = 8 + 256 * run + 16 * step;
        let [a, c, ..] = nibbles(word(group, at), masks);
        let [b, d, ..] = nibbles(word(group, at + 128), masks);
        let upper = word(group, 8 + 512 + 128 * run + 16 * step);
        let upper = [i16x8_shl(upper, 4), i16x8_shl(upper, 2), upper, u16x8_shr(upper, 2)];
        let low = [a, b, c, d];
        core::array::from_fn(|p| v128_or(low[p], v128_and(upper[p], masks.x30)))
    }

    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn scale(group: *const u8, opened: &Opened, run: usize, i: usize, half: usize, _: &Masks) -> (v128, v128) {
        let packed = word(group, 8 + 768 + 16 * (2 * run + i / 2));
        (f32x4_mul(opened.d, signed_byte_as_f32(packed, 2 * (i % 2) + half)), opened.d)
    }
}
