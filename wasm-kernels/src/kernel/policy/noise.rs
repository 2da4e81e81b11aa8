//! Random numbers that are a hash of what they belong to, and the noise made of them.
//!
//! ```text
//! hash = of (seed, layer, query heads that share it, position of the query) and the position of the key, odd
//! x    = low half of hash * low factor of the head + high half * high factor, its low 23 bits, odd
//! u    = x / 2^23                                     0 < u < 1
//! E    = k ln 2 - ln(1 - f / 2), exponential with mean 1:  x = 2^(22 - k) (1 + f), which makes k and f independent
//! Gumbel(0, 1)  = -ln E
//! Gaussian      = mean and variance of that Gumbel: sqrt(2 E) sin(2π u') with other factors
//! ```
//! - Nothing is carried from one draw to the next, so that the result depends neither on the order of slots nor on how
//!   a prompt is cut into chunks.
//! - Query heads that see the same keys share a hash, eight of them at most. Low factors are odd and high ones even, so
//!   that an odd hash gives an odd x, which is never 0.
//! - k comes with the conversion to a float, and half of all draws have k = 0, where E is small if f is: the largest
//!   noise, which scores depend on most, is as exact as any other.
//!
//! Source: Keyformer, arXiv 2403.09054 §3.3.1 and §4.4.3.
use super::power::polynomial;
use crate::simd::*;

/// Query heads that share a hash.
pub const SHARED: usize = 8;
/// Factors of their draws, and of their second ones. Of any two of them no combination a x + b y with |a|, |b| <= 96 has
/// a mean that is more than 6e-4 of its size from an even distribution's, hashes being even.
const FACTORS: [u32; 2 * SHARED] = [
    0x389a_60df,
    0xa0a2_31f9,
    0x6d7c_698f,
    0x8f3c_5b7f,
    0xa724_def3,
    0x9f88_8fed,
    0x2302_65dd,
    0x7fd4_4477,
    0x9d4c_77f3,
    0x4d4c_9903,
    0x346e_92b7,
    0x7a90_6d8f,
    0x577c_c1d5,
    0x6bb8_dd13,
    0x4498_b4bd,
    0x4fca_7e7d,
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
        let [key, second, a, b, odd] =
            opaque([self.key, self.second, 0x9e37_79b1, 0x735a_2d97, 1]).map(|x| u32x4_splat(x));
        for (hashes, positions) in hashes.as_chunks_mut::<4>().0.iter_mut().zip(positions.as_chunks::<4>().0) {
            // SAFETY: the references cover 16 readable and 16 writable bytes.
            unsafe {
                let x = i32x4_mul(i32x4_add(v128_load(positions.as_ptr() as *const v128), key), a);
                // The second key in the middle: two rows are never shifted copies of each other.
                let x = i32x4_dot_i16x8(i32x4_add(v128_xor(x, u32x4_shr(x, 15)), second), b);
                v128_store(hashes.as_mut_ptr() as *mut v128, v128_or(v128_xor(x, u32x4_shr(x, 15)), odd));
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
    exponents: v128,
    /// 2^22
    first: v128,
    coefficients: [v128; 4],
}

impl Draws {
    #[inline(always)]
    pub fn new(index: usize) -> Self {
        let [factor, second, exponents, first] =
            opaque([FACTORS[index], FACTORS[SHARED + index], 0xff80_0000, 4_194_304f32.to_bits()])
                .map(|x| u32x4_splat(x));
        Self { factor, second, exponents, first, coefficients: opaque(HALVES).map(|x| f32x4_splat(x)) }
    }

    /// 23 bits, odd, as a float.
    #[inline(always)]
    fn bits(&self, hash: v128, factor: v128) -> v128 {
        f32x4_convert_i32x4(v128_andnot(i32x4_dot_i16x8(hash, factor), self.exponents))
    }

    /// Uniform in (0, 1).
    #[inline(always)]
    pub fn uniform(&self, hash: v128) -> v128 {
        f32x4_mul(self.bits(hash, self.factor), f32x4_splat(UNIT))
    }

    /// Exponential with mean 1 / `EXPONENTIAL`. e^Gumbel is one over it, up to that factor, which no softmax knows of.
    #[inline(always)]
    pub fn exponential(&self, hash: v128) -> v128 {
        let x = self.bits(hash, self.factor);
        let f = f32x4_convert_i32x4(v128_andnot(x, self.exponents));
        f32x4_madd(polynomial(&self.coefficients, f), f, f32x4_convert_i32x4(i32x4_sub(self.first, x)))
    }

    /// Normal, with the mean and the variance of the standard Gumbel distribution.
    #[inline(always)]
    pub fn gaussian(&self, hash: v128) -> v128 {
        let angle = f32x4_mul(self.bits(hash, self.second), f32x4_splat(UNIT));
        let radius = f32x4_sqrt(f32x4_mul(f32x4_splat(2.0 * EXPONENTIAL), self.exponential(hash)));
        f32x4_madd(f32x4_mul(radius, sin_turns(angle)), f32x4_splat(DEVIATION), f32x4_splat(MEAN))
    }
}

/// Takes what `Draws::exponential` gives to a mean of 1: ln 2 in units of 2^-23, where exponents of floats lie.
pub const EXPONENTIAL: f32 = core::f32::consts::LN_2 * UNIT;

/// 1 - log2(1 - f / 2) / f for 0 <= f < 1 in units of 2^-23, highest power first: a minimax fit, to 3e-4 of the logarithm,
/// which no statistic of draws would show. Less 1, as the difference of exponents that it is added to has f in it.
const HALVES: [f32; 4] =
    [0.061_808_56 * UNIT * UNIT * UNIT, 0.029_635_57 * UNIT * UNIT, 0.187_121_23 * UNIT, 1.721_122];

const UNIT: f32 = 1.0 / 8_388_608.0;

/// sin(2π t) for 0 <= t < 1, to 6e-7.
#[inline(always)]
fn sin_turns(t: v128) -> v128 {
    // sin is odd around half a turn, and mirrored around a quarter.
    let t = f32x4_sub(f32x4_splat(0.5), t);
    let size = f32x4_abs(t);
    let folded = f32x4_pmin(size, f32x4_sub(f32x4_splat(0.5), size));
    // The last one is a coefficient of the fit, not 2π.
    #[allow(clippy::approx_constant)]
    let coefficients = [39.536_71, -76.549_78, 81.601_006, -41.341_656, 6.283_185].map(|c| f32x4_splat(c));
    let p = polynomial(&coefficients, f32x4_mul(folded, folded));
    v128_or(f32x4_mul(folded, p), v128_and(t, u32x4_splat(0x8000_0000)))
}

#[cfg(test)]
#[path = "noise_tests.rs"]
mod tests;
