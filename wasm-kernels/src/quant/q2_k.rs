//! Q2_K: 256 columns; 16 bytes of scale (low nibble) and minimum (high nibble) per 16 columns, 64 bytes of 2-bit
//! codes, d and dmin (f16). Byte l of half n holds columns 128n + 32k + l in bits 2k.
use super::vectors::{bits, byte_as_f32, half_floats, pairs, word};
use super::{f16_at, Format, Masks, Opened, Unpacked};
use crate::simd::*;
use core::ops::Range;

pub struct Q2K;

impl Format for Q2K {
    const COLUMNS: usize = 256;
    const BYTES: usize = 84;
    const HALF_FLOATS: Range<usize> = 80..84;
    const GROUP: usize = 16;
    const RUN: usize = 128;
    const PARTS: usize = 4;
    const OFFSET: bool = true;

    fn unpack(block: &[u8], out: &mut Unpacked) {
        let (d, dmin) = (f16_at(block, 80), f16_at(block, 82));
        for column in 0..256 {
            let q = block[16 + 32 * (column / 128) + column % 32];
            out.codes[column] = (q >> (2 * (column / 32 % 4)) & 3) as i8;
        }
        for (i, &packed) in block[..16].iter().enumerate() {
            out.scales[i] = d * (packed & 15) as f32;
            out.offsets[i] = -(dmin * (packed >> 4) as f32);
        }
    }

    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn open(group: *const u8, masks: &Masks) -> Opened {
        let d = half_floats(group, 0, masks);
        Opened { dmin: half_floats(group, 1, masks), ..Opened::scaled(d) }
    }

    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn codes(group: *const u8, run: usize, step: usize, masks: &Masks) -> [v128; 4] {
        // Vectors: 4 of scales and minima, then per run 8 of codes.
        pairs(word(group, 16 + 64 + 128 * run + 16 * step), masks)
    }

    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn scale(
        group: *const u8,
        opened: &Opened,
        run: usize,
        i: usize,
        half: usize,
        masks: &Masks,
    ) -> (v128, v128) {
        let packed = word(group, 16 + 16 * (2 * run + i / 2));
        let byte = 2 * (i % 2) + half;
        let scale = byte_as_f32(bits::<0>(packed, masks.x0f), byte, masks);
        let min = byte_as_f32(bits::<4>(packed, masks.x0f), byte, masks);
        (f32x4_mul(opened.d, scale), f32x4_neg(f32x4_mul(opened.dmin, min)))
    }
}
