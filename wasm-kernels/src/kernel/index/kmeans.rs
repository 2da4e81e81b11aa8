//! k-means of the directions of keys, made to give the same clusters everywhere.
//!
//! ```text
//! seed     first centre = first point, next centre = the point farthest from all centres so far
//! assign   label of a point = nearest centre                          returns how many labels changed
//! means    centre = mean of its points; one without points stays
//! ```
//! - A caller repeats `assign` and `means` until no label changes, ten rounds at most, and ends with `assign`.
//! - Points are the keys of a head's first slots, or plain rows, brought to length 1. The centroids that are looked up
//!   later are means of the points as they are; see `clusters`.
//! - The lower index wins among equals. Four points at a time meet each centre: |p - c|² = |p|² - 2 p·c + |c|².
//!
//! Source: Squeezed Attention, arXiv 2411.09688 §4; farthest-first start: arXiv 2402.06082 §5 (greedy k-center).
use super::{add, dot, read_key, scale, squared_distance};
use crate::kernel::attend::MAX_DIM;
use crate::kernel::kv::slots::EMPTY;
use crate::kernel::kv::{Shape, Stored};
use crate::kernel::lanes::load;
use crate::kernel::scalar::sqrt;
use crate::simd::*;

/// Points that share the loads of a centre.
const TILE: usize = 4;

/// What is clustered: rows `f32[n, dim]`, or the keys of one head's first slots.
#[derive(Clone, Copy)]
pub enum Points<'a> {
    Rows(&'a [f32]),
    Keys(&'a [u32], Shape),
}

impl Points<'_> {
    /// Point `i`, with length 1 if `unit`; a point of zeros stays one.
    #[inline(never)]
    pub fn get(&self, i: usize, unit: bool, out: &mut [f32]) {
        match self {
            Points::Rows(rows) => out.copy_from_slice(&rows[i * out.len()..][..out.len()]),
            Points::Keys(keys, shape) => read_key(keys, shape, i, out),
        }
        let length = sqrt(dot(out, out));
        if unit && length > 0.0 {
            scale(out, 1.0 / length);
        }
    }
}

/// Places `centres f32[k, dim]` on points far from each other. `distances f32[n]` is scratch.
pub fn seed(centres: &mut [f32], distances: &mut [f32], points: Points, dim: usize) {
    distances.fill(f32::INFINITY);
    let mut next = 0;
    for centre in centres.chunks_exact_mut(dim) {
        points.get(next, true, centre);
        let mut row = [0.0; MAX_DIM];
        let point = &mut row[..dim];
        let mut farthest = f32::NEG_INFINITY;
        for (i, distance) in distances.iter_mut().enumerate() {
            points.get(i, true, point);
            *distance = distance.min(squared_distance(point, centre));
            if *distance > farthest {
                (farthest, next) = (*distance, i);
            }
        }
    }
}

/// Labels `u32[n]` become the nearest of `centres f32[k, dim]`; how many of them changed.
pub fn assign(labels: &mut [u32], centres: &[f32], points: Points, dim: usize) -> u32 {
    let mut changed = 0;
    let mut rows = [[0.0; MAX_DIM]; TILE];
    for (tile, labels) in labels.chunks_mut(TILE).enumerate() {
        for (i, row) in rows.iter_mut().enumerate() {
            points.get(tile * TILE + i.min(labels.len() - 1), true, &mut row[..dim]);
        }
        let mut best = [(f32::INFINITY, 0); TILE];
        for (j, centre) in centres.chunks_exact(dim).enumerate() {
            for (best, distance) in best.iter_mut().zip(tile_distances(&rows, centre)) {
                if distance < best.0 {
                    *best = (distance, j as u32);
                }
            }
        }
        for (label, (_, nearest)) in labels.iter_mut().zip(best) {
            changed += (*label != nearest) as u32;
            *label = nearest;
        }
    }
    changed
}

/// |c|² - 2 p·c of four points: their squared distances, less what does not depend on the centre.
#[inline(always)]
fn tile_distances(rows: &[[f32; MAX_DIM]; TILE], centre: &[f32]) -> [f32; TILE] {
    let mut sums = [f32x4_splat(0.0); TILE];
    let mut square = f32x4_splat(0.0);
    for (i, c) in centre.as_chunks::<4>().0.iter().enumerate() {
        let c = load(c);
        square = f32x4_madd(c, c, square);
        for (sum, row) in sums.iter_mut().zip(rows) {
            *sum = f32x4_madd(load(row[4 * i..][..4].try_into().unwrap()), c, *sum);
        }
    }
    let square = f32x4_sum(square);
    sums.map(|sum| square - 2.0 * f32x4_sum(sum))
}

/// Centres become the means of their points, all of length 1; one without points stays. `sizes u32[k]` is scratch.
pub fn means(centres: &mut [f32], sizes: &mut [u32], labels: &[u32], points: Points, dim: usize) {
    sizes.fill(0);
    let mut row = [0.0; MAX_DIM];
    let point = &mut row[..dim];
    for (i, &label) in labels.iter().enumerate() {
        points.get(i, true, point);
        let centre = &mut centres[label as usize * dim..][..dim];
        if sizes[label as usize] == 0 {
            centre.copy_from_slice(point);
        } else {
            add(centre, point);
        }
        sizes[label as usize] += 1;
    }
    for (centre, &size) in centres.chunks_exact_mut(dim).zip(sizes.iter()) {
        scale(centre, 1.0 / size.max(1) as f32);
    }
}

/// Scores of the slots at positions below `last`: `wanted` of them, far from each other and from the earliest token, get
/// `wanted` down to 1 in the order in which they are found, all others 0. `scores f32[G, capacity]`.
pub fn far_apart(scores: &mut [f32], cache: Stored, last: u32, wanted: usize) {
    let Stored { key: shape, .. } = cache;
    for (head, scores) in scores.chunks_exact_mut(shape.capacity).enumerate() {
        let (keys, held) = (cache.keys_of(head), cache.held(head));
        scores.fill(0.0);
        let free = |slot: usize| held[slot] != EMPTY && held[slot] < last;
        let points = Points::Keys(keys, shape);
        let (mut row, mut centre) = ([0.0; MAX_DIM], [0.0; MAX_DIM]);
        let (point, centre) = (&mut row[..shape.dim], &mut centre[..shape.dim]);
        let first = (0..held.len()).filter(|&slot| free(slot)).min_by_key(|&slot| held[slot]);
        (0..held.len()).filter(|&slot| free(slot)).for_each(|slot| scores[slot] = f32::INFINITY);
        let mut next = first;
        // Until the end a slot's score is its distance, or less than 0 once it is chosen.
        for order in 0..wanted {
            let Some(chosen) = next else { break };
            points.get(chosen, false, centre);
            scores[chosen] = order as f32 - wanted as f32;
            let mut farthest = f32::NEG_INFINITY;
            next = None;
            for slot in (0..held.len()).filter(|&slot| free(slot)) {
                if scores[slot] < 0.0 {
                    continue;
                }
                points.get(slot, false, point);
                scores[slot] = scores[slot].min(squared_distance(point, centre));
                if scores[slot] > farthest {
                    (farthest, next) = (scores[slot], Some(slot));
                }
            }
        }
        scores[..held.len()].iter_mut().for_each(|score| *score = if *score < 0.0 { -*score } else { 0.0 });
    }
}
