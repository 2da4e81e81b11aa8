//! What formats need to turn four interleaved blocks into vectors.
use super::{f16x4_to_f32x4_with, Masks};
use crate::simd::*;

/// What the vectors of four blocks have in common.
pub struct Opened {
    /// The scales of whole blocks, one per row.
    pub d: v128,
    /// The scales of their offsets, or their offsets.
    pub dmin: v128,
    /// Packed scales of parts of blocks, as the format likes them.
    pub scales: [v128; 4],
}

impl Opened {
    /// Only scales of whole blocks.
    #[cfg_attr(target_arch = "wasm32", inline(always))]
    pub fn scaled(d: v128) -> Self {
        Self { d, dmin: d, scales: [d; 4] }
    }
}

/// The `i`-th half float of four rows.
#[cfg_attr(target_arch = "wasm32", inline(always))]
pub unsafe fn half_floats(group: *const u8, i: usize, masks: &Masks) -> v128 {
    f16x4_to_f32x4_with(i32x4_load_extend_i16x4(group.add(8 * i) as *const i16), &masks.half)
}

/// The vector at byte `at`: one word of each row.
#[cfg_attr(target_arch = "wasm32", inline(always))]
pub unsafe fn word(group: *const u8, at: usize) -> v128 {
    v128_load(group.add(at) as *const v128)
}

/// Bits `SHIFT..` of every byte, masked. Shifting lanes of 16 bits is one instruction on x86, of 8 bits it is several.
#[cfg_attr(target_arch = "wasm32", inline(always))]
pub fn bits<const SHIFT: u32>(a: v128, mask: v128) -> v128 {
    v128_and(if SHIFT == 0 { a } else { u16x8_shr(a, SHIFT) }, mask)
}

/// The two parts of a vector of nibbles.
#[cfg_attr(target_arch = "wasm32", inline(always))]
pub fn nibbles(q: v128, masks: &Masks) -> [v128; 4] {
    let (low, high) = (bits::<0>(q, masks.x0f), bits::<4>(q, masks.x0f));
    [low, high, high, high]
}

/// The four parts of a vector of 2-bit codes.
#[cfg_attr(target_arch = "wasm32", inline(always))]
pub fn pairs(q: v128, masks: &Masks) -> [v128; 4] {
    [bits::<0>(q, masks.x03), bits::<2>(q, masks.x03), bits::<4>(q, masks.x03), bits::<6>(q, masks.x03)]
}

/// `value` in every byte of `a` that has `bit`.
#[cfg_attr(target_arch = "wasm32", inline(always))]
pub fn if_bit(a: v128, bit: v128, value: v128) -> v128 {
    v128_and(i8x16_eq(v128_and(a, bit), bit), value)
}

/// Byte `i` (of 4) of every lane as a float.
#[cfg_attr(target_arch = "wasm32", inline(always))]
pub fn byte_as_f32(lanes: v128, i: usize, masks: &Masks) -> v128 {
    f32x4_convert_i32x4(match i {
        0 => v128_and(lanes, masks.byte),
        1 => v128_and(u32x4_shr(lanes, 8), masks.byte),
        2 => v128_and(u32x4_shr(lanes, 16), masks.byte),
        _ => u32x4_shr(lanes, 24),
    })
}

/// Signed byte `i` (of 4) of every lane as a float.
#[cfg_attr(target_arch = "wasm32", inline(always))]
pub fn signed_byte_as_f32(lanes: v128, i: usize) -> v128 {
    f32x4_convert_i32x4(match i {
        0 => i32x4_shr(i32x4_shl(lanes, 24), 24),
        1 => i32x4_shr(i32x4_shl(lanes, 16), 24),
        2 => i32x4_shr(i32x4_shl(lanes, 8), 24),
        _ => i32x4_shr(lanes, 24),
    })
}
