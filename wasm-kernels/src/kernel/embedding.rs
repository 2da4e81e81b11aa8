//! One vector for a whole text: the mean of its rows, brought to length 1.
//!
//! ```text
//! sum += rows of a chunk        once a chunk
//! out  = sum / |sum|            once a text: the mean's own factor falls out
//! ```
//! Each chunk's rows are summed apart from what came before, so that a long text loses no more than a short one.
use super::elementwise::{add, scale};
use super::lanes::fold;
use super::scalar::sqrt;
use crate::simd::*;

/// `out += ` the sum of the rows of `x`, each as long as `out`; the first of them is where the others are summed.
pub fn add_rows(out: &mut [f32], x: &mut [f32]) {
    let (sum, rows) = x.split_at_mut(out.len());
    for row in rows.chunks_exact(sum.len()) {
        add(sum, row);
    }
    add(out, sum);
}

/// `x / |x|`; zeros stay.
pub fn l2_normalize(x: &mut [f32]) {
    let squares = f32x4_sum(fold(x, f32x4_splat(0.0), 0.0, |sum, v| f32x4_add(sum, f32x4_mul(v, v))));
    if squares > 0.0 {
        scale(x, 1.0 / sqrt(squares));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{close, lengths, Random};

    #[test]
    fn chunks_of_rows_give_their_mean_at_length_one() {
        let mut random = Random(11);
        for dim in lengths() {
            let x = random.floats(7 * dim);
            let mut out = vec![0.0; dim];
            let mut chunks = x.clone();
            let (first, rest) = chunks.split_at_mut(4 * dim);
            add_rows(&mut out, first);
            add_rows(&mut out, rest);
            l2_normalize(&mut out);
            let mean: Vec<f64> = (0..dim).map(|i| x.chunks(dim).map(|row| row[i] as f64).sum::<f64>() / 7.0).collect();
            let length = mean.iter().map(|v| v * v).sum::<f64>().sqrt();
            for i in 0..dim {
                close(out[i], mean[i] / length, 2e-6);
            }
        }
    }

    #[test]
    fn zeros_stay_zeros() {
        let mut x = [0.0; 6];
        l2_normalize(&mut x);
        assert_eq!(x, [0.0; 6]);
    }
}
