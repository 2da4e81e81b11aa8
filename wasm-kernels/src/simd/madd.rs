//! Sums of floats.
use super::*;

/// `a * b + c` per lane: fused or not as the machine likes.
#[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
#[inline(always)]
pub fn f32x4_madd(a: v128, b: v128, c: v128) -> v128 {
    f32x4_relaxed_madd(a, b, c)
}

/// `a * b + c` per lane, rounded twice: the same bits on every machine.
#[cfg(not(all(target_arch = "wasm32", target_feature = "relaxed-simd")))]
#[inline(always)]
pub fn f32x4_madd(a: v128, b: v128, c: v128) -> v128 {
    f32x4_add(f32x4_mul(a, b), c)
}

/// `(a[0] + a[2]) + (a[1] + a[3])`.
#[inline(always)]
pub fn f32x4_sum(a: v128) -> f32 {
    let halves = f32x4_add(a, i64x2_shuffle::<1, 0>(a, a));
    f32x4_extract_lane::<0>(halves) + f32x4_extract_lane::<1>(halves)
}
