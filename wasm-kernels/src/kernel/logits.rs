//! Operations on one row of logits, or of any scores. Bound by memory: one pass each.
use super::lanes::fold;
use super::math::exp_nonpositive;
use super::scalar::ln;
use crate::simd::*;

/// The largest lane; NaN counts as -infinity unless it comes last.
#[inline(always)]
pub fn max_lane(v: v128) -> f32 {
    let halves = f32x4_pmax(v, i64x2_shuffle::<1, 0>(v, v));
    f32x4_extract_lane::<0>(halves).max(f32x4_extract_lane::<1>(halves))
}

/// Largest value; NaN counts as -infinity.
#[inline(always)]
pub fn max(x: &[f32]) -> f32 {
    // `pmax(a, b)` is `a < b ? b : a`: a NaN in the second place never gets in.
    max_lane(fold(x, f32x4_splat(f32::NEG_INFINITY), f32::NEG_INFINITY, |max, v| f32x4_pmax(max, v)))
}

/// Largest value without its sign; NaN counts as 0.
#[inline(always)]
pub fn largest_size(x: &[f32]) -> f32 {
    max_lane(fold(x, f32x4_splat(0.0), 0.0, |max, v| f32x4_pmax(max, f32x4_abs(v))))
}

/// Index of the largest value, the lowest of equals; NaN counts as -infinity.
pub fn argmax(x: &[f32]) -> u32 {
    let max = max(x);
    x.iter().position(|&v| v == max).unwrap_or(0) as u32
}

/// ln(sum(e^x)), -infinity if all are; NaN counts as -infinity.
pub fn log_sum_exp(x: &[f32]) -> f32 {
    let max = max(x);
    if max.is_infinite() {
        return max;
    }
    let shift = f32x4_splat(max);
    let sum = fold(x, f32x4_splat(0.0), f32::NEG_INFINITY, |sum, v| {
        let terms = exp_nonpositive(f32x4_sub(v, shift));
        f32x4_add(sum, v128_and(terms, f32x4_eq(v, v)))
    });
    max + ln(f32x4_sum(sum))
}

/// Penalties on tokens that occurred `counts[i]` times. `repetition` divides positive logits and multiplies negative
/// ones (arXiv 1909.05858 §4.1); `frequency` is subtracted per occurrence, `presence` once.
pub fn penalize(logits: &mut [f32], ids: &[u32], counts: &[u32], repetition: f32, frequency: f32, presence: f32) {
    for (&id, &count) in ids.iter().zip(counts) {
        let logit = &mut logits[id as usize];
        *logit = if *logit > 0.0 { *logit / repetition } else { *logit * repetition };
        *logit -= count as f32 * frequency + if count > 0 { presence } else { 0.0 };
    }
}

/// `logits[ids[i]] += values[i]`.
pub fn add_at(logits: &mut [f32], ids: &[u32], values: &[f32]) {
    for (&id, &value) in ids.iter().zip(values) {
        logits[id as usize] += value;
    }
}

/// Leaves the logits whose bit in `mask` is set, the lowest bit of a word first; the others become -infinity.
pub fn keep(logits: &mut [f32], mask: &[u32]) {
    for (logits, &bits) in logits.chunks_mut(32).zip(mask) {
        if bits == u32::MAX {
            continue;
        }
        if bits == 0 {
            logits.fill(f32::NEG_INFINITY);
            continue;
        }
        for (i, logit) in logits.iter_mut().enumerate() {
            if bits >> i & 1 == 0 {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{close, lengths, Random};

    #[test]
    fn argmax_takes_the_lowest_of_equals() {
        let mut random = Random(6);
        for n in lengths() {
            let x: Vec<f32> = (0..n).map(|_| random.below(5) as f32 - 9.0).collect();
            let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(argmax(&x) as usize, x.iter().position(|&v| v == max).unwrap());
        }
        assert_eq!(argmax(&[f32::NAN, -1.0, f32::NAN, 2.0, 2.0]), 3);
        assert_eq!(argmax(&[f32::NAN; 6]), 0);
        assert_eq!(argmax(&[f32::NEG_INFINITY; 6]), 0);
    }

    #[test]
    fn log_sum_exp_matches_the_formula() {
        let mut random = Random(7);
        for n in lengths() {
            let x: Vec<f32> = random.floats(n).iter().map(|v| v * 9.0).collect();
            let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max) as f64;
            close(log_sum_exp(&x), max + x.iter().map(|&v| (v as f64 - max).exp()).sum::<f64>().ln(), 1e-6);
        }
        assert_eq!(log_sum_exp(&[f32::NEG_INFINITY; 5]), f32::NEG_INFINITY);
        assert_eq!(log_sum_exp(&[3.0, f32::NAN]), 3.0);
    }

    #[test]
    fn penalties_hit_the_named_tokens() {
        let mut x = [2.0, -2.0, 1.0, 0.5];
        penalize(&mut x, &[0, 1, 2], &[2, 1, 0], 2.0, 0.25, 0.125);
        assert_eq!(x, [1.0 - 0.5 - 0.125, -4.0 - 0.25 - 0.125, 0.5, 0.5]);
        add_at(&mut x, &[3, 0], &[1.0, -0.375]);
        assert_eq!(x, [0.0, -4.375, 0.5, 1.5]);
    }

    #[test]
    fn a_mask_leaves_what_it_names() {
        let mut random = Random(8);
        for n in lengths() {
            let x = random.floats(n);
            let mask: Vec<u32> = (0..n.div_ceil(32)).map(|i| [0, u32::MAX, random.bits()][i % 3]).collect();
            let mut got = x.clone();
            keep(&mut got, &mask);
            for i in 0..n {
                let wanted = if mask[i / 32] >> (i % 32) & 1 == 1 { x[i] } else { f32::NEG_INFINITY };
                assert_eq!(got[i], wanted);
            }
        }
    }
}
