//! Two widths: tokens that matter keep all bits of their codes, the others the upper half. Source: ZipVL, arXiv
//! 2410.08584 v1 §4.3.
//!
//! ```text
//! tokens wait exact; once `least` of them do, all are coded together, those that matter and the others apart:
//!   step = (max - min) / (2^bits - 1), code = round((x - min) / step), x' = code * step + min
//!   keys    max, min over the tokens, for each channel
//!   values  divided by the channel's sqrt(max |v|) over the tokens first; max, min over the channels, for each token
//! every slot has a row of `low` bits a channel; a token that matters has `low` more elsewhere, in order of slots
//! ```
//! - Nothing leaves a cache that is stored so: a slot is its token's position.
//! - Parameters lie beside the exact tokens, a set for each time that tokens were coded and each of the two kinds. When
//!   there is no room for another set, which takes a text that is cut back many times, the last one serves.
use super::floats::Rows;
use super::form::{CODED_KEYS, CODED_VALUES, HEADER, SETS};
use super::store::Store;
use super::MAX_DIM;
use crate::kernel::kv::slots;
use crate::kernel::lanes::store;
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

    /// Words of a row of codes of `low` bits.
    pub fn row_words(&self, dim: usize) -> usize {
        (dim * self.low as usize).div_ceil(32)
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
    /// parameters, and the other halves of codes; behind all of them the region goes on.
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

    /// The place of a position's other half of codes, if it matters.
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

    fn opener(&self) -> Opener {
        let bits = self.low;
        let (mask, unit) = ((1 << bits) - 1, 1.0 / (1 << bits) as f32);
        Opener {
            bits: bits as usize,
            masks: i32x4(mask, mask << bits, mask << (2 * bits), mask << (3 * bits)),
            units: f32x4(1.0, unit, unit * unit, unit * unit * unit),
            upper: f32x4_splat((1 << bits) as f32),
        }
    }

    /// Opens the keys of the 32 slots from `start` on, those below `coded`, as `f32[8, dim, 4]`.
    #[inline(never)]
    pub fn decode_keys(&self, region: &[u32], keys: &[u32], head: usize, start: usize, coded: usize, out: &mut [f32]) {
        let (dim, words, open) = (self.key_dim, self.row_words(self.key_dim), self.opener());
        let row = self.floats(dim);
        let tokens: [(usize, Option<usize>, usize); 32] = core::array::from_fn(|i| {
            let slot = (start + i).min(coded - 1);
            (slot * words, self.rich_of(region, head, slot), self.set_of(region, slot))
        });
        let out = out.as_chunks_mut::<4>().0;
        for quad in 0..dim / 4 {
            // Steps and leasts of both kinds, of the set that the latest token was coded with.
            let (mut known, mut params) = (usize::MAX, [[f32x4_splat(0.0); 2]; 2]);
            for (group, tokens) in tokens.as_chunks::<4>().0.iter().enumerate() {
                let four = tokens.map(|(at, lower, set)| {
                    if set != known {
                        known = set;
                        params = [false, true].map(|matters| {
                            let set = &region[self.set(head, set, matters)..];
                            [0, row.words()].map(|part| row.quad(&set[part..], quad))
                        });
                    }
                    let [step, min] = params[lower.is_some() as usize];
                    let code = open.token(&keys[at..], lower.map(|at| &region[at..]), quad);
                    f32x4_add(f32x4_mul(code, step), min)
                });
                for (i, channel) in transpose(four).into_iter().enumerate() {
                    store(&mut out[group * dim + 4 * quad + i], channel);
                }
            }
        }
    }

    /// Opens the value of a slot.
    #[inline(never)]
    pub fn decode_value(&self, region: &[u32], values: &[u32], head: usize, slot: usize, out: &mut [f32]) {
        let (row, rich) = (&values[slot * self.value_words()..], self.rich_of(region, head, slot));
        let set = &region[self.set(head, self.set_of(region, slot), rich.is_some())..];
        let scales = &set[self.floats(2 * self.key_dim).words()..];
        let lower = rich.map(|at| &region[at + self.row_words(self.key_dim)..]);
        let (params, scale, open) = (self.floats(2), self.floats(self.value_dim), self.opener());
        let [step, min] = [0, 1].map(|i| f32x4_splat(params.get(row, i)));
        let codes = &row[params.words()..];
        for (quad, out) in out.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let x = f32x4_add(f32x4_mul(open.token(codes, lower, quad), step), min);
            store(out, f32x4_mul(x, scale.quad(scales, quad)));
        }
    }

    /// Writes a token's codes; `lower` where it has all bits.
    fn put(&self, codes: &mut [u32], lower: Option<&mut [u32]>, dim: usize, code: impl Fn(usize) -> u32) {
        let (bits, words, rich) = (self.low as usize, self.row_words(dim), lower.is_some());
        let put = |row: &mut [u32], shift: u32| {
            row[..words].fill(0);
            for i in 0..dim {
                let part = code(i) >> shift & ((1 << bits) - 1);
                row[i * bits / 32] |= part << (i * bits % 32);
            }
        };
        put(codes, if rich { bits as u32 } else { 0 });
        if let Some(lower) = lower {
            put(lower, 0);
        }
    }

    fn most(&self, rich: bool) -> f32 {
        ((1u32 << (self.low << rich as u32)) - 1) as f32
    }
}

/// Opens codes of four channels at once.
struct Opener {
    bits: usize,
    masks: v128,
    /// What a code's place in its word has to be multiplied by.
    units: v128,
    /// What the upper half of a code counts.
    upper: v128,
}

impl Opener {
    #[inline(always)]
    fn quad(&self, codes: &[u32], quad: usize) -> v128 {
        let at = 4 * self.bits * quad;
        let four = i32x4_splat((codes[at / 32] >> (at % 32)) as i32);
        f32x4_mul(f32x4_convert_i32x4(v128_and(four, self.masks)), self.units)
    }

    /// Codes of a token, of which it may have the upper half alone.
    #[inline(always)]
    fn token(&self, codes: &[u32], lower: Option<&[u32]>, quad: usize) -> v128 {
        let upper = self.quad(codes, quad);
        match lower {
            None => upper,
            Some(lower) => f32x4_add(f32x4_mul(upper, self.upper), self.quad(lower, quad)),
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
            let lower = place.map(|at| &mut region[at..]);
            codec.put(&mut keys[head_keys + token * key_words..], lower, key_dim, |i| {
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
            let lower = place.map(|at| &mut region[at + key_words..]);
            codec.put(&mut value[pair.words()..], lower, value_dim, |i| code(row[i], min, step, most));
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
