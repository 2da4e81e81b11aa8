//! A layer against lists of tokens: what is opened from it is what went in, as coarse as its codes are.
use super::floats::Rows;
use super::form::{Form, Keys, CODED_KEYS, CODED_VALUES, SETS};
use super::store::Store;
use super::Layer;
use crate::kernel::attend::decoded::{Block, Codec, Decoding};
use crate::kernel::attend::{attend, Cache, Extras, Options, Queries, Results};
use crate::kernel::kv::slots::{self, EMPTY};
use crate::kernel::kv::{KvType, Shape};
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

/// A layer that is to be opened, whatever it could do.
struct Opened<'a>(Layer<'a>);

impl Codec for Opened<'_> {
    fn has_keys(&self) -> bool {
        self.0.has_keys()
    }
    fn has_values(&self) -> bool {
        self.0.has_values()
    }
    fn keys(&self, block: &Block, out: &mut [f32]) {
        self.0.keys(block, out)
    }
    fn values(&self, block: &Block, out: &mut [f32]) {
        self.0.values(block, out)
    }
}

#[test]
fn attention_by_tables_is_that_over_what_is_opened() {
    let mut random = Random(45);
    const CAPACITY: usize = 320;
    for (channels, width, halves) in [(2, 32, 0), (4, 256, 1), (8, 16, 1), (4, 8, 0)] {
        let mut owned = Owned::new(2, [24, 64, 1, channels, width, halves, 0], CAPACITY, &mut random);
        if halves == 1 {
            let centre = Rows { width: channels as usize, halves: true };
            let of_centres = owned.books.chunks_mut(centre.words());
            of_centres.for_each(|row| centre.write(row, &random.floats(channels as usize)));
        }
        for _ in 0..7 {
            owned.append(&mut random, 40);
            owned.flush();
        }
        for i in 0..60 {
            owned.evict(i % 2, 4 * i);
        }
        let (n_tokens, n_slots) = (5, 2 * CAPACITY);
        let q = random.floats(n_tokens * HEADS * DIM);
        let positions: Vec<u32> = (0..n_tokens as u32).map(|t| 275 + t).collect();
        let (slopes, bias) =
            (random.floats(HEADS).iter().map(|x| x.abs()).collect::<Vec<f32>>(), random.floats(n_slots));
        let active: Vec<u32> = (0..n_slots / 32).map(|i| [u32::MAX, 0, random.bits()][i % 3]).collect();
        let Owned { form, region, keys, values, books, slots, .. } = &owned;
        let layer = Layer { form: *form, region, keys, values, books };
        let opened = Opened(layer);
        let shape = Shape { kind: KvType::F32, dim: DIM, capacity: CAPACITY };
        for with in ["", "bias", "active", "slopes", "window", "cap", "bias active slopes cap"] {
            let has = |what: &str| with.contains(what);
            let run = |codec: &dyn Codec, first: usize, n: usize| {
                let extras = Extras {
                    bias: has("bias").then_some(&bias[..]),
                    active: has("active").then_some(&active[..]),
                    decoding: Decoding { codec: Some(codec), rotation: None },
                    ..Extras::default()
                };
                let cache = Cache { keys: &[], values: &[], slots, key: shape, value: shape, extras };
                let rows = first * HEADS..(first + n) * HEADS;
                let tile = Queries {
                    q: &q[rows.start * DIM..rows.end * DIM],
                    positions: &positions[first..first + n],
                    slopes: has("slopes").then_some(&slopes[..]),
                    n_heads: HEADS,
                };
                let (mut out, mut lse) = (vec![f32::NAN; rows.len() * DIM], vec![f32::NAN; rows.len()]);
                let mut scores = vec![f32::NAN; rows.len() * CAPACITY];
                let mut results = Results { out: &mut out, scores: Some(&mut scores), lse: &mut lse };
                let options = Options {
                    scale: 0.3,
                    softcap: if has("cap") { 2.0 } else { 0.0 },
                    window: if has("window") { 70 } else { 0 },
                };
                attend(&mut results, tile, cache, options);
                [out, lse, scores]
            };
            let (got, wanted) = (run(&layer, 0, n_tokens), run(&opened, 0, n_tokens));
            for (got, wanted) in got.iter().zip(&wanted) {
                for (&got, &wanted) in got.iter().zip(wanted) {
                    assert!(got == wanted || got.is_nan() == wanted.is_nan(), "{with}: got {got}, wanted {wanted}");
                    if wanted.is_finite() {
                        close(got, wanted as f64, 2e-5);
                    }
                }
            }
            // A token's result does not depend on those that are read with it.
            for t in 0..n_tokens {
                let row = t * HEADS * DIM..(t + 1) * HEADS * DIM;
                assert_eq!(run(&layer, t, 1)[0], got[0][row]);
            }
        }
    }
}

/// Positions that are kept, as slots of both heads.
fn kept(capacity: usize, positions: impl Iterator<Item = usize> + Clone) -> Vec<u32> {
    let mut slots = vec![EMPTY; HEADS * (4 + capacity)];
    for head in slots.chunks_exact_mut(4 + capacity) {
        head[..4].copy_from_slice(&[capacity as u32, 0, 0, 0]);
        positions.clone().for_each(|position| head[4 + position] = position as u32);
    }
    slots
}

#[test]
fn tokens_that_matter_have_all_bits() {
    let mut random = Random(46);
    for halves in [0, 1] {
        // Recent, ring, halves; 4 bits or 8, room for 40, 3 sets, 16 tokens together at least.
        for low in [2, 4] {
            let mut owned = Owned::new(3, [0, 64, halves, low, 40, 3, 16], 128, &mut random);
            let Keys::Mixed(codec) = owned.form.keys else { unreachable!() };
            let (mut n, mut rich) = (0, vec![]);
            for (chunk, coded, sets) in [(9, 0, 0), (30, 39, 1), (12, 39, 1), (20, 71, 2), (33, 104, 3), (16, 120, 3)] {
                owned.append(&mut random, chunk);
                let waiting = owned.region[CODED_KEYS] as usize;
                n += chunk;
                // Two of three matter, until there is no room for more.
                let slots = kept(128, (0..n).filter(|position| position % 3 > 0));
                owned.store().choose(&slots, codec);
                owned.flush();
                if coded == n {
                    rich.extend((waiting..n).filter(|position| position % 3 > 0));
                    rich.truncate(40);
                }
                assert_eq!([owned.region[CODED_KEYS], owned.region[SETS]].map(|x| x as usize), [coded, sets]);
            }
            // What was coded with a set of its own lies within half a step of what went in.
            for head in 0..HEADS {
                for (position, k, v) in owned.tokens(head).into_iter().filter(|(position, ..)| *position < 104) {
                    let (start, end) =
                        [(0, 39), (39, 71), (71, 104)][(position >= 39) as usize + (position >= 71) as usize];
                    let matters = |position: usize| rich.contains(&position);
                    let most = ((1 << (low << matters(position) as u32)) - 1) as f64;
                    let alike = || (start..end).filter(|&other| matters(other) == matters(position));
                    let of = |rows: &[Vec<f32>], token: usize, i: usize| rows[token][head * DIM + i] as f64;
                    for (i, &k) in k.iter().enumerate() {
                        let column = || alike().map(|token| of(&owned.k, token, i));
                        let (min, max) = (column().fold(9.0, f64::min), column().fold(-9.0, f64::max));
                        close(k, of(&owned.k, position, i), (max - min) / most / 2.0 + 4e-3 * halves as f64 + 1e-6);
                    }
                    let scale = |i: usize| alike().map(|token| of(&owned.v, token, i).abs()).fold(0.0, f64::max).sqrt();
                    let row = || (0..DIM).map(|i| of(&owned.v, position, i) / scale(i));
                    let step = (row().fold(-9.0, f64::max) - row().fold(9.0, f64::min)) / most;
                    for (i, &v) in v.iter().enumerate() {
                        close(v, of(&owned.v, position, i), (step / 2.0 + 4e-3 * halves as f64) * scale(i) + 1e-6);
                    }
                }
            }
            // Without a set of its own a token still comes out as some number.
            assert!(owned.tokens(0).iter().all(|(_, k, v)| k.iter().chain(v).all(|x| x.is_finite())));
            let mut cut = |position: u32, coded: u32, sets: u32| {
                slots::heads(&mut owned.slots, 128).for_each(|mut head| head.truncate(position));
                owned.store().truncate(position);
                assert_eq!([owned.region[CODED_KEYS], owned.region[SETS]], [coded, sets]);
            };
            cut(110, 110, 3);
            cut(71, 71, 2);
            cut(50, 50, 2);
            cut(1, 1, 1);
            cut(0, 0, 0);
        }
    }
}
