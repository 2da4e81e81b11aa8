//! Keys and values that are stored by a codec; see `kernel::codec`. A codec is the offset of its region, whose header names
//! everything else that belongs to it.
use super::{read, write};
use crate::kernel::codec::floats::Rows;
use crate::kernel::codec::form::{Form, BOOKS, HEADER, KEYS, SLOTS, VALUES};
use crate::kernel::codec::store::Store;
use crate::kernel::codec::train::Training;
use crate::kernel::codec::Layer;
use crate::kernel::kv::slots;
use wasm_bindgen::prelude::wasm_bindgen;

/// The codec at an offset, none for 0.
///
/// # Safety
/// The region and all that it names lie in memory and are not written while the codec lives.
pub unsafe fn open<'a>(codec: u32) -> Option<Layer<'a>> {
    if codec == 0 {
        return None;
    }
    let header = read::<u32>(codec, HEADER as u32);
    let form = Form::read(header);
    let heads = form.n_kv_heads;
    Some(Layer {
        form,
        region: read(codec, form.words() as u32),
        keys: read(header[KEYS], (heads * form.key_words()) as u32),
        values: read(header[VALUES], (heads * form.value_words()) as u32),
        books: books(header, &form),
    })
}

unsafe fn books<'a>(header: &[u32], form: &Form) -> &'a [u32] {
    match form.book_words() {
        0 => &[],
        n => read(header[BOOKS], n as u32),
    }
}

unsafe fn store<'a>(codec: u32) -> Store<'a> {
    let header = *(codec as *const [u32; HEADER]);
    let form = Form::read(&header);
    let (region, heads) = (form.words() as u32, form.n_kv_heads);
    let keys = (heads * form.key_words()) as u32;
    let values = (heads * form.value_words()) as u32;
    let n_slots = (heads * (slots::HEADER + form.capacity)) as u32;
    checked!(
        write(codec, 4 * region),
        write(header[KEYS], 4 * keys),
        write(header[VALUES], 4 * values),
        write(header[SLOTS], 4 * n_slots),
    );
    Store {
        form,
        region: write(codec, region),
        keys: write(header[KEYS], keys),
        values: write(header[VALUES], values),
        books: books(&header, &form),
        slots: write(header[SLOTS], n_slots),
    }
}

/// Bytes of a codec's region, keys, values or codebooks, by the header `u32[24]` at an offset. `part`: 0, 1, 2, 3.
#[wasm_bindgen]
pub fn codec_bytes(header: u32, part: u32) -> u32 {
    checked!(read(header, 4 * HEADER as u32));
    let form = Form::read(unsafe { read(header, HEADER as u32) });
    let words = match part {
        0 => form.words(),
        1 => form.n_kv_heads * form.key_words(),
        2 => form.n_kv_heads * form.value_words(),
        _ => form.book_words(),
    };
    4 * words as u32
}

/// Nothing is coded any more.
#[wasm_bindgen]
pub fn codec_reset(codec: u32) {
    unsafe { store(codec) }.reset();
}

/// Slots at `position` and later have been emptied.
#[wasm_bindgen]
pub fn codec_truncate(codec: u32, position: u32) {
    unsafe { store(codec) }.truncate(position);
}

/// Stores tokens `k f32[T, G, key_dim]`, `v f32[T, G, value_dim]`, whose queries are `q f32[T, H, key_dim]`, in empty slots of
/// every head, as `kv_append` does.
#[wasm_bindgen]
pub fn codec_append(codec: u32, q: u32, k: u32, v: u32, positions: u32, n_tokens: u32, n_heads: u32) {
    let mut store = unsafe { store(codec) };
    let rows = n_tokens * store.form.n_kv_heads as u32;
    let (key, value) = (store.form.key_dim as u32, store.form.value_dim as u32);
    checked!(
        read(q, 4 * n_tokens * n_heads * key),
        read(k, 4 * rows * key),
        read(v, 4 * rows * value),
        read(positions, 4 * n_tokens),
    );
    unsafe {
        let q = read(q, n_tokens * n_heads * key);
        store.append(q, read(k, rows * key), read(v, rows * value), read(positions, n_tokens));
    }
}

/// Codes the tokens that leave the recent ones, of all heads; `position` tokens are read.
#[wasm_bindgen]
pub fn codec_flush(codec: u32, position: u32) {
    unsafe { store(codec) }.flush(position);
}

/// Closes the holes of every head, as `kv_compact` does.
#[wasm_bindgen]
pub fn codec_compact(codec: u32) {
    unsafe { store(codec) }.compact();
}

/// Places the first `used` centres of codebooks `f32[G, dim, centres]` on points `f32[G, n, dim]` far from each other, by
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
