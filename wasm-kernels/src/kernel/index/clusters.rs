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
use super::{active, add, dot, scale};
use crate::kernel::attend::MAX_DIM;
use crate::kernel::kv::keys::copy_key;
use crate::kernel::kv::slots::{Cache, HEADER};
use crate::kernel::kv::values::copy_value;
use crate::kernel::lanes::{load, store};
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
    fn rows(self) -> impl Iterator<Item = &'a [f32]> {
        (0..self.n_tokens).flat_map(move |token| (0..self.group).map(move |head| self.row(token, head)))
    }

    fn row(self, token: usize, head: usize) -> &'a [f32] {
        &self.q[(token * self.n_heads + head) * self.dim..][..self.dim]
    }
}

/// `sums[j] += rate · P_j` for every query; `logits f32[k]` is scratch. Clusters that `size` gives none of are left out.
#[inline(never)]
pub fn add_probabilities(
    sums: &mut [f32],
    logits: &mut [f32],
    centroids: &[f32],
    queries: Queries,
    rate: f32,
    size: &dyn Fn(usize) -> Option<u32>,
) {
    for q in queries.rows() {
        logits.fill(f32::NEG_INFINITY);
        for (j, centroid) in centroids.chunks_exact(queries.dim).enumerate() {
            if size(j).is_some() {
                logits[j] = dot(q, centroid) * queries.scale;
            }
        }
        let top = max(logits);
        if top == f32::NEG_INFINITY {
            return;
        }
        let mut total = 0.0;
        for (quad, logits) in logits.chunks_mut(4).enumerate() {
            let mut lanes = [f32::NEG_INFINITY; 4];
            lanes[..logits.len()].copy_from_slice(logits);
            let weights = exp_nonpositive(f32x4_sub(load(&lanes), f32x4_splat(top)));
            store(&mut lanes, weights);
            for (i, (logit, weight)) in logits.iter_mut().zip(lanes).enumerate() {
                *logit = weight;
                total += weight * size(4 * quad + i).unwrap_or(0) as f32;
            }
        }
        let factor = rate / total.max(f32::MIN_POSITIVE);
        sums.iter_mut().zip(logits.iter()).for_each(|(sum, weight)| *sum += factor * weight);
    }
}

/// Bits of the slots that the queries read: of the clusters, of `capacity` slots those from the last cluster's end on.
/// `scores f32[k]` and `coarse_scores f32[k']` receive the probabilities.
pub fn choose(
    bits: &mut [u32],
    scores: &mut [f32],
    coarse_scores: &mut [f32],
    logits: &mut [f32],
    fine: Level,
    coarse: Option<Level>,
    queries: Queries,
) {
    let rate = 1.0 / (queries.n_tokens * queries.group) as f32;
    let n_clusters = scores.len();
    scores.fill(0.0);
    bits.fill(0);
    active::set(bits, fine.starts[n_clusters] as usize, 32 * bits.len());
    let size = |j: usize| fine.starts[j + 1] - fine.starts[j];
    let mut read = |j: usize, scores: &[f32]| {
        if scores[j] > fine.threshold && size(j) > 0 {
            active::set(bits, fine.starts[j] as usize, fine.starts[j + 1] as usize);
        }
    };
    let Some(coarse) = coarse else {
        add_probabilities(scores, &mut logits[..n_clusters], fine.centroids, queries, rate, &|j| Some(size(j)));
        return (0..n_clusters).for_each(|j| read(j, scores));
    };
    let n_coarse = coarse_scores.len();
    coarse_scores.fill(0.0);
    let coarse_size = |i: usize| Some(coarse_size(i, coarse.starts, fine.starts));
    add_probabilities(coarse_scores, &mut logits[..n_coarse], coarse.centroids, queries, rate, &coarse_size);
    let runs = || (0..n_coarse).map(|i| (i, coarse.starts[i] as usize..coarse.starts[i + 1] as usize));
    // A fine cluster's score tells until it is computed whether its coarse one is read.
    for (i, run) in runs() {
        scores[run].fill(if coarse_scores[i] > coarse.threshold { 1.0 } else { 0.0 });
    }
    let (alive, logits) = logits.split_at_mut(n_clusters);
    alive.copy_from_slice(scores);
    scores.fill(0.0);
    let alive_size = |j: usize| (alive[j] > 0.0).then(|| size(j));
    add_probabilities(scores, &mut logits[..n_clusters], fine.centroids, queries, rate, &alive_size);
    (0..n_clusters).filter(|&j| alive[j] > 0.0).for_each(|j| read(j, scores));
}

/// Keys of a coarse cluster.
pub fn coarse_size(i: usize, coarse_starts: &[u32], starts: &[u32]) -> u32 {
    starts[coarse_starts[i + 1] as usize] - starts[coarse_starts[i] as usize]
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
