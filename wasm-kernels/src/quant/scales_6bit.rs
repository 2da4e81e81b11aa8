//! The 12 bytes in which Q4_K and Q5_K keep 8 scales and 8 minima of 6 bits.
use super::vectors::{bits, byte_as_f32, half_floats, word};
use super::{f16_at, Masks, Opened, Unpacked};
use crate::simd::*;

/// (scale, minimum) of sub-block `i` of 8.
///
/// The first four have the low 6 bits of a byte each; the other four a nibble in bytes 8..12, and their upper two
/// bits on top of the first four.
pub fn scale_and_min(packed: &[u8], i: usize) -> (u8, u8) {
    if i < 4 {
        return (packed[i] & 63, packed[4 + i] & 63);
    }
    let nibbles = packed[4 + i];
    (nibbles & 15 | packed[i - 4] >> 6 << 4, nibbles >> 4 | packed[i] >> 6 << 4)
}

/// Scales and offsets of a block that starts with d, dmin (f16) and the 12 bytes.
pub fn unpack(block: &[u8], out: &mut Unpacked) {
    let (d, dmin) = (f16_at(block, 0), f16_at(block, 2));
    for i in 0..8 {
        let (scale, min) = scale_and_min(&block[4..16], i);
        out.scales[2 * i..2 * i + 2].fill(d * scale as f32);
        out.offsets[2 * i..2 * i + 2].fill(-(dmin * min as f32));
    }
}

/// Of four interleaved blocks: d, dmin, and for sub-blocks 2r and 2r + 1 a vector of bytes (scale, scale, minimum,
/// minimum) per row.
#[cfg_attr(target_arch = "wasm32", inline(always))]
pub unsafe fn open(group: *const u8, masks: &Masks) -> Opened {
    // Byte s of a lane is about sub-blocks s and 4 + s.
    let (scales, mins, nibbles) = (word(group, 16), word(group, 32), word(group, 48));
    let first = (bits::<0>(scales, masks.x3f), bits::<0>(mins, masks.x3f));
    let second = (
        v128_or(bits::<0>(nibbles, masks.x0f), bits::<2>(scales, masks.x30)),
        v128_or(bits::<4>(nibbles, masks.x0f), bits::<2>(mins, masks.x30)),
    );
    let low = |(scales, mins)| v128_or(u32x4_shr(i32x4_shl(scales, 16), 16), i32x4_shl(mins, 16));
    let high = |(scales, mins)| v128_or(u32x4_shr(scales, 16), i32x4_shl(u32x4_shr(mins, 16), 16));
    Opened {
        d: half_floats(group, 0, masks),
        dmin: half_floats(group, 1, masks),
        scales: [low(first), high(first), low(second), high(second)],
    }
}

/// Scale and offset of sub-block `2 * run + i`.
#[cfg_attr(target_arch = "wasm32", inline(always))]
pub fn scale_and_offset(opened: &Opened, run: usize, i: usize, masks: &Masks) -> (v128, v128) {
    let packed = opened.scales[run];
    let scale = f32x4_mul(opened.d, byte_as_f32(packed, i, masks));
    (scale, f32x4_neg(f32x4_mul(opened.dmin, byte_as_f32(packed, 2 + i, masks))))
}
