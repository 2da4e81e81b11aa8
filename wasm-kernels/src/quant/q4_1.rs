//! Q4_1: 32 columns, scale d and offset m (f16), 16 bytes of nibbles as in Q4_0.
use super::vectors::{half_floats, nibbles, word};
use super::{f16_at, Format, Masks, Opened, Unpacked};
use crate::simd::*;
use core::ops::Range;

pub struct Q4_1;

impl Format for Q4_1 {
    const COLUMNS: usize = 32;
    const BYTES: usize = 20;
    const HALF_FLOATS: Range<usize> = 0..4;
    const GROUP: usize = 32;
    const OFFSET: bool = true;

    fn unpack(block: &[u8], out: &mut Unpacked) {
        for (i, &q) in block[4..20].iter().enumerate() {
            out.codes[i] = (q & 15) as i8;
            out.codes[16 + i] = (q >> 4) as i8;
        }
        out.scales[..2].fill(f16_at(block, 0));
        out.offsets[..2].fill(f16_at(block, 2));
    }

    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn open(group: *const u8, masks: &Masks) -> Opened {
        let d = half_floats(group, 0, masks);
        Opened { dmin: half_floats(group, 1, masks), ..Opened::scaled(d) }
    }

    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn codes(group: *const u8, _: usize, step: usize, masks: &Masks) -> [v128; 4] {
        nibbles(word(group, 16 + 16 * step), masks)
    }
}
