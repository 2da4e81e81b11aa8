//! Q8_0: 32 columns, scale d (f16), 32 signed bytes.
use super::vectors::word;
use super::{f16_at, Format, Masks, Unpacked};
use crate::simd::*;
use core::ops::Range;

pub struct Q8_0;

impl Format for Q8_0 {
    const COMMON: bool = true;
    const COLUMNS: usize = 32;
    const BYTES: usize = 34;
    const HALF_FLOATS: Range<usize> = 0..2;
    const WIDE: bool = true;
    const GROUP: usize = 32;

    fn unpack(block: &[u8], out: &mut Unpacked) {
        for (code, &q) in out.codes.iter_mut().zip(&block[2..34]) {
            *code = q as i8;
        }
        out.scales[..2].fill(f16_at(block, 0));
    }

    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn codes(group: *const u8, _: usize, step: usize, _: &Masks) -> [v128; 4] {
        let (first, second) = (word(group, 8 + 16 * step), word(group, 8 + 64 + 16 * step));
        [first, second, second, second]
    }
}
