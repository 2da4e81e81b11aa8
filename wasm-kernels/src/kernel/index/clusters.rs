//! Clusters of the keys of a fixed prefix: how likely a query needs each, which ones are read, and where they lie.
//!
//! ```text
//! cluster j of a KV head   slots starts[j] .. starts[j + 1], N_j of them, centroid c_j
//! P_j(q) = exp(q·c_j / √d) / Σ_m N_m exp(q·c_m / √d)        mean over the query heads and the queries
//! read     clusters with N_j > 0 and P_j > threshold, and every slot behind the clusters
//! two levels: coarse clusters first, each a run of fine ones; fine clusters of coarse ones that fail are not looked at,
//!          and have no part in the sum
//! ```
//! - Slots are sorted by cluster once, and clusters by how often the calibrating queries want them, so that what is read
//!   lies together and whole blocks of 32 slots can be skipped.
//! - The same sums over the queries that calibrate are the scores from which a threshold is taken.
//!
//! Source: Squeezed Attention, arXiv 2411.09688 §4; the mean over grouped heads is not in the paper.
use super::kmeans::Points;
use super::{active, add, scale};
use crate::kernel::attend::MAX_DIM;
use crate::kernel::kv::keys::copy_key;
use crate::kernel::kv::slots::{Cache, HEADER};
use crate::kernel::kv::values::copy_value;
use crate::kernel::lanes::{load, map, zip};
use crate::kernel::logits::max;
use crate::kernel::math::exp_nonpositive;
use crate::simd::*;

/// One level of clusters of one KV head.
#[derive(Clone, Copy)]
pub struct Level<'a> {
    /// `f32[k, dim]`
    pub centroids: &'a [f32],
    /// `u32[k + 1]`: first slot of each cluster, or, of coarse ones, first fine cluster.
    pub starts: &'a [u32],
    pub threshold: f32,
}

/// Queries of the heads that share a KV head: `n_tokens` times `group` rows of `dim`.
#[derive(Clone, Copy)]
pub struct Queries<'a> {
    /// From the first row of the first token on.
    pub q: &'a [f32],
    pub n_tokens: usize,
    pub n_heads: usize,
    pub group: usize,
    pub dim: usize,
    pub scale: f32,
}

impl<'a> Queries<'a> {
    /// One of the rows, token by token.
    fn row(self, i: usize) -> &'a [f32] {
        &self.q[(i / self.group * self.n_heads + i % self.group) * self.dim..][..self.dim]
    }
}

/// Floats of scratch for `k` clusters: their sizes, and logits of some rows.
pub const fn scratch(k: usize) -> usize {
    (1 + ROWS) * k
}

/// Rows that share the loads of centroids.
const ROWS: usize = 4;

/// `sums[j] += rate · P_j` for every query, with clusters of `sizes f32[k]`; those of less than 0 are left out.
/// `logits f32[4, k]` is scratch.
#[inline(never)]
fn add_probabilities(
    sums: &mut [f32],
    sizes: &[f32],
    logits: &mut [f32],
    centroids: &[f32],
    queries: Queries,
    rate: f32,
) {
    let (k, n_rows) = (sums.len(), queries.n_tokens * queries.group);
    for first in (0..n_rows).step_by(ROWS) {
        let rows: [&[f32]; ROWS] = core::array::from_fn(|i| queries.row((first + i).min(n_rows - 1)));
        for (j, centroid) in centroids.chunks_exact(queries.dim).enumerate() {
            let dots = if sizes[j] >= 0.0 { dots(rows, centroid) } else { [f32::NEG_INFINITY; ROWS] };
            dots.into_iter().enumerate().for_each(|(i, dot)| logits[i * k + j] = dot * queries.scale);
        }
        for logits in logits.chunks_exact_mut(k).take(ROWS.min(n_rows - first)) {
            let top = f32x4_splat(max(logits));
            map(logits, |logit| exp_nonpositive(f32x4_sub(logit, top)));
            let total: f32 = logits.iter().zip(sizes).map(|(weight, size)| weight * size.max(0.0)).sum();
            let factor = f32x4_splat(rate / total.max(f32::MIN_POSITIVE));
            zip(sums, logits, |sum, weight| f32x4_madd(weight, factor, sum));
        }
    }
}

/// Products of some rows with one, a multiple of four long.
#[inline(always)]
fn dots(rows: [&[f32]; ROWS], x: &[f32]) -> [f32; ROWS] {
    let rows = rows.map(|row| &row.as_chunks::<4>().0[..x.len() / 4]);
    let mut sums = [f32x4_splat(0.0); ROWS];
    for (i, x) in x.as_chunks::<4>().0.iter().enumerate() {
        let x = load(x);
        for (sum, row) in sums.iter_mut().zip(rows) {
            *sum = f32x4_madd(load(&row[i]), x, *sum);
        }
    }
    sums.map(|sum| f32x4_sum(sum))
}

/// `sums f32[k]` += `rate` times what the queries want of each cluster, or, with `coarse_starts u32[k + 1]`, of each coarse
/// one. `room` is scratch.
pub fn calibrate(
    sums: &mut [f32],
    room: &mut [f32],
    centroids: &[f32],
    starts: &[u32],
    coarse_starts: Option<&[u32]>,
    queries: Queries,
    rate: f32,
) {
    let (sizes, logits) = room.split_at_mut(sums.len());
    measure(sizes, starts, coarse_starts);
    add_probabilities(sums, sizes, logits, centroids, queries, rate);
}

/// `sizes f32[k]` = slots of each cluster, or of each coarse one.
fn measure(sizes: &mut [f32], starts: &[u32], coarse_starts: Option<&[u32]>) {
    let start = |i: usize| starts[coarse_starts.map_or(i, |runs| runs[i] as usize)];
    sizes.iter_mut().enumerate().for_each(|(i, size)| *size = (start(i + 1) - start(i)) as f32);
}

/// Bits of the slots that the queries read: of the clusters, of `capacity` slots those from the last cluster's end on.
/// `scores f32[k]` and `coarse_scores f32[k']` receive the probabilities; `room` is scratch for k, which is not less than k'.
pub fn choose(
    bits: &mut [u32],
    scores: &mut [f32],
    coarse_scores: &mut [f32],
    room: &mut [f32],
    fine: Level,
    coarse: Option<Level>,
    queries: Queries,
) {
    let rate = 1.0 / (queries.n_tokens * queries.group) as f32;
    let n_clusters = scores.len();
    bits.fill(0);
    active::set(bits, fine.starts[n_clusters] as usize, 32 * bits.len());
    if let Some(coarse) = coarse {
        coarse_scores.fill(0.0);
        calibrate(coarse_scores, room, coarse.centroids, fine.starts, Some(coarse.starts), queries, rate);
    }
    let (sizes, logits) = room.split_at_mut(n_clusters);
    measure(sizes, fine.starts, None);
    if let Some(coarse) = coarse {
        let failed = coarse.starts.windows(2).zip(coarse_scores.iter()).filter(|(_, &score)| score <= coarse.threshold);
        failed.for_each(|(run, _)| sizes[run[0] as usize..run[1] as usize].fill(-1.0));
    }
    scores.fill(0.0);
    add_probabilities(scores, sizes, logits, fine.centroids, queries, rate);
    for (j, ends) in fine.starts.windows(2).enumerate() {
        if sizes[j] > 0.0 && scores[j] > fine.threshold {
            active::set(bits, ends[0] as usize, ends[1] as usize);
        }
    }
}

/// `order u32[k]` = the clusters by `groups u32[k]`, if any, then by falling `wanted f32[k]`, if any, then by index.
pub fn sort(order: &mut [u32], groups: Option<&[u32]>, wanted: Option<&[f32]>) {
    let before = |a: usize, b: usize| match (groups, wanted) {
        (Some(groups), _) if groups[a] != groups[b] => groups[a] < groups[b],
        (_, Some(wanted)) => wanted[a] > wanted[b],
        _ => false,
    };
    for i in 0..order.len() {
        let mut place = i;
        while place > 0 && before(i, order[place - 1] as usize) {
            order[place] = order[place - 1];
            place -= 1;
        }
        order[place] = i as u32;
    }
}

/// Sorts the first `labels.len()` slots of a head by the place that `order` gives their cluster; tokens of a cluster keep
/// their order. `starts u32[k + 1]` receives where clusters begin. Labels are used up. A slot behind them must be empty.
pub fn arrange(cache: &mut Cache, head: usize, starts: &mut [u32], labels: &mut [u32], order: &[u32]) {
    starts.fill(0);
    for label in labels.iter_mut() {
        *label = order.iter().position(|cluster| cluster == label).unwrap_or(0) as u32;
        starts[*label as usize + 1] += 1;
    }
    let mut end = 0;
    for start in starts.iter_mut() {
        end += *start;
        *start = end;
    }
    // Each token's new slot; meanwhile a start runs through its cluster, and ends where the next one begins.
    for label in labels.iter_mut() {
        let start = &mut starts[*label as usize];
        *label = *start;
        *start += 1;
    }
    starts.copy_within(0..order.len(), 1);
    starts[0] = 0;
    for slot in 0..labels.len() {
        while labels[slot] as usize != slot {
            let target = labels[slot] as usize;
            swap(cache, head, slot, target);
            labels.swap(slot, target);
        }
    }
}

/// What two slots of a head hold changes places, by way of the first slot that was never used.
#[inline(never)]
fn swap(cache: &mut Cache, head: usize, a: usize, b: usize) {
    let (key, value) = (&cache.key, &cache.value);
    let (key_words, value_bytes) = (key.key_bytes() / 4, value.value_bytes());
    let slots = &mut cache.slots[head * (HEADER + key.capacity)..][..HEADER + key.capacity];
    let spare = slots[0] as usize;
    slots.swap(HEADER + a, HEADER + b);
    let keys = &mut cache.keys[head * key_words..][..key_words];
    let values = &mut cache.values[head * value_bytes..][..value_bytes];
    for (from, to) in [(a, spare), (b, a), (spare, b)] {
        copy_key(keys, key, from, to);
        copy_value(values, value, from, to);
    }
}

/// `labels[slot]` = the cluster that holds the slot.
pub fn label(labels: &mut [u32], starts: &[u32]) {
    for (j, ends) in starts.windows(2).enumerate() {
        labels[ends[0] as usize..ends[1] as usize].fill(j as u32);
    }
}

/// `centroids f32[k, dim]` = means of the points of each run; zeros of an empty one.
pub fn average(centroids: &mut [f32], starts: &[u32], points: Points, dim: usize) {
    let mut row = [0.0; MAX_DIM];
    let point = &mut row[..dim];
    for (centroid, ends) in centroids.chunks_exact_mut(dim).zip(starts.windows(2)) {
        centroid.fill(0.0);
        for i in ends[0]..ends[1] {
            points.get(i as usize, false, point);
            add(centroid, point);
        }
        scale(centroid, 1.0 / (ends[1] - ends[0]).max(1) as f32);
    }
}
