//! Powers of weights: what a temperature makes of them.
//!
//! ```text
//! x^(1 / tau) = 2^(log2 x / tau)
//! log2 x = e + r P(r)     x = 2^e (1 + r), |r| <= sqrt(2) - 1
//! 2^y    = 2^n Q(f)       n = nearest(y), |f| <= 1/2
//! ```
//! Exponents stay where floats have them, in units of 2^-23, so that neither of them is shifted to its place.
use crate::simd::*;

/// What is not more counts as nothing before it is raised to a power of at most 2: 2^-60.
const LEAST: f32 = 1.0 / (1u64 << 60) as f32;
const UNIT: f32 = 1.0 / 8_388_608.0;
/// -P for a natural logarithm, highest power first, to a relative 8e-6; this and the next are weighted minimax fits.
const MINUS_LN: [f32; 6] = [0.142_921_82, -0.220_561_22, 0.254_032_97, -0.332_580_12, 0.499_902_16, -1.000_004_5];
/// Q, to a relative 3e-6.
const EXP2: [f32; 5] = [9.570_11e-3, 5.591_79e-2, 0.240_247_45, 0.693_121_8, 0.999_999_3];

/// The power to 1 / tau, for loops: its constants have passed through memory, since V8 would build each anew at every use.
pub struct Power {
    sqrt_half: v128,
    exponents: v128,
    one: v128,
    log: [v128; 6],
    factor: v128,
    round: v128,
    least: v128,
    exp: [v128; 5],
}

impl Power {
    #[inline(always)]
    pub fn new(tau: f32) -> Self {
        let [sqrt_half, exponents] =
            opaque([core::f32::consts::FRAC_1_SQRT_2.to_bits(), 0xff80_0000]).map(|x| u32x4_splat(x));
        let log = opaque(MINUS_LN).map(|c| f32x4_splat(-core::f32::consts::LOG2_E / UNIT * c));
        let [one, factor, round, least] = opaque([1.0, UNIT / tau, 12_582_912.0, LEAST]).map(|x| f32x4_splat(x));
        Self { sqrt_half, exponents, one, log, factor, round, least, exp: opaque(EXP2).map(|x| f32x4_splat(x)) }
    }

    #[inline(always)]
    pub fn of(&self, x: v128) -> v128 {
        let exponent = v128_and(i32x4_sub(x, self.sqrt_half), self.exponents);
        let r = f32x4_sub(i32x4_sub(x, exponent), self.one);
        let log = f32x4_madd(polynomial(&self.log, r), r, f32x4_convert_i32x4(exponent));
        let y = f32x4_mul(log, self.factor);
        let rounded = f32x4_add(y, self.round);
        let f = f32x4_sub(y, f32x4_sub(rounded, self.round));
        let power = i32x4_add(polynomial(&self.exp, f), i32x4_shl(rounded, 23));
        v128_and(power, f32x4_gt(x, self.least))
    }
}

/// Coefficients of the highest power first.
#[inline(always)]
pub fn polynomial(coefficients: &[v128], x: v128) -> v128 {
    coefficients[1..].iter().fold(coefficients[0], |sum, c| f32x4_madd(sum, x, *c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_match_the_standard_ones() {
        for tau in [0.5, 1.0, 1.25, 1.7, 3.0] {
            let power = Power::new(tau);
            let of = |x: f32| f32x4_extract_lane::<0>(power.of(f32x4_splat(x))) as f64;
            for i in 1..20_000 {
                // From 2^-59 to 2^24.
                let x = (i as f32 * 2.9e-3 - 40.8).exp();
                let wanted = (x as f64).powf(1.0 / tau as f64);
                assert!((of(x) - wanted).abs() <= 2.5e-5 * wanted, "{x} at {tau}: {} {wanted}", of(x));
            }
            assert_eq!(of(1e-20), 0.0);
            assert_eq!(of(0.0), 0.0);
        }
    }
}
