//! Attention against a plain float64 computation over the numbers that the cache holds.
use super::decoded::{Codec, Rotation};
use super::*;
use crate::kernel::kv::keys::read_key;
use crate::kernel::kv::slots::{heads, EMPTY};
use crate::kernel::kv::values::read_value;
use crate::kernel::kv::KvType;
use crate::kernel::rope::RopeStyle;
use crate::oracle::{close, Random};

pub const TYPES: [KvType; 4] = [KvType::F32, KvType::F16, KvType::Q8_0, KvType::Q4_0];

/// A cache with its memory.
pub struct Owned {
    pub keys: Vec<u32>,
    pub values: Vec<u8>,
    slots: Vec<u32>,
    key: Shape,
    value: Shape,
    n_kv_heads: usize,
    pub extras: OwnedExtras,
}

/// `Extras` with their memory; what is empty is absent.
#[derive(Default)]
pub struct OwnedExtras {
    pub bias: Vec<f32>,
    pub active: Vec<u32>,
    pub ranks: Vec<u32>,
    pub table: Vec<f32>,
    pub dims: usize,
    pub halves: bool,
    pub codec: Option<Box<dyn Codec>>,
}

impl Owned {
    pub fn new(n_kv_heads: usize, key: Shape, value: Shape) -> Self {
        let mut slots = vec![7; n_kv_heads * (4 + key.capacity)];
        heads(&mut slots, key.capacity).for_each(|mut head| head.reset());
        // What an unused slot holds must not matter: all ones are NaN as floats.
        let keys = vec![u32::MAX; n_kv_heads * key.key_bytes() / 4];
        let values = vec![u8::MAX; n_kv_heads * value.value_bytes()];
        Self { keys, values, slots, key, value, n_kv_heads, extras: OwnedExtras::default() }
    }

    pub fn append(&mut self, random: &mut Random, positions: &[u32]) {
        let k = random.floats(positions.len() * self.n_kv_heads * self.key.dim);
        let v = random.floats(positions.len() * self.n_kv_heads * self.value.dim);
        let (keys, values, slots) = (&mut self.keys[..], &mut self.values[..], &mut self.slots[..]);
        let ranks = (!self.extras.ranks.is_empty()).then_some(&mut self.extras.ranks[..]);
        slots::Cache { keys, values, slots, ranks, key: self.key, value: self.value }.append(&k, &v, positions);
    }

    pub fn evict(&mut self, head: usize, slot: usize) {
        heads(&mut self.slots, self.key.capacity).nth(head).unwrap().evict(slot);
    }

    pub fn cache(&self) -> Cache<'_> {
        let Self { keys, values, slots, key, value, extras, .. } = self;
        let style = if extras.halves { RopeStyle::Halves } else { RopeStyle::Neighbours };
        let rotation = Rotation { table: &extras.table, dims: extras.dims, style };
        let extras = Extras {
            bias: (!extras.bias.is_empty()).then_some(&extras.bias),
            active: (!extras.active.is_empty()).then_some(&extras.active),
            ranks: (!extras.ranks.is_empty()).then_some(&extras.ranks),
            decoding: Decoding {
                codec: extras.codec.as_deref(),
                rotation: (!extras.table.is_empty()).then_some(rotation),
            },
        };
        Cache { keys, values, slots, key: *key, value: *value, extras }
    }

    /// What distances and rotation go by, at a position that lies in a head or is to be looked up there.
    fn index(&self, kv_head: usize, position: u32) -> u32 {
        let capacity = self.key.capacity;
        let positions = &self.slots[kv_head * (4 + capacity) + 4..][..capacity];
        let earlier = positions.iter().filter(|&&other| other < position).count() as u32;
        if self.extras.ranks.is_empty() {
            position
        } else {
            earlier
        }
    }

    /// Turned as its index says, in float64.
    fn turned(&self, x: &[f32], index: u32) -> Vec<f64> {
        let mut x: Vec<f64> = x.iter().map(|&x| x as f64).collect();
        let OwnedExtras { table, dims, halves, .. } = &self.extras;
        for i in (0..dims / 2).filter(|_| !table.is_empty()) {
            let (a, b) = if *halves { (i, i + dims / 2) } else { (2 * i, 2 * i + 1) };
            let (sin, cos) = (index as f64 * frequency(i, *dims) as f64).sin_cos();
            (x[a], x[b]) = (x[a] * cos - x[b] * sin, x[a] * sin + x[b] * cos);
        }
        x
    }
}

pub fn frequency(i: usize, dims: usize) -> f32 {
    1e4f32.powf(-2.0 * i as f32 / dims as f32)
}

/// One row by the textbook: (out, logits, log-sum-exp).
fn naive(
    q: &[f32],
    position: u32,
    slope: f64,
    kv_head: usize,
    owned: &Owned,
    o: &Options,
) -> (Vec<f64>, Vec<f64>, f64) {
    let capacity = owned.key.capacity;
    let words = owned.key.key_bytes() / 4;
    let n_slots = owned.slots[kv_head * (4 + capacity)] as usize;
    let positions = &owned.slots[kv_head * (4 + capacity) + 4..][..n_slots];
    let mut k = vec![0.0; owned.key.dim];
    let logits: Vec<f64> = (0..n_slots)
        .map(|slot| {
            let p = positions[slot];
            let place = kv_head * capacity + slot;
            let is_active = owned.extras.active.get(place / 32).is_none_or(|bits| bits >> (place % 32) & 1 != 0);
            if p == EMPTY || p > position || (o.window > 0 && p + o.window <= position) || !is_active {
                return f64::NEG_INFINITY;
            }
            read_key(&owned.keys[kv_head * words..], &owned.key, slot, &mut k);
            let (here, there) = (owned.index(kv_head, position), owned.index(kv_head, p));
            let (q, k) = (owned.turned(q, here), owned.turned(&k, there));
            let mut logit = o.scale as f64 * q.iter().zip(&k).map(|(a, b)| a * b).sum::<f64>();
            if o.softcap > 0.0 {
                logit = o.softcap as f64 * (logit / o.softcap as f64).tanh();
            }
            logit - slope * (here - there) as f64 + owned.extras.bias.get(place).map_or(0.0, |&bias| bias as f64)
        })
        .collect();
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut out = vec![0.0; owned.value.dim];
    if max == f64::NEG_INFINITY {
        return (out, logits, max);
    }
    let sum: f64 = logits.iter().map(|l| (l - max).exp()).sum();
    let mut v = vec![0.0; owned.value.dim];
    for slot in (0..n_slots).filter(|&slot| logits[slot] > f64::NEG_INFINITY) {
        read_value(&owned.values[kv_head * owned.value.value_bytes()..], &owned.value, slot, &mut v);
        out.iter_mut().zip(&v).for_each(|(out, v)| *out += (logits[slot] - max).exp() / sum * *v as f64);
    }
    (out, logits, max + sum.ln())
}

pub fn check(owned: &Owned, random: &mut Random, positions: &[u32], group: usize, options: Options, alibi: bool) {
    let (n_tokens, n_heads, capacity) = (positions.len(), owned.n_kv_heads * group, owned.key.capacity);
    let q = random.floats(n_tokens * n_heads * owned.key.dim);
    let slopes: Vec<f32> = (0..n_heads).map(|h| 0.5f32.powi(h as i32 + 1)).collect();
    let queries = Queries { q: &q, positions, slopes: alibi.then_some(&slopes[..]), n_heads };
    let mut out = vec![f32::NAN; n_tokens * n_heads * owned.value.dim];
    let (mut scores, mut lse) = (vec![f32::NAN; n_heads * n_tokens * capacity], vec![f32::NAN; n_heads * n_tokens]);
    let mut results = Results { out: &mut out, scores: Some(&mut scores), lse: &mut lse };
    attend(&mut results, queries, owned.cache(), options);
    let mut unscored = vec![f32::NAN; out.len()];
    attend(&mut Results { out: &mut unscored, scores: None, lse: &mut lse }, queries, owned.cache(), options);
    assert_eq!(out, unscored);
    // 8-bit queries before 4-bit keys are the only rounding here that is not far below that of the cache.
    let tolerance = if owned.key.kind == KvType::Q4_0 { 5e-2 } else { 1e-3 };
    for (h, token) in (0..n_heads).flat_map(|h| (0..n_tokens).map(move |t| (h, t))) {
        let row = token * n_heads + h;
        let slope = if alibi { slopes[h] as f64 } else { 0.0 };
        let q = &q[row * owned.key.dim..][..owned.key.dim];
        let (wanted, logits, wanted_lse) = naive(q, positions[token], slope, h / group, owned, &options);
        let scores = &scores[(h * n_tokens + token) * capacity..][..logits.len()];
        let sum: f64 = scores.iter().map(|&p| p as f64).sum();
        for (got, wanted) in scores.iter().zip(&logits) {
            // Far below the largest they may be 0.
            if *wanted > wanted_lse - 70.0 {
                close((*got as f64 / sum).ln() as f32, wanted - wanted_lse, 2.0 * tolerance);
            } else {
                assert!(*got >= 0.0 && *got as f64 <= 1e-30 * sum, "{got}");
            }
        }
        if wanted_lse.is_finite() {
            close(lse[h * n_tokens + token], wanted_lse, tolerance);
        } else {
            assert_eq!(lse[h * n_tokens + token], f32::NEG_INFINITY);
        }
        for (got, wanted) in out[row * owned.value.dim..].iter().zip(wanted) {
            close(*got, wanted, tolerance);
        }
    }
}

pub fn options(dim: usize) -> Options {
    Options { scale: 1.0 / (dim as f32).sqrt(), softcap: 0.0, window: 0 }
}

pub fn shape(kind: KvType, dim: usize, capacity: usize) -> Shape {
    Shape { kind, dim, capacity }
}

#[test]
fn every_head_dim_and_pair_of_types() {
    let mut random = Random(21);
    for dim in [8, 16, 32, 64, 80, 96, 128, 256] {
        for (i, k) in TYPES.into_iter().enumerate() {
            for v in TYPES {
                let mut owned = Owned::new(2, shape(k, dim, 64), shape(v, if i == 0 { dim } else { 8 * i }, 64));
                owned.append(&mut random, &(0..37).collect::<Vec<_>>());
                check(&owned, &mut random, &[36], 3, options(dim), false);
            }
        }
    }
}

#[test]
fn every_group_and_number_of_tokens() {
    let mut random = Random(22);
    for group in 1..=9 {
        for n_tokens in [1, 2, 3, 5, 16] {
            for kind in TYPES {
                let mut owned = Owned::new(2, shape(kind, 16, 64), shape(kind, 16, 64));
                owned.append(&mut random, &(0..40).collect::<Vec<_>>());
                let positions: Vec<u32> = (40 - n_tokens..40).collect();
                check(&owned, &mut random, &positions, group, options(16), false);
            }
        }
    }
}

#[test]
fn every_number_of_slots() {
    let mut random = Random(23);
    for n_slots in
        (1..=17).chain(31..=33).chain(63..=65).chain(127..=129).chain(255..=257).chain(383..=385).chain([300, 512])
    {
        for kind in TYPES {
            let mut owned = Owned::new(1, shape(kind, 32, 512), shape(kind, 32, 512));
            owned.append(&mut random, &(0..n_slots).collect::<Vec<_>>());
            check(&owned, &mut random, &[n_slots - 1], 2, options(32), false);
        }
    }
}

#[test]
fn ragged_heads_holes_and_reused_slots() {
    let mut random = Random(24);
    for kind in TYPES {
        let mut owned = Owned::new(3, shape(kind, 24, 320), shape(kind, 40, 320));
        owned.append(&mut random, &(0..280).collect::<Vec<_>>());
        for head in 0..3 {
            (0..head * 90 + 20).for_each(|_| owned.evict(head, random.below(280)));
        }
        (270..280).for_each(|slot| owned.evict(1, slot));
        check(&owned, &mut random, &[277, 278, 279], 3, options(24), false);
        owned.append(&mut random, &[280, 281, 282, 283]);
        check(&owned, &mut random, &[280, 281, 282, 283], 3, options(24), false);
    }
}

#[test]
fn windows_caps_and_slopes() {
    let mut random = Random(25);
    for kind in TYPES {
        let mut owned = Owned::new(2, shape(kind, 64, 416), shape(kind, 64, 416));
        owned.append(&mut random, &(0..400).collect::<Vec<_>>());
        for (softcap, window, alibi) in
            [(0.0, 33, false), (5.0, 0, false), (0.0, 0, true), (2.0, 150, true), (0.0, 1, false)]
        {
            let options = Options { softcap, window, ..options(64) };
            check(&owned, &mut random, &[0, 130, 131, 399], 2, options, alibi);
        }
    }
}

#[test]
fn a_row_that_sees_nothing_is_zero() {
    let mut random = Random(26);
    for kind in TYPES {
        let mut owned = Owned::new(1, shape(kind, 16, 160), shape(kind, 16, 160));
        check(&owned, &mut random, &[5], 2, options(16), false);
        owned.append(&mut random, &(100..230).collect::<Vec<_>>());
        check(&owned, &mut random, &[99, 100], 2, options(16), false);
        (0..130).for_each(|slot| owned.evict(0, slot));
        check(&owned, &mut random, &[400], 2, options(16), false);
    }
}

#[test]
fn extreme_logits_stay_finite() {
    let mut random = Random(27);
    for kind in TYPES {
        let mut owned = Owned::new(1, shape(kind, 32, 160), shape(kind, 32, 160));
        owned.append(&mut random, &(0..150).collect::<Vec<_>>());
        let q: Vec<f32> = random.floats(32).iter().map(|x| x * 1e4).collect();
        let (mut out, mut lse) = (vec![f32::NAN; 32], vec![f32::NAN; 1]);
        let queries = Queries { q: &q, positions: &[149], slopes: None, n_heads: 1 };
        attend(&mut Results { out: &mut out, scores: None, lse: &mut lse }, queries, owned.cache(), options(32));
        assert!(out.iter().chain(&lse).all(|x| x.is_finite()));
    }
}

#[test]
fn a_token_does_not_depend_on_the_tokens_read_with_it() {
    let mut random = Random(28);
    let (n, dim, heads) = (150, 16, 3);
    let (k, mut v) = (random.floats(n * dim), random.floats(n * dim));
    // Later values are larger, so that their scales would show.
    v.iter_mut().enumerate().for_each(|(i, v)| *v *= (i / dim + 1) as f32);
    let q = random.floats(n * heads * dim);
    let positions: Vec<u32> = (0..n as u32).collect();
    for kind in TYPES {
        let run = |chunk: usize| {
            let mut owned = Owned::new(1, shape(kind, dim, 160), shape(kind, dim, 160));
            let (mut out, mut lse) = (vec![f32::NAN; n * heads * dim], vec![f32::NAN; n * heads]);
            for start in (0..n).step_by(chunk) {
                let tokens = start..(start + chunk).min(n);
                let of = |x: usize| tokens.start * x..tokens.end * x;
                let Owned { keys, values, slots, key, value, .. } = &mut owned;
                slots::Cache { keys, values, slots, ranks: None, key: *key, value: *value }.append(
                    &k[of(dim)],
                    &v[of(dim)],
                    &positions[of(1)],
                );
                let queries =
                    Queries { q: &q[of(heads * dim)], positions: &positions[of(1)], slopes: None, n_heads: heads };
                let mut results = Results { out: &mut out[of(heads * dim)], scores: None, lse: &mut lse[of(heads)] };
                attend(&mut results, queries, owned.cache(), options(dim));
            }
            out
        };
        let alone = run(1);
        for chunk in [2, 7, 64, n] {
            assert!(alone == run(chunk), "{kind:?}, {chunk} tokens at once");
        }
    }
}
