//! Root-mean-square and layer normalisation of rows, in place. Sources: arXiv 1910.07467, 1607.06450.
//!
//! ```text
//! rmsnorm:   x * weight / sqrt(mean(x²) + eps)
//! layernorm: (x - mean(x)) * weight / sqrt(var(x) + eps) + bias
//! ```
//! Bound by memory; a row stays in the first cache between its passes. The variance is taken around the mean in a
//! second pass, which loses nothing where the mean is large.
use super::lanes::{fold, map, zip};
use super::scalar::sqrt;
use crate::simd::*;

/// Sum of `f(x)` over the row. `f` sends the zeros behind the end to zero.
#[inline(always)]
fn sum(x: &[f32], f: impl Fn(v128) -> v128) -> f32 {
    f32x4_sum(fold(x, f32x4_splat(0.0), 0.0, |sum, v| f32x4_add(sum, f(v))))
}

/// Factor that brings a row to a root mean square of 1.
#[inline(always)]
pub fn rms_factor(x: &[f32], eps: f32) -> f32 {
    1.0 / sqrt(sum(x, |v| f32x4_mul(v, v)) / x.len() as f32 + eps)
}

/// Rows of `dim` values; without a `weight` they are only scaled.
pub fn rmsnorm(x: &mut [f32], weight: Option<&[f32]>, dim: usize, eps: f32) {
    for row in x.chunks_exact_mut(dim) {
        let factor = f32x4_splat(rms_factor(row, eps));
        match weight {
            Some(weight) => zip(row, weight, |v, w| f32x4_mul(f32x4_mul(v, factor), w)),
            None => map(row, |v| f32x4_mul(v, factor)),
        }
    }
}

/// Rows of `dim` values.
pub fn layernorm(x: &mut [f32], weight: &[f32], bias: Option<&[f32]>, dim: usize, eps: f32) {
    for row in x.chunks_exact_mut(dim) {
        let mean = f32x4_splat(sum(row, |v| v) / dim as f32);
        map(row, |v| f32x4_sub(v, mean));
        rmsnorm(row, Some(weight), dim, eps);
        if let Some(bias) = bias {
            zip(row, bias, |v, b| f32x4_add(v, b));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{close, lengths, Random};

    #[test]
    fn rmsnorm_matches_the_formula() {
        let mut random = Random(1);
        for dim in lengths() {
            let (x, w) = (random.floats(3 * dim), random.floats(dim));
            for weight in [None, Some(&w[..])] {
                let mut got = x.clone();
                rmsnorm(&mut got, weight, dim, 1e-5);
                for (row, got) in x.chunks(dim).zip(got.chunks(dim)) {
                    let mean = row.iter().map(|&v| v as f64 * v as f64).sum::<f64>() / dim as f64;
                    for i in 0..dim {
                        let w = weight.map_or(1.0, |w| w[i] as f64);
                        close(got[i], row[i] as f64 * w / (mean + 1e-5).sqrt(), 2e-6);
                    }
                }
            }
        }
    }

    #[test]
    fn layernorm_matches_the_formula() {
        let mut random = Random(2);
        for dim in lengths() {
            let (x, w, b) = (random.floats(2 * dim), random.floats(dim), random.floats(dim));
            for bias in [None, Some(&b[..])] {
                let mut got = x.clone();
                layernorm(&mut got, &w, bias, dim, 1e-5);
                for (row, got) in x.chunks(dim).zip(got.chunks(dim)) {
                    let mean = row.iter().map(|&v| v as f64).sum::<f64>() / dim as f64;
                    let variance = row.iter().map(|&v| (v as f64 - mean).powi(2)).sum::<f64>() / dim as f64;
                    for i in 0..dim {
                        let normal = (row[i] as f64 - mean) / (variance + 1e-5).sqrt();
                        let wanted = normal * w[i] as f64 + bias.map_or(0.0, |b| b[i] as f64);
                        close(got[i], wanted, 1e-4);
                    }
                }
            }
        }
    }

    #[test]
    fn a_row_of_zeros_stays_finite() {
        let mut x = [0.0; 7];
        rmsnorm(&mut x, None, 7, 1e-6);
        assert_eq!(x, [0.0; 7]);
    }
}
