//! Sketches of tokens that left the cache; see `kernel::index::sketch`.
//!
//! The cache is that of `kv_append`. G KV heads, H query heads, T tokens.
use super::attention::cache_mut;
use super::{optional, read, write};
use crate::kernel::index::sketch;
use wasm_bindgen::prelude::wasm_bindgen;

fn sketch_shape(clusters: u32, key_samples: u32, value_samples: u32, key_dim: u32, value_dim: u32) -> sketch::Shape {
    sketch::Shape {
        clusters: clusters as usize,
        key_samples: key_samples as usize,
        value_samples: value_samples as usize,
        key_dim: key_dim as usize,
        value_dim: value_dim as usize,
    }
}

/// Moves the tokens at positions below `before` from the cache into the sketches `words u32[G, ..]`, `floats f32[G, ..]`.
/// `draws f32[G, n_draws, key_samples + value_samples]` by position, or 0: hashed.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn sketch_feed(
    words: u32,
    floats: u32,
    keys: u32,
    values: u32,
    slots: u32,
    draws: u32,
    before: u32,
    n_kv_heads: u32,
    k_dim: u32,
    v_dim: u32,
    capacity: u32,
    clusters: u32,
    key_samples: u32,
    value_samples: u32,
    n_draws: u32,
    k_type: u32,
    v_type: u32,
    seed: u32,
    layer: u32,
    delta: f32,
    scale: f32,
) {
    let shape = sketch_shape(clusters, key_samples, value_samples, k_dim, v_dim);
    let (n_words, n_floats) = (n_kv_heads * shape.words() as u32, n_kv_heads * shape.floats() as u32);
    checked!(write(words, 4 * n_words), write(floats, 4 * n_floats));
    unsafe {
        let mut cache = cache_mut(keys, values, slots, 0, n_kv_heads, k_dim, v_dim, capacity, k_type, v_type);
        let given = optional(draws, n_kv_heads * n_draws * (key_samples + value_samples));
        let given = given.map(|draws| (draws, n_draws as usize));
        let options = sketch::Feed { before, delta, scale, seed, layer, given };
        sketch::feed(write(words, n_words), write(floats, n_floats), &shape, &mut cache, options);
    }
}

/// Joins the sketches to attention over the slots: `out f32[T, H, v_dim]`, `lse f32[H, T]`, of the queries
/// `q f32[T, H, k_dim]`.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn sketch_read(
    out: u32,
    lse: u32,
    q: u32,
    words: u32,
    floats: u32,
    n_tokens: u32,
    n_heads: u32,
    n_kv_heads: u32,
    k_dim: u32,
    v_dim: u32,
    clusters: u32,
    key_samples: u32,
    value_samples: u32,
    scale: f32,
) {
    let shape = sketch_shape(clusters, key_samples, value_samples, k_dim, v_dim);
    let rows = n_tokens * n_heads;
    let (n_words, n_floats) = (n_kv_heads * shape.words() as u32, n_kv_heads * shape.floats() as u32);
    checked!(write(words, 4 * n_words), write(floats, 4 * n_floats));
    unsafe {
        let queries = sketch::Queries { q: read(q, rows * k_dim), n_tokens: n_tokens as usize, scale };
        let (words, floats) = (write(words, n_words), write(floats, n_floats));
        sketch::read(write(out, rows * v_dim), write(lse, rows), words, floats, &shape, queries);
    }
}
