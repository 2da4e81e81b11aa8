//! Random numbers that are a hash of what they belong to, and the noise made of them.
//!
//! ```text
//! hash = of (seed, layer, query heads that share it, position of the query) and the position of the key
//! u    = upper 24 bits of hash * factor of the head, in units of 2^-24      0 <= u < 1
//! E    = -ln u, exponential with mean 1; where u is 0, 151 ln 2
//! Gumbel(0, 1)  = -ln E
//! Gaussian      = mean and variance of that Gumbel: sqrt(2 E) sin(2π u') with another factor
//! ```
//! - Nothing is carried from one draw to the next, so that the result depends neither on the order of slots nor on how
//!   a prompt is cut into chunks.
//! - Query heads that see the same keys share a hash, eight of them at most: its products with distinct odd factors are
//!   as far apart as hashes of distinct keys.
//!
//! Source: Keyformer, arXiv 2403.09054 §3.3.1 and §4.4.3.
use crate::simd::*;

/// Query heads that share a hash.
pub const SHARED: usize = 8;
/// Factors of their draws, and of their second ones.
const FACTORS: [u32; 2 * SHARED] = [
    0x735a_2d97,
    0x2c1b_3c6d,
    0x297a_2d39,
    0x85eb_ca6b,
    0xc2b2_ae35,
    0x7feb_352d,
    0x846c_a68b,
    0xd168_aaad,
    0x21f0_aaad,
    0xf35a_2d97,
    0xaf25_1af3,
    0x6c07_8965,
    0xb5ad_4ecf,
    0x9e6c_63d1,
    0x1b56_c4e9,
    0xe649_3b2b,
];
/// Mean of the standard Gumbel distribution, Euler's constant.
const MEAN: f32 = 0.577_215_7;
/// Its standard deviation, π / sqrt(6).
const DEVIATION: f32 = 1.282_549_8;
/// No Gaussian draw is larger: sqrt(2 * 151 ln 2) deviations above the mean.
pub const GAUSSIAN_MOST: f32 = MEAN + 14.5 * DEVIATION;

/// What the draws of the query heads that share a hash have in common, for one query.
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
    /// `head`: the first of the query heads.
    pub fn new(seed: u32, layer: u32, head: u32, position: u32) -> Self {
        let join = |x: u32, y: u32| mix(x.rotate_left(9) ^ y.wrapping_mul(0x9e37_79b1));
        let key = [layer, head, position].into_iter().fold(mix(seed ^ 0x6c07_8965), join);
        Self { key, second: mix(key ^ 0x85eb_ca6b) }
    }

    /// Hashes of key positions, as many as there are.
    #[inline(never)]
    pub fn hash(self, hashes: &mut [u32], positions: &[u32]) {
        let [key, second, a, b] = opaque([self.key, self.second, 0x9e37_79b1, 0x735a_2d97]).map(|x| u32x4_splat(x));
        for (hashes, positions) in hashes.as_chunks_mut::<4>().0.iter_mut().zip(positions.as_chunks::<4>().0) {
            // SAFETY: the references cover 16 readable and 16 writable bytes.
            unsafe {
                let x = i32x4_mul(i32x4_add(v128_load(positions.as_ptr() as *const v128), key), a);
                // The second key in the middle: two rows are never shifted copies of each other.
                let x = i32x4_mul(i32x4_add(v128_xor(x, u32x4_shr(x, 15)), second), b);
                v128_store(hashes.as_mut_ptr() as *mut v128, v128_xor(x, u32x4_shr(x, 15)));
            }
        }
    }

    /// One uniform draw in (0, 1).
    pub fn uniform(self, position: u32) -> f32 {
        let mut hashes = [0; 4];
        self.hash(&mut hashes, &[position; 4]);
        f32x4_extract_lane::<0>(Draws::new(0).uniform(u32x4_splat(hashes[0])))
    }
}

/// Draws of the `index`-th head of a row, for loops: its constants have passed through memory, since V8 would build each
/// anew at every use.
pub struct Draws {
    factor: v128,
    second: v128,
    minus_ln: MinusLn<4>,
}

impl Draws {
    #[inline(always)]
    pub fn new(index: usize) -> Self {
        let [factor, second] = opaque([FACTORS[index], FACTORS[SHARED + index]]).map(|x| u32x4_splat(x));
        Self { factor, second, minus_ln: MinusLn::new(&ROUGH, 24) }
    }

    /// The upper 24 bits of a product with a hash, as a float.
    #[inline(always)]
    fn bits(hash: v128, factor: v128) -> v128 {
        f32x4_convert_i32x4(u32x4_shr(i32x4_mul(hash, factor), 8))
    }

    /// Uniform in (0, 1).
    #[inline(always)]
    pub fn uniform(&self, hash: v128) -> v128 {
        f32x4_mul(f32x4_pmax(Self::bits(hash, self.factor), f32x4_splat(0.5)), f32x4_splat(UNIT))
    }

    /// Exponential with mean 1. e^Gumbel is one over it.
    #[inline(always)]
    pub fn exponential(&self, hash: v128) -> v128 {
        self.minus_ln.of(Self::bits(hash, self.factor))
    }

    /// Normal, with the mean and the variance of the standard Gumbel distribution.
    #[inline(always)]
    pub fn gaussian(&self, hash: v128) -> v128 {
        let angle = f32x4_mul(Self::bits(hash, self.second), f32x4_splat(UNIT));
        let radius = f32x4_sqrt(f32x4_mul(f32x4_splat(2.0), self.exponential(hash)));
        f32x4_madd(f32x4_mul(radius, sin_turns(angle)), f32x4_splat(DEVIATION), f32x4_splat(MEAN))
    }
}

const UNIT: f32 = 1.0 / 16_777_216.0;

/// -ln(x / 2^n) of numbers x >= 0, for loops: `-e ln 2 + r P(r)`, x = 2^(n + e) (1 + r), |r| <= sqrt(2) - 1. 0 counts as
/// 2^-127 in place of x.
pub struct MinusLn<const N: usize> {
    sqrt_half: v128,
    exponents: v128,
    one: v128,
    minus_ln_2: v128,
    coefficients: [v128; N],
}

/// P of the logarithm's negative to a relative 4e-4, which no statistic of draws would show, highest power first; this and
/// the next are weighted minimax fits.
const ROUGH: [f32; 4] = [0.227_195_64, -0.354_390_2, 0.502_044_6, -0.999_705_6];
/// To a relative 8e-6.
pub const FINE: [f32; 6] = [0.142_921_82, -0.220_561_22, 0.254_032_97, -0.332_580_12, 0.499_902_16, -1.000_004_5];

impl<const N: usize> MinusLn<N> {
    #[inline(always)]
    pub fn new(coefficients: &[f32; N], n: u32) -> Self {
        // r comes in units of 2^-n, which the coefficients take back; powers of two are exact.
        let mut unit = 1.0;
        let mut scaled = *coefficients;
        for c in scaled.iter_mut().rev() {
            unit /= (1 << n) as f32;
            *c *= unit;
        }
        let one = (1 << n) as f32;
        let sqrt_half = (one * core::f32::consts::FRAC_1_SQRT_2).to_bits();
        let [sqrt_half, exponents] = opaque([sqrt_half, 0xff80_0000]).map(|x| u32x4_splat(x));
        let [one, minus_ln_2] = opaque([one, -core::f32::consts::LN_2 / 8_388_608.0]).map(|x| f32x4_splat(x));
        Self { sqrt_half, exponents, one, minus_ln_2, coefficients: opaque(scaled).map(|x| f32x4_splat(x)) }
    }

    #[inline(always)]
    pub fn of(&self, x: v128) -> v128 {
        let exponent = v128_and(i32x4_sub(x, self.sqrt_half), self.exponents);
        let r = f32x4_sub(i32x4_sub(x, exponent), self.one);
        let p = self.coefficients[1..].iter().fold(self.coefficients[0], |p, c| f32x4_madd(p, r, *c));
        f32x4_madd(p, r, f32x4_mul(f32x4_convert_i32x4(exponent), self.minus_ln_2))
    }
}

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

    fn draws(row: Row, index: usize, n: u32, draw: impl Fn(&Draws, v128) -> v128) -> Vec<f64> {
        let (mut hashes, all) = (vec![0; n as usize], Draws::new(index));
        row.hash(&mut hashes, &(0..n).collect::<Vec<u32>>());
        let quads = hashes.as_chunks::<4>().0.iter();
        quads.flat_map(|&[a, b, c, d]| lanes(draw(&all, u32x4(a, b, c, d)))).map(f64::from).collect()
    }

    fn gumbel(draws: &Draws, hash: v128) -> v128 {
        let x = lanes(draws.exponential(hash)).map(|x| -x.ln());
        f32x4(x[0], x[1], x[2], x[3])
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
    fn logarithms_and_sine_match_the_standard_ones() {
        let (draws, fine) = (Draws::new(0), MinusLn::new(&FINE, 0));
        for i in 1..100_000 {
            let x = i as f32 * 1e-5;
            let wanted = -(x as f64).ln();
            let rough = draws.minus_ln.of(f32x4_splat(x / UNIT));
            assert!((lanes(rough)[0] as f64 - wanted).abs() <= 4e-4 * wanted, "{x}");
            assert!((lanes(fine.of(f32x4_splat(x)))[0] as f64 - wanted).abs() <= 9e-6 * wanted.min(1.0), "{x}");
            let wanted = (2.0 * std::f64::consts::PI * x as f64).sin();
            assert!((lanes(sin_turns(f32x4_splat(x)))[0] as f64 - wanted).abs() < 1e-6, "{x}");
        }
        // The ends: the largest u, and 0.
        let most = lanes(draws.minus_ln.of(f32x4_splat(16_777_215.0)))[0];
        assert!((most * 16_777_216.0 - 1.0).abs() < 4e-4, "{most}");
        assert!((lanes(draws.minus_ln.of(f32x4_splat(0.0)))[0] - 104.67).abs() < 0.01);
        assert_eq!(lanes(draws.uniform(u32x4_splat(0)))[0], 2f32.powi(-25));
    }

    #[test]
    fn draws_have_their_distribution() {
        for seed in 0..8 {
            for n in [1000, 100_000] {
                let row = Row::new(seed, 3, 1, 77);
                let index = seed as usize;
                let uniform = kolmogorov(draws(row, index, n, Draws::uniform), |x| x);
                let gumbel = kolmogorov(draws(row, index, n, gumbel), |x| (-(-x).exp()).exp());
                let exponential = kolmogorov(draws(row, index, n, Draws::exponential), |x| 1.0 - (-x).exp());
                let normal = |x: f64| normal_cdf((x - MEAN as f64) / DEVIATION as f64);
                let gaussian = kolmogorov(draws(row, index, n, Draws::gaussian), normal);
                for (name, found) in
                    [("uniform", uniform), ("Gumbel", gumbel), ("exponential", exponential), ("Gaussian", gaussian)]
                {
                    assert!(found < RARE, "{name}: {found}, seed {seed}, {n} draws");
                }
            }
        }
    }

    /// Chi-square of pairs of draws on a grid of 256 cells: mean 255, deviation 22.6.
    fn chi_square(pairs: impl Iterator<Item = (f64, f64)>) -> f64 {
        let mut cells = [0.0f64; 256];
        pairs.for_each(|(x, y)| cells[(x * 16.0) as usize * 16 + (y * 16.0) as usize] += 1.0);
        let mean = cells.iter().sum::<f64>() / 256.0;
        cells.iter().map(|x| (x - mean).powi(2) / mean).sum()
    }

    #[test]
    fn tokens_side_by_side_draw_apart() {
        // Pairs, triples apart, over queries at successive positions too: cells of a grid are equally full.
        for seed in 0..6 {
            for (step, queries) in [(1, 1), (2, 1), (3, 1), (16, 1), (0, 1000)] {
                let n = 64_000 / queries;
                let pairs = (0..queries).flat_map(|position| {
                    let of = |position| draws(Row::new(seed, 1, 2, position), 0, n + 64, Draws::uniform);
                    let here = of(position);
                    let next = if step == 0 { of(position + 1) } else { here[step..].to_vec() };
                    here.into_iter().zip(next).take(n as usize)
                });
                let square = chi_square(pairs);
                assert!((square - 255.0).abs() < 4.0 * 22.6, "chi-square {square}, seed {seed}, step {step}");
            }
        }
    }

    #[test]
    fn heads_that_share_hashes_draw_apart() {
        for seed in 0..4 {
            let of = |index| draws(Row::new(seed, 1, 2, 5), index, 64_000, Draws::uniform);
            let all: Vec<Vec<f64>> = (0..SHARED).map(of).collect();
            for (i, a) in all.iter().enumerate() {
                for (j, b) in all[..i].iter().enumerate() {
                    for lag in [0, 1] {
                        let square = chi_square(a[lag..].iter().copied().zip(b.iter().copied()));
                        assert!((square - 255.0).abs() < 4.5 * 22.6, "chi-square {square} of heads {i} and {j}");
                    }
                }
            }
        }
    }

    #[test]
    fn rows_do_not_resemble_each_other() {
        let all: Vec<Vec<f64>> = [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (0, 1, 1, 1)]
            .into_iter()
            .map(|(seed, layer, head, position)| {
                draws(Row::new(seed, layer, head, position), 0, 20_000, Draws::uniform)
            })
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
