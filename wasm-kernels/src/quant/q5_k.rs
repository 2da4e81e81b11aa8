//! Q5_K: as Q4_K, with 32 bytes of fifth bits before the nibbles: bit k of byte l is column 32k + l.
use super::vectors::{if_bit, nibbles, word};
use super::{scales_6bit, Format, Masks, Opened, Unpacked};
use crate::simd::*;
use core::ops::Range;

pub struct Q5K;

impl Format for Q5K {
    const COLUMNS: usize = 256;
    const BYTES: usize = 176;
    const HALF_FLOATS: Range<usize> = 0..4;
    const GROUP: usize = 32;
    const RUN: usize = 64;
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
    unsafe fn codes(group: *const u8, run: usize, step: usize, masks: &Masks) -> [v128; 4] {
        // Vectors: 3 of scales, 8 of fifth bits, then 8 of nibbles per run.
        let [low, high, ..] = nibbles(word(group, 16 + 48 + 128 + 128 * run + 16 * step), masks);
        let fifths = word(group, 16 + 48 + 16 * step);
        let low = v128_or(low, if_bit(fifths, masks.bit[2 * run], masks.x10));
        let high = v128_or(high, if_bit(fifths, masks.bit[2 * run + 1], masks.x10));
        [low, high, high, high]
    }

    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn scale(_: *const u8, opened: &Opened, run: usize, i: usize, _: usize, masks: &Masks) -> (v128, v128) {
        scales_6bit::scale_and_offset(opened, run, i, masks)
    }
}
