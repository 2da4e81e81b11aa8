//! The `k` largest of `n` values, in order; one kernel for sampling and for key-token selection.
//!
//! ```text
//! heap of the first k, the worst of them on top
//! for every other value above the top: it replaces the top, which sinks to its place
//! sort the heap
//! ```
//! Four values a time are compared with the top, and almost all of them fail, so that the pass is bound by memory;
//! the heap lies in the output. Larger values come first, the lower index first among equals, NaN last.
use super::lanes::load;
use crate::simd::*;

/// Does `a` come after `b`? Each is a value and its index.
#[inline(always)]
fn worse(a: (f32, u32), b: (f32, u32)) -> bool {
    match a.0.partial_cmp(&b.0) {
        Some(order) => order.is_lt() || (order.is_eq() && a.1 > b.1),
        None => (a.0.is_nan(), a.1) > (b.0.is_nan(), b.1),
    }
}

/// Lets the entry at `hole` sink until no child is worse than it.
fn sink(ids: &mut [u32], values: &mut [f32], mut hole: usize) {
    loop {
        let entry = |i: usize| (values[i], ids[i]);
        let left = 2 * hole + 1;
        if left >= ids.len() {
            return;
        }
        let right = left + 1;
        let child = if right < ids.len() && worse(entry(right), entry(left)) { right } else { left };
        if !worse(entry(child), entry(hole)) {
            return;
        }
        ids.swap(hole, child);
        values.swap(hole, child);
        hole = child;
    }
}

/// Writes indices and values of the `ids.len()` largest of `x`, best first. `ids` and `values` are equally long, and no
/// longer than `x`.
pub fn topk(ids: &mut [u32], values: &mut [f32], x: &[f32]) {
    let k = ids.len();
    if k == 0 {
        return;
    }
    for (i, id) in ids.iter_mut().enumerate() {
        *id = i as u32;
    }
    values.copy_from_slice(&x[..k]);
    for i in (0..k / 2).rev() {
        sink(ids, values, i);
    }
    let mut bound = values[0];
    let mut offer = |i: usize| {
        if worse((values[0], ids[0]), (x[i], i as u32)) {
            (values[0], ids[0]) = (x[i], i as u32);
            sink(ids, values, 0);
        }
        values[0]
    };
    let (quads, rest) = x[k..].as_chunks::<4>();
    for (q, quad) in quads.iter().enumerate() {
        // Until the last NaN has left the heap nothing compares as above it.
        if bound.is_nan() || v128_any_true(f32x4_gt(load(quad), f32x4_splat(bound))) {
            for i in 0..4 {
                bound = offer(k + 4 * q + i);
            }
        }
    }
    for i in 0..rest.len() {
        offer(x.len() - rest.len() + i);
    }
    for end in (1..k).rev() {
        ids.swap(0, end);
        values.swap(0, end);
        sink(&mut ids[..end], &mut values[..end], 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{lengths, Random};

    fn check(x: &[f32], k: usize) {
        let mut wanted: Vec<(f32, u32)> = x.iter().copied().zip(0..).collect();
        wanted.sort_by(|&a, &b| {
            a.0.is_nan().cmp(&b.0.is_nan()).then(b.0.partial_cmp(&a.0).unwrap_or(a.1.cmp(&b.1))).then(a.1.cmp(&b.1))
        });
        let (mut ids, mut values) = (vec![0; k], vec![0.0; k]);
        topk(&mut ids, &mut values, x);
        assert_eq!(ids, wanted[..k].iter().map(|w| w.1).collect::<Vec<_>>(), "k = {k} of {x:?}");
        for (got, wanted) in values.iter().zip(&wanted) {
            assert!(*got == wanted.0 || got.is_nan() && wanted.0.is_nan());
        }
    }

    #[test]
    fn topk_equals_a_sort() {
        let mut random = Random(8);
        for n in lengths() {
            for k in [0, 1, 2, 3, 5, 8, 40, n / 2, n - 1, n].into_iter().filter(|&k| k <= n) {
                check(&random.floats(n), k);
                let ties: Vec<f32> = (0..n).map(|_| random.below(4) as f32).collect();
                check(&ties, k);
            }
        }
    }

    #[test]
    fn nan_comes_last_and_infinities_sort() {
        let odd =
            [f32::NAN, f32::NEG_INFINITY, 1.0, f32::NAN, f32::INFINITY, -0.0, 0.0, f32::NAN, 2.0, f32::NEG_INFINITY];
        for k in 0..=odd.len() {
            check(&odd, k);
        }
        check(&[f32::NAN; 9], 5);
    }
}
