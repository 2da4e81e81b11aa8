//! Q3_K: 256 columns; 32 bytes of third bits (bit k of byte l is column 32k + l, a clear one means minus 4), 64 bytes
//! of 2-bit codes as in Q2_K, 16 scales of 6 bits in 12 bytes, d (f16).
use super::vectors::{bits, half_floats, signed_byte_as_f32, words};
use super::{f16_at, Format, Unpacked, Masks, Opened, Vectors};
use crate::simd::*;
use core::ops::Range;

pub struct Q3K;

impl Format for Q3K {
    const COLUMNS: usize = 256;
    const BYTES: usize = 110;
    const HALF_FLOATS: Range<usize> = 108..110;
    const GROUP: usize = 16;
    const RUN: usize = 4;
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
    unsafe fn open(group: *const u8, masks: &Masks) -> Opened {
        // Of the 16 scales, 0..4 and 4..8 have their low nibbles in the first two words, 8..16 in the high ones there;
        // the third word has all upper bits.
        let [first, second, upper] = words(group, 8 + 128 + 256);
        let scales = [
            (bits::<0>(first, masks.x0f), bits::<0>(upper, masks.x03)),
            (bits::<0>(second, masks.x0f), bits::<2>(upper, masks.x03)),
            (bits::<4>(first, masks.x0f), bits::<4>(upper, masks.x03)),
            (bits::<4>(second, masks.x0f), bits::<6>(upper, masks.x03)),
        ];
        let scales = scales.map(|(low, high)| i8x16_sub(v128_or(low, i16x8_shl(high, 4)), i8x16_splat(32)));
        Opened { scales, ..Opened::scaled(half_floats(group, 0, masks)) }
    }

    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn vectors(group: *const u8, opened: &Opened, run: usize, i: usize, masks: &Masks) -> Vectors {
        // Vectors: 8 of third bits, per half of the columns 8 of codes, 3 of scales.
        let q = words::<8>(group, 8 + 128 + 128 * run);
        let thirds = words::<8>(group, 8);
        let bit = masks.bit[4 * run + i];
        let codes = core::array::from_fn(|j| {
            let low = match i {
                0 => bits::<0>(q[j], masks.x03),
                1 => bits::<2>(q[j], masks.x03),
                2 => bits::<4>(q[j], masks.x03),
                _ => bits::<6>(q[j], masks.x03),
            };
            v128_or(low, v128_and(i8x16_eq(v128_and(thirds[j], bit), bit), masks.x04))
        });
        let packed = opened.scales[2 * run + i / 2];
        let scale = |half: usize| f32x4_mul(opened.d, signed_byte_as_f32(packed, 2 * (i % 2) + half));
        Vectors { codes, scales: [scale(0), scale(1)], offsets: [f32x4_splat(0.0); 2] }
    }
}
