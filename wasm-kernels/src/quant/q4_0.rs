//! Q4_0: 32 columns, scale d (f16), 16 bytes of nibbles: low ones are columns 0..16, high ones 16..32. Code minus 8.
use super::vectors::{nibbles, word};
use super::{f16_at, Format, Masks, Unpacked};
use crate::simd::*;
use core::ops::Range;

pub struct Q4_0;

impl Format for Q4_0 {
    const COMMON: bool = true;
    const COLUMNS: usize = 32;
    const BYTES: usize = 18;
    const HALF_FLOATS: Range<usize> = 0..2;
    const GROUP: usize = 32;
    const BIAS_BITS: u32 = 3;

    fn unpack(block: &[u8], out: &mut Unpacked) {
        for (i, &q) in block[2..18].iter().enumerate() {
            out.codes[i] = (q & 15) as i8 - 8;
            out.codes[16 + i] = (q >> 4) as i8 - 8;
        }
        out.scales[..2].fill(f16_at(block, 0));
    }

    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn codes(group: *const u8, _: usize, step: usize, masks: &Masks) -> [v128; 4] {
        nibbles(word(group, 8 + 16 * step), masks)
    }
}
