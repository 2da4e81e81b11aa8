//! Cross-entropy of the next token, and its reverse through the soft cap and the scale of logits.
//!
//! ```text
//! logit = cap tanh(scale y / cap)        loss = log Σ e^logit - logit[target]
//! dy    = (softmax(logits) - [token = target]) (1 - (logit / cap)²) scale
//! ```
use crate::kernel::lanes::map;
use crate::kernel::logits::log_sum_exp;
use crate::kernel::math::exp;
use crate::simd::*;

/// What made logits of products.
#[derive(Clone, Copy)]
pub struct Head {
    pub scale: f32,
    /// 0: none.
    pub softcap: f32,
}

/// Logits `f32[T, n_vocab]` become gradients with respect to the products that they were made of; returns the loss, summed.
pub fn cross_entropy(logits: &mut [f32], targets: &[u32], n_vocab: usize, head: Head) -> f64 {
    let mut loss = 0.0;
    let bend = if head.softcap > 0.0 { 1.0 / (head.softcap * head.softcap) } else { 0.0 };
    let slope = |logit: f32| head.scale * (1.0 - logit * logit * bend);
    for (row, &target) in logits.chunks_exact_mut(n_vocab).zip(targets) {
        let (sum, wanted) = (log_sum_exp(row), row[target as usize]);
        loss += sum as f64 - wanted as f64;
        let (lse, minus_bend, scale) = (f32x4_splat(sum), f32x4_splat(-bend), f32x4_splat(head.scale));
        map(row, |logit| {
            let slope = f32x4_madd(f32x4_mul(logit, logit), minus_bend, f32x4_splat(1.0));
            f32x4_mul(exp(f32x4_sub(logit, lse)), f32x4_mul(slope, scale))
        });
        row[target as usize] -= slope(wanted);
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{close, Random};

    #[test]
    fn matches_finite_differences() {
        let mut random = Random(64);
        for (n_vocab, scale, cap) in [(5, 1.0, 0.0), (33, 0.5, 3.0), (130, 2.0, 30.0)] {
            let y: Vec<f64> = random.floats(2 * n_vocab).iter().map(|&y| y as f64).collect();
            let targets = [1, n_vocab as u32 - 1];
            let logit = |y: f64| if cap > 0.0 { cap * (scale * y / cap).tanh() } else { scale * y };
            let loss = |y: &[f64]| {
                let rows = y.chunks(n_vocab).zip(targets);
                let each = rows
                    .map(|(y, target)| y.iter().map(|&y| logit(y).exp()).sum::<f64>().ln() - logit(y[target as usize]));
                each.sum::<f64>()
            };
            let mut got: Vec<f32> = y.iter().map(|&y| logit(y) as f32).collect();
            let head = Head { scale: scale as f32, softcap: cap as f32 };
            let found = cross_entropy(&mut got, &targets, n_vocab, head);
            close(found as f32, loss(&y), 1e-5);
            for i in 0..y.len() {
                let at = |step: f64| {
                    let mut y = y.clone();
                    y[i] += step;
                    loss(&y)
                };
                close(got[i], (at(1e-5) - at(-1e-5)) / 2e-5, 1e-5);
            }
        }
    }
}
