//! Q5_0: 32 columns, scale d (f16), the fifth bits (bit i of 32 is column i), nibbles as in Q4_0. Code minus 16.
use super::vectors::{half_floats, nibbles, words};
use super::{f16_at, Format, Unpacked, Masks, Opened, Vectors};
use crate::simd::*;
use core::ops::Range;

pub struct Q5_0;

/// Codes 0..32 of a block from its 4 bytes of fifth bits and its 16 bytes of nibbles.
pub(super) fn codes(fifth: &[u8], nibbles: &[u8], codes: &mut [i8]) {
    for (i, &q) in nibbles.iter().enumerate() {
        let bit = |column: usize| (fifth[column / 8] >> (column % 8) & 1) << 4;
        codes[i] = (q & 15 | bit(i)) as i8;
        codes[16 + i] = (q >> 4 | bit(16 + i)) as i8;
    }
}

/// The same of four interleaved rows, from byte `at` on.
///
/// A byte of the fifth bits belongs to 8 columns of one row: it is copied to the 8 bytes of their two steps, where
/// each keeps its own bit.
#[cfg_attr(target_arch = "wasm32", inline(always))]
pub(super) unsafe fn vector_codes(group: *const u8, at: usize, masks: &Masks) -> [v128; 8] {
    let [fifths] = words(group, at);
    let nibbles = nibbles(words(group, at + 16), masks);
    core::array::from_fn(|j| {
        let b = (j / 2) as u8;
        let [b0, b1, b2, b3] = [b, 4 + b, 8 + b, 12 + b];
        let copied = i8x16_swizzle(fifths, u8x16(b0, b0, b0, b0, b1, b1, b1, b1, b2, b2, b2, b2, b3, b3, b3, b3));
        let own = u32x4_splat(if j % 2 == 0 { 0x0804_0201 } else { 0x8040_2010 });
        v128_or(nibbles[j], v128_and(i8x16_eq(v128_and(copied, own), own), masks.x10))
    })
}

impl Format for Q5_0 {
    const COLUMNS: usize = 32;
    const BYTES: usize = 22;
    const HALF_FLOATS: Range<usize> = 0..2;
    const GROUP: usize = 32;
    const BIAS_BITS: u32 = 4;

    fn unpack(block: &[u8], out: &mut Unpacked) {
        codes(&block[2..6], &block[6..22], &mut out.codes);
        out.codes[..32].iter_mut().for_each(|code| *code -= 16);
        out.scales[..2].fill(f16_at(block, 0));
    }

    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn open(group: *const u8, masks: &Masks) -> Opened {
        Opened::scaled(half_floats(group, 0, masks))
    }

    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn vectors(group: *const u8, opened: &Opened, _: usize, _: usize, masks: &Masks) -> Vectors {
        Vectors::scaled(vector_codes(group, 8, masks), opened.d)
    }
}
