//! Q6_K: 256 columns; 128 bytes of low nibbles, 64 bytes of upper 2 bits, 16 signed scales, d (f16). Code minus 32.
//!
//! Half n of the columns has bytes 64n.. of the nibbles: columns l and 64 + l are the two of byte l (l < 64). Its
//! upper bits are in bytes 32n..: columns l, 32 + l, 64 + l, 96 + l are bits 0, 2, 4, 6 of byte l (l < 32).
use super::vectors::{bits, half_floats, signed_byte_as_f32, words};
use super::{f16_at, Format, Unpacked, Masks, Opened, Vectors};
use crate::simd::*;
use core::ops::Range;

pub struct Q6K;

impl Format for Q6K {
    const COLUMNS: usize = 256;
    const BYTES: usize = 210;
    const HALF_FLOATS: Range<usize> = 208..210;
    const GROUP: usize = 16;
    const RUN: usize = 4;
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
    unsafe fn open(group: *const u8, masks: &Masks) -> Opened {
        Opened::scaled(half_floats(group, 0, masks))
    }

    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn vectors(group: *const u8, opened: &Opened, run: usize, i: usize, masks: &Masks) -> Vectors {
        // Vectors: per half of the columns 16 of nibbles and then 8 of upper bits; 4 of scales.
        let low = words::<8>(group, 8 + 256 * run + 128 * (i % 2));
        let high = words::<8>(group, 8 + 512 + 128 * run);
        let codes = core::array::from_fn(|j| {
            let low = if i < 2 { bits::<0>(low[j], masks.x0f) } else { bits::<4>(low[j], masks.x0f) };
            let high = match i {
                0 => i16x8_shl(high[j], 4),
                1 => i16x8_shl(high[j], 2),
                2 => high[j],
                _ => u16x8_shr(high[j], 2),
            };
            v128_or(low, v128_and(high, masks.x30))
        });
        let [packed] = words(group, 8 + 768 + 16 * (2 * run + i / 2));
        let scale = |half: usize| f32x4_mul(opened.d, signed_byte_as_f32(packed, 2 * (i % 2) + half));
        Vectors { codes, scales: [scale(0), scale(1)], offsets: [f32x4_splat(0.0); 2] }
    }
}
