//! Q4_K: 256 columns; d and dmin (f16), 8 scales and minima of 6 bits in 12 bytes, 128 bytes of nibbles: of bytes
//! 32c..32c+32 the low ones are columns 64c.., the high ones 64c + 32...
use super::vectors::{nibbles, word};
use super::{scales_6bit, Format, Masks, Opened, Unpacked};
use crate::simd::*;
use core::ops::Range;

pub struct Q4K;

impl Format for Q4K {
    const COLUMNS: usize = 256;
    const BYTES: usize = 144;
    const HALF_FLOATS: Range<usize> = 0..4;
    const GROUP: usize = 32;
    const RUN: usize = 64;
    const OFFSET: bool = true;

    fn unpack(block: &[u8], out: &mut Unpacked) {
        scales_6bit::unpack(block, out);
        for (i, &q) in block[16..].iter().enumerate() {
            let column = 64 * (i / 32) + i % 32;
            out.codes[column] = (q & 15) as i8;
            out.codes[column + 32] = (q >> 4) as i8;
        }
    }

    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn open(group: *const u8, masks: &Masks) -> Opened {
        scales_6bit::open(group, masks)
    }

    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn codes(group: *const u8, run: usize, step: usize, masks: &Masks) -> [v128; 4] {
        // Vectors: 3 of scales, then 8 of nibbles per run.
        nibbles(word(group, 16 + 48 + 128 * run + 16 * step), masks)
    }

    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn scale(_: *const u8, opened: &Opened, run: usize, i: usize, _: usize, masks: &Masks) -> (v128, v128) {
        scales_6bit::scale_and_offset(opened, run, i, masks)
    }
}
