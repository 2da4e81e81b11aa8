//! Q3_K: 256 columns; 32 bytes of third bits (bit k of byte l is column 32k + l, a clear one means minus 4), 64 bytes
//! of 2-bit codes as in Q2_K, 16 scales of 6 bits in 12 bytes, d (f16).
use super::vectors::{bits, half_floats, if_bit, pairs, signed_byte_as_f32, word};
use super::{f16_at, Format, Masks, Opened, Unpacked};
use crate::simd::*;
use core::ops::Range;

pub struct Q3K;

impl Format for Q3K {
    const COLUMNS: usize = 256;
    const BYTES: usize = 110;
    const HALF_FLOATS: Range<usize> = 108..110;
    const GROUP: usize = 16;
    const RUN: usize = 128;
    const PARTS: usize = 4;
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
        let at = 8 + 128 + 256;
        let (first, second, upper) = (word(group, at), word(group, at + 16), word(group, at + 32));
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
    unsafe fn codes(group: *const u8, run: usize, step: usize, masks: &Masks) -> [v128; 4] {
        // Vectors: 8 of third bits, per run 8 of codes, 3 of scales.
        let low = pairs(word(group, 8 + 128 + 128 * run + 16 * step), masks);
        let thirds = word(group, 8 + 16 * step);
        core::array::from_fn(|p| v128_or(low[p], if_bit(thirds, masks.bit[4 * run + p], masks.x04)))
    }

    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn scale(_: *const u8, opened: &Opened, run: usize, i: usize, half: usize, _: &Masks) -> (v128, v128) {
        let scale = signed_byte_as_f32(opened.scales[2 * run + i / 2], 2 * (i % 2) + half);
        (f32x4_mul(opened.d, scale), opened.d)
    }
}
