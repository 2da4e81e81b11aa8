//! Keys and values that are stored by a codec; see `kernel::codec`. A codec is the offset of its region, whose header names
//! everything else that belongs to it.
use super::{read, write};
use crate::kernel::codec::form::{Form, Keys, BOOKS, HEADER, KEYS, SLOTS, VALUES};
use crate::kernel::codec::store::Store;
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

/// The tokens that wait to be coded matter where `kept u32[G, 4 + capacity]` still has them.
#[wasm_bindgen]
pub fn codec_choose(codec: u32, kept: u32) {
    let mut store = unsafe { store(codec) };
    let Keys::Mixed(mixed) = store.form.keys else { return };
    let n_slots = (store.form.n_kv_heads * (slots::HEADER + store.form.capacity)) as u32;
    checked!(read(kept, 4 * n_slots));
    store.choose(unsafe { read(kept, n_slots) }, mixed);
}

/// Closes the holes of every head, as `kv_compact` does.
#[wasm_bindgen]
pub fn codec_compact(codec: u32) {
    unsafe { store(codec) }.compact();
}
