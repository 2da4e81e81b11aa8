//! Two widths: tokens that matter are coded in twice the bits of the others. Source: ZipVL, arXiv 2410.08584 v1 §4.3.
//!
//! ```text
//! tokens wait exact; once `least` of them do, all are coded together, those that matter and the others apart:
//!   step = (max - min) / (2^bits - 1), code = round((x - min) / step), x' = code * step + min
//!   keys    max, min over the tokens, for each channel
//!   values  divided by the channel's sqrt(max |v|) over the tokens first; max, min over the channels, for each token
//! every slot has a row for `low` bits a channel; a token that matters fills it with the first of its codes, which have
//! twice as many, and has as much room elsewhere, in order of slots, for the rest
//! ```
//! - Nothing leaves a cache that is stored so: a slot is its token's position.
//! - Parameters lie beside the exact tokens, a set for each time that tokens were coded and each of the two kinds. When
//!   there is no room for another set, which takes a text that is cut back many times, the last one serves.
use super::fields::CodeRows;
use super::floats::Rows;
use super::form::{CODED_KEYS, CODED_VALUES, HEADER, SETS};
use super::kivi::BLOCK;
use super::store::Store;
use super::MAX_DIM;
use crate::kernel::kv::slots;
use crate::kernel::lanes::{load, store};
use crate::kernel::scalar::{nearest, sqrt};
use crate::simd::*;

/// How one layer is coded.
#[derive(Clone, Copy, Debug)]
pub struct Mixed {
    /// Bits of a channel that all tokens have; those that matter have twice as many.
    pub low: u32,
    /// Tokens of a head that may matter.
    pub rich: usize,
    /// Sets of parameters.
    pub sets: usize,
    /// Tokens that are coded together at least.
    pub least: usize,
    pub capacity: usize,
    pub n_kv_heads: usize,
    pub key_dim: usize,
    pub value_dim: usize,
    pub halves: bool,
}

impl Mixed {
    fn floats(&self, width: usize) -> Rows {
        Rows { width, halves: self.halves }
    }

    fn codes(&self, dim: usize, matters: bool) -> CodeRows {
        CodeRows { bits: self.low << matters as u32, dim }
    }

    /// Words of a row of codes of `low` bits.
    pub fn row_words(&self, dim: usize) -> usize {
        self.codes(dim, false).words()
    }

    /// Words of a slot's value: its step and least, then its codes.
    pub fn value_words(&self) -> usize {
        self.floats(2).words() + self.row_words(self.value_dim)
    }

    fn rich_words(&self) -> usize {
        self.row_words(self.key_dim) + self.row_words(self.value_dim)
    }

    /// Words of a set of parameters: steps and leasts of keys, scales of values.
    fn set_words(&self) -> usize {
        self.floats(2 * self.key_dim + self.value_dim).words()
    }

    /// Where the ends of the sets lie, the marks of those that matter, how many do before each 32 slots, the sets of
    /// parameters, and the rest of codes; behind all of them the region goes on.
    fn places(&self) -> [usize; 5] {
        let marks = HEADER + self.sets;
        let before = marks + self.capacity / 32;
        let sets = before + self.capacity / 32;
        let rich = sets + self.n_kv_heads * self.sets * 2 * self.set_words();
        [marks, before, sets, rich, rich + self.n_kv_heads * self.rich * self.rich_words()]
    }

    /// Words of all that.
    pub fn words(&self) -> usize {
        self.places()[4] - HEADER
    }

    /// The place of the rest of a position's codes, if it matters.
    fn rich_of(&self, region: &[u32], head: usize, position: usize) -> Option<usize> {
        let [marks, before, _, rich, _] = self.places();
        let (block, bit) = (position / 32, position % 32);
        let bits = region[marks + block];
        let rank = region[before + block] + (bits & ((1 << bit) - 1)).count_ones();
        (bits >> bit & 1 != 0).then_some(rich + (head * self.rich + rank as usize) * self.rich_words())
    }

    /// Where a set of parameters of one kind begins.
    fn set(&self, head: usize, set: usize, matters: bool) -> usize {
        self.places()[2] + ((head * self.sets + set) * 2 + matters as usize) * self.set_words()
    }

    /// The set that a position was coded with.
    fn set_of(&self, region: &[u32], position: usize) -> usize {
        let ends = &region[HEADER..][..region[SETS] as usize];
        ends.partition_point(|&end| end as usize <= position)
    }

    /// The slots of a block from `start` on; those that are not below `coded` are as the last one that is.
    #[inline(never)]
    fn tokens(&self, region: &[u32], head: usize, start: usize, coded: usize) -> [Token; BLOCK] {
        let [marks, before, _, rich, _] = self.places();
        let (bits, block) = (region[marks + start / BLOCK], start / BLOCK);
        let first = head * self.rich + region[before + block] as usize;
        let ends = &region[HEADER..][..region[SETS] as usize];
        let mut set = self.set_of(region, start);
        core::array::from_fn(|i| {
            let i = i.min(coded - 1 - start);
            while ends[set] as usize <= start + i {
                set += 1;
            }
            let rank = (bits & ((1 << i) - 1)).count_ones() as usize;
            let rest = (bits >> i & 1 != 0).then_some(rich + (first + rank) * self.rich_words());
            Token { slot: start + i, set, rest }
        })
    }

    /// Opens the keys of the 32 slots from `start` on, those below `coded`, as `f32[8, dim, 4]`.
    #[inline(never)]
    pub fn decode_keys(&self, region: &[u32], keys: &[u32], head: usize, start: usize, coded: usize, out: &mut [f32]) {
        let dim = self.key_dim;
        let (words, row) = (self.row_words(dim), self.floats(dim));
        // Steps and leasts of both kinds, of the set that the latest token was coded with.
        let (mut known, mut steps, mut leasts) = (usize::MAX, [[0.0; MAX_DIM]; 2], [[0.0; MAX_DIM]; 2]);
        let tokens = self.tokens(region, head, start, coded);
        for (tokens, out) in tokens.as_chunks::<4>().0.iter().zip(out.chunks_exact_mut(4 * dim)) {
            let mut rows = [Codes { rows: self.codes(dim, false), row: &[], rest: None }; 4];
            for (row, token) in rows[..opaque(4)].iter_mut().zip(tokens) {
                *row = self.opened(dim, &keys[token.slot * words..], token.rest.map(|at| &region[at..]));
            }
            let kinds = tokens.map(|token| token.rest.is_some() as usize);
            // Once for each set, mostly one: lanes behind those of another.
            let mut first = 0;
            while first < 4 {
                if tokens[first].set != known {
                    known = tokens[first].set;
                    for matters in 0..2 {
                        let set = &region[self.set(head, known, matters == 1)..];
                        row.read(set, &mut steps[matters][..dim]);
                        row.read(&set[row.words()..], &mut leasts[matters][..dim]);
                    }
                }
                let lanes = i32x4_lt(i32x4_splat(first as i32 - 1), i32x4(0, 1, 2, 3));
                let (steps, leasts) = (kinds.map(|kind| &steps[kind]), kinds.map(|kind| &leasts[kind]));
                for (part, out) in out.chunks_mut(4 * self.part()).enumerate() {
                    let mut fields = rows.map(|row| row.fields(part));
                    for (quad, out) in out.as_chunks_mut::<4>().0.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                        let at = part * self.part() + 4 * quad;
                        let four = core::array::from_fn(|i| {
                            let [step, least] = [steps[i], leasts[i]].map(|x| load(x[at..].first_chunk().unwrap()));
                            f32x4_add(f32x4_mul(self.next(&mut fields[i]), step), least)
                        });
                        for (out, four) in out.iter_mut().zip(transpose(four)) {
                            store(out, if first == 0 { four } else { v128_bitselect(four, load(out), lanes) });
                        }
                    }
                }
                let set = known;
                first = (first..4).find(|&i| tokens[i].set != set).unwrap_or(4);
            }
        }
    }

    /// Opens the values of the 32 slots from `start` on, those below `coded`, as `f32[32, dim]`.
    #[inline(never)]
    pub fn decode_values(
        &self,
        region: &[u32],
        values: &[u32],
        head: usize,
        start: usize,
        coded: usize,
        out: &mut [f32],
    ) {
        let dim = self.value_dim;
        let (pair, row) = (self.floats(2), self.floats(dim));
        // Scales of both kinds, of the set that the latest token was coded with.
        let (mut known, mut scales) = (usize::MAX, [[0.0; MAX_DIM]; 2]);
        for (token, out) in self.tokens(region, head, start, coded).iter().zip(out.chunks_exact_mut(dim)) {
            if token.set != known {
                known = token.set;
                for (scales, matters) in scales.iter_mut().zip([false, true]) {
                    let set = self.set(head, known, matters) + self.floats(2 * self.key_dim).words();
                    row.read(&region[set..], &mut scales[..dim]);
                }
            }
            let (params, row) = values[token.slot * self.value_words()..].split_at(pair.words());
            let rest = token.rest.map(|at| &region[at + self.row_words(self.key_dim)..]);
            let (codes, scales) = (self.opened(dim, row, rest), &scales[rest.is_some() as usize]);
            let [step, min] = [0, 1].map(|i| f32x4_splat(pair.get(params, i)));
            let parts = out.chunks_mut(self.part()).zip(scales.chunks(self.part()));
            for (part, (out, scales)) in parts.enumerate() {
                let mut fields = codes.fields(part);
                for (out, scale) in out.as_chunks_mut::<4>().0.iter_mut().zip(scales.as_chunks::<4>().0) {
                    let x = f32x4_add(f32x4_mul(self.next(&mut fields), step), min);
                    store(out, f32x4_mul(x, load(scale)));
                }
            }
        }
    }

    /// Channels whose codes, twice as wide, are four words.
    fn part(&self) -> usize {
        64 / self.low as usize
    }

    /// The first field of each lane, which leaves them.
    #[inline(always)]
    fn next(&self, fields: &mut v128) -> v128 {
        let code = v128_and(*fields, u32x4_splat((1 << (2 * self.low)) - 1));
        *fields = u32x4_shr(*fields, 2 * self.low);
        f32x4_convert_i32x4(code)
    }

    /// A row's codes, with the rest of them if there is one.
    #[inline(never)]
    fn opened<'a>(&self, dim: usize, row: &'a [u32], rest: Option<&'a [u32]>) -> Codes<'a> {
        let (rows, words) = (self.codes(dim, rest.is_some()), self.row_words(dim));
        Codes { rows, row: &row[..words], rest: rest.map(|rest| &rest[..rows.words() - words]) }
    }

    /// Writes a token's codes, the rest of them behind `row` where it matters.
    fn put(&self, row: &mut [u32], rest: Option<&mut [u32]>, dim: usize, code: impl Fn(usize) -> u32) {
        let (codes, words) = (self.codes(dim, rest.is_some()), self.row_words(dim));
        let (row, rest) = (&mut row[..words], rest.map_or(&mut [][..], |rest| &mut rest[..words]));
        row.fill(0);
        rest.fill(0);
        (0..dim).for_each(|i| codes.put([&mut *row, &mut *rest], i, code(i)));
    }

    fn most(&self, rich: bool) -> f32 {
        ((1u32 << (self.low << rich as u32)) - 1) as f32
    }
}

/// A token that is coded.
#[derive(Clone, Copy)]
struct Token {
    slot: usize,
    /// The parameters that it was coded with.
    set: usize,
    /// Where the rest of its codes lies, if it matters.
    rest: Option<usize>,
}

/// A token's codes, those of one that matters in two pieces.
#[derive(Clone, Copy)]
struct Codes<'a> {
    rows: CodeRows,
    row: &'a [u32],
    rest: Option<&'a [u32]>,
}

impl Codes<'_> {
    /// Codes of channels in lanes, each in a field of as many bits as one that matters has.
    #[inline(never)]
    fn fields(&self, part: usize) -> v128 {
        match self.rest {
            Some(rest) => self.rows.four_words([self.row, rest], part),
            None => self.rows.wide(self.row, part),
        }
    }
}

/// `round((x - min) / step)`, ties to even; 0 without a step.
fn code(x: f32, min: f32, step: f32, most: f32) -> u32 {
    if step > 0.0 {
        nearest((x - min) / step).clamp(0.0, most) as u32
    } else {
        0
    }
}

impl Store<'_> {
    /// The waiting tokens that `kept u32[G, 4 + capacity]` still holds matter, as far as there is room; the others do not.
    pub fn choose(&mut self, kept: &[u32], codec: Mixed) {
        let [marks, before, ..] = codec.places();
        let coded = self.region[CODED_KEYS] as usize;
        let positions = slots::positions(kept, codec.capacity, 0);
        for block in coded / 32..codec.capacity / 32 {
            let known = if block == coded / 32 { (1 << (coded % 32)) - 1 } else { 0 };
            let mut bits = self.region[marks + block] & known;
            let so_far = match block {
                0 => 0,
                _ => self.region[before + block - 1] + self.region[marks + block - 1].count_ones(),
            };
            for (slot, &position) in positions.iter().enumerate().take(32 * block + 32).skip(coded.max(32 * block)) {
                let room = ((so_far + bits.count_ones()) as usize) < codec.rich;
                bits |= ((position as usize == slot && room) as u32) << (slot % 32);
            }
            self.region[marks + block] = bits;
            self.region[before + block] = so_far;
        }
    }

    /// Codes the tokens that wait, of `end` that are read, if they are enough.
    pub fn pack(&mut self, end: usize, codec: Mixed) {
        let start = self.region[CODED_KEYS] as usize;
        if end < start + codec.least {
            return;
        }
        let sets = self.region[SETS] as usize;
        let set = sets.min(codec.sets - 1);
        self.region[HEADER + set] = end as u32;
        self.region[SETS] = set as u32 + 1;
        for head in 0..codec.n_kv_heads {
            for rich in [false, true] {
                self.pack_kind(head, set, rich, start..end, set == sets, codec);
            }
        }
        self.region[CODED_KEYS..=CODED_VALUES].fill(end as u32);
    }

    #[inline(never)]
    fn pack_kind(
        &mut self,
        head: usize,
        set: usize,
        rich: bool,
        tokens: core::ops::Range<usize>,
        fit: bool,
        codec: Mixed,
    ) {
        let Self { form, region, keys, values, .. } = self;
        let Mixed { key_dim, value_dim, .. } = codec;
        let (key_words, value_words) = (codec.row_words(key_dim), codec.value_words());
        let most = codec.most(rich);
        let at = codec.set(head, set, rich);
        let (mut row, mut low, mut high) = ([0.0; MAX_DIM], [f32::MAX; MAX_DIM], [f32::MIN; MAX_DIM]);
        let mut scale = [0.0f32; MAX_DIM];
        if fit {
            for token in tokens.clone() {
                if codec.rich_of(region, head, token).is_some() != rich {
                    continue;
                }
                form.exact_keys().read(&region[form.exact_key(head, token as u32)..], &mut row[..key_dim]);
                low.iter_mut().zip(&row).for_each(|(low, &x)| *low = low.min(x));
                high.iter_mut().zip(&row).for_each(|(high, &x)| *high = high.max(x));
                form.exact_values().read(&region[form.exact_value(head, token as u32)..], &mut row[..value_dim]);
                scale.iter_mut().zip(&row).for_each(|(scale, &x)| *scale = scale.max(x.abs()));
            }
        }
        let params = [codec.floats(key_dim), codec.floats(key_dim), codec.floats(value_dim)];
        let places = [at, at + params[0].words(), at + 2 * params[0].words()];
        if fit {
            scale.iter_mut().for_each(|scale| *scale = sqrt(*scale));
            // Steps are made for the leasts as they are stored.
            params[1].write(&mut region[places[1]..], &low[..key_dim]);
            params[1].read(&region[places[1]..], &mut low[..key_dim]);
            high.iter_mut().zip(&low).for_each(|(high, low)| *high = (*high - low) / most);
            params[0].write(&mut region[places[0]..], &high[..key_dim]);
            params[2].write(&mut region[places[2]..], &scale[..value_dim]);
        }
        // From here on `high` holds steps.
        for (i, x) in [&mut high[..key_dim], &mut low[..key_dim], &mut scale[..value_dim]].into_iter().enumerate() {
            params[i].read(&region[places[i]..], x);
        }
        let head_keys = head * codec.capacity * key_words;
        let head_values = head * codec.capacity * value_words;
        for token in tokens {
            let place = codec.rich_of(region, head, token);
            if place.is_some() != rich {
                continue;
            }
            form.exact_keys().read(&region[form.exact_key(head, token as u32)..], &mut row[..key_dim]);
            let rest = place.map(|at| &mut region[at..]);
            codec.put(&mut keys[head_keys + token * key_words..], rest, key_dim, |i| {
                code(row[i], low[i], high[i], most)
            });
            form.exact_values().read(&region[form.exact_value(head, token as u32)..], &mut row[..value_dim]);
            let row = &mut row[..value_dim];
            row.iter_mut().zip(&scale).for_each(|(x, &scale)| *x = if scale > 0.0 { *x / scale } else { 0.0 });
            let (min, max) = row.iter().fold((f32::MAX, f32::MIN), |(min, max), &x| (min.min(x), max.max(x)));
            let (value, pair) = (&mut values[head_values + token * value_words..], codec.floats(2));
            pair.write(value, &[0.0, min]);
            let min = pair.get(value, 1);
            pair.write(value, &[(max - min) / most, min]);
            let step = pair.get(value, 0);
            let rest = place.map(|at| &mut region[at + key_words..]);
            codec.put(&mut value[pair.words()..], rest, value_dim, |i| code(row[i], min, step, most));
        }
    }

    /// Sets of tokens at `position` and later are gone.
    pub fn unpack(&mut self, position: u32) {
        let mut sets = self.region[SETS] as usize;
        while sets > 0 && sets.checked_sub(2).map_or(0, |before| self.region[HEADER + before]) >= position {
            sets -= 1;
        }
        if sets > 0 {
            self.region[HEADER + sets - 1] = position.min(self.region[HEADER + sets - 1]);
        }
        self.region[SETS] = sets as u32;
    }
}
