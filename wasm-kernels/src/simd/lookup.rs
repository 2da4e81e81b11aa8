//! Sixteen look-ups in a table of sixteen bytes.
use super::*;

/// Lane i is byte `index[i]` of `table`; indices are below 16.
#[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
#[inline(always)]
pub fn i8x16_lookup(table: v128, index: v128) -> v128 {
    i8x16_relaxed_swizzle(table, index)
}

/// Lane i is byte `index[i]` of `table`; indices are below 16.
#[cfg(not(all(target_arch = "wasm32", target_feature = "relaxed-simd")))]
#[inline(always)]
pub fn i8x16_lookup(table: v128, index: v128) -> v128 {
    i8x16_swizzle(table, index)
}
