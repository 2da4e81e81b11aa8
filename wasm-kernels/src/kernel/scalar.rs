//! Elementary functions of single numbers: `f32::exp` and its like belong to the standard library, which would bring
//! 20 KB into the module and is left out of it.
//!
//! ```text
//! ln x        = e ln 2 + 2 artanh s          x = 2^e m, m from √½ to √2, s = (m - 1) / (m + 1)
//! sin, cos x  of x - n π/2, |.| <= π/4       n = nearest(x 2/π); π/2 in two pieces; Taylor's series
//! ```
//! In float64, with an error below 1e-11: the results are right once rounded to f32.
use super::math;
use crate::simd::*;
use core::f64::consts::{FRAC_2_PI, LN_2, SQRT_2};

/// e^x, within 2 units in the last place.
pub fn exp(x: f32) -> f32 {
    f32x4_extract_lane::<0>(math::exp(f32x4_splat(x)))
}

pub fn sqrt(x: f32) -> f32 {
    f32x4_extract_lane::<0>(f32x4_sqrt(f32x4_splat(x)))
}

/// The nearest integer, ties to even.
pub fn nearest(x: f32) -> f32 {
    f32x4_extract_lane::<0>(f32x4_nearest(f32x4_splat(x)))
}

/// ln x of a positive number; infinity and NaN stay what they are.
pub fn ln(x: f32) -> f32 {
    if !(x > 0.0 && x < f32::INFINITY) {
        return if x == 0.0 { f32::NEG_INFINITY } else { x };
    }
    // As a float64 no f32 is subnormal.
    let bits = (x as f64).to_bits();
    let (exponent, m) = ((bits >> 52) as i32 - 1023, f64::from_bits(bits << 12 >> 12 | 1023 << 52));
    let (exponent, m) = if m > SQRT_2 { (exponent + 1, m / 2.0) } else { (exponent, m) };
    let s = (m - 1.0) / (m + 1.0);
    let series = polynomial(s * s, [1.0 / 11.0, 1.0 / 9.0, 1.0 / 7.0, 1.0 / 5.0, 1.0 / 3.0, 1.0]);
    (exponent as f64 * LN_2 + 2.0 * s * series) as f32
}

/// Sine and cosine of `x`, at least 0 and below 2^20 π.
pub fn sin_cos(x: f64) -> (f64, f64) {
    /// π/2, the first 32 bits and the rest.
    const HIGH: f64 = 1.570_796_326_734_125_6;
    const LOW: f64 = 6.077_100_506_506_192e-11;
    let n = (x * FRAC_2_PI + 0.5) as u32;
    let r = x - n as f64 * HIGH - n as f64 * LOW;
    let square = r * r;
    let sin =
        r * polynomial(square, [-1.0 / 39_916_800.0, 1.0 / 362_880.0, -1.0 / 5040.0, 1.0 / 120.0, -1.0 / 6.0, 1.0]);
    let cos = polynomial(
        square,
        [1.0 / 479_001_600.0, -1.0 / 3_628_800.0, 1.0 / 40_320.0, -1.0 / 720.0, 1.0 / 24.0, -0.5, 1.0],
    );
    match n % 4 {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

fn polynomial<const N: usize>(x: f64, highest_first: [f64; N]) -> f64 {
    highest_first.into_iter().reduce(|sum, c| sum * x + c).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sine_and_cosine_match_the_library() {
        for i in 0..200_000 {
            let x = i as f64 * 16.474_123;
            let (sin, cos) = sin_cos(x);
            assert!((sin - x.sin()).abs() < 2e-11 && (cos - x.cos()).abs() < 2e-11, "{x}");
        }
    }

    #[test]
    fn logarithms_match_the_library() {
        for bits in (1..0x7f80_0000).step_by(9973) {
            let x = f32::from_bits(bits);
            let wanted = (x as f64).ln();
            assert!((ln(x) as f64 - wanted).abs() <= 6e-8 * wanted.abs(), "{x}");
        }
        assert_eq!(ln(0.0), f32::NEG_INFINITY);
        assert_eq!(ln(f32::INFINITY), f32::INFINITY);
        assert!(ln(f32::NAN).is_nan());
    }

    #[test]
    fn ties_go_to_even() {
        assert_eq!([0.5, 1.5, 2.5, -0.5, -1.5, 3.4].map(nearest), [0.0, 2.0, 2.0, 0.0, -2.0, 3.0]);
    }
}
