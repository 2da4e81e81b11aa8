//! Matrix products.
use super::quant::{quantized_bytes, row_bytes};
use super::{read, write};
use crate::kernel::formats::BlockFormat;
use crate::kernel::matmul::{matmul as quantised, Product};
use crate::kernel::matmul_float::{matmul_float, Bf16, F16};
use crate::kernel::weights::Weights;
use crate::quant;
use wasm_bindgen::prelude::wasm_bindgen;

/// `out f32[n_tokens, n_rows]` = `x · wᵀ`, added to what is there if `accumulate`. `x` is f32 for F32, F16 and BF16
/// weights, and comes from `quantize` for all others.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn matmul(out: u32, w: u32, x: u32, n_tokens: u32, n_rows: u32, n_cols: u32, type_id: u32, accumulate: bool) {
    let (format, bytes) = (BlockFormat::by_id(type_id), n_rows * row_bytes(type_id, n_cols));
    let x_bytes = n_tokens * if format.is_none() { 4 * n_cols } else { quantized_bytes(n_cols) };
    checked!(write(out, 4 * n_tokens * n_rows), read(w, bytes), read(x, x_bytes));
    let (rows, cols) = (n_rows as usize, n_cols as usize);
    unsafe {
        let out = write(out, n_tokens * n_rows);
        if let Some(format) = format {
            let w = Weights { bytes: read(w, bytes), n_rows: rows, n_cols: cols, format };
            let mut product = Product { out, x: read(x, x_bytes), n_tokens: n_tokens as usize, accumulate };
            return quantised(&mut product, w);
        }
        let x = read(x, n_tokens * n_cols);
        match type_id {
            quant::F32 => matmul_float::<f32>(out, read(w, n_rows * n_cols), x, rows, cols, accumulate),
            quant::F16 => matmul_float::<F16>(out, read(w, n_rows * n_cols), x, rows, cols, accumulate),
            _ => matmul_float::<Bf16>(out, read(w, n_rows * n_cols), x, rows, cols, accumulate),
        }
    }
}
