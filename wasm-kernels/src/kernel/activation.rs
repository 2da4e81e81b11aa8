//! Pointwise functions of feed-forward layers and of logits, in place. Sources: arXiv 2002.05202 (gated units),
//! 1606.08415 (GELU), 2408.00118 §2 (soft-capping).
//!
//! Both forms of GELU are `x * s(x)` with `s` from 0 to 1, computed without the difference `1 + tanh` or `1 + erf`, so
//! that large negative arguments keep their precision: the tanh form is `x * sigmoid(2u)`.
use super::lanes::{map, zip};
use super::math::{normal_cdf, sigmoid, tanh};
use crate::simd::*;

/// The exports' ids of activation functions.
#[derive(Clone, Copy, Debug)]
pub enum Activation {
    Silu = 0,
    GeluTanh = 1,
    GeluErf = 2,
    Relu = 3,
}

impl Activation {
    pub fn from_id(id: u32) -> Self {
        [Self::Silu, Self::GeluTanh, Self::GeluErf, Self::Relu][id as usize]
    }
}

/// Values that are activated before they are multiplied.
const PIECE: usize = 1024;

#[inline(always)]
fn silu(x: v128) -> v128 {
    f32x4_mul(x, sigmoid(x))
}

#[inline(always)]
fn gelu_tanh(x: v128) -> v128 {
    // 2u = 2 √(2/π) (x + 0.044715 x³)
    const SLOPE: f32 = core::f32::consts::FRAC_2_SQRT_PI * core::f32::consts::SQRT_2;
    let cubic = f32x4_madd(f32x4_mul(x, x), f32x4_splat(0.044_715 * SLOPE), f32x4_splat(SLOPE));
    f32x4_mul(x, sigmoid(f32x4_mul(x, cubic)))
}

#[inline(always)]
fn gelu_erf(x: v128) -> v128 {
    f32x4_mul(x, normal_cdf(x))
}

#[inline(always)]
fn relu(x: v128) -> v128 {
    f32x4_pmax(x, f32x4_splat(0.0))
}

/// `x = f(x)`.
#[inline(never)]
pub fn activate(x: &mut [f32], f: Activation) {
    match f {
        Activation::Silu => map(x, silu),
        Activation::GeluTanh => map(x, gelu_tanh),
        Activation::GeluErf => map(x, gelu_erf),
        Activation::Relu => map(x, relu),
    }
}

/// `x = f(x) * up`.
pub fn gate(x: &mut [f32], up: &[f32], f: Activation) {
    // Pieces that stay in the first cache between the two passes.
    for (x, up) in x.chunks_mut(PIECE).zip(up.chunks(PIECE)) {
        activate(x, f);
        zip(x, up, |x, up| f32x4_mul(x, up));
    }
}

/// `cap * tanh(x / cap)` of four values.
#[inline(always)]
pub fn softcapped(x: v128, cap: f32) -> v128 {
    f32x4_mul(f32x4_splat(cap), tanh(f32x4_mul(x, f32x4_splat(1.0 / cap))))
}

/// `x = cap * tanh(x / cap)`.
pub fn softcap(x: &mut [f32], cap: f32) {
    map(x, |x| softcapped(x, cap));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{close, lengths, Random};

    fn wanted(f: Activation, x: f64) -> f64 {
        match f {
            Activation::Silu => x / (1.0 + (-x).exp()),
            Activation::GeluTanh => 0.5 * x * (1.0 + (0.797_884_560_802_865_4 * (x + 0.044715 * x.powi(3))).tanh()),
            Activation::GeluErf => {
                let (mut sum, mut term) = (x, x);
                for i in 1..300 {
                    term *= x * x / (2 * i + 1) as f64;
                    sum += term;
                }
                x * (0.5 + sum * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt())
            }
            Activation::Relu => x.max(0.0),
        }
    }

    #[test]
    fn every_function_matches_its_formula() {
        let mut random = Random(3);
        for n in lengths() {
            let x: Vec<f32> = random.floats(n).iter().map(|v| v * 3.0).collect();
            let up = random.floats(n);
            for id in 0..4 {
                let f = Activation::from_id(id);
                let (mut alone, mut gated) = (x.clone(), x.clone());
                activate(&mut alone, f);
                gate(&mut gated, &up, f);
                for i in 0..n {
                    close(alone[i], wanted(f, x[i] as f64), 3e-6);
                    close(gated[i], wanted(f, x[i] as f64) * up[i] as f64, 3e-6);
                }
            }
        }
    }

    #[test]
    fn softcap_stays_below_its_cap() {
        let mut x = [-1e30, -30.0, 0.0, 15.0, f32::INFINITY];
        softcap(&mut x, 30.0);
        for (got, wanted) in x.iter().zip([-30.0, -30.0 * 1f64.tanh(), 0.0, 30.0 * 0.5f64.tanh(), 30.0]) {
            close(*got, wanted, 1e-6);
        }
    }
}
