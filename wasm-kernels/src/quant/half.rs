//! 16-bit floats.
use super::masks::HalfMasks;
use crate::simd::*;

/// IEEE half to f32, exact, subnormals, infinities and NaN included.
pub fn f16_to_f32(h: u16) -> f32 {
    let sign = (h as u32 & 0x8000) << 16;
    let magnitude = h as u32 & 0x7fff;
    let bits = match magnitude {
        0x0000..=0x03ff => (magnitude as f32 * (1.0 / 16_777_216.0)).to_bits(),
        0x0400..=0x7bff => (magnitude << 13) + (112 << 23),
        _ => (magnitude << 13) + (224 << 23),
    };
    f32::from_bits(sign | bits)
}

/// bfloat16 to f32: the upper half of its bits.
pub fn bf16_to_f32(h: u16) -> f32 {
    f32::from_bits((h as u32) << 16)
}

/// Four halves, sign-extended to 32 bits, to f32; as `f16_to_f32` for finite ones.
///
/// Shifted into place, a half has an exponent that is 112 too small, which a product with 2^112 would mend, but a
/// subnormal half would pass through a subnormal f32 there, and x86 takes some 150 cycles over each of those. Instead
/// two readings are computed and the smaller one is right: with 112 added to the exponent, which is true of normal
/// halves and too large for subnormal ones; and with 113 added and 2^-14 taken off, which is true of subnormal ones and
/// too large for normal ones.
#[cfg_attr(target_arch = "wasm32", inline(always))]
pub fn f16x4_to_f32x4_with(h: v128, masks: &HalfMasks) -> v128 {
    let normal = i32x4_add(i32x4_shl(v128_and(h, masks.magnitude), 13), masks.normal);
    let subnormal = f32x4_sub(i32x4_add(normal, masks.one_more), masks.least);
    v128_or(i32x4_min(normal, subnormal), v128_and(h, masks.sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_equals_its_definition() {
        let masks = crate::quant::Masks::new();
        for h in 0..=u16::MAX {
            let (exponent, fraction) = ((h >> 10) & 31, (h & 1023) as f64 / 1024.0);
            let sign = if h >> 15 == 1 { -1.0 } else { 1.0 };
            let wanted = match exponent {
                0 => sign * fraction * 2f64.powi(-14),
                31 if h & 1023 == 0 => sign * f64::INFINITY,
                31 => f64::NAN,
                e => sign * (1.0 + fraction) * 2f64.powi(e as i32 - 15),
            } as f32;
            let found = f16_to_f32(h);
            assert!(found.to_bits() == wanted.to_bits() || found.is_nan() && wanted.is_nan(), "{h:#x}");
            if exponent < 31 {
                let lanes = f16x4_to_f32x4_with(i32x4_splat(h as i16 as i32), &masks.half);
                assert_eq!(f32x4_extract_lane::<2>(lanes).to_bits(), wanted.to_bits(), "{h:#x}");
            }
        }
    }
}
