//! What stands for the tokens that have left: clusters of their keys, and samples of keys and values.
//!
//! ```text
//! feed(k, v)   nearest centre within delta: n += 1, each of its t key samples becomes k with probability 1/n
//!              else a new cluster, whose samples are all k; without room for one the nearest takes it
//!              mu += |v|²; each of the s value samples becomes (k, v) with probability |v|² / mu
//! read(q)      sum   = Σ_clusters n/t Σ_samples e^{q·k}         total = Σ_samples mu / (s |v|²) e^{q·k} v
//!              out   = (total + exact total) / (sum + exact sum), against one maximum
//! folded       no samples: a cluster is a slot with its first key, the mean of its values, and ln n beside its logit
//! ```
//! - Tokens are fed in order of position, and leave their slot; distances and products are of keys times 1/√d.
//! - All query heads of a KV head share its sketch. Draws are a hash of (seed, layer, KV head, position) and the
//!   sample's index, or as given.
//! - `total` and `sum` are estimated apart: the result is no mean of values, and varies much where one key dominates.
//!   The folded form is a softmax.
//!
//! Source: SubGen, arXiv 2402.06082 Algorithm 1; reading, the exact recent tokens and the folded form are ours.
use super::{add, dot, read_key, scale, slot_of, squared_distance};
use crate::kernel::attend::MAX_DIM;
use crate::kernel::kv;
use crate::kernel::kv::slots::{heads, Cache, Head as SlotsOfHead, EMPTY};
use crate::kernel::kv::values::read_value;
use crate::kernel::lanes::{load, store, zip};
use crate::kernel::math::exp_nonpositive;
use crate::kernel::policy::noise::Row;
use crate::kernel::scalar::{exp, ln, sqrt};
use crate::simd::*;

/// Sizes of a sketch.
#[derive(Clone, Copy)]
pub struct Shape {
    pub clusters: usize,
    /// Key samples of a cluster; 0: folded.
    pub key_samples: usize,
    pub value_samples: usize,
    pub key_dim: usize,
    pub value_dim: usize,
}

/// Words of a head before its clusters: clusters in use, tokens fed, bits of mu, bits of the radius.
const WORDS: usize = 4;

impl Shape {
    fn folded(&self) -> bool {
        self.key_samples == 0
    }

    /// Words of one head: the header, then sizes, first positions, positions of key samples, positions of value samples.
    pub fn words(&self) -> usize {
        WORDS + self.clusters * (2 + self.key_samples) + self.value_samples
    }

    /// Floats of one head: first keys, key samples, keys and values of value samples; folded: first keys, sums of values.
    pub fn floats(&self) -> usize {
        let Shape { clusters, key_samples, value_samples, key_dim, value_dim } = *self;
        let of_cluster = key_dim * (1 + key_samples) + if self.folded() { value_dim } else { 0 };
        clusters * of_cluster + value_samples * (key_dim + value_dim)
    }
}

/// The sketch of one head, in its parts.
struct Head<'a> {
    header: &'a mut [u32],
    sizes: &'a mut [u32],
    first_positions: &'a mut [u32],
    key_positions: &'a mut [u32],
    value_positions: &'a mut [u32],
    centres: &'a mut [f32],
    key_samples: &'a mut [f32],
    /// Of folded clusters.
    value_sums: &'a mut [f32],
    sample_keys: &'a mut [f32],
    /// Each divided by its square.
    sample_values: &'a mut [f32],
}

impl<'a> Head<'a> {
    fn new(shape: &Shape, words: &'a mut [u32], floats: &'a mut [f32]) -> Self {
        let Shape { clusters, key_samples, value_samples, key_dim, value_dim } = *shape;
        let (header, words) = words.split_at_mut(WORDS);
        let (sizes, words) = words.split_at_mut(clusters);
        let (first_positions, words) = words.split_at_mut(clusters);
        let (key_positions, value_positions) = words.split_at_mut(clusters * key_samples);
        let (centres, floats) = floats.split_at_mut(clusters * key_dim);
        let (keys, floats) = floats.split_at_mut(clusters * key_samples * key_dim);
        let (value_sums, floats) = floats.split_at_mut(if shape.folded() { clusters * value_dim } else { 0 });
        let (sample_keys, sample_values) = floats.split_at_mut(value_samples * key_dim);
        Self {
            header,
            sizes,
            first_positions,
            key_positions,
            value_positions,
            centres,
            key_samples: keys,
            value_sums,
            sample_keys,
            sample_values,
        }
    }

    fn n_clusters(&self) -> usize {
        self.header[0] as usize
    }

    fn mu(&self) -> f32 {
        f32::from_bits(self.header[2])
    }
}

/// How tokens are taken in.
#[derive(Clone, Copy)]
pub struct Feed<'a> {
    /// Tokens at earlier positions leave the cache for the sketch.
    pub before: u32,
    /// Radius of a cluster, of keys times `scale`. Below 0: as many root mean square distances between the keys that a head
    /// holds when it is first fed.
    pub delta: f32,
    pub scale: f32,
    pub seed: u32,
    pub layer: u32,
    /// Draws in place of hashed ones, `f32[G, positions, key_samples + value_samples]`, and how many positions.
    pub given: Option<(&'a [f32], usize)>,
}

/// Moves tokens from the cache into the sketches `words u32[G, words]`, `floats f32[G, floats]`.
pub fn feed(words: &mut [u32], floats: &mut [f32], shape: &Shape, cache: &mut Cache, options: Feed) {
    let (key, value) = (cache.key, cache.value);
    let keys = cache.keys.chunks_exact(key.key_bytes() / 4);
    let values = cache.values.chunks_exact(value.value_bytes());
    let sketches = words.chunks_exact_mut(shape.words()).zip(floats.chunks_exact_mut(shape.floats()));
    let stored = keys.zip(values).zip(heads(cache.slots, key.capacity));
    let (mut k, mut v) = ([0.0; MAX_DIM], [0.0; MAX_DIM]);
    let (k, v) = (&mut k[..key.dim], &mut v[..value.dim]);
    for (h, ((words, floats), ((keys, values), mut slots))) in sketches.zip(stored).enumerate() {
        let mut sketch = Head::new(shape, words, floats);
        let leaving = |position: &u32| *position < options.before;
        let mut next = slots.positions()[..slots.n_slots()].iter().copied().filter(leaving).min();
        let mut likely = 0;
        if next.is_some() && sketch.header[1] == 0 {
            let spread = if options.delta < 0.0 { -spread(keys, &key, &slots) * options.scale } else { 1.0 };
            sketch.header[3] = (options.delta * spread).to_bits();
        }
        while let Some(position) = next {
            let n = slots.n_slots();
            if let Some(slot) = slot_of(&slots.positions()[..n], position, likely) {
                read_key(keys, &key, slot, k);
                read_value(values, &value, slot, v);
                take(&mut sketch, shape, k, v, position, h, &options);
                slots.evict(slot);
                likely = slot + 1;
            }
            let later = |p: &u32| leaving(p) && *p > position;
            let n = slots.n_slots();
            let held = &slots.positions()[..n];
            next = match held.get(likely) {
                Some(&p) if p == position + 1 && leaving(&p) => Some(p),
                _ => held.iter().copied().filter(later).min(),
            };
        }
    }
}

/// Root mean square distance between the keys of two slots of a head: √(2 (mean |k|² - |mean k|²)).
#[inline(never)]
fn spread(keys: &[u32], shape: &kv::Shape, slots: &SlotsOfHead) -> f32 {
    let (mut row, mut sum) = ([0.0; MAX_DIM], [0.0; MAX_DIM]);
    let (k, sum) = (&mut row[..shape.dim], &mut sum[..shape.dim]);
    let mut squares = 0.0;
    for slot in (0..slots.n_slots()).filter(|&slot| slots.positions()[slot] != EMPTY) {
        read_key(keys, shape, slot, k);
        add(sum, k);
        squares += dot(k, k);
    }
    let n = slots.n_occupied() as f32;
    sqrt((2.0 * (squares / n - dot(sum, sum) / (n * n))).max(0.0))
}

fn take(sketch: &mut Head, shape: &Shape, k: &[f32], v: &[f32], position: u32, head: usize, options: &Feed) {
    let (dim, samples) = (shape.key_dim, shape.key_samples);
    let draws = Row::new(options.seed, options.layer, head as u32, position);
    let draw = |i: usize| match options.given {
        Some((given, n)) => {
            let stride = samples + shape.value_samples;
            given[(head * n + position as usize) * stride + i]
        }
        None => draws.uniform(i as u32),
    };
    let (mut near, mut distance) = (0, f32::INFINITY);
    for (i, centre) in sketch.centres.chunks_exact(dim).take(sketch.n_clusters()).enumerate() {
        let d = squared_distance(k, centre);
        if d < distance {
            (near, distance) = (i, d);
        }
    }
    let within = sqrt(distance) * options.scale <= f32::from_bits(sketch.header[3]);
    let n = sketch.n_clusters();
    if within || n == shape.clusters {
        sketch.sizes[near] += 1;
        let chance = 1.0 / sketch.sizes[near] as f32;
        for i in (0..samples).filter(|&i| draw(i) < chance) {
            put_key(sketch, near * samples + i, k, position);
        }
        if shape.folded() {
            add(&mut sketch.value_sums[near * v.len()..][..v.len()], v);
        }
    } else {
        sketch.header[0] += 1;
        sketch.sizes[n] = 1;
        sketch.first_positions[n] = position;
        sketch.centres[n * dim..][..dim].copy_from_slice(k);
        (0..samples).for_each(|i| put_key(sketch, n * samples + i, k, position));
        if shape.folded() {
            sketch.value_sums[n * v.len()..][..v.len()].copy_from_slice(v);
        }
    }
    sketch.header[1] += 1;
    let square = dot(v, v);
    let mu = sketch.mu() + square;
    sketch.header[2] = mu.to_bits();
    let (first, chance) = (sketch.header[1] == 1, if mu > 0.0 { square / mu } else { 0.0 });
    for i in (0..shape.value_samples).filter(|&i| first || draw(samples + i) < chance) {
        sketch.value_positions[i] = position;
        sketch.sample_keys[i * dim..][..dim].copy_from_slice(k);
        let value = &mut sketch.sample_values[i * v.len()..][..v.len()];
        value.copy_from_slice(v);
        scale(value, if square > 0.0 { 1.0 / square } else { 0.0 });
    }
}

fn put_key(sketch: &mut Head, i: usize, k: &[f32], position: u32) {
    sketch.key_positions[i] = position;
    sketch.key_samples[i * k.len()..][..k.len()].copy_from_slice(k);
}

/// The rows that read a sketch.
#[derive(Clone, Copy)]
pub struct Queries<'a> {
    /// `f32[T, H, key_dim]`
    pub q: &'a [f32],
    pub n_tokens: usize,
    pub scale: f32,
}

/// Joins the sketches to what attention over the slots has left: `out f32[T, H, value_dim]` and `lse f32[H, T]`.
pub fn read(out: &mut [f32], lse: &mut [f32], words: &mut [u32], floats: &mut [f32], shape: &Shape, queries: Queries) {
    let n_tokens = queries.n_tokens;
    let n_heads = lse.len() / n_tokens;
    let group = n_heads / (words.len() / shape.words());
    let sketches = words.chunks_exact_mut(shape.words()).zip(floats.chunks_exact_mut(shape.floats()));
    for (kv_head, (words, floats)) in sketches.enumerate() {
        let sketch = Head::new(shape, words, floats);
        for row in 0..n_tokens * group {
            let (token, head) = (row / group, kv_head * group + row % group);
            let place = token * n_heads + head;
            let q = &queries.q[place * shape.key_dim..][..shape.key_dim];
            let out = &mut out[place * shape.value_dim..][..shape.value_dim];
            let lse = &mut lse[head * n_tokens + token];
            *lse = read_row(out, *lse, q, &sketch, shape, queries.scale);
        }
    }
}

#[inline(never)]
fn read_row(out: &mut [f32], lse: f32, q: &[f32], sketch: &Head, shape: &Shape, factor: f32) -> f32 {
    let mut row = Running { out, top: lse, sum: if lse > f32::NEG_INFINITY { 1.0 } else { 0.0 } };
    let n = sketch.n_clusters();
    let size = |i: usize| ln(sketch.sizes[i] as f32);
    if shape.folded() {
        row.add(q, &sketch.centres[..n * q.len()], factor, &size, &mut |row, i, weight| {
            let sums = &sketch.value_sums[i * row.out.len()..][..row.out.len()];
            row.sum += weight;
            row.add_value(sums, weight / sketch.sizes[i] as f32);
        });
    } else {
        let t = shape.key_samples;
        let keys = &sketch.key_samples[..n * t * q.len()];
        let share = ln(t as f32);
        row.add(q, keys, factor, &|i| size(i / t) - share, &mut |row, _, weight| row.sum += weight);
        let used = if n > 0 { sketch.sample_keys.len() } else { 0 };
        let weight = ln((sketch.mu() / shape.value_samples as f32).max(f32::MIN_POSITIVE));
        row.add(q, &sketch.sample_keys[..used], factor, &|_| weight, &mut |row, i, weight| {
            row.add_value(&sketch.sample_values[i * row.out.len()..][..row.out.len()], weight);
        });
    }
    if row.sum > 0.0 {
        scale(row.out, 1.0 / row.sum);
    }
    row.top + ln(row.sum)
}

/// Sums against the largest logit so far.
struct Running<'a> {
    out: &'a mut [f32],
    top: f32,
    sum: f32,
}

impl Running<'_> {
    /// Calls `f(self, i, e^(logit - top))` for every row of `keys`; a logit is `factor q·k + bias(i)`.
    #[inline(never)]
    fn add(
        &mut self,
        q: &[f32],
        keys: &[f32],
        factor: f32,
        bias: &dyn Fn(usize) -> f32,
        f: &mut dyn FnMut(&mut Self, usize, f32),
    ) {
        for (quad, keys) in keys.chunks(4 * q.len()).enumerate() {
            let mut lanes = [f32::NEG_INFINITY; 4];
            for (i, (lane, k)) in lanes.iter_mut().zip(keys.chunks_exact(q.len())).enumerate() {
                *lane = dot(q, k) * factor + bias(4 * quad + i);
            }
            let top = lanes.into_iter().fold(self.top, f32::max);
            if top > self.top {
                let shrink = exp(self.top - top);
                self.sum *= shrink;
                scale(self.out, shrink);
                self.top = top;
            }
            let weights = exp_nonpositive(f32x4_sub(load(&lanes), f32x4_splat(top)));
            store(&mut lanes, weights);
            for (i, &weight) in lanes[..keys.len() / q.len()].iter().enumerate() {
                f(self, 4 * quad + i, weight);
            }
        }
    }

    #[inline(never)]
    fn add_value(&mut self, value: &[f32], weight: f32) {
        zip(self.out, value, |out, v| f32x4_madd(v, f32x4_splat(weight), out));
    }
}
