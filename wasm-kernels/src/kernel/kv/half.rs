//! Rounding to 16-bit floats.

/// f32 to IEEE half, to nearest, ties to even; too large becomes infinity.
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
        // Below the normal halves their spacing is constant: 2^-24.
        return sign | (magnitude * 16_777_216.0).round_ties_even() as u16;
    }
    let bits = magnitude.to_bits() - (112 << 23);
    sign | ((bits + 0xfff + (bits >> 13 & 1)) >> 13) as u16
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
        for h in 0..=u16::MAX {
            let wide = f16_to_f32(h);
            if !wide.is_nan() {
                assert_eq!(f32_to_f16(wide), h);
                // Half way to the next one goes to the even one, a little more goes up.
                let next = f16_to_f32((h + 1) & 0x7fff);
                if h < 0x8000 && next.is_finite() && wide.is_finite() {
                    let middle = (wide + next) / 2.0;
                    assert_eq!(f32_to_f16(middle), h + (h & 1));
                    assert_eq!(f32_to_f16(middle.next_up()), h + 1);
                    assert_eq!(f32_to_f16(middle.next_down()), h);
                }
            }
        }
        assert!(f16_to_f32(f32_to_f16(f32::NAN)).is_nan());
        assert_eq!(f32_to_f16(1e30), 0x7c00);
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
