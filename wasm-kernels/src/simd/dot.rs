//! The dot product of bytes: four columns of four rows per instruction.
use super::*;

/// Lane r of the result: `acc[r] + sum over j in 0..4 of x[4r + j] * w[4r + j]`, `x` signed, `w` in 0..=127. Exact.
///
/// `x` in -128..=127 and `w` in 0..=127 is what relaxed SIMD defines alike on every machine: x86 multiplies
/// unsigned by signed bytes (`vpdpbusd`, or `pmaddubsw`, whose 16-bit sums 2 * 127 * 128 just fit), ARM signed by
/// signed (`sdot`).
#[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
#[inline(always)]
pub fn dot4_i8x16_u7x16_add(x: v128, w: v128, acc: v128) -> v128 {
    i32x4_relaxed_dot_i8x16_i7x16_add(x, w, acc)
}

/// Lane r of the result: `acc[r] + sum over j in 0..4 of x[4r + j] * w[4r + j]`, `x` signed, `w` in 0..=127. Exact.
///
/// Even and odd bytes are widened to 16 bits in place, without a shuffle; each `dot` adds neighbours, so two of them
/// cover the four products of a lane. In a loop the widening of the operand that stays is hoisted.
#[cfg(not(all(target_arch = "wasm32", target_feature = "relaxed-simd")))]
#[inline(always)]
pub fn dot4_i8x16_u7x16_add(x: v128, w: v128, acc: v128) -> v128 {
    let even = i32x4_dot_i16x8(i16x8_shr(i16x8_shl(x, 8), 8), v128_and(w, i16x8_splat(0xff)));
    let odd = i32x4_dot_i16x8(i16x8_shr(x, 8), u16x8_shr(w, 8));
    i32x4_add(acc, i32x4_add(even, odd))
}
