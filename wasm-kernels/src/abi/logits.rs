//! One row of logits, where it lies.
use super::{read, write};
use crate::kernel::{logits, topk as kernel};
use wasm_bindgen::prelude::wasm_bindgen;

/// Index of the largest of `x f32[n]`, the lowest of equals; NaN never wins.
#[wasm_bindgen]
pub fn argmax(x: u32, n: u32) -> u32 {
    checked!(read(x, 4 * n));
    unsafe { logits::argmax(read(x, n)) }
}

/// The `k <= n` largest of `x f32[n]`, best first, as `ids u32[k]` and `values f32[k]`; ties to the lower index.
#[wasm_bindgen]
pub fn topk(ids: u32, values: u32, x: u32, n: u32, k: u32) {
    checked!(write(ids, 4 * k), write(values, 4 * k), read(x, 4 * n));
    unsafe { kernel::topk(write(ids, k), write(values, k), read(x, n)) }
}

/// ln(sum(e^x)) of `x f32[n]`.
#[wasm_bindgen]
pub fn log_sum_exp(x: u32, n: u32) -> f32 {
    checked!(read(x, 4 * n));
    unsafe { logits::log_sum_exp(read(x, n)) }
}

/// Penalises the `m` tokens `ids`, which occurred `counts` times, in the row `x`.
#[wasm_bindgen]
pub fn penalize(x: u32, ids: u32, counts: u32, m: u32, repetition: f32, frequency: f32, presence: f32) {
    checked!(read(ids, 4 * m), read(counts, 4 * m));
    let (row, ids, counts) = unsafe { (row_up_to(x, read(ids, m)), read(ids, m), read(counts, m)) };
    logits::penalize(row, ids, counts, repetition, frequency, presence)
}

/// `x[ids[i]] += values[i]` for `i < m`.
#[wasm_bindgen]
pub fn add_at(x: u32, ids: u32, values: u32, m: u32) {
    checked!(read(ids, 4 * m), read(values, 4 * m));
    let (row, ids, values) = unsafe { (row_up_to(x, read(ids, m)), read(ids, m), read(values, m)) };
    logits::add_at(row, ids, values)
}

/// Sends the logits of `x f32[n]` to -infinity whose bit in `mask u32[ceil(n / 32)]` is not set.
#[wasm_bindgen]
pub fn keep(x: u32, mask: u32, n: u32) {
    let words = n.div_ceil(32);
    checked!(write(x, 4 * n), read(mask, 4 * words));
    unsafe { logits::keep(write(x, n), read(mask, words)) }
}

/// The part of a row up to the highest of `ids`.
unsafe fn row_up_to<'a>(x: u32, ids: &[u32]) -> &'a mut [f32] {
    write(x, ids.iter().max().map_or(0, |id| id + 1))
}

/// The float at an address: one logit, without a view of memory.
#[wasm_bindgen]
pub fn read_f32(address: u32) -> f32 {
    unsafe { read::<f32>(address, 1)[0] }
}
