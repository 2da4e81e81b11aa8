//! Writing: tokens come in exact, are coded when they leave the recent ones, and move when holes are closed.
use super::form::{Form, Keys, Values, CHOSEN, CODED_KEYS, CODED_VALUES, HEADER};
use super::kivi::{KeyCodes, BLOCK};
use super::think::{select, Squares};
use super::{books, part, MAX_DIM};
use crate::kernel::kv::keys::{copy_key, write_key};
use crate::kernel::kv::slots::{self, EMPTY};
use crate::kernel::kv::values::{copy_value, write_value};

/// A layer, to be written. See `Layer`.
pub struct Store<'a> {
    pub form: Form,
    pub region: &'a mut [u32],
    pub keys: &'a mut [u32],
    pub values: &'a mut [u32],
    pub books: &'a [u32],
    /// `u32[G, 4 + capacity]`
    pub slots: &'a mut [u32],
}

/// Words as the bytes that they are.
fn bytes(words: &mut [u32]) -> &mut [u8] {
    // SAFETY: the same memory; bytes have no alignment.
    unsafe { core::slice::from_raw_parts_mut(words.as_mut_ptr() as *mut u8, 4 * words.len()) }
}

/// Words as the floats that they stand for.
fn floats(words: &mut [u32]) -> &mut [f32] {
    // SAFETY: the same memory; any bits are floats.
    unsafe { core::slice::from_raw_parts_mut(words.as_mut_ptr() as *mut f32, words.len()) }
}

impl Store<'_> {
    /// Nothing is coded, and no channels are chosen.
    pub fn reset(&mut self) {
        self.region[CODED_KEYS..=CODED_VALUES].fill(0);
        self.region[CHOSEN] = 0;
        self.region[HEADER..][..3 * self.form.channel_words()].fill(0);
    }

    /// Slots at `position` and later are empty; those that come there again are exact.
    pub fn truncate(&mut self, position: u32) {
        if matches!(self.form.keys, Keys::Mixed(_)) {
            self.unpack(position);
        }
        self.region[CODED_KEYS..=CODED_VALUES].iter_mut().for_each(|coded| *coded = position.min(*coded));
    }

    /// Takes tokens: `q f32[T, H, key_dim]`, `k f32[T, G, key_dim]`, `v f32[T, G, value_dim]`.
    pub fn append(&mut self, q: &[f32], k: &[f32], v: &[f32], positions: &[u32]) {
        let form = self.form;
        if form.channel_words() > 0 && self.region[CHOSEN] == 0 {
            let squares = floats(&mut self.region[HEADER + form.channel_words()..][..2 * form.channel_words()]);
            let (of_q, of_k) = squares.split_at_mut(form.channel_words());
            Squares { q: of_q, k: of_k }.add(q, k, positions.len(), form.key_dim, form.recent);
        }
        let heads = slots::heads(self.slots, form.capacity);
        for (h, mut head) in heads.enumerate() {
            for (t, &position) in positions.iter().enumerate() {
                let (slot, row) = (head.take(position), t * form.n_kv_heads + h);
                let (k, v) = (&k[row * form.key_dim..][..form.key_dim], &v[row * form.value_dim..][..form.value_dim]);
                form.exact_keys().write(&mut self.region[form.exact_key(h, position)..], k);
                match form.values {
                    Values::Plain(shape) => {
                        let words = form.value_words();
                        write_value(bytes(&mut self.values[h * words..][..words]), &shape, slot, v);
                    }
                    _ => form.exact_values().write(&mut self.region[form.exact_value(h, position)..], v),
                }
            }
        }
        // A token of the running text pushes another one out before it is attended, but for KIVI.
        if let ([position], Keys::Think(..) | Keys::Coupled(_)) = (positions, form.keys) {
            self.flush(position + 1);
        }
    }

    /// Codes what leaves the recent tokens, of which `position` are read.
    pub fn flush(&mut self, position: u32) {
        if let Keys::Mixed(codec) = self.form.keys {
            return self.pack(position as usize, codec);
        }
        let (keys, values) = self.form.coded(position);
        if keys > self.region[CODED_KEYS] {
            if self.form.channel_words() > 0 && self.region[CHOSEN] == 0 {
                self.choose_channels();
            }
            for head in 0..self.form.n_kv_heads {
                match self.form.keys {
                    Keys::Kivi(codes) => self.code_groups(head, codes, keys),
                    _ => self.code_keys(head, keys),
                }
            }
            self.region[CODED_KEYS] = keys;
        }
        if values > self.region[CODED_VALUES] {
            for head in 0..self.form.n_kv_heads {
                self.code_values(head, values);
            }
            self.region[CODED_VALUES] = values;
        }
    }

    fn choose_channels(&mut self) {
        let (dim, n) = (self.form.key_dim, self.form.channel_words());
        let Keys::Think(kept, _) = self.form.keys else { return };
        let (channels, squares) = self.region[HEADER..][..3 * n].split_at_mut(n);
        let (q, k) = floats(squares).split_at(n);
        for head in 0..self.form.n_kv_heads {
            let at = head * dim..(head + 1) * dim;
            select(&mut channels[at.clone()][..kept], &q[at.clone()], &k[at]);
        }
        self.region[CHOSEN] = 1;
    }

    fn code_keys(&mut self, head: usize, end: u32) {
        let Self { form, region, keys, .. } = self;
        let words = form.key_words();
        let keys = &mut keys[head * words..][..words];
        let (book, _) = books(form, self.books, head);
        let mut row = [0.0; MAX_DIM];
        leaving(slots::positions(self.slots, form.capacity, head), region[CODED_KEYS], end, |slot, position| {
            let row = &mut row[..form.key_dim];
            form.exact_keys().read(&region[form.exact_key(head, position)..], row);
            match form.keys {
                Keys::Coupled(codes) => {
                    codes.encode(&mut keys[slot * codes.row_words()..][..codes.row_words()], book, row)
                }
                Keys::Think(kept, shape) => {
                    let channels = part(&region[HEADER..][..form.n_kv_heads * form.key_dim], form.n_kv_heads, head);
                    let mut narrow = [0.0; MAX_DIM];
                    narrow.iter_mut().zip(&channels[..kept]).for_each(|(x, &channel)| *x = row[channel as usize]);
                    write_key(keys, &shape, slot, &narrow[..shape.dim]);
                }
                Keys::Kivi(_) | Keys::Mixed(_) => {}
            }
        });
    }

    fn code_values(&mut self, head: usize, end: u32) {
        let Self { form, region, values, .. } = self;
        let words = form.value_words();
        let values = &mut values[head * words..][..words];
        let (_, book) = books(form, self.books, head);
        let mut row = [0.0; MAX_DIM];
        leaving(slots::positions(self.slots, form.capacity, head), region[CODED_VALUES], end, |slot, position| {
            let row = &mut row[..form.value_dim];
            form.exact_values().read(&region[form.exact_value(head, position)..], row);
            match form.values {
                Values::Kivi(codes) => codes.encode(&mut values[slot * codes.row_words()..][..codes.row_words()], row),
                Values::Coupled(codes) => {
                    codes.encode(&mut values[slot * codes.row_words()..][..codes.row_words()], book, row)
                }
                Values::Plain(_) | Values::Mixed(_) => {}
            }
        });
    }

    /// Codes the keys below `end`, whose slots are in order of position, together with those that lie in the group of
    /// the first of them already.
    fn code_groups(&mut self, head: usize, codes: KeyCodes, end: u32) {
        let Self { form, region, keys, .. } = self;
        let words = form.key_words();
        let keys = &mut keys[head * words..][..words];
        let positions = slots::positions(self.slots, form.capacity, head);
        let coded = region[CODED_KEYS];
        let (first, last) = (below(positions, coded), below(positions, end));
        let mut x = [0.0; BLOCK];
        for start in (first / codes.group * codes.group..last).step_by(codes.group) {
            let block = &mut keys[start / BLOCK * codes.block_words()..][..codes.block_words()];
            let n = codes.group.min(last - start);
            for channel in 0..codes.dim {
                for (i, x) in x[..n].iter_mut().enumerate() {
                    let position = positions[start + i];
                    *x = if position < coded {
                        codes.get(block, (start + i) % BLOCK, channel)
                    } else {
                        form.exact_keys().get(&region[form.exact_key(head, position)..], channel)
                    };
                }
                codes.encode(block, start % BLOCK, channel, &x[..n]);
            }
        }
    }

    /// Closes the holes of every head; tokens keep their order. Groups of keys are coded anew.
    pub fn compact(&mut self) {
        let (form, coded) = (self.form, self.region[CODED_KEYS]);
        let (key_words, value_words) = (form.key_words(), form.value_words());
        for head in 0..form.n_kv_heads {
            let keys = &mut self.keys[head * key_words..][..key_words];
            let values = &mut self.values[head * value_words..][..value_words];
            if let Keys::Kivi(codes) = form.keys {
                close_groups(keys, codes, slots::positions(self.slots, form.capacity, head), coded);
            }
            let Some(mut slots) = slots::heads(self.slots, form.capacity).nth(head) else { return };
            slots.compact(|from, to| {
                match form.keys {
                    Keys::Think(_, shape) => copy_key(keys, &shape, from, to),
                    Keys::Coupled(codes) => copy_row(keys, codes.row_words(), from, to),
                    Keys::Kivi(_) | Keys::Mixed(_) => {}
                }
                match form.values {
                    Values::Plain(shape) => copy_value(bytes(values), &shape, from, to),
                    Values::Coupled(codes) => copy_row(values, codes.row_words(), from, to),
                    Values::Kivi(codes) => copy_row(values, codes.row_words(), from, to),
                    // Nothing leaves.
                    Values::Mixed(_) => {}
                }
            });
        }
    }
}

fn copy_row(words: &mut [u32], row: usize, from: usize, to: usize) {
    words.copy_within(from * row..(from + 1) * row, to * row);
}

/// Slots at positions below `end`; all are in order.
fn below(positions: &[u32], end: u32) -> usize {
    positions.partition_point(|&position| position < end)
}

/// Visits the slots at positions from `start` up to `end`.
fn leaving(positions: &[u32], start: u32, end: u32, mut visit: impl FnMut(usize, u32)) {
    // Where nothing has been dropped a position is its slot.
    if (start..end).all(|position| positions.get(position as usize) == Some(&position)) {
        return (start..end).for_each(|position| visit(position as usize, position));
    }
    for (slot, &position) in positions.iter().enumerate() {
        if position >= start && position < end {
            visit(slot, position);
        }
    }
}

/// Codes the tokens at positions below `coded` anew, as they will lie once the holes are closed: channel by channel, a
/// group when its last token has been read, which never lies before the group.
fn close_groups(keys: &mut [u32], codes: KeyCodes, positions: &[u32], coded: u32) {
    if positions
        .iter()
        .position(|&position| position == EMPTY)
        .is_none_or(|hole| positions[hole..].iter().all(|&position| position == EMPTY))
    {
        return;
    }
    let words = codes.block_words();
    let mut x = [0.0; BLOCK];
    for channel in 0..codes.dim {
        let mut n = 0;
        let write = |keys: &mut [u32], n: usize, x: &[f32]| {
            let start = (n - 1) / codes.group * codes.group;
            let block = &mut keys[start / BLOCK * words..][..words];
            codes.encode(block, start % BLOCK, channel, &x[..n - start]);
        };
        for (slot, _) in positions.iter().enumerate().filter(|(_, &position)| position < coded) {
            x[n % codes.group] = codes.get(&keys[slot / BLOCK * words..][..words], slot % BLOCK, channel);
            n += 1;
            if n % codes.group == 0 {
                write(keys, n, &x);
            }
        }
        if n % codes.group > 0 {
            write(keys, n, &x);
        }
    }
}
