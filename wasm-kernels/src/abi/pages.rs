//! Bounds on pages of keys; see `kernel::index::pages`.
//!
//! Keys, slots and the types of keys are those of `kv_append`. G KV heads, H query heads, T tokens, d width of a key.
use super::attention::{slots_words, stored};
use super::{read, write};
use crate::kernel::index::pages;
use wasm_bindgen::prelude::wasm_bindgen;

/// Takes the keys `k f32[T, G, d]` of the tokens that have just been appended at `positions` into
/// `bounds f32[G, pages / 4, 2, d, 4]`, pages = ceil(capacity / page) rounded up to fours; with T = 0 makes all bounds anew from the stored keys.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn page_extend(
    bounds: u32,
    k: u32,
    keys: u32,
    slots: u32,
    positions: u32,
    n_tokens: u32,
    n_kv_heads: u32,
    dim: u32,
    capacity: u32,
    page: u32,
    key_type: u32,
) {
    let n_bounds = n_kv_heads * pages::n_pages(capacity as usize, page as usize) as u32 * 2 * dim;
    checked!(write(bounds, 4 * n_bounds));
    unsafe {
        let cache = stored(keys, slots, n_kv_heads, dim, capacity, key_type);
        let bounds = write(bounds, n_bounds);
        if n_tokens == 0 {
            return pages::rebuild(bounds, cache, page as usize);
        }
        let (k, positions) = (read(k, n_tokens * n_kv_heads * dim), read(positions, n_tokens));
        pages::extend(bounds, k, positions, cache, page as usize);
    }
}

/// `active u32[G, capacity / 32]` = the slots of the `n_read` pages per KV head that the token `q f32[H, d]` at `position`
/// reads; `scores f32[G, pages]` = bounds of its products with each page's keys.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn page_choose(
    active: u32,
    scores: u32,
    bounds: u32,
    q: u32,
    slots: u32,
    position: u32,
    n_heads: u32,
    n_kv_heads: u32,
    dim: u32,
    capacity: u32,
    page: u32,
    n_read: u32,
) {
    let n_pages = n_kv_heads * pages::n_pages(capacity as usize, page as usize) as u32;
    checked!(
        write(active, n_kv_heads * capacity / 8),
        write(scores, 4 * n_pages),
        read(bounds, 8 * n_pages * dim),
        read(slots, 4 * slots_words(n_kv_heads, capacity)),
    );
    unsafe {
        pages::choose(
            write(active, n_kv_heads * capacity / 32),
            write(scores, n_pages),
            read(bounds, 2 * n_pages * dim),
            pages::Query {
                q: read(q, n_heads * dim),
                position,
                slots: read(slots, slots_words(n_kv_heads, capacity)),
                dim: dim as usize,
            },
            capacity as usize,
            page as usize,
            n_read as usize,
        );
    }
}
