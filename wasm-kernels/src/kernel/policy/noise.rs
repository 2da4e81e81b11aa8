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

    /// One uniform draw in (0, 1).
    pub fn uniform(self, position: u32) -> f32 {
        f32x4_extract_lane::<0>(Draws::new(self).uniform(u32x4_splat(position)))
    }
}

/// Draws of one row, for loops: its constants have passed through memory, since V8 would build each anew at every use.
pub struct Draws {
    key: v128,
    second: v128,
    factors: [v128; 2],
    one: v128,
    below_one: v128,
    sqrt_half: v128,
    minus_ln_2: v128,
    coefficients: [v128; 5],
}

impl Draws {
    #[inline(always)]
    pub fn new(row: Row) -> Self {
        let [key, second, a, b] = opaque([row.key, row.second, 0x9e37_79b1, 0x735a_2d97]).map(|x| u32x4_splat(x));
        // 1 - 2^-24: what lies half a step below 1 + k 2^-23.
        let [one, below_one, sqrt_half, minus_ln_2] =
            opaque([1.0, 0.999_999_94, core::f32::consts::FRAC_1_SQRT_2, -core::f32::consts::LN_2])
                .map(|x| f32x4_splat(x));
        let coefficients = opaque(MINUS_LN).map(|x| f32x4_splat(x));
        Self { key, second, factors: [a, b], one, below_one, sqrt_half, minus_ln_2, coefficients }
    }

    /// Random bits for each of four key positions; the upper ones are good.
    #[inline(always)]
    fn bits(&self, positions: v128) -> v128 {
        let x = i32x4_mul(i32x4_add(positions, self.key), self.factors[0]);
        // The second key in the middle: two rows are never shifted copies of each other.
        i32x4_mul(i32x4_add(v128_xor(x, u32x4_shr(x, 15)), self.second), self.factors[1])
    }

    /// The upper 23 bits as a float in (0, 1), never an end.
    #[inline(always)]
    fn unit(&self, bits: v128) -> v128 {
        f32x4_sub(v128_or(u32x4_shr(bits, 9), self.one), self.below_one)
    }

    /// Uniform in (0, 1).
    #[inline(always)]
    pub fn uniform(&self, positions: v128) -> v128 {
        self.unit(self.bits(positions))
    }

    /// -ln u: exponential, mean 1. e^Gumbel is one over it.
    #[inline(always)]
    pub fn exponential(&self, positions: v128) -> v128 {
        self.minus_ln(self.uniform(positions))
    }

    #[inline(always)]
    pub fn gumbel(&self, positions: v128) -> v128 {
        self.minus_ln(self.exponential(positions))
    }

    #[inline(always)]
    pub fn gaussian(&self, positions: v128) -> v128 {
        let bits = self.bits(positions);
        let angle = self.unit(i32x4_mul(v128_xor(bits, self.second), u32x4_splat(0x2c1b_3c6d)));
        let radius = f32x4_sqrt(f32x4_mul(f32x4_splat(2.0), self.minus_ln(self.unit(bits))));
        f32x4_madd(f32x4_mul(radius, sin_turns(angle)), f32x4_splat(DEVIATION), f32x4_splat(MEAN))
    }

    /// -ln x of a positive normal number, to a relative 5e-5, which no statistic of the draws would show:
    /// `-e ln 2 + r P(r)`, x = 2^e (1 + r), |r| <= sqrt(2) - 1.
    #[inline(always)]
    fn minus_ln(&self, x: v128) -> v128 {
        let exponent = i32x4_shr(i32x4_sub(x, self.sqrt_half), 23);
        let r = f32x4_sub(i32x4_sub(x, i32x4_shl(exponent, 23)), self.one);
        let [c0, c1, c2, c3, c4] = self.coefficients;
        let p = f32x4_madd(f32x4_madd(f32x4_madd(f32x4_madd(c0, r, c1), r, c2), r, c3), r, c4);
        f32x4_madd(p, r, f32x4_mul(f32x4_convert_i32x4(exponent), self.minus_ln_2))
    }
}

/// P of the logarithm's negative, highest power first: a weighted minimax fit.
const MINUS_LN: [f32; 5] = [-0.176_580_46, 0.270_945_97, -0.336_388_86, 0.499_450_65, -0.999_966_2];

#[inline(always)]
fn polynomial<const N: usize>(x: v128, highest_first: [f32; N]) -> v128 {
    let start = f32x4_splat(highest_first[0]);
    highest_first[1..].iter().fold(start, |sum, c| f32x4_madd(sum, x, f32x4_splat(*c)))
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

    fn draws(row: Row, n: u32, draw: impl Fn(&Draws, v128) -> v128) -> Vec<f64> {
        let all = Draws::new(row);
        (0..n / 4)
            .flat_map(|i| lanes(draw(&all, u32x4(4 * i, 4 * i + 1, 4 * i + 2, 4 * i + 3))))
            .map(f64::from)
            .collect()
    }

    /// Largest distance of the draws' distribution from `wanted`, times the root of their number: Kolmogorov's statistic.
    fn kolmogorov(mut x: Vec<f64>, wanted: impl Fn(f64) -> f64) -> f64 {
        x.sort_by(f64::total_cmp);
        let n = x.len() as f64;
        let distance =
            |(i, &x): (usize, &f64)| (wanted(x) - i as f64 / n).abs().max((wanted(x) - (i + 1) as f64 / n).abs());
        n.sqrt() * x.iter().enumerate().map(distance).fold(0.0, f64::max)
    }

    /// Marsaglia's series: 1/2 + φ(x) (x + x³/3 + x⁵/15 + ...).
    fn normal_cdf(x: f64) -> f64 {
        let (mut sum, mut term) = (x, x);
        for i in 1..100 {
            term *= x * x / (2 * i + 1) as f64;
            sum += term;
        }
        0.5 + sum * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
    }

    /// Above this lies one in a thousand of samples from the distribution itself.
    const RARE: f64 = 1.95;

    #[test]
    fn logarithm_and_sine_match_the_standard_ones() {
        let draws = Draws::new(Row::new(1, 2, 3, 4));
        for i in 1..100_000 {
            let x = i as f32 * 1e-5;
            let wanted = (x as f64).ln();
            assert!((lanes(draws.minus_ln(f32x4_splat(x)))[0] as f64 + wanted).abs() <= 1.5e-4 * wanted.abs(), "{x}");
            let wanted = (2.0 * std::f64::consts::PI * x as f64).sin();
            assert!((lanes(sin_turns(f32x4_splat(x)))[0] as f64 - wanted).abs() < 1e-6, "{x}");
        }
        assert_eq!(lanes(draws.unit(u32x4_splat(0)))[0], 2f32.powi(-24));
        assert_eq!(lanes(draws.unit(u32x4_splat(u32::MAX)))[0], 1.0 - 2f32.powi(-24));
    }

    #[test]
    fn draws_have_their_distribution() {
        for seed in 0..8 {
            for n in [1000, 100_000] {
                let row = Row::new(seed, 3, 1, 77);
                let uniform = kolmogorov(draws(row, n, Draws::uniform), |x| x);
                let gumbel = kolmogorov(draws(row, n, Draws::gumbel), |x| (-(-x).exp()).exp());
                let exponential = kolmogorov(draws(row, n, Draws::exponential), |x| 1.0 - (-x).exp());
                let normal = |x: f64| normal_cdf((x - MEAN as f64) / DEVIATION as f64);
                let gaussian = kolmogorov(draws(row, n, Draws::gaussian), normal);
                for (name, found) in
                    [("uniform", uniform), ("Gumbel", gumbel), ("exponential", exponential), ("Gaussian", gaussian)]
                {
                    assert!(found < RARE, "{name}: {found}, seed {seed}, {n} draws");
                }
            }
        }
    }

    #[test]
    fn tokens_side_by_side_draw_apart() {
        // Pairs, triples apart, over queries at successive positions too: cells of a grid are equally full.
        for seed in 0..6 {
            for (step, queries) in [(1, 1), (2, 1), (3, 1), (16, 1), (0, 1000)] {
                let mut cells = [0.0f64; 256];
                let n = 64_000 / queries;
                for position in 0..queries {
                    let here = draws(Row::new(seed, 1, 2, position), n + 64, Draws::uniform);
                    let next = if step == 0 {
                        draws(Row::new(seed, 1, 2, position + 1), n + 64, Draws::uniform)
                    } else {
                        here.clone()
                    };
                    for i in 0..n as usize {
                        cells[(here[i] * 16.0) as usize * 16 + (next[i + step] * 16.0) as usize] += 1.0;
                    }
                }
                let mean = cells.iter().sum::<f64>() / 256.0;
                let square: f64 = cells.iter().map(|x| (x - mean).powi(2) / mean).sum();
                // 255 degrees of freedom: mean 255, deviation 22.6.
                assert!((square - 255.0).abs() < 4.0 * 22.6, "chi-square {square}, seed {seed}, step {step}");
            }
        }
    }

    #[test]
    fn rows_do_not_resemble_each_other() {
        let all: Vec<Vec<f64>> = [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (0, 1, 1, 1)]
            .into_iter()
            .map(|(seed, layer, head, position)| draws(Row::new(seed, layer, head, position), 20_000, Draws::uniform))
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
