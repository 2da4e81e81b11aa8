//! How tokens get their two widths: which of those that wait matter, and their codes; see mixed.rs for the layout.
use super::form::{CODED_KEYS, CODED_VALUES, HEADER, SETS};
use super::mixed::Mixed;
use super::store::Store;
use super::MAX_DIM;
use crate::kernel::kv::slots;
use crate::kernel::scalar::{nearest, sqrt};

impl Mixed {
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
