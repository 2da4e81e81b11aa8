//! Random numbers that are a hash of what they belong to, and the noise made of them.
//!
//! ```text
//! row  = hash(seed, layer, head, position of the query)
//! bits = hash(row, position of the key)
//! u    = (bits >> 9) + 1/2 in units of 2^-23            0 < u < 1
//! Gumbel(0, 1)  = -ln(-ln u)
//! Gaussian      = mean and variance of that Gumbel: sqrt(-2 ln u) sin(2π u') from two hashes
//! ```
//! Nothing is carried from one draw to the next, so that the result depends neither on the order of slots nor on how
//! a prompt is cut into chunks. Source: Keyformer, arXiv 2403.09054 §3.3.1 and §4.4.3.
use crate::simd::*;

/// Largest Gumbel draw: u = 1 - 2^-24.
pub const GUMBEL_MOST: f32 = 16.7;
/// Mean of the standard Gumbel distribution, Euler's constant.
const MEAN: f32 = 0.577_215_7;
/// Its standard deviation, π / sqrt(6).
const DEVIATION: f32 = 1.282_549_8;
/// Largest Gaussian draw: sqrt(2 ln 2^24) deviations above the mean.
pub const GAUSSIAN_MOST: f32 = MEAN + 5.77 * DEVIATION;

/// What the draws of one query head of one token have in common.
#[derive(Clone, Copy)]
pub struct Row {
    key: u32,
    second: u32,
}

fn mix(mut x: u32) -> u32 {
    x = (x ^ x >> 16).wrapping_mul(0x21f0_aaad);
    x = (x ^ x >> 15).wrapping_mul(0x735a_2d97);
    x ^ x >> 15
}

impl Row {
    pub fn new(seed: u32, layer: u32, head: u32, position: u32) -> Self {
        let join = |x: u32, y: u32| mix(x.rotate_left(9) ^ y.wrapping_mul(0x9e37_79b1));
        let key = [layer, head, position].into_iter().fold(mix(seed ^ 0x6c07_8965), join);
        Self { key, second: mix(key ^ 0x85eb_ca6b) }
    }

    /// Random bits for each of four key positions; the upper ones are good.
    #[inline(always)]
    fn bits(&self, positions: v128) -> v128 {
        let shift_xor = |x: v128, s: u32| v128_xor(x, u32x4_shr(x, s));
        let x = i32x4_add(positions, u32x4_splat(self.key));
        let x = i32x4_mul(shift_xor(x, 16), u32x4_splat(0x21f0_aaad));
        // The second key in the middle: two rows are never shifted copies of each other.
        let x = i32x4_add(shift_xor(x, 15), u32x4_splat(self.second));
        i32x4_mul(shift_xor(x, 16), u32x4_splat(0x735a_2d97))
    }

    /// Uniform in (0, 1), never an end.
    #[inline(always)]
    pub fn uniform(&self, positions: v128) -> v128 {
        unit(self.bits(positions))
    }

    /// -ln u: exponential, mean 1. e^Gumbel is one over it.
    #[inline(always)]
    pub fn exponential(&self, positions: v128) -> v128 {
        f32x4_neg(ln(self.uniform(positions)))
    }

    #[inline(always)]
    pub fn gumbel(&self, positions: v128) -> v128 {
        f32x4_neg(ln(self.exponential(positions)))
    }

    #[inline(always)]
    pub fn gaussian(&self, positions: v128) -> v128 {
        let bits = self.bits(positions);
        let angle = unit(i32x4_mul(v128_xor(bits, u32x4_splat(self.second)), u32x4_splat(0x2c1b_3c6d)));
        let radius = f32x4_sqrt(f32x4_mul(f32x4_splat(-2.0), ln(unit(bits))));
        f32x4_madd(f32x4_mul(radius, sin_turns(angle)), f32x4_splat(DEVIATION), f32x4_splat(MEAN))
    }
}

/// The upper 23 bits as a float in (0, 1).
#[inline(always)]
fn unit(bits: v128) -> v128 {
    let from_one = v128_or(u32x4_shr(bits, 9), u32x4_splat(1.0f32.to_bits()));
    // 1 + k 2^-23 less 1 is exact, and half a step more keeps it off zero.
    f32x4_add(f32x4_sub(from_one, f32x4_splat(1.0)), f32x4_splat(5.960_464_5e-8))
}

#[inline(always)]
fn polynomial<const N: usize>(x: v128, highest_first: [f32; N]) -> v128 {
    let start = f32x4_splat(highest_first[0]);
    highest_first[1..].iter().fold(start, |sum, c| f32x4_madd(sum, x, f32x4_splat(*c)))
}

/// ln x of a positive normal number, to a relative 5e-5, which no statistic of the draws would show: `e ln 2 + r P(r)`,
/// x = 2^e (1 + r), |r| <= sqrt(2) - 1. The coefficients are a weighted minimax fit.
#[inline(always)]
fn ln(x: v128) -> v128 {
    let exponent = i32x4_shr(i32x4_sub(x, u32x4_splat(core::f32::consts::FRAC_1_SQRT_2.to_bits())), 23);
    let r = f32x4_sub(i32x4_sub(x, i32x4_shl(exponent, 23)), f32x4_splat(1.0));
    let p = polynomial(r, [0.176_580_46, -0.270_945_97, 0.336_388_86, -0.499_450_65, 0.999_966_2]);
    let whole = f32x4_mul(f32x4_convert_i32x4(exponent), f32x4_splat(core::f32::consts::LN_2));
    f32x4_madd(p, r, whole)
}

/// sin(2π t) for 0 <= t < 1, to 6e-7.
#[inline(always)]
fn sin_turns(t: v128) -> v128 {
    // sin is odd around half a turn, and mirrored around a quarter.
    let t = f32x4_sub(f32x4_splat(0.5), t);
    let size = f32x4_abs(t);
    let folded = f32x4_pmin(size, f32x4_sub(f32x4_splat(0.5), size));
    // The last one is a coefficient of the fit, not 2π.
    #[allow(clippy::approx_constant)]
    let p = polynomial(f32x4_mul(folded, folded), [39.536_71, -76.549_78, 81.601_006, -41.341_656, 6.283_185]);
    v128_or(f32x4_mul(folded, p), v128_and(t, u32x4_splat(0x8000_0000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(v: v128) -> [f32; 4] {
        let mut x = [0.0; 4];
        crate::kernel::lanes::store(&mut x, v);
        x
    }

    fn draws(row: Row, n: u32, draw: impl Fn(&Row, v128) -> v128) -> Vec<f64> {
        (0..n / 4)
            .flat_map(|i| lanes(draw(&row, u32x4(4 * i, 4 * i + 1, 4 * i + 2, 4 * i + 3))))
            .map(f64::from)
            .collect()
    }

    fn moments(x: &[f64]) -> (f64, f64) {
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        (mean, (x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64).sqrt())
    }

    #[test]
    fn logarithm_and_sine_match_the_standard_ones() {
        for i in 1..100_000 {
            let x = i as f32 * 1e-5;
            let wanted = (x as f64).ln();
            assert!((lanes(ln(f32x4_splat(x)))[0] as f64 - wanted).abs() <= 1.5e-4 * wanted.abs(), "{x}");
            let wanted = (2.0 * std::f64::consts::PI * x as f64).sin();
            assert!((lanes(sin_turns(f32x4_splat(x)))[0] as f64 - wanted).abs() < 1e-6, "{x}");
        }
        assert!(lanes(unit(u32x4_splat(0)))[0] > 0.0);
        assert!(lanes(unit(u32x4_splat(u32::MAX)))[0] < 1.0);
    }

    #[test]
    fn draws_have_the_moments_of_their_distribution() {
        for seed in 0..4 {
            let row = Row::new(seed, 3, 1, 77);
            let (mean, deviation) = moments(&draws(row, 200_000, Row::uniform));
            assert!((mean - 0.5).abs() < 3e-3 && (deviation - 0.288_675).abs() < 2e-3, "{mean} {deviation}");
            let (mean, deviation) = moments(&draws(row, 200_000, Row::gumbel));
            assert!((mean - 0.577_216).abs() < 1.2e-2 && (deviation - 1.282_55).abs() < 2e-2, "{mean} {deviation}");
            let (mean, deviation) = moments(&draws(row, 200_000, Row::gaussian));
            assert!((mean - 0.577_216).abs() < 1.2e-2 && (deviation - 1.282_55).abs() < 2e-2, "{mean} {deviation}");
            let (mean, deviation) = moments(&draws(row, 200_000, Row::exponential));
            assert!((mean - 1.0).abs() < 1e-2 && (deviation - 1.0).abs() < 1.5e-2, "{mean} {deviation}");
            let below = draws(row, 200_000, Row::gumbel).iter().filter(|&&x| x < 0.0).count() as f64 / 2e5;
            assert!((below - (-1f64).exp()).abs() < 5e-3, "{below}");
        }
    }

    #[test]
    fn rows_do_not_resemble_each_other() {
        let all: Vec<Vec<f64>> = [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (0, 1, 1, 1)]
            .into_iter()
            .map(|(seed, layer, head, position)| draws(Row::new(seed, layer, head, position), 20_000, Row::uniform))
            .collect();
        for (i, a) in all.iter().enumerate() {
            for b in &all[..i] {
                for lag in 0..4 {
                    let n = a.len() - lag;
                    let product = (0..n).map(|j| (a[j + lag] - 0.5) * (b[j] - 0.5)).sum::<f64>() / n as f64 * 12.0;
                    assert!(product.abs() < 0.03, "correlation {product} at lag {lag}");
                }
            }
        }
    }
}
