//! Norms, rotary positions and pointwise functions.
use super::{optional, place, read, write};
use crate::kernel::{activation, elementwise, norm, rope};
use wasm_bindgen::prelude::wasm_bindgen;

/// `out = x * weight / rms(x)` per row of `dim`; `weight` 0: none. `out` may be `x`.
#[wasm_bindgen]
pub fn rmsnorm(out: u32, x: u32, weight: u32, n_tokens: u32, dim: u32, eps: f32) {
    let n = n_tokens * dim;
    checked!(write(out, 4 * n));
    unsafe { norm::rmsnorm(place(out, x, n), optional(weight, dim), dim as usize, eps) }
}

/// `out = (x - mean) / deviation * weight + bias` per row of `dim`; `bias` 0: none. `out` may be `x`.
#[wasm_bindgen]
pub fn layernorm(out: u32, x: u32, weight: u32, bias: u32, n_tokens: u32, dim: u32, eps: f32) {
    let n = n_tokens * dim;
    checked!(write(out, 4 * n), read(weight, 4 * dim));
    unsafe { norm::layernorm(place(out, x, n), read(weight, dim), optional(bias, dim), dim as usize, eps) }
}

/// `out += x`.
#[wasm_bindgen]
pub fn add(out: u32, x: u32, n: u32) {
    checked!(write(out, 4 * n), read(x, 4 * n));
    unsafe { elementwise::add(write(out, n), read(x, n)) }
}

/// `x[t] += bias` for every row of `n`.
#[wasm_bindgen]
pub fn add_bias(x: u32, bias: u32, n_tokens: u32, n: u32) {
    checked!(write(x, 4 * n_tokens * n), read(bias, 4 * n));
    unsafe { elementwise::add_bias(write(x, n_tokens * n), read(bias, n)) }
}

/// `x *= factor`.
#[wasm_bindgen]
pub fn scale(x: u32, n: u32, factor: f32) {
    checked!(write(x, 4 * n));
    unsafe { elementwise::scale(write(x, n), factor) }
}

/// `x` held within `-limit` and `limit`.
#[wasm_bindgen]
pub fn clamp(x: u32, n: u32, limit: f32) {
    checked!(write(x, 4 * n));
    unsafe { elementwise::clamp(write(x, n), limit) }
}

/// `x = f(x)`; `kind`: 0 SiLU, 1 GELU by tanh, 2 GELU by erf, 3 ReLU.
#[wasm_bindgen]
pub fn activate(x: u32, n: u32, kind: u32) {
    checked!(write(x, 4 * n));
    unsafe { activation::activate(write(x, n), activation::Activation::from_id(kind)) }
}

/// `out = f(gate) * up`; `out` may be `gate`. `kind` as in `activate`.
#[wasm_bindgen]
pub fn gate(out: u32, gate: u32, up: u32, n: u32, kind: u32) {
    checked!(write(out, 4 * n), read(up, 4 * n));
    unsafe { activation::gate(place(out, gate, n), read(up, n), activation::Activation::from_id(kind)) }
}

/// `x = cap * tanh(x / cap)`.
#[wasm_bindgen]
pub fn softcap(x: u32, n: u32, cap: f32) {
    checked!(write(x, 4 * n));
    unsafe { activation::softcap(write(x, n), cap) }
}

/// `table f32[T, half, 2] = mscale * (cos, sin)(positions[t] * inv_freq[i])`.
#[wasm_bindgen]
pub fn rope_table(table: u32, positions: u32, inv_freq: u32, n_tokens: u32, half: u32, mscale: f32) {
    let n = n_tokens * half * 2;
    checked!(write(table, 4 * n), read(positions, 4 * n_tokens), read(inv_freq, 4 * half));
    unsafe { rope::rope_table(write(table, n), read(positions, n_tokens), read(inv_freq, half), mscale) }
}

/// Turns the first `rope_dims` values of every head of `x f32[T, H, head_dim]`; `style`: 0 neighbours, 1 halves.
#[wasm_bindgen]
pub fn rope(x: u32, table: u32, n_tokens: u32, n_heads: u32, head_dim: u32, rope_dims: u32, style: u32) {
    let (n, n_table) = (n_tokens * n_heads * head_dim, n_tokens * rope_dims);
    checked!(write(x, 4 * n), read(table, 4 * n_table));
    let style = rope::RopeStyle::from_id(style);
    let (x, table) = unsafe { (write(x, n), read(table, n_table)) };
    rope::rope(x, table, n_heads as usize, head_dim as usize, rope_dims as usize, style)
}
