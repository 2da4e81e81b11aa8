//! Q4_0: 32 columns, scale d (f16), 16 bytes of nibbles: low ones are columns 0..16, high ones 16..32. Code minus 8.
use super::vectors::{half_floats, nibbles, words};
use super::{f16_at, Format, Unpacked, Masks, Opened, Vectors};
use core::ops::Range;

pub struct Q4_0;

impl Format for Q4_0 {
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
    unsafe fn open(group: *const u8, masks: &Masks) -> Opened {
        Opened::scaled(half_floats(group, 0, masks))
    }

    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn vectors(group: *const u8, opened: &Opened, _: usize, _: usize, masks: &Masks) -> Vectors {
        Vectors::scaled(nibbles(words(group, 8), masks), opened.d)
    }
}
