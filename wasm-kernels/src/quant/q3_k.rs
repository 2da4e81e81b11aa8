//! Q3_K: 256 columns; 32 bytes of third bits (bit k of byte l is column 32k + l, a clear one means minus 4), 64 bytes
//! of 2-bit codes as in Q2_K, 16 scales of 6 bits in 12 bytes, d (f16).
use super::vectors::{bits, half_floats, signed_byte_as_f32, words};
use super::{f16_at, Format, Unpacked, Masks, Vectors};
use crate::simd::*;
use core::ops::Range;

pub struct Q3K;

impl Format for Q3K {
    const COLUMNS: usize = 256;
    const BYTES: usize = 110;
    const HALF_FLOATS: Range<usize> = 108..110;
    const GROUP: usize = 16;
    const BIAS_BITS: u32 = 2;

    fn unpack(block: &[u8], out: &mut Unpacked) {
        let d = f16_at(block, 108);
        for column in 0..256 {
            let q = block[32 + 32 * (column / 128) + column % 32] >> (2 * (column / 32 % 4)) & 3;
            let third = block[column % 32] >> (column / 32) & 1;
            out.codes[column] = (q | third << 2) as i8 - 4;
        }
        let packed = &block[96..108];
        for i in 0..16 {
            let low = packed[i % 8] >> (4 * (i / 8)) & 15;
            let high = packed[8 + i % 4] >> (2 * (i / 4)) & 3;
            out.scales[i] = d * ((low | high << 4) as i8 - 32) as f32;
        }
    }

    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn vectors(group: *const u8, i: usize, masks: &Masks) -> Vectors {
        // Vectors: 8 of third bits, per half of the columns 8 of codes, 3 of scales.
        let q = words::<8>(group, 8 + 128 + 128 * (i / 4));
        let thirds = words::<8>(group, 8);
        let codes = core::array::from_fn(|j| {
            let low = match i % 4 {
                0 => bits::<0>(q[j], masks.x03),
                1 => bits::<2>(q[j], masks.x03),
                2 => bits::<4>(q[j], masks.x03),
                _ => bits::<6>(q[j], masks.x03),
            };
            let third = match i {
                0 => i16x8_shl(thirds[j], 2),
                1 => i16x8_shl(thirds[j], 1),
                2 => thirds[j],
                3 => bits::<1>(thirds[j], masks.x04),
                4 => bits::<2>(thirds[j], masks.x04),
                5 => bits::<3>(thirds[j], masks.x04),
                6 => bits::<4>(thirds[j], masks.x04),
                _ => bits::<5>(thirds[j], masks.x04),
            };
            v128_or(low, v128_and(third, masks.x04))
        });
        // Of the 16 scales, 0..4 and 4..8 have their low nibbles in the first two words, 8..16 in the high nibbles there.
        let [low, high] = [words::<1>(group, 8 + 384 + 16 * (i / 2 % 2))[0], words::<1>(group, 8 + 416)[0]];
        let low = if i < 4 { bits::<0>(low, masks.x0f) } else { bits::<4>(low, masks.x0f) };
        let high = match i / 2 {
            0 => bits::<0>(high, masks.x03),
            1 => bits::<2>(high, masks.x03),
            2 => bits::<4>(high, masks.x03),
            _ => bits::<6>(high, masks.x03),
        };
        let scales = i8x16_sub(v128_or(low, i16x8_shl(high, 4)), i8x16_splat(32));
        let d = half_floats(group, 0, masks);
        let scale = |half: usize| f32x4_mul(d, signed_byte_as_f32(scales, 2 * (i % 2) + half));
        Vectors { codes, scales: [scale(0), scale(1)], offsets: [f32x4_splat(0.0); 2] }
    }
}
