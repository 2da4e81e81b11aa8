//! From the rows of a text to its one vector.
use super::write;
use crate::kernel::embedding;
use wasm_bindgen::prelude::wasm_bindgen;

/// `out f32[dim] += ` the sum of the rows of `x f32[T, dim]`, the first of which is overwritten.
#[wasm_bindgen]
pub fn add_rows(out: u32, x: u32, n_tokens: u32, dim: u32) {
    let n = n_tokens * dim;
    checked!(write(out, 4 * dim), write(x, 4 * n));
    unsafe { embedding::add_rows(write(out, dim), write(x, n)) }
}

/// `x f32[n] / |x|`.
#[wasm_bindgen]
pub fn l2_normalize(x: u32, n: u32) {
    checked!(write(x, 4 * n));
    unsafe { embedding::l2_normalize(write(x, n)) }
}
