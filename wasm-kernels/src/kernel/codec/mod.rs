//! Keys and values in fewer bits than the plain types take, opened for attention 32 slots at a time.
//!
//! ```text
//! append  every new token goes exact into a ring of recent ones, by position, and takes a slot without a code
//! flush   tokens that leave the recent ones are coded in their slots, of all heads at once
//! read    a slot's key and value are opened from codes, or, where its token isn't coded yet, taken from the ring
//! ```
//! - A token keeps one slot all the time: policies, masks and rows of logits do not see how it is stored.
//! - What a codec is told, and how far it has come, lies in the header of its region (form.rs); the kernels keep nothing.
pub mod cq;
pub mod fields;
pub mod floats;
pub mod form;
pub mod kivi;
pub mod mixed;
mod mixed_pack;
pub mod store;
#[cfg(test)]
mod tests;
pub mod think;
#[cfg(any(feature = "calibrate", not(target_arch = "wasm32")))]
pub mod train;

use crate::kernel::attend::decoded::{plain_keys, put_key, Block, Codec};
use crate::kernel::attend::looked_up::Tables;
use crate::kernel::kv::slots::EMPTY;
use crate::kernel::lanes::{load, zip};
use crate::simd::{f32x4_madd, f32x4_splat, f32x4_sum};
use form::{Form, Keys, Values, CODED_KEYS, CODED_VALUES, HEADER};

/// Widest head.
const MAX_DIM: usize = 256;

/// A layer, to be read.
#[derive(Clone, Copy)]
pub struct Layer<'a> {
    pub form: Form,
    /// The codec's region.
    pub region: &'a [u32],
    /// `u32[G, key_words]`
    pub keys: &'a [u32],
    /// `u32[G, value_words]`
    pub values: &'a [u32],
    /// Codebooks of all heads' keys, then of their values.
    pub books: &'a [u32],
}

impl Layer<'_> {
    pub fn as_codec(&self) -> &dyn Codec {
        self
    }

    fn head_keys(&self, head: usize) -> &[u32] {
        let words = self.form.key_words();
        &self.keys[head * words..][..words]
    }

    fn head_values(&self, head: usize) -> &[u32] {
        let words = self.form.value_words();
        &self.values[head * words..][..words]
    }
}

/// The part of `items` that belongs to one of `n` heads.
fn part<T>(items: &[T], n: usize, head: usize) -> &[T] {
    let each = items.len() / n;
    &items[head * each..][..each]
}

/// The codebooks of a head's keys and values.
fn books<'a>(form: &Form, books: &'a [u32], head: usize) -> (&'a [u32], &'a [u32]) {
    let keys = books.len() * form.key_dim / (form.key_dim + form.value_dim);
    let (keys, values) = books.split_at(keys);
    (part(keys, form.n_kv_heads, head), part(values, form.n_kv_heads, head))
}

impl Codec for Layer<'_> {
    fn has_keys(&self) -> bool {
        true
    }

    fn has_values(&self) -> bool {
        !matches!(self.form.values, Values::Plain(_))
    }

    fn tables(&self) -> Option<(&dyn Tables, [usize; 2])> {
        let (keys, values) = self.form.coupled()?;
        Some((self, [keys.table_len(), values.table_len()]))
    }

    fn keys(&self, block: &Block, out: &mut [f32]) {
        let (form, coded) = (&self.form, self.region[CODED_KEYS]);
        let dim = form.key_dim;
        let mut row = [0.0; MAX_DIM];
        if block.positions.iter().any(|&position| position < coded) {
            let keys = self.head_keys(block.head);
            match form.keys {
                Keys::Kivi(codes) => {
                    let words = codes.block_words();
                    codes.decode(&keys[block.start / kivi::BLOCK * words..][..words], out);
                }
                Keys::Think(kept, shape) => {
                    let channels = &part(&self.region[HEADER..][..form.channel_words()], form.n_kv_heads, block.head);
                    plain_keys(out, &keys[block.start * shape.key_words()..], &shape);
                    think::spread(out, &channels[..kept], shape.dim, dim);
                }
                Keys::Coupled(codes) => {
                    let (book, _) = books(form, self.books, block.head);
                    let words = codes.row_words();
                    codes.decode(&keys[block.start * words..][..kivi::BLOCK * words], book, true, out);
                }
                Keys::Mixed(codes) => {
                    codes.decode_keys(self.region, keys, block.head, block.start, coded as usize, out);
                }
            }
        }
        for (slot, &position) in block.positions.iter().enumerate() {
            if position < coded || position == EMPTY {
                continue;
            }
            form.exact_keys().read(&self.region[form.exact_key(block.head, position)..], &mut row[..dim]);
            put_key(out, dim, slot, |i| row[i]);
        }
    }

    fn values(&self, block: &Block, out: &mut [f32]) {
        let (form, coded) = (&self.form, self.region[CODED_VALUES]);
        let values = self.head_values(block.head);
        if block.positions.iter().any(|&position| position < coded) {
            match form.values {
                Values::Kivi(codes) => {
                    let words = codes.row_words();
                    let rows = values[block.start * words..].chunks_exact(words);
                    rows.zip(out.chunks_exact_mut(codes.dim)).for_each(|(row, out)| codes.decode(row, out));
                }
                Values::Coupled(codes) => {
                    let words = codes.row_words();
                    let (_, book) = books(form, self.books, block.head);
                    codes.decode(&values[block.start * words..][..kivi::BLOCK * words], book, false, out);
                }
                Values::Mixed(codes) => {
                    codes.decode_values(self.region, values, block.head, block.start, coded as usize, out);
                }
                Values::Plain(_) => {}
            }
        }
        for (out, &position) in out.chunks_exact_mut(form.value_dim).zip(block.positions) {
            if position >= coded && position != EMPTY {
                form.exact_values().read(&self.region[form.exact_value(block.head, position)..], out);
            }
        }
    }
}

/// Of coupled codes alone.
impl Tables for Layer<'_> {
    fn tabulate(&self, head: usize, q: &[f32], scale: f32, table: &mut [f32]) {
        let Some((keys, _)) = self.form.coupled() else {
            return;
        };
        keys.tabulate(books(&self.form, self.books, head).0, q, scale, table);
    }

    fn score(&self, block: &Block, q: &[f32], scale: f32, table: &[f32], logits: &mut [f32]) -> f32 {
        let (form, coded) = (&self.form, self.region[CODED_KEYS]);
        let Some((keys, _)) = form.coupled() else {
            return 0.0;
        };
        let words = keys.row_words();
        keys.look_up(&self.head_keys(block.head)[block.start * words..], table, logits);
        let mut key = [0.0; MAX_DIM];
        for (logit, &position) in logits.iter_mut().zip(block.positions) {
            if position >= coded && position != EMPTY {
                form.exact_keys().read(&self.region[form.exact_key(block.head, position)..], &mut key[..form.key_dim]);
                *logit = scale * dot(q, &key);
            }
        }
        logits.iter().fold(f32::NEG_INFINITY, |top, logit| top.max(*logit))
    }

    fn gather(&self, block: &Block, weights: &[f32], sums: &mut [f32], out: &mut [f32]) {
        let (form, coded) = (&self.form, self.region[CODED_VALUES]);
        let Some((_, values)) = form.coupled() else {
            return;
        };
        let words = values.row_words();
        let rows = self.head_values(block.head)[block.start * words..].chunks_exact(words);
        let mut value = [0.0; MAX_DIM];
        for ((row, &weight), &position) in rows.zip(weights).zip(block.positions) {
            if weight == 0.0 {
                continue;
            }
            if position < coded {
                values.gather(row, weight, sums);
            } else {
                let exact = &self.region[form.exact_value(block.head, position)..];
                form.exact_values().read(exact, &mut value[..form.value_dim]);
                let weight = f32x4_splat(weight);
                zip(out, &value[..form.value_dim], |out, value| f32x4_madd(weight, value, out));
            }
        }
    }

    fn spread(&self, head: usize, sums: &[f32], out: &mut [f32]) {
        let Some((_, values)) = self.form.coupled() else {
            return;
        };
        values.spread(books(&self.form, self.books, head).1, sums, out);
    }
}

/// The product of `q` with the first numbers of a key.
fn dot(q: &[f32], key: &[f32]) -> f32 {
    let quads = q.as_chunks::<4>().0.iter().zip(key.as_chunks::<4>().0);
    f32x4_sum(quads.fold(f32x4_splat(0.0), |sum, (q, k)| f32x4_madd(load(q), load(k), sum)))
}
