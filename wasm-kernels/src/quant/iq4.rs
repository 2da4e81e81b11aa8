//! IQ4_NL and IQ4_XS: 4-bit indices into sixteen unevenly spaced codes.
use super::vectors::{nibbles, word};
use super::{f16_at, Format, Masks, Opened, Unpacked};
use crate::simd::*;
use core::ops::Range;

pub(super) const CODES: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// 32 codes from 16 bytes: low nibbles first, then high ones.
fn codes(indices: &[u8], codes: &mut [i8]) {
    for (i, &q) in indices.iter().enumerate() {
        codes[i] = CODES[(q & 15) as usize];
        codes[16 + i] = CODES[(q >> 4) as usize];
    }
}

/// A step of four interleaved rows, whose indices are at byte `at`.
#[cfg_attr(target_arch = "wasm32", inline(always))]
unsafe fn vector_codes(group: *const u8, at: usize, step: usize, masks: &Masks) -> [v128; 4] {
    nibbles(word(group, at + 16 * step), masks).map(|index| i8x16_lookup(masks.iq4_codes, index))
}

/// IQ4_NL: 32 columns, d (f16), 16 bytes of indices.
pub struct Iq4Nl;

impl Format for Iq4Nl {
    const COLUMNS: usize = 32;
    const BYTES: usize = 18;
    const HALF_FLOATS: Range<usize> = 0..2;
    const WIDE: bool = true;
    const GROUP: usize = 32;

    fn unpack(block: &[u8], out: &mut Unpacked) {
        codes(&block[2..18], &mut out.codes);
        out.scales[..2].fill(f16_at(block, 0));
    }

    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn codes(group: *const u8, _: usize, step: usize, masks: &Masks) -> [v128; 4] {
        vector_codes(group, 8, step, masks)
    }
}

/// IQ4_XS: 256 columns; d (f16), the upper 2 bits of 8 scales (16 bits), their low nibbles (4 bytes), then 16 bytes of
/// indices per 32 columns. Scale minus 32.
pub struct Iq4Xs;

impl Format for Iq4Xs {
    const COLUMNS: usize = 256;
    const BYTES: usize = 136;
    /// The scale, and two bytes that are none but have to go somewhere.
    const HALF_FLOATS: Range<usize> = 0..4;
    const WIDE: bool = true;
    const GROUP: usize = 32;

    fn unpack(block: &[u8], out: &mut Unpacked) {
        let d = f16_at(block, 0);
        for i in 0..8 {
            codes(&block[8 + 16 * i..][..16], &mut out.codes[32 * i..]);
            let low = block[4 + i / 2] >> (4 * (i % 2)) & 15;
            let high = block[2 + i / 4] >> (2 * (i % 4)) & 3;
            out.scales[2 * i..2 * i + 2].fill(d * ((low | high << 4) as i8 - 32) as f32);
        }
    }

    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn codes(group: *const u8, run: usize, step: usize, masks: &Masks) -> [v128; 4] {
        // One vector of low nibbles of scales, then 4 of indices per run.
        vector_codes(group, 32 + 64 * run, step, masks)
    }

    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn scale(group: *const u8, opened: &Opened, run: usize, _: usize, _: usize, masks: &Masks) -> (v128, v128) {
        let low = v128_and(u32x4_shr(word(group, 16), 4 * run as u32), v128_and(masks.byte, masks.x0f));
        let high = u32x4_shr(i32x4_load_extend_u16x4(group.add(8) as *const u16), 2 * run as u32);
        let high = i32x4_shl(v128_and(high, v128_and(masks.byte, masks.x03)), 4);
        let scale = f32x4_convert_i32x4(i32x4_sub(v128_or(low, high), i32x4_splat(32)));
        (f32x4_mul(opened.d, scale), opened.d)
    }
}
