//! Q5_0: 32 columns, scale d (f16), the fifth bits (bit i of 32 is column i), nibbles as in Q4_0. Code minus 16.
use super::vectors::{if_bit, nibbles, word};
use super::{f16_at, Format, Masks, Unpacked};
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

/// A step of four interleaved rows, whose fifth bits are at byte `at`, and the nibbles behind.
///
/// A byte of the fifth bits belongs to 8 columns of one row, two steps: it is copied to the 4 bytes of either step,
/// each of which keeps its own bit.
#[cfg_attr(target_arch = "wasm32", inline(always))]
pub(super) unsafe fn vector_codes(group: *const u8, at: usize, step: usize, masks: &Masks) -> [v128; 4] {
    let fifths = word(group, at);
    let [low, high, ..] = nibbles(word(group, at + 16 + 16 * step), masks);
    let own = masks.bits_of_step[step % 2];
    let first = i8x16_add(masks.first_of_row, i8x16_splat((step / 2) as i8));
    let fifth = |index: v128| if_bit(i8x16_lookup(fifths, index), own, masks.x10);
    let high = v128_or(high, fifth(i8x16_add(first, masks.x02)));
    [v128_or(low, fifth(first)), high, high, high]
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
    unsafe fn codes(group: *const u8, _: usize, step: usize, masks: &Masks) -> [v128; 4] {
        vector_codes(group, 8, step, masks)
    }
}
