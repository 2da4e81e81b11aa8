//! A layer against lists of tokens: what is opened from it is what went in, as coarse as its codes are.
use super::form::{Form, CODED_KEYS, CODED_VALUES};
use super::store::Store;
use super::Layer;
use crate::kernel::attend::decoded::{Block, Codec};
use crate::kernel::kv::slots::{self, EMPTY};
use crate::oracle::{close, Random};

const HEADS: usize = 2;
const QUERY_HEADS: usize = 4;
const DIM: usize = 16;

/// A layer with its memory, and what it was given by position.
struct Owned {
    form: Form,
    region: Vec<u32>,
    keys: Vec<u32>,
    values: Vec<u32>,
    books: Vec<u32>,
    slots: Vec<u32>,
    k: Vec<Vec<f32>>,
    v: Vec<Vec<f32>>,
}

impl Owned {
    /// `header`: kind, then recent, ring, halves and the parameters.
    fn new(kind: u32, header: [u32; 7], capacity: usize, random: &mut Random) -> Self {
        let (heads, dim) = (HEADS as u32, DIM as u32);
        let mut words = vec![kind, 9, 9, 9, heads, capacity as u32, dim, dim, 0, 0, 0, 0];
        words.extend(header);
        words.resize(24, 0);
        let form = Form::read(&words);
        words.resize(form.words(), u32::MAX);
        let mut slots = vec![7; HEADS * (4 + capacity)];
        slots::heads(&mut slots, capacity).for_each(|mut head| head.reset());
        let mut owned = Self {
            form,
            region: words,
            keys: vec![u32::MAX; HEADS * form.key_words()],
            values: vec![u32::MAX; HEADS * form.value_words()],
            books: random.floats(form.book_words()).into_iter().map(f32::to_bits).collect(),
            slots,
            k: vec![],
            v: vec![],
        };
        owned.store().reset();
        owned
    }

    fn store(&mut self) -> Store<'_> {
        let Self { form, region, keys, values, books, slots, .. } = self;
        Store { form: *form, region, keys, values, books, slots }
    }

    fn append(&mut self, random: &mut Random, n: usize) {
        let first = self.k.len();
        let (q, k, v) =
            (random.floats(n * QUERY_HEADS * DIM), random.floats(n * HEADS * DIM), random.floats(n * HEADS * DIM));
        self.k.extend(k.chunks(HEADS * DIM).map(<[f32]>::to_vec));
        self.v.extend(v.chunks(HEADS * DIM).map(<[f32]>::to_vec));
        let positions: Vec<u32> = (first..first + n).map(|p| p as u32).collect();
        self.store().append(&q, &k, &v, &positions);
    }

    fn flush(&mut self) {
        let position = self.k.len() as u32;
        self.store().flush(position);
    }

    fn evict(&mut self, head: usize, slot: usize) {
        slots::heads(&mut self.slots, self.form.capacity).nth(head).unwrap().evict(slot);
    }

    /// (position, key, value) of every token that a head holds, in order of slots.
    fn tokens(&self, head: usize) -> Vec<(usize, Vec<f32>, Vec<f32>)> {
        let Self { form, region, keys, values, books, slots, .. } = self;
        let layer = Layer { form: *form, region, keys, values, books };
        let positions = slots::positions(slots, form.capacity, head);
        let mut tokens = vec![];
        for (b, positions) in positions.as_chunks::<32>().0.iter().enumerate() {
            let block = Block { head, start: 32 * b, positions };
            let (mut k, mut v) = (vec![f32::NAN; 32 * DIM], vec![f32::NAN; 32 * DIM]);
            layer.keys(&block, &mut k);
            if layer.has_values() {
                layer.values(&block, &mut v);
            }
            for (slot, &position) in positions.iter().enumerate().filter(|(_, &p)| p != EMPTY) {
                let key = (0..DIM).map(|i| k[(slot / 4 * DIM + i) * 4 + slot % 4]).collect();
                tokens.push((position as usize, key, v[slot * DIM..][..DIM].to_vec()));
            }
        }
        tokens
    }

    /// Checks every token: exact where it has to be, else within `apart` of what went in.
    fn check(&self, apart: f64) {
        let (keys, values) = (self.region[CODED_KEYS] as usize, self.region[CODED_VALUES] as usize);
        for head in 0..HEADS {
            for (position, k, v) in self.tokens(head) {
                let of_head = head * DIM..(head + 1) * DIM;
                let (wanted_k, wanted_v) = (&self.k[position][of_head.clone()], &self.v[position][of_head]);
                assert!(position < keys || k == wanted_k, "key of {position} is exact");
                assert!(position < values || !v[0].is_finite() || v == wanted_v, "value of {position} is exact");
                k.iter().zip(wanted_k).for_each(|(got, wanted)| close(*got, *wanted as f64, apart));
                v.iter()
                    .zip(wanted_v)
                    .filter(|(got, _)| got.is_finite())
                    .for_each(|(g, w)| close(*g, *w as f64, apart));
            }
        }
    }
}

#[test]
fn kivi_codes_as_tokens_leave() {
    let mut random = Random(41);
    let mut owned = Owned::new(0, [16, 32, 0, 4, 4, 8, 8], 128, &mut random);
    let mut n = 0;
    for chunk in [13, 16, 1, 1, 1, 8, 3, 16, 5] {
        owned.append(&mut random, chunk);
        owned.check(0.4);
        owned.flush();
        n += chunk as u32;
        assert_eq!((owned.region[CODED_KEYS], owned.region[CODED_VALUES]), (n / 16 * 16, n.saturating_sub(16)));
        owned.check(0.4);
    }
    // A group is coded once: its codes are those of the exact keys.
    let tokens = owned.tokens(1);
    for group in tokens[..48].chunks(8) {
        for channel in 0..DIM {
            let column = || group.iter().map(|(position, ..)| owned.k[*position][DIM + channel]);
            let (low, high) = (column().fold(f32::MAX, f32::min), column().fold(f32::MIN, f32::max));
            let step = (high - low) as f64 / 15.0;
            for ((_, key, _), x) in group.iter().zip(column()) {
                let code = ((x - low) as f64 / step).round_ties_even();
                close(key[channel], low as f64 + code * step, 1e-5);
            }
        }
    }
}

#[test]
fn kivi_goes_on_after_a_cut_and_after_holes_are_closed() {
    let mut random = Random(42);
    let mut owned = Owned::new(0, [16, 48, 0, 4, 4, 16, 8], 128, &mut random);
    for _ in 0..2 {
        owned.append(&mut random, 32);
        owned.flush();
    }
    // Back into the middle of a group.
    let position = 41;
    slots::heads(&mut owned.slots, 128).for_each(|mut head| head.truncate(position));
    owned.store().truncate(position);
    owned.k.truncate(41);
    owned.v.truncate(41);
    for chunk in [1, 2, 30] {
        owned.append(&mut random, chunk);
        owned.check(0.6);
        owned.flush();
        owned.check(0.6);
    }
    // Other tokens leave each head, one of them exact, and the last group stays part full.
    (0..40).step_by(3).for_each(|slot| owned.evict(0, slot));
    (5..70).step_by(2).take(14).for_each(|slot| owned.evict(1, slot));
    owned.store().compact();
    owned.check(0.8);
    for chunk in [1, 20, 16, 3] {
        owned.append(&mut random, chunk);
        owned.flush();
        owned.check(0.8);
    }
    assert_eq!(owned.tokens(0).len(), 41 + 33 - 14 + 40);
    let order: Vec<usize> = owned.tokens(0).iter().map(|(position, ..)| *position).collect();
    assert!(order.is_sorted());
}

#[test]
fn think_cuts_channels_and_reuses_slots() {
    let mut random = Random(43);
    for kind in [0, 1, 8] {
        let mut owned = Owned::new(1, [8, 32, 0, 10, kind, 0, 0], 64, &mut random);
        owned.append(&mut random, 20);
        owned.flush();
        let zeros = |owned: &Owned, head: usize| {
            let of = |k: &Vec<f32>| k.iter().filter(|x| **x == 0.0).count();
            owned.tokens(head).iter().map(|(position, k, _)| (*position, of(k))).collect::<Vec<_>>()
        };
        let cut = |n: usize, position: usize| (position, if position + 8 < n { 6 } else { 0 });
        assert_eq!(zeros(&owned, 1), (0..20).map(|p| cut(20, p)).collect::<Vec<_>>());
        for _ in 0..40 {
            let slot = random.below(20);
            owned.evict(0, slot);
            owned.append(&mut random, 1);
            owned.flush();
        }
        for (position, n) in zeros(&owned, 0) {
            assert_eq!(n, cut(60, position).1);
        }
        for (position, k, _) in owned.tokens(0) {
            for (got, wanted) in k.iter().zip(&owned.k[position]).filter(|(got, _)| **got != 0.0) {
                close(*got, *wanted as f64, [2e-6, 2e-3, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2e-2][kind as usize]);
            }
        }
        owned.store().compact();
        assert!(zeros(&owned, 0).iter().all(|&(position, n)| n == cut(60, position).1));
    }
}

#[test]
fn coupled_codes_move_with_their_slots() {
    let mut random = Random(44);
    let mut owned = Owned::new(2, [4, 16, 1, 4, 16, 0, 0], 64, &mut random);
    owned.append(&mut random, 12);
    owned.flush();
    for slot in [1, 2, 6] {
        owned.evict(0, slot);
    }
    owned.append(&mut random, 2);
    owned.flush();
    let before = owned.tokens(0);
    owned.evict(0, 3);
    owned.store().compact();
    let (mut after, gone) = (owned.tokens(0), before[3].0);
    let mut wanted: Vec<_> = before.into_iter().filter(|(position, ..)| *position != gone).collect();
    after.sort_by_key(|token| token.0);
    wanted.sort_by_key(|token| token.0);
    assert_eq!(after, wanted);
    assert_eq!((owned.region[CODED_KEYS], owned.region[CODED_VALUES]), (10, 10));
}
