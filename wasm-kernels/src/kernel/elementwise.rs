//! Sums and products of whole buffers. Bound by memory.
use super::lanes::{map, zip};
use crate::simd::*;

/// `x += y`.
pub fn add(x: &mut [f32], y: &[f32]) {
    zip(x, y, |x, y| f32x4_add(x, y));
}

/// Adds `bias` to every row of `x`.
pub fn add_bias(x: &mut [f32], bias: &[f32]) {
    for row in x.chunks_exact_mut(bias.len()) {
        add(row, bias);
    }
}

/// `x *= factor`.
pub fn scale(x: &mut [f32], factor: f32) {
    map(x, |v| f32x4_mul(v, f32x4_splat(factor)));
}

/// `x` held within `-limit` and `limit`.
pub fn clamp(x: &mut [f32], limit: f32) {
    map(x, |v| f32x4_max(f32x4_splat(-limit), f32x4_min(f32x4_splat(limit), v)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{lengths, Random};

    #[test]
    fn each_value_is_met_once() {
        let mut random = Random(4);
        for n in lengths() {
            let (x, y) = (random.floats(3 * n), random.floats(n));
            let mut got = x.clone();
            add_bias(&mut got, &y);
            scale(&mut got, 0.5);
            for i in 0..3 * n {
                assert_eq!(got[i], (x[i] + y[i % n]) * 0.5);
            }
        }
    }

    #[test]
    fn clamped_values_keep_to_the_limit() {
        let mut random = Random(5);
        for n in lengths() {
            let x = random.floats(n);
            let mut got = x.clone();
            clamp(&mut got, 0.25);
            assert!(got.iter().zip(&x).all(|(&got, x)| got == x.clamp(-0.25, 0.25)));
        }
    }
}
