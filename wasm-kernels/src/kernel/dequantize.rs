//! Rows of a weight matrix as f32: the embedding look-up. Values are those of the `gguf` package to the bit.
use super::matmul_float::Float;
use super::panel::{Panel, COLUMNS};
use super::weights::Weights;
use crate::quant::Masks;

/// `out[i] = w[ids[i]]`.
pub fn dequantize_rows(out: &mut [f32], w: Weights, ids: &[u32]) {
    let (mut panel, masks) = (Panel::EMPTY, Masks::new());
    for (out, &id) in out.chunks_exact_mut(w.n_cols).zip(ids) {
        for (i, out) in out.chunks_mut(COLUMNS).enumerate() {
            panel.fill(w, &[id as usize & !3], i * COLUMNS, out.len(), &masks);
            panel.values(w, id as usize & 3, out, &masks);
        }
    }
}

/// `out[i] = w[ids[i]]` of unquantised weights.
pub fn widen_rows<W: Float>(out: &mut [f32], w: &[W], ids: &[u32], n_cols: usize) {
    for (out, &id) in out.chunks_exact_mut(n_cols).zip(ids) {
        for (out, w) in out.iter_mut().zip(&w[id as usize * n_cols..]) {
            *out = w.widen();
        }
    }
}
