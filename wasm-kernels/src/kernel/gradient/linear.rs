//! The reverse of a matrix product, by rows of its weights.
//!
//! ```text
//! y = x · wᵀ    ->    dx[token] += sum over rows of dy[token][row] * w[row]
//! ```
//! Four tokens and eight columns stay in registers while all rows pass; the caller brings so few rows at a time that
//! they stay in the cache.
use crate::simd::*;

/// Tokens that share the loads of a row.
const TOKENS: usize = 4;

/// `dx f32[T, n_cols] += dy · w` of `w f32[rows, n_cols]`; a token's gradients of these rows begin `stride` behind those
/// of the token before it.
pub fn linear(dx: &mut [f32], w: &[f32], dy: &[f32], stride: usize, n_cols: usize) {
    for (i, dx) in dx.chunks_mut(TOKENS * n_cols).enumerate() {
        let dy = &dy[i * TOKENS * stride..];
        if dx.len() == TOKENS * n_cols {
            columns::<TOKENS>(dx, w, dy, stride, n_cols);
        } else {
            for (dx, dy) in dx.chunks_exact_mut(n_cols).zip(dy.chunks(stride)) {
                columns::<1>(dx, w, dy, stride, n_cols);
            }
        }
    }
}

fn columns<const N: usize>(dx: &mut [f32], w: &[f32], dy: &[f32], stride: usize, n_cols: usize) {
    let (n_rows, vectors) = (w.len() / n_cols, n_cols & !7);
    assert!(dx.len() == N * n_cols && dy.len() >= (N - 1) * stride + n_rows);
    let first = dx.as_mut_ptr();
    for c in (0..vectors).step_by(8) {
        // SAFETY: columns c..c + 8 of rows that are there, tokens below N, and see above.
        unsafe {
            let at = |t: usize| first.add(t * n_cols + c) as *mut v128;
            let mut sums: [[v128; 2]; N] = core::array::from_fn(|t| [v128_load(at(t)), v128_load(at(t).add(1))]);
            for row in 0..n_rows {
                let w = w.as_ptr().add(row * n_cols + c) as *const v128;
                let w = [v128_load(w), v128_load(w.add(1))];
                for (t, sum) in sums.iter_mut().enumerate() {
                    let dy = f32x4_splat(*dy.get_unchecked(t * stride + row));
                    *sum = [f32x4_madd(w[0], dy, sum[0]), f32x4_madd(w[1], dy, sum[1])];
                }
            }
            for (t, sum) in sums.iter().enumerate() {
                v128_store(at(t), sum[0]);
                v128_store(at(t).add(1), sum[1]);
            }
        }
    }
    for t in 0..N {
        for c in vectors..n_cols {
            dx[t * n_cols + c] += (0..n_rows).map(|row| dy[t * stride + row] * w[row * n_cols + c]).sum::<f32>();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{close, lengths, Random};

    #[test]
    fn matches_the_transposed_product() {
        let mut random = Random(61);
        for n_cols in lengths() {
            for (n_tokens, n_rows, stride) in [(1, 5, 5), (4, 3, 9), (7, 16, 16), (9, 1, 2)] {
                let w = random.floats(n_rows * n_cols);
                let dy = random.floats((n_tokens - 1) * stride + n_rows);
                let before = random.floats(n_tokens * n_cols);
                let mut dx = before.clone();
                linear(&mut dx, &w, &dy, stride, n_cols);
                for (i, &got) in dx.iter().enumerate() {
                    let (t, c) = (i / n_cols, i % n_cols);
                    let each = (0..n_rows).map(|r| dy[t * stride + r] as f64 * w[r * n_cols + c] as f64);
                    close(got, before[i] as f64 + each.sum::<f64>(), 1e-5);
                }
            }
        }
    }
}
