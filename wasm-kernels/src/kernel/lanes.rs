//! Walks slices of floats four at a time; the last one to three values travel in a vector padded with zeros.
use crate::simd::*;

/// The four floats of `x`.
#[inline(always)]
pub fn load(x: &[f32; 4]) -> v128 {
    // SAFETY: the reference covers 16 readable bytes.
    unsafe { v128_load(x.as_ptr() as *const v128) }
}

/// Writes four floats.
#[inline(always)]
pub fn store(x: &mut [f32; 4], v: v128) {
    // SAFETY: the reference covers 16 writable bytes.
    unsafe { v128_store(x.as_mut_ptr() as *mut v128, v) }
}

/// At most four floats, `fill` in the lanes behind them.
#[inline(always)]
pub fn load_some(x: &[f32], fill: f32) -> v128 {
    let mut lanes = [fill; 4];
    lanes[..x.len()].copy_from_slice(x);
    load(&lanes)
}

/// The first `x.len() <= 4` lanes of `v`.
#[inline(always)]
pub fn store_some(x: &mut [f32], v: v128) {
    let mut lanes = [0.0; 4];
    store(&mut lanes, v);
    x.copy_from_slice(&lanes[..x.len()]);
}

/// `x[i] = f(x[i])`. `f`, which may be long, is there once: the padded rest takes its turn in the loop.
#[inline(always)]
pub fn map(x: &mut [f32], f: impl Fn(v128) -> v128) {
    let (quads, rest) = x.as_chunks_mut::<4>();
    let mut padded = [0.0; 4];
    padded[..rest.len()].copy_from_slice(rest);
    for i in 0..=quads.len() {
        let quad = quads.get_mut(i).unwrap_or(&mut padded);
        store(quad, f(load(quad)));
    }
    rest.copy_from_slice(&padded[..rest.len()]);
}

/// `x[i] = f(x[i], y[i])`, both equally long.
#[inline(always)]
pub fn zip(x: &mut [f32], y: &[f32], f: impl Fn(v128, v128) -> v128) {
    let ((xs, x_rest), (ys, y_rest)) = (x.as_chunks_mut::<4>(), y.as_chunks::<4>());
    for (x, y) in xs.iter_mut().zip(ys) {
        store(x, f(load(x), load(y)));
    }
    if !x_rest.is_empty() {
        store_some(x_rest, f(load_some(x_rest, 0.0), load_some(y_rest, 0.0)));
    }
}

/// Folds all values into four lanes; the lanes behind the end hold `fill`.
#[inline(always)]
pub fn fold(x: &[f32], start: v128, fill: f32, f: impl Fn(v128, v128) -> v128) -> v128 {
    let (quads, rest) = x.as_chunks::<4>();
    let folded = quads.iter().fold(start, |sum, quad| f(sum, load(quad)));
    if rest.is_empty() {
        folded
    } else {
        f(folded, load_some(rest, fill))
    }
}
