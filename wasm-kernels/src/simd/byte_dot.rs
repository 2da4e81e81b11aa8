//! What the byte dot product does with a second operand of 8 bits.
/// How `dot4_i8x16_u7x16_add` reads bytes of 128 and more in its second operand.
#[cfg_attr(not(target_feature = "relaxed-simd"), allow(dead_code))]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SecondOperand {
    /// As they are: `simd128` and x86 with VNNI.
    Unsigned,
    /// As negative numbers: ARM.
    Signed,
    /// In a way of no use: x86 without VNNI, where sums of two products saturate at 16 bits.
    SevenBits,
}

impl SecondOperand {
    /// Not in plain SIMD, which is the same everywhere.
    pub const MAY_BE_SEVEN_BITS: bool = cfg!(any(not(target_arch = "wasm32"), target_feature = "relaxed-simd"));

    /// Plain SIMD is the same everywhere.
    #[cfg(not(all(target_arch = "wasm32", target_feature = "relaxed-simd")))]
    pub fn probe() -> Self {
        Self::Unsigned
    }

    /// Finds out by trying. The result is the machine's, and never changes on it: the WASM specification lets relaxed
    /// instructions differ between environments, but not within one.
    #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
    pub fn probe() -> Self {
        use super::*;
        // Pairs of the largest products of either sign, which saturate where anything does.
        let x = opaque(i8x16(127, 127, 127, 127, -128, -128, -128, -128, 127, 0, -128, 0, 1, 1, 1, 1));
        let w = opaque(u8x16_splat(255));
        let sums = dot4_i8x16_u7x16_add(x, w, i32x4_splat(0));
        let is = |of: i32| !v128_any_true(v128_xor(sums, i32x4_mul(i32x4(508, -512, -1, 4), i32x4_splat(of))));
        match (is(255), is(-1)) {
            (true, _) => Self::Unsigned,
            (_, true) => Self::Signed,
            _ => Self::SevenBits,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::simd::*;

    #[test]
    fn plain_simd_takes_unsigned_bytes() {
        let sums = dot4_i8x16_u7x16_add(i8x16_splat(-128), u8x16_splat(255), i32x4_splat(1));
        assert_eq!(sums, i32x4_splat(1 - 4 * 128 * 255));
    }
}
