//! Q5_1: 32 columns, scale d and offset m (f16), fifth bits and nibbles as in Q5_0.
use super::vectors::half_floats;
use super::{f16_at, q5_0, Format, Masks, Opened, Unpacked};
use crate::simd::*;
use core::ops::Range;

pub struct Q5_1;

impl Format for Q5_1 {
    const COLUMNS: usize = 32;
    const BYTES: usize = 24;
    const HALF_FLOATS: Range<usize> = 0..4;
    const GROUP: usize = 32;
    const OFFSET: bool = true;

    fn unpack(block: &[u8], out: &mut Unpacked) {
        q5_0::codes(&block[4..8], &block[8..24], &mut out.codes);
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
        q5_0::vector_codes(group, 16, step, masks)
    }
}
