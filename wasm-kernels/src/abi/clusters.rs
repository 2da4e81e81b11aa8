//! Clusters of keys; see `kernel::index::clusters` and `kmeans`.
//!
//! Keys, slots and the types of keys are those of `kv_append`. G KV heads, H query heads, T tokens, d width of a key.
use super::attention::{cache_mut, stored};
use super::{optional, read, write};
use crate::kernel::index::kmeans::Points;
use crate::kernel::index::{clusters, kmeans};
use wasm_bindgen::prelude::wasm_bindgen;

/// What is clustered, of each KV head: the keys of its first slots, or without slots (0) plain rows `f32[G, n, d]`.
unsafe fn points<'a>(
    keys: u32,
    slots: u32,
    n: u32,
    n_kv_heads: u32,
    dim: u32,
    capacity: u32,
    kind: u32,
) -> impl Fn(usize) -> Points<'a> {
    let of_slots = (slots != 0).then(|| stored(keys, slots, n_kv_heads, dim, capacity, kind));
    let rows: &[f32] = if slots == 0 { read(keys, n_kv_heads * n * dim) } else { &[] };
    let length = (n * dim) as usize;
    move |head| match of_slots {
        Some(cache) => Points::Keys(cache.keys_of(head), cache.key),
        None => Points::Rows(&rows[head * length..][..length]),
    }
}

/// `rows f32[n, d]` = the directions of the keys in a KV head's first `n` slots.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn cluster_rows(
    rows: u32,
    keys: u32,
    slots: u32,
    n: u32,
    head: u32,
    n_kv_heads: u32,
    dim: u32,
    capacity: u32,
    key_type: u32,
) {
    checked!(write(rows, 4 * n * dim));
    unsafe {
        let points = points(keys, slots, n, n_kv_heads, dim, capacity, key_type)(head as usize);
        let rows = write::<f32>(rows, n * dim).chunks_exact_mut(dim as usize);
        rows.enumerate().for_each(|(i, row)| points.get(i, true, row));
    }
}

/// One step of k-means over the directions of `rows f32[n, d]`. `step` 0: `centres f32[k, d]` are placed on rows far from
/// each other, with `scratch f32[n]`. 1: `labels u32[n]` become the nearest centres; returns how many changed. 2: centres
/// become means, with `scratch u32[k]`.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn cluster_step(centres: u32, labels: u32, scratch: u32, rows: u32, n: u32, k: u32, dim: u32, step: u32) -> u32 {
    checked!(write(centres, 4 * k * dim), write(labels, 4 * n), write(scratch, 4 * n.max(k)), read(rows, 4 * n * dim));
    unsafe {
        let (points, centres) = (Points::Rows(read(rows, n * dim)), write(centres, k * dim));
        let (labels, dim) = (write(labels, n), dim as usize);
        match step {
            0 => kmeans::seed(centres, write(scratch, n), points, dim),
            1 => return kmeans::assign(labels, centres, points, dim),
            _ => kmeans::means(centres, write(scratch, k), labels, points, dim),
        }
        0
    }
}

/// Sorts the first `n` slots of each KV head by the clusters that `labels u32[G, n]` name, clusters by `groups u32[G, k]` (or
/// 0) and then by falling `wanted f32[G, k]` (or 0: as they are). `starts u32[G, k + 1]` = where each begins; labels are
/// used up; `order u32[k]` is scratch. One slot behind them must never have been used.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn cluster_arrange(
    keys: u32,
    values: u32,
    slots: u32,
    starts: u32,
    labels: u32,
    order: u32,
    groups: u32,
    wanted: u32,
    n: u32,
    k: u32,
    n_kv_heads: u32,
    k_dim: u32,
    v_dim: u32,
    capacity: u32,
    k_type: u32,
    v_type: u32,
) {
    checked!(write(starts, 4 * n_kv_heads * (k + 1)), write(labels, 4 * n_kv_heads * n), write(order, 4 * k));
    unsafe {
        let mut cache = cache_mut(keys, values, slots, 0, n_kv_heads, k_dim, v_dim, capacity, k_type, v_type);
        let starts = write::<u32>(starts, n_kv_heads * (k + 1)).chunks_exact_mut(k as usize + 1);
        let labels = write::<u32>(labels, n_kv_heads * n).chunks_exact_mut(n as usize);
        let groups: Option<&[u32]> = optional(groups, n_kv_heads * k);
        let wanted: Option<&[f32]> = optional(wanted, n_kv_heads * k);
        let (order, k) = (write::<u32>(order, k), k as usize);
        for (head, (starts, labels)) in starts.zip(labels).enumerate() {
            let of_head = head * k..(head + 1) * k;
            clusters::sort(order, groups.map(|g| &g[of_head.clone()]), wanted.map(|w| &w[of_head]));
            clusters::arrange(&mut cache, head, starts, labels, order);
        }
    }
}

/// `labels u32[G, n]` = the run of `starts u32[G, k + 1]` that each of `n` slots or rows lies in.
#[wasm_bindgen]
pub fn cluster_labels(labels: u32, starts: u32, n: u32, k: u32, n_kv_heads: u32) {
    checked!(write(labels, 4 * n_kv_heads * n), read(starts, 4 * n_kv_heads * (k + 1)));
    unsafe {
        let labels = write::<u32>(labels, n_kv_heads * n).chunks_exact_mut(n as usize);
        let starts = read::<u32>(starts, n_kv_heads * (k + 1)).chunks_exact(k as usize + 1);
        labels.zip(starts).for_each(|(labels, starts)| clusters::label(labels, starts));
    }
}

/// `centroids f32[G, k, d]` = the means of the points that lie in each run of `starts u32[G, k + 1]`.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn cluster_average(
    centroids: u32,
    starts: u32,
    keys: u32,
    slots: u32,
    n: u32,
    k: u32,
    n_kv_heads: u32,
    dim: u32,
    capacity: u32,
    key_type: u32,
) {
    checked!(write(centroids, 4 * n_kv_heads * k * dim), read(starts, 4 * n_kv_heads * (k + 1)));
    unsafe {
        let points = points(keys, slots, n, n_kv_heads, dim, capacity, key_type);
        let centroids = write::<f32>(centroids, n_kv_heads * k * dim).chunks_exact_mut((k * dim) as usize);
        let starts = read::<u32>(starts, n_kv_heads * (k + 1)).chunks_exact(k as usize + 1);
        for (head, (centroids, starts)) in centroids.zip(starts).enumerate() {
            clusters::average(centroids, starts, points(head), dim as usize);
        }
    }
}

unsafe fn of_head<'a, T>(values: &'a [T], head: usize, n: u32) -> &'a [T] {
    &values[head * n as usize..][..n as usize]
}

/// `sums f32[G, k]` += rate times the probabilities that the queries `q f32[T, H, d]` give each cluster's keys. `coarse` (or
/// 0) `u32[G, k + 1]` are starts of runs of the `fine + 1` starts of fine clusters, else `fine` is 0. `room
/// f32[5 k]` is scratch.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn cluster_calibrate(
    sums: u32,
    room: u32,
    centroids: u32,
    starts: u32,
    coarse: u32,
    q: u32,
    n_tokens: u32,
    n_heads: u32,
    n_kv_heads: u32,
    k: u32,
    fine: u32,
    dim: u32,
    scale: f32,
    rate: f32,
) {
    checked!(
        write(sums, 4 * n_kv_heads * k),
        write(room, 4 * cluster_scratch(k)),
        read(centroids, 4 * n_kv_heads * k * dim)
    );
    unsafe {
        let group = n_heads / n_kv_heads;
        let centroids: &[f32] = read(centroids, n_kv_heads * k * dim);
        let n_fine = if coarse == 0 { k } else { fine };
        let starts: &[u32] = read(starts, n_kv_heads * (n_fine + 1));
        let coarse: Option<&[u32]> = optional(coarse, n_kv_heads * (k + 1));
        for (head, sums) in write::<f32>(sums, n_kv_heads * k).chunks_exact_mut(k as usize).enumerate() {
            let starts = of_head(starts, head, n_fine + 1);
            let coarse = coarse.map(|coarse| of_head(coarse, head, k + 1));
            let queries = queries(q, head, n_tokens, n_heads, group, dim, scale);
            let centroids = of_head(centroids, head, k * dim);
            clusters::calibrate(sums, write(room, cluster_scratch(k)), centroids, starts, coarse, queries, rate);
        }
    }
}

fn cluster_scratch(k: u32) -> u32 {
    clusters::scratch(k as usize) as u32
}

unsafe fn queries<'a>(
    q: u32,
    head: usize,
    n_tokens: u32,
    n_heads: u32,
    group: u32,
    dim: u32,
    scale: f32,
) -> clusters::Queries<'a> {
    let first = head * (group * dim) as usize;
    clusters::Queries {
        q: &read(q, n_tokens * n_heads * dim)[first..],
        n_tokens: n_tokens as usize,
        n_heads: n_heads as usize,
        group: group as usize,
        dim: dim as usize,
        scale,
    }
}

/// `active u32[G, capacity / 32]` = the slots that the queries `q f32[T, H, d]` read together: of the clusters
/// `starts u32[G, k + 1]` with `centroids f32[G, k, d]` those whose probability is above `threshold`, and all slots behind
/// them. With `n_coarse` > 0 only in runs `coarse_starts u32[G, n_coarse + 1]` of clusters whose own probability is above
/// `coarse_threshold`. `scores f32[G, k]`, `coarse_scores f32[G, n_coarse]` = probabilities; `room f32[5 k]` is scratch.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn cluster_choose(
    active: u32,
    scores: u32,
    coarse_scores: u32,
    room: u32,
    centroids: u32,
    starts: u32,
    coarse_centroids: u32,
    coarse_starts: u32,
    q: u32,
    n_tokens: u32,
    n_heads: u32,
    n_kv_heads: u32,
    k: u32,
    n_coarse: u32,
    dim: u32,
    capacity: u32,
    scale: f32,
    threshold: f32,
    coarse_threshold: f32,
) {
    checked!(
        write(active, n_kv_heads * capacity / 8),
        write(scores, 4 * n_kv_heads * k),
        write(room, 4 * cluster_scratch(k)),
        read(centroids, 4 * n_kv_heads * k * dim),
        read(starts, 4 * n_kv_heads * (k + 1)),
    );
    unsafe {
        let group = n_heads / n_kv_heads;
        let all_coarse: &[f32] = read(coarse_centroids, n_kv_heads * n_coarse * dim);
        let all_coarse_starts: &[u32] = read(coarse_starts, if n_coarse > 0 { n_kv_heads * (n_coarse + 1) } else { 0 });
        let bits = write::<u32>(active, n_kv_heads * capacity / 32).chunks_exact_mut(capacity as usize / 32);
        for (head, (bits, scores)) in
            bits.zip(write::<f32>(scores, n_kv_heads * k).chunks_exact_mut(k as usize)).enumerate()
        {
            let fine = clusters::Level {
                centroids: of_head(read(centroids, n_kv_heads * k * dim), head, k * dim),
                starts: of_head(read(starts, n_kv_heads * (k + 1)), head, k + 1),
                threshold,
            };
            let coarse = (n_coarse > 0).then(|| clusters::Level {
                centroids: of_head(all_coarse, head, n_coarse * dim),
                starts: of_head(all_coarse_starts, head, n_coarse + 1),
                threshold: coarse_threshold,
            });
            let coarse_scores = write(coarse_scores + 4 * head as u32 * n_coarse, n_coarse);
            let queries = queries(q, head, n_tokens, n_heads, group, dim, scale);
            clusters::choose(bits, scores, coarse_scores, write(room, cluster_scratch(k)), fine, coarse, queries);
        }
    }
}

/// `scores f32[G, capacity]`: of the slots at positions below `last`, `wanted` whose keys are far apart get `wanted` to 1.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn far_apart(
    scores: u32,
    keys: u32,
    slots: u32,
    n_kv_heads: u32,
    dim: u32,
    capacity: u32,
    key_type: u32,
    last: u32,
    wanted: u32,
) {
    checked!(write(scores, 4 * n_kv_heads * capacity));
    unsafe {
        let cache = stored(keys, slots, n_kv_heads, dim, capacity, key_type);
        kmeans::far_apart(write(scores, n_kv_heads * capacity), cache, last, wanted as usize);
    }
}
