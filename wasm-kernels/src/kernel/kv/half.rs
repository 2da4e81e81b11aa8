//! 16-bit floats of the cache: none is subnormal, so that widening is a shift, a mask and a product.
use crate::simd::*;

/// f32 to IEEE half, to nearest, ties to even; too large becomes infinity, smaller than the normal halves becomes 0.
pub fn f32_to_f16(x: f32) -> u16 {
    let sign = (x.to_bits() >> 16 & 0x8000) as u16;
    let magnitude = x.abs();
    if magnitude.is_nan() {
        return sign | 0x7e00;
    }
    if magnitude >= 65520.0 {
        return sign | 0x7c00;
    }
    if magnitude < 6.103_515_6e-5 {
        return sign;
    }
    let bits = magnitude.to_bits() - (112 << 23);
    sign | ((bits + 0xfff + (bits >> 13 & 1)) >> 13) as u16
}

/// Widens normal halves and zeros; infinity comes out as 65536.
///
/// ```text
/// half, moved to bits 28 ..= 13, its sign spread to 31 ..= 28    eee eem mmm..., the sign once more in front
/// masked: a float with an exponent too small by 112              times 2^112
/// ```
pub struct Widen {
    mask: v128,
    factor: v128,
}

impl Widen {
    #[inline(always)]
    pub fn new() -> Self {
        let [mask, factor] = opaque([f32::from_bits(0x8fff_e000), f32::from_bits((112 + 127) << 23)]);
        Self { mask: f32x4_splat(mask), factor: f32x4_splat(factor) }
    }

    /// Of halves in the low 16 bits of lanes, sign-extended.
    #[inline(always)]
    pub fn low(&self, halves: v128) -> v128 {
        f32x4_mul(v128_and(i32x4_shl(halves, 13), self.mask), self.factor)
    }

    /// Of halves in the high 16 bits of lanes.
    #[inline(always)]
    pub fn high(&self, halves: v128) -> v128 {
        f32x4_mul(v128_and(i32x4_shr(halves, 3), self.mask), self.factor)
    }
}

/// The upper 16 bits of the smallest bfloat16 not below `x >= 0`.
pub fn bf16_above(x: f32) -> u32 {
    if x.is_finite() {
        (x.to_bits() + 0xffff) >> 16
    } else {
        x.to_bits() >> 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::f16_to_f32;

    #[test]
    fn rounding_inverts_widening() {
        let widen = Widen::new();
        for h in (0..=u16::MAX).filter(|h| (0x400..0x7c00).contains(&(h & 0x7fff)) || h & 0x7fff == 0) {
            let wide = f16_to_f32(h);
            assert_eq!(f32_to_f16(wide), h);
            assert_eq!(widen.low(i32x4_splat(h as i16 as i32)), f32x4_splat(wide));
            assert_eq!(widen.high(i32x4_splat((h as i32) << 16 | 0x1234)), f32x4_splat(wide));
            // Half way to the next one goes to the even one, a little more goes up.
            let next = f16_to_f32((h + 1) & 0x7fff);
            if (0x400..0x7bff).contains(&h) {
                let middle = (wide + next) / 2.0;
                assert_eq!(f32_to_f16(middle), h + (h & 1));
                assert_eq!(f32_to_f16(middle.next_up()), h + 1);
                assert_eq!(f32_to_f16(middle.next_down()), h);
            }
        }
        assert!(f16_to_f32(f32_to_f16(f32::NAN)).is_nan());
        assert_eq!(f32_to_f16(1e30), 0x7c00);
        assert_eq!(f32_to_f16(-6e-5), 0x8000);
    }

    #[test]
    fn bf16_above_is_never_below() {
        for i in 0..100_000u32 {
            let x = f32::from_bits(i * 21_000);
            if x.is_finite() && x < 3e38 {
                let above = f32::from_bits(bf16_above(x) << 16);
                assert!(above >= x && above <= x * 1.0079 + 1e-37, "{x} {above}");
            }
        }
    }
}
