//! Codebooks of coupled quantization, learned; see `kernel::codec::train`.
use super::{read, write};
use crate::kernel::codec::floats::Rows;
use crate::kernel::codec::train::Training;
use wasm_bindgen::prelude::wasm_bindgen;

/// Places the first `used` centres of codebooks `f32[G, dim / channels, centres, channels]` on points `f32[G, n, dim]` far from each other, by
/// their weights `f32[G, n, weight_groups]`, where those are `dim / channels` or 1; others are infinitely far. `distances f32[n]` is scratch.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn book_seed(
    books: u32,
    distances: u32,
    points: u32,
    weights: u32,
    n_kv_heads: u32,
    n: u32,
    dim: u32,
    channels: u32,
    centres: u32,
    weight_groups: u32,
    used: u32,
) {
    checked!(write(distances, 4 * n));
    let (mut training, distances) = unsafe {
        (training(books, points, weights, n_kv_heads, n, dim, channels, centres, weight_groups), write(distances, n))
    };
    training.seed(distances, used as usize);
}

/// One round: labels `u32[G, dim / channels, n]` become those of the nearest centres, and, if any has changed, centres the
/// weighted means of their points; returns how many labels have changed.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn book_round(
    books: u32,
    labels: u32,
    points: u32,
    weights: u32,
    n_kv_heads: u32,
    n: u32,
    dim: u32,
    channels: u32,
    centres: u32,
    weight_groups: u32,
) -> u32 {
    let n_labels = n_kv_heads * dim / channels * n;
    checked!(write(labels, 4 * n_labels));
    let (mut training, labels) = unsafe {
        (
            training(books, points, weights, n_kv_heads, n, dim, channels, centres, weight_groups),
            write(labels, n_labels),
        )
    };
    training.round(labels)
}

/// Codebooks of 32-bit floats `f32[n]` as those of 16 bits, `u16[n]`; n is even.
#[wasm_bindgen]
pub fn book_halve(halves: u32, books: u32, n: u32) {
    checked!(write(halves, 2 * n), read(books, 4 * n));
    let rows = Rows { width: n as usize, halves: true };
    unsafe { rows.write(write(halves, n / 2), read(books, n)) }
}

#[allow(clippy::too_many_arguments)]
unsafe fn training<'a>(
    books: u32,
    points: u32,
    weights: u32,
    n_kv_heads: u32,
    n: u32,
    dim: u32,
    channels: u32,
    centres: u32,
    weight_groups: u32,
) -> Training<'a> {
    let (n_books, n_points, n_weights) =
        (n_kv_heads * dim * centres, n_kv_heads * n * dim, n_kv_heads * n * weight_groups);
    checked!(write(books, 4 * n_books), read(points, 4 * n_points), read(weights, 4 * n_weights));
    Training {
        books: write(books, n_books),
        points: read(points, n_points),
        weights: read(weights, n_weights),
        n: n as usize,
        dim: dim as usize,
        channels: channels as usize,
        centres: centres as usize,
    }
}
