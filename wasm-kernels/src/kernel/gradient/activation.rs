//! The reverse of activations and of gates, and of values held within a limit.
//!
//! ```text
//! silu'(x) = s + x s (1 - s)                  s = sigmoid(x)
//! gelu'(x) = s + x s (1 - s) (2u)'            by tanh: s = sigmoid(2u), see activation.rs
//! gelu'(x) = cdf(x) + x e^(-x²/2) / √(2π)     by erf
//! ```
use crate::kernel::activation::{activate, Activation};
use crate::kernel::lanes::{map, zip};
use crate::kernel::math::{exp_nonpositive, normal_cdf, sigmoid};
use crate::simd::*;
use core::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, SQRT_2};

/// Values that are worked on together.
const PIECE: usize = 256;

/// `x = f'(x)`.
fn derivative(x: &mut [f32], f: Activation) {
    let one = f32x4_splat(1.0);
    // s + x s (1 - s) slope
    let logistic = |x: v128, s: v128, slope: v128| f32x4_madd(f32x4_mul(x, slope), f32x4_mul(s, f32x4_sub(one, s)), s);
    match f {
        Activation::Silu => map(x, |x| logistic(x, sigmoid(x), one)),
        Activation::GeluTanh => map(x, |x| {
            const SLOPE: f32 = FRAC_2_SQRT_PI * SQRT_2;
            let squared = f32x4_mul(x, x);
            let ratio = f32x4_madd(squared, f32x4_splat(0.044_715 * SLOPE), f32x4_splat(SLOPE));
            let slope = f32x4_madd(squared, f32x4_splat(3.0 * 0.044_715 * SLOPE), f32x4_splat(SLOPE));
            logistic(x, sigmoid(f32x4_mul(x, ratio)), slope)
        }),
        Activation::GeluErf => map(x, |x| {
            let density = exp_nonpositive(f32x4_mul(f32x4_mul(x, x), f32x4_splat(-0.5)));
            let density = f32x4_mul(density, f32x4_splat(0.5 * FRAC_2_SQRT_PI * FRAC_1_SQRT_2));
            f32x4_madd(x, density, normal_cdf(x))
        }),
        Activation::Relu => map(x, |x| v128_and(one, f32x4_gt(x, f32x4_splat(0.0)))),
    }
}

/// `dy *= f'(x)`, in place; `x` becomes `f'(x)`.
pub fn activation(dy: &mut [f32], x: &mut [f32], f: Activation) {
    derivative(x, f);
    zip(dy, x, |dy, slope| f32x4_mul(dy, slope));
}

/// Of `y = f(gate) * up`: `gate` and `up` become their gradients.
pub fn gate(dy: &[f32], gate: &mut [f32], up: &mut [f32], f: Activation) {
    let pieces = dy.chunks(PIECE).zip(gate.chunks_mut(PIECE)).zip(up.chunks_mut(PIECE));
    for ((dy, gate), up) in pieces {
        let mut activated = [0.0; PIECE];
        let activated = &mut activated[..gate.len()];
        activated.copy_from_slice(gate);
        activate(activated, f);
        derivative(gate, f);
        zip(gate, up, |slope, up| f32x4_mul(slope, up));
        zip(gate, dy, |gate, dy| f32x4_mul(gate, dy));
        up.copy_from_slice(activated);
        zip(up, dy, |up, dy| f32x4_mul(up, dy));
    }
}

/// Of `x` held within `limit`: where it met the limit there is no gradient.
pub fn clamp(dy: &mut [f32], x: &[f32], limit: f32) {
    zip(dy, x, |dy, x| v128_and(dy, f32x4_lt(f32x4_abs(x), f32x4_splat(limit))));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{close, lengths, Random};

    /// In float64.
    fn value(f: Activation, x: f64) -> f64 {
        match f {
            Activation::Silu => x / (1.0 + (-x).exp()),
            Activation::GeluTanh => 0.5 * x * (1.0 + (0.797_884_560_802_865_4 * (x + 0.044715 * x.powi(3))).tanh()),
            Activation::GeluErf => {
                // Simpson's rule on the density from 0 to x.
                let (n, h) = (400, x / 400.0);
                let density = |i: i32| (-0.5 * (h * i as f64).powi(2)).exp();
                let inner = (1..n).map(|i| density(i) * if i % 2 == 1 { 4.0 } else { 2.0 }).sum::<f64>();
                let integral = (density(0) + inner + density(n)) * h / 3.0;
                x * (0.5 + integral / (2.0 * std::f64::consts::PI).sqrt())
            }
            Activation::Relu => x.max(0.0),
        }
    }

    #[test]
    fn gates_and_activations_match_finite_differences() {
        let mut random = Random(63);
        for n in lengths() {
            let x: Vec<f32> = random.floats(n).iter().map(|x| 2.0 * x).collect();
            let (up, dy) = (random.floats(n), random.floats(n));
            for id in 0..4 {
                let f = || Activation::from_id(id);
                let (mut alone, mut d_gate, mut d_up) = (dy.clone(), x.clone(), up.clone());
                activation(&mut alone, &mut x.clone(), f());
                gate(&dy, &mut d_gate, &mut d_up, f());
                for i in 0..n {
                    let (at, dy) = (x[i] as f64, dy[i] as f64);
                    let slope = (value(f(), at + 1e-5) - value(f(), at - 1e-5)) / 2e-5;
                    close(alone[i], dy * slope, 1e-5);
                    close(d_gate[i], dy * slope * up[i] as f64, 2e-5);
                    close(d_up[i], dy * value(f(), at), 1e-5);
                }
            }
        }
    }

    #[test]
    fn what_met_the_limit_has_no_gradient() {
        let mut dy = [1.0, 2.0, 3.0, 4.0, 5.0];
        clamp(&mut dy, &[0.5, -1.0, 1.0, -0.9, 0.0], 1.0);
        assert_eq!(dy, [1.0, 0.0, 0.0, 4.0, 5.0]);
    }
}
