//! Exports around quantised tensors: layout at load, embedding look-up, activations.
use super::{read, write};
use crate::kernel::dequantize::{dequantize_rows as rows, widen_rows};
use crate::kernel::formats::BlockFormat;
use crate::kernel::matmul_float::{Bf16, F16};
use crate::kernel::quantize as q;
use crate::kernel::weights::{repack as interleave, Weights};
use crate::quant;
use wasm_bindgen::prelude::wasm_bindgen;

/// Bytes of one row of `n_cols` weights.
pub fn row_bytes(type_id: u32, n_cols: u32) -> u32 {
    match BlockFormat::by_id(type_id) {
        Some(format) => format.row_bytes(n_cols as usize) as u32,
        None => n_cols * if type_id == quant::F32 { 4 } else { 2 },
    }
}

/// Puts a tensor that has just been read into the layout of its kernels, in place. `scratch` has room for four
/// rows. F32, F16 and BF16 stay as they are.
#[wasm_bindgen]
pub fn repack(w: u32, scratch: u32, n_rows: u32, n_cols: u32, type_id: u32) {
    let row = row_bytes(type_id, n_cols);
    checked!(write(w, n_rows * row), write(scratch, 4 * row));
    if let Some(format) = BlockFormat::by_id(type_id) {
        let (w, scratch) = unsafe { (write(w, n_rows * row), write(scratch, 4 * row)) };
        interleave(w, scratch, n_cols as usize, format);
    }
}

/// `out f32[n_tokens, n_cols]` = the rows `ids u32[n_tokens]` of a repacked tensor.
#[wasm_bindgen]
pub fn dequantize_rows(out: u32, w: u32, ids: u32, n_tokens: u32, n_rows: u32, n_cols: u32, type_id: u32) {
    let bytes = n_rows * row_bytes(type_id, n_cols);
    checked!(write(out, 4 * n_tokens * n_cols), read(w, bytes), read(ids, 4 * n_tokens));
    let (out, ids) = unsafe { (write(out, n_tokens * n_cols), read(ids, n_tokens)) };
    #[cfg(feature = "checked")]
    assert!(ids.iter().all(|&id: &u32| id < n_rows));
    let (n, cols) = (n_rows * n_cols, n_cols as usize);
    unsafe {
        match (BlockFormat::by_id(type_id), type_id) {
            (Some(format), _) => {
                rows(out, Weights { bytes: read(w, bytes), n_rows: n_rows as usize, n_cols: cols, format }, ids)
            }
            (_, quant::F32) => widen_rows::<f32>(out, read(w, n), ids, cols),
            (_, quant::F16) => widen_rows::<F16>(out, read(w, n), ids, cols),
            _ => widen_rows::<Bf16>(out, read(w, n), ids, cols),
        }
    }
}

/// Bytes of one row of quantised activations.
#[wasm_bindgen]
pub fn quantized_bytes(n_cols: u32) -> u32 {
    q::quantized_bytes(n_cols as usize) as u32
}

/// `xq` = `x f32[n_tokens, n_cols]` as signed bytes, for products with the same `n_tokens`; `n_cols` is a multiple of
/// 32.
#[wasm_bindgen]
pub fn quantize(xq: u32, x: u32, n_tokens: u32, n_cols: u32) {
    let bytes = n_tokens * quantized_bytes(n_cols);
    checked!(write(xq, bytes), read(x, 4 * n_tokens * n_cols));
    unsafe { q::quantize(write(xq, bytes), read(x, n_tokens * n_cols), n_tokens as usize, n_cols as usize) }
}
