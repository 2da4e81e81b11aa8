//! Q5_K: as Q4_K, with 32 bytes of fifth bits before the nibbles: bit k of byte l is column 32k + l.
use super::vectors::{bits, words};
use super::{scales_6bit, Format, Unpacked, Masks, Opened, Vectors};
use crate::simd::*;
use core::ops::Range;

pub struct Q5K;

impl Format for Q5K {
    const COLUMNS: usize = 256;
    const BYTES: usize = 176;
    const HALF_FLOATS: Range<usize> = 0..4;
    const GROUP: usize = 32;
    const RUN: usize = 2;
    const OFFSET: bool = true;

    fn unpack(block: &[u8], out: &mut Unpacked) {
        scales_6bit::unpack(block, out);
        for column in 0..256 {
            let nibble = block[48 + 32 * (column / 64) + column % 32] >> (4 * (column / 32 % 2)) & 15;
            let fifth = block[16 + column % 32] >> (column / 32) & 1;
            out.codes[column] = (nibble | fifth << 4) as i8;
        }
    }

    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn open(group: *const u8, masks: &Masks) -> Opened {
        scales_6bit::open(group, masks)
    }

    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn vectors(group: *const u8, opened: &Opened, run: usize, i: usize, masks: &Masks) -> Vectors {
        // Vectors: 3 of scales, 8 of fifth bits, then 8 of nibbles per 64 columns.
        let q = words::<8>(group, 16 + 48 + 128 + 128 * run);
        let fifths = words::<8>(group, 16 + 48);
        let bit = masks.bit[2 * run + i];
        let codes = core::array::from_fn(|j| {
            let low = if i == 0 { bits::<0>(q[j], masks.x0f) } else { bits::<4>(q[j], masks.x0f) };
            v128_or(low, v128_and(i8x16_eq(v128_and(fifths[j], bit), bit), masks.x10))
        });
        let (scale, offset) = scales_6bit::scale_and_offset(opened, run, i, masks);
        Vectors { codes, scales: [scale; 2], offsets: [offset; 2] }
    }
}
