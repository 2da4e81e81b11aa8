//! 32 columns of four interleaved rows as vectors, and what the formats need to get there.
use super::{f16x4_to_f32x4_with, Masks};
use crate::simd::*;

/// 32 columns of four rows.
#[derive(Clone, Copy)]
pub struct Vectors {
    /// Step j of 4 columns: row r has columns 4j.. in bytes 4r... 7 bits without a sign, `BIAS` more than the code;
    /// signed bytes in wide formats.
    pub codes: [v128; 8],
    /// One f32 per row, for either half of 16 columns; where scales belong to 32 columns only the first counts.
    pub scales: [v128; 2],
    /// The same for offsets, where a format has any.
    pub offsets: [v128; 2],
}

/// What the vectors of four blocks have in common.
pub struct Opened {
    /// The scales of whole blocks, one per row.
    pub d: v128,
    /// The scales of their offsets.
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

impl Vectors {
    /// One scale, no offset.
    #[cfg_attr(target_arch = "wasm32", inline(always))]
    pub fn scaled(codes: [v128; 8], scale: v128) -> Self {
        Self { codes, scales: [scale; 2], offsets: [f32x4_splat(0.0); 2] }
    }
}

/// The `i`-th half float of four rows.
#[cfg_attr(target_arch = "wasm32", inline(always))]
pub unsafe fn half_floats(group: *const u8, i: usize, masks: &Masks) -> v128 {
    f16x4_to_f32x4_with(i32x4_load_extend_i16x4(group.add(8 * i) as *const i16), &masks.half)
}

/// `N` vectors from byte `at` on.
#[cfg_attr(target_arch = "wasm32", inline(always))]
pub unsafe fn words<const N: usize>(group: *const u8, at: usize) -> [v128; N] {
    core::array::from_fn(|i| v128_load(group.add(at + 16 * i) as *const v128))
}

/// Bits `SHIFT..` of every byte, masked. Shifting lanes of 16 bits is one instruction on x86, of 8 bits it is several.
#[cfg_attr(target_arch = "wasm32", inline(always))]
pub fn bits<const SHIFT: u32>(a: v128, mask: v128) -> v128 {
    v128_and(if SHIFT == 0 { a } else { u16x8_shr(a, SHIFT) }, mask)
}

/// Codes 0..32 from 16 bytes of nibbles: low ones are columns 0..16, high ones 16..32.
#[cfg_attr(target_arch = "wasm32", inline(always))]
pub fn nibbles(q: [v128; 4], masks: &Masks) -> [v128; 8] {
    core::array::from_fn(|i| if i < 4 { bits::<0>(q[i], masks.x0f) } else { bits::<4>(q[i - 4], masks.x0f) })
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
