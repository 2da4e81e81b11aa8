//! The reverse of both norms.
//!
//! ```text
//! g = dy * weight,  n = normed x
//! rmsnorm:    dx = factor * (g - n * mean(g n))
//! layernorm:  dx = factor * (g - mean(g) - n * mean(g n))
//! ```
use crate::kernel::scalar::sqrt;

/// `dy` of rows of `dim` becomes `dx`; `x` is what was normed. `centred` for layer norms.
pub fn norm(dy: &mut [f32], x: &[f32], weight: &[f32], dim: usize, eps: f32, centred: bool) {
    let mean = |sum: f64| (sum / dim as f64) as f32;
    for (dy, x) in dy.chunks_exact_mut(dim).zip(x.chunks_exact(dim)) {
        let middle = if centred { mean(x.iter().map(|&x| x as f64).sum()) } else { 0.0 };
        let squares = x.iter().map(|x| (x - middle) as f64 * (x - middle) as f64).sum();
        let factor = 1.0 / sqrt(mean(squares) + eps);
        let (mut sum, mut along) = (0.0f64, 0.0f64);
        for ((dy, x), weight) in dy.iter_mut().zip(x).zip(weight) {
            *dy *= weight;
            sum += *dy as f64;
            along += *dy as f64 * ((x - middle) * factor) as f64;
        }
        let (centre, along) = (if centred { mean(sum) } else { 0.0 }, mean(along));
        for (dy, x) in dy.iter_mut().zip(x) {
            *dy = factor * (*dy - centre - (x - middle) * factor * along);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{close, lengths, Random};

    /// `sum of dy * norm(x)`, whose gradient is wanted.
    fn objective(x: &[f64], weight: &[f32], dy: &[f32], eps: f64, centred: bool) -> f64 {
        let n = x.len() as f64;
        let mean = if centred { x.iter().sum::<f64>() / n } else { 0.0 };
        let squares = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>();
        let factor = 1.0 / (squares / n + eps).sqrt();
        x.iter().zip(weight).zip(dy).map(|((x, &w), &dy)| (x - mean) * factor * w as f64 * dy as f64).sum()
    }

    #[test]
    fn both_match_finite_differences() {
        let mut random = Random(62);
        for dim in lengths().filter(|&dim| dim > 1) {
            let (x, weight, dy) = (random.floats(2 * dim), random.floats(dim), random.floats(2 * dim));
            for centred in [false, true] {
                let mut got = dy.clone();
                norm(&mut got, &x, &weight, dim, 1e-2, centred);
                for (row, x) in x.chunks(dim).enumerate() {
                    let dy = &dy[row * dim..][..dim];
                    for i in [0, dim / 2, dim - 1] {
                        let at = |step: f64| {
                            let mut x: Vec<f64> = x.iter().map(|&x| x as f64).collect();
                            x[i] += step;
                            objective(&x, &weight, dy, 1e-2, centred)
                        };
                        close(got[row * dim + i], (at(1e-5) - at(-1e-5)) / 2e-5, 1e-4);
                    }
                }
            }
        }
    }
}
