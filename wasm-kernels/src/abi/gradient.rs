//! Gradients; see `kernel::gradient`.
use super::{optional, read, write};
use crate::kernel::activation::Activation;
use crate::kernel::gradient::attend::{attend, Attention, Gradients};
use crate::kernel::gradient::loss::{cross_entropy, Head};
use crate::kernel::gradient::{activation, linear, norm, squares};
use wasm_bindgen::prelude::wasm_bindgen;

/// `dx f32[T, n_cols] += dy · w` of the rows `w f32[n_rows, n_cols]`, whose gradients begin `first` numbers into each row
/// of `dy f32[T, stride]`.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn linear_back(dx: u32, w: u32, dy: u32, n_tokens: u32, n_rows: u32, n_cols: u32, stride: u32, first: u32) {
    checked!(write(dx, 4 * n_tokens * n_cols), read(w, 4 * n_rows * n_cols), read(dy, 4 * n_tokens * stride));
    let dx = unsafe { write(dx, n_tokens * n_cols) };
    let (w, dy) = unsafe { (read(w, n_rows * n_cols), read(dy, n_tokens * stride)) };
    linear::linear(dx, w, &dy[first as usize..], stride as usize, n_cols as usize)
}

/// `dy f32[T, dim]` behind a norm becomes the gradient before it; `x f32[T, dim]` is what was normed.
#[wasm_bindgen]
pub fn norm_back(dy: u32, x: u32, weight: u32, n_tokens: u32, dim: u32, eps: f32, centred: bool) {
    let n = n_tokens * dim;
    checked!(write(dy, 4 * n), read(x, 4 * n), read(weight, 4 * dim));
    unsafe { norm::norm(write(dy, n), read(x, n), read(weight, dim), dim as usize, eps, centred) }
}

/// `dy` behind an activation becomes the gradient before it; `x`, what was activated, is overwritten.
#[wasm_bindgen]
pub fn activate_back(dy: u32, x: u32, n: u32, kind: u32) {
    checked!(write(dy, 4 * n), write(x, 4 * n));
    unsafe { activation::activation(write(dy, n), write(x, n), Activation::from_id(kind)) }
}

/// What met in `f(gate) * up` becomes the gradients with respect to both, by that behind them.
#[wasm_bindgen]
pub fn gate_back(dy: u32, gate: u32, up: u32, n: u32, kind: u32) {
    checked!(read(dy, 4 * n), write(gate, 4 * n), write(up, 4 * n));
    unsafe { activation::gate(read(dy, n), write(gate, n), write(up, n), Activation::from_id(kind)) }
}

/// `dy` is 0 where `x`, held within `limit`, met it.
#[wasm_bindgen]
pub fn clamp_back(dy: u32, x: u32, n: u32, limit: f32) {
    checked!(write(dy, 4 * n), read(x, 4 * n));
    unsafe { activation::clamp(write(dy, n), read(x, n), limit) }
}

/// Logits `f32[T, n_vocab]` become gradients of the cross-entropy of the tokens that follow, `targets u32[T]`, with respect
/// to the products they were made of; returns that cross-entropy, summed. `softcap` 0: none.
#[wasm_bindgen]
pub fn cross_entropy_back(logits: u32, targets: u32, n_tokens: u32, n_vocab: u32, scale: f32, softcap: f32) -> f64 {
    let n = n_tokens * n_vocab;
    checked!(write(logits, 4 * n), read(targets, 4 * n_tokens));
    let head = Head { scale, softcap };
    unsafe { cross_entropy(write(logits, n), read(targets, n_tokens), n_vocab as usize, head) }
}

/// Gradients `dq f32[T, H, key_dim]`, `dk f32[T, G, key_dim]`, `dv f32[T, G, value_dim]` of attention of a text to itself, its
/// tokens at positions 0 to T, by `d_out f32[T, H, value_dim]`; `lse f32[H, T]`, and `slopes f32[H]` or 0. `mass f32[G, T]`
/// becomes the attention that each token gets from all that see it.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn attend_back(
    dq: u32,
    dk: u32,
    dv: u32,
    mass: u32,
    q: u32,
    k: u32,
    v: u32,
    out: u32,
    d_out: u32,
    lse: u32,
    slopes: u32,
    n_tokens: u32,
    n_heads: u32,
    n_kv_heads: u32,
    key_dim: u32,
    value_dim: u32,
    scale: f32,
    softcap: f32,
    window: u32,
) {
    let rows = n_tokens * n_heads;
    let (n_q, n_out) = (rows * key_dim, rows * value_dim);
    let (n_k, n_v) = (n_tokens * n_kv_heads * key_dim, n_tokens * n_kv_heads * value_dim);
    checked!(
        write(dq, 4 * n_q),
        write(dk, 4 * n_k),
        write(dv, 4 * n_v),
        write(mass, 4 * n_tokens * n_kv_heads),
        read(q, 4 * n_q),
        read(k, 4 * n_k),
        read(v, 4 * n_v),
        read(out, 4 * n_out),
        read(d_out, 4 * n_out),
        read(lse, 4 * rows),
    );
    unsafe {
        let mass = write(mass, n_tokens * n_kv_heads);
        let mut gradients = Gradients { q: write(dq, n_q), k: write(dk, n_k), v: write(dv, n_v), mass };
        let attention = Attention {
            q: read(q, n_q),
            k: read(k, n_k),
            v: read(v, n_v),
            out: read(out, n_out),
            d_out: read(d_out, n_out),
            lse: read(lse, rows),
            slopes: optional(slopes, n_heads),
            n_heads: n_heads as usize,
            n_kv_heads: n_kv_heads as usize,
            key_dim: key_dim as usize,
            value_dim: value_dim as usize,
            scale,
            softcap,
            window: window as usize,
        };
        attend(&mut gradients, attention);
    }
}

/// Weights `f32[heads, T, dim / channels]`: gradients `f32[T, heads, dim]` squared and summed over groups of channels.
#[wasm_bindgen]
pub fn square_groups(weights: u32, gradients: u32, n_tokens: u32, n_heads: u32, dim: u32, channels: u32) {
    let n = n_tokens * n_heads * dim;
    checked!(write(weights, 4 * n / channels), read(gradients, 4 * n));
    unsafe {
        let (weights, gradients) = (write(weights, n / channels), read(gradients, n));
        squares::squares(weights, gradients, n_heads as usize, dim as usize, channels as usize);
    }
}
