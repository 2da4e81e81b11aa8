//! Elementary functions on four floats at once, by polynomial; NaN in, NaN out.
//!
//! ```text
//! exp(x)  = 2^n * e^r        n = nearest(x / ln 2), |r| <= ln 2 / 2, e^r = 1 + r + r² P(r)
//! tanh(x) = x + x³ P(x²)     for |x| < 0.625, else sign(x) (1 - 2 / (e^{2|x|} + 1))
//! erfc(z) = 1 - z P(z²)      for z < 0.95, else e^{-Q(z)}
//! ```
//! - Rounding to an integer is one addition: `x + 1.5 * 2^23` leaves the integer in the low bits of the mantissa, where
//!   a shift makes it an exponent.
//! - ln 2 is subtracted in two pieces, the first short enough for `n * ln 2` to be exact.
//! - The coefficients are weighted minimax fits (Lawson's iteration in float64), rounded to f32; `exp` and `tanh` stay
//!   within 2 ulp, `gelu_erf`'s distribution function within 3e-7.
use crate::simd::*;
use core::f32::consts::{FRAC_2_SQRT_PI, LOG2_E};

const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;
const ROUND: f32 = 12_582_912.0;
/// P, highest power first.
const EXP_COEFFICIENTS: [f32; 5] = [1.395_049_2e-3, 8.368_89e-3, 4.166_620_6e-2, 0.166_665_18, 0.5];

#[inline(always)]
fn polynomial<const N: usize>(x: v128, highest_first: [f32; N]) -> v128 {
    let mut sum = f32x4_splat(highest_first[0]);
    for c in &highest_first[1..] {
        sum = f32x4_madd(sum, x, f32x4_splat(*c));
    }
    sum
}

/// e^r of the reduced argument, and `n + ROUND`, whose low bits are the integer `n`.
#[inline(always)]
fn reduced_exp(x: v128) -> (v128, v128) {
    let rounded = f32x4_madd(x, f32x4_splat(LOG2_E), f32x4_splat(ROUND));
    let n = f32x4_sub(rounded, f32x4_splat(ROUND));
    let r = f32x4_madd(n, f32x4_splat(-LN2_HIGH), x);
    let r = f32x4_madd(n, f32x4_splat(-LN2_LOW), r);
    let p = polynomial(r, EXP_COEFFICIENTS);
    let one_plus_r = f32x4_add(f32x4_splat(1.0), r);
    (f32x4_madd(f32x4_mul(r, r), p, one_plus_r), rounded)
}

/// e^x, from 0 to infinity.
#[inline(always)]
pub fn exp(x: v128) -> v128 {
    let x = f32x4_pmin(f32x4_pmax(x, f32x4_splat(-105.0)), f32x4_splat(89.0));
    let (p, rounded) = reduced_exp(x);
    // Two factors, since 2^n alone may lie beyond what an exponent holds.
    let n = i32x4_sub(rounded, i32x4_splat(ROUND.to_bits() as i32));
    let half = i32x4_shr(n, 1);
    let power = |n| i32x4_shl(i32x4_add(n, i32x4_splat(127)), 23);
    f32x4_mul(f32x4_mul(p, power(half)), power(i32x4_sub(n, half)))
}

/// e^x for x <= 0, as softmax needs it; 0 below -87, where the exact result is no normal float.
#[inline(always)]
pub fn exp_nonpositive(x: v128) -> v128 {
    let (p, rounded) = reduced_exp(x);
    v128_andnot(i32x4_add(p, i32x4_shl(rounded, 23)), f32x4_lt(x, f32x4_splat(-87.0)))
}

/// `exp_nonpositive` for loops. V8 builds a constant vector anew at every use, by three instructions; these have passed
/// through memory, so that it takes them for variables and keeps them.
pub struct Exp {
    log2_e: v128,
    round: v128,
    ln2_high: v128,
    ln2_low: v128,
    one: v128,
    lowest: v128,
    coefficients: [v128; 5],
}

impl Exp {
    #[inline(always)]
    pub fn new() -> Self {
        let [log2_e, round, ln2_high, ln2_low, one, lowest] =
            opaque([LOG2_E, ROUND, -LN2_HIGH, -LN2_LOW, 1.0, -87.0]).map(|x| f32x4_splat(x));
        let coefficients = opaque(EXP_COEFFICIENTS).map(|x| f32x4_splat(x));
        Self { log2_e, round, ln2_high, ln2_low, one, lowest, coefficients }
    }

    /// e^x for x <= 0, several vectors in step.
    #[inline(always)]
    pub fn nonpositive<const N: usize>(&self, x: [v128; N]) -> [v128; N] {
        let rounded = x.map(|x| f32x4_madd(x, self.log2_e, self.round));
        let r: [v128; N] = core::array::from_fn(|i| {
            let n = f32x4_sub(rounded[i], self.round);
            f32x4_madd(n, self.ln2_low, f32x4_madd(n, self.ln2_high, x[i]))
        });
        let [c0, c1, c2, c3, c4] = self.coefficients;
        core::array::from_fn(|i| {
            let r = r[i];
            let p = f32x4_madd(f32x4_madd(f32x4_madd(f32x4_madd(c0, r, c1), r, c2), r, c3), r, c4);
            let p = f32x4_madd(f32x4_mul(r, r), p, f32x4_add(self.one, r));
            v128_andnot(i32x4_add(p, i32x4_shl(rounded[i], 23)), f32x4_lt(x[i], self.lowest))
        })
    }
}

#[inline(always)]
pub fn tanh(x: v128) -> v128 {
    let sign = v128_and(x, i32x4_splat(i32::MIN));
    let size = f32x4_abs(x);
    let squared = f32x4_mul(x, x);
    let p = polynomial(squared, [-5.717_045e-3, 2.065_058_8e-2, -5.374_349_7e-2, 0.133_314_91, -0.333_332_84]);
    let near = f32x4_madd(f32x4_mul(squared, size), p, size);
    let e = exp(f32x4_add(size, size));
    let one = f32x4_splat(1.0);
    let far = f32x4_sub(one, f32x4_div(f32x4_splat(2.0), f32x4_add(e, one)));
    v128_or(sign, v128_bitselect(near, far, f32x4_lt(size, f32x4_splat(0.625))))
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub fn sigmoid(x: v128) -> v128 {
    let one = f32x4_splat(1.0);
    f32x4_div(one, f32x4_add(one, exp(f32x4_neg(x))))
}

/// Distribution function of the normal distribution, (1 + erf(x / √2)) / 2; small values keep their precision.
#[inline(always)]
pub fn normal_cdf(x: v128) -> v128 {
    let z = f32x4_mul(f32x4_abs(x), f32x4_splat(core::f32::consts::FRAC_1_SQRT_2));
    let half = f32x4_splat(0.5);
    let p = polynomial(
        f32x4_mul(z, z),
        [7.889_123e-5, -8.020_842e-4, 5.189_535_7e-3, -2.685_444_4e-2, 0.112_836, -0.376_126_26, FRAC_2_SQRT_PI],
    );
    let near = f32x4_mul(half, f32x4_sub(f32x4_splat(1.0), f32x4_mul(z, p)));
    let q = polynomial(
        f32x4_pmin(z, f32x4_splat(16.0)),
        [
            2.149_604_2e-5,
            -4.391_056e-4,
            4.193_607_3e-3,
            -2.517_895_8e-2,
            0.108_372_46,
            0.633_262_63,
            1.129_556_8,
            -1.834_43e-4,
        ],
    );
    let far = f32x4_mul(half, exp_nonpositive(f32x4_neg(q)));
    let tail = v128_bitselect(near, far, f32x4_lt(z, f32x4_splat(0.95)));
    v128_bitselect(tail, f32x4_sub(f32x4_splat(1.0), tail), f32x4_lt(x, f32x4_splat(0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(f: fn(v128) -> v128, x: f32) -> f32 {
        f32x4_extract_lane::<0>(f(f32x4_splat(x)))
    }

    /// Distance in units of the last place of `wanted`.
    fn ulps(got: f32, wanted: f64) -> f64 {
        let unit = (wanted.abs() as f32).max(f32::MIN_POSITIVE);
        (got as f64 - wanted).abs() / (unit.next_up() - unit) as f64
    }

    fn worst(f: fn(v128) -> v128, wanted: impl Fn(f64) -> f64, low: f32, high: f32) -> f64 {
        let step = (high - low) / 200_001.0;
        (0..200_001).map(|i| low + step * i as f32).map(|x| ulps(at(f, x), wanted(x as f64))).fold(0.0, f64::max)
    }

    #[test]
    fn exp_is_within_two_ulps() {
        assert!(worst(exp, f64::exp, -87.0, 88.7) < 2.0);
        assert!(worst(exp_nonpositive, f64::exp, -86.9, 0.0) < 2.0);
        assert!(worst(|x| Exp::new().nonpositive([x])[0], f64::exp, -86.9, 0.0) < 2.0);
    }

    #[test]
    fn tanh_is_within_two_ulps() {
        assert!(worst(tanh, f64::tanh, -12.0, 12.0) < 2.5);
        assert_eq!(at(tanh, f32::INFINITY), 1.0);
        assert_eq!(at(tanh, f32::NEG_INFINITY), -1.0);
    }

    #[test]
    fn limits_and_nan() {
        assert_eq!(at(exp, f32::INFINITY), f32::INFINITY);
        assert_eq!(at(exp, f32::NEG_INFINITY), 0.0);
        assert_eq!(at(exp, 0.0), 1.0);
        assert_eq!(at(exp_nonpositive, f32::NEG_INFINITY), 0.0);
        assert_eq!(at(exp_nonpositive, -1e30), 0.0);
        assert_eq!(at(exp_nonpositive, 0.0), 1.0);
        for f in [exp, exp_nonpositive, tanh, sigmoid, normal_cdf] {
            assert!(at(f, f32::NAN).is_nan());
        }
    }

    #[test]
    fn normal_cdf_matches_its_series() {
        // Marsaglia's series, exact in float64 for |x| < 6: 1/2 + φ(x) (x + x³/3 + x⁵/15 + ...).
        let wanted = |x: f64| {
            let (mut sum, mut term) = (x, x);
            for i in 1..200 {
                term *= x * x / (2 * i + 1) as f64;
                sum += term;
            }
            0.5 + sum * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
        };
        for i in -5000..=5000 {
            let x = i as f32 * 1e-3;
            assert!((at(normal_cdf, x) as f64 - wanted(x as f64)).abs() < 3e-7, "{x}");
        }
        assert_eq!(at(normal_cdf, 40.0), 1.0);
        assert_eq!(at(normal_cdf, -40.0), 0.0);
    }
}
