//! Matrix products.
use super::quant::quantized_bytes;
use super::{read, write};
use crate::kernel::matmul::{matmul as quantised, Product};
use crate::kernel::matmul_float::{matmul_float, Bf16, F16};
use crate::kernel::weights::Weights;
use crate::quant::{self, row_bytes, with_format};
use wasm_bindgen::prelude::wasm_bindgen;

/// `out f32[n_tokens, n_rows]` = `x · wᵀ`, added to what is there if `accumulate`. `x` is f32 for F32, F16 and BF16
/// weights, and comes from `quantize` for all others.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn matmul(out: u32, w: u32, x: u32, n_tokens: u32, n_rows: u32, n_cols: u32, type_id: u32, accumulate: bool) {
    let bytes = n_rows as usize * row_bytes(type_id, n_cols as usize);
    let plain = matches!(type_id, quant::F32 | quant::F16 | quant::BF16);
    let x_bytes = n_tokens * if plain { 4 * n_cols } else { quantized_bytes(n_cols) };
    checked!(write(out, 4 * n_tokens * n_rows), read(w, bytes), read(x, x_bytes));
    let (rows, cols) = (n_rows as usize, n_cols as usize);
    unsafe {
        let out = write(out, n_tokens * n_rows);
        match type_id {
            quant::F32 => {
                matmul_float::<f32>(out, read(w, n_rows * n_cols), read(x, n_tokens * n_cols), rows, cols, accumulate)
            }
            quant::F16 => {
                matmul_float::<F16>(out, read(w, n_rows * n_cols), read(x, n_tokens * n_cols), rows, cols, accumulate)
            }
            quant::BF16 => {
                matmul_float::<Bf16>(out, read(w, n_rows * n_cols), read(x, n_tokens * n_cols), rows, cols, accumulate)
            }
            _ => {
                let w = Weights { bytes: read(w, bytes as u32), n_rows: rows, n_cols: cols };
                let mut product = Product { out, x: read(x, x_bytes), n_tokens: n_tokens as usize, accumulate };
                with_format!(type_id, F => quantised::<F>(&mut product, w), ())
            }
        }
    }
}
