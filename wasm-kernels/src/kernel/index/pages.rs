//! Bounds of the keys of pages, and the pages that a query reads.
//!
//! ```text
//! page         `page` neighbouring slots of a KV head; a smallest and a largest value per channel
//! bound(page)  = Σ_c max(q_c · low_c, q_c · high_c)  >=  q · k  for every key of the page
//! of a KV head the largest of its query heads' bounds counts
//! read         the page of the token itself, and the best of the others up to `n_read`, the lower one among equals
//! ```
//! - A key widens its page's bounds as it is appended; the first key of a page is its bounds. A slot that is used again
//!   has its page's bounds made anew from the keys that are there, so they stay tight where slots come and go.
//! - A page without tokens is never read.
//! - The border between read and unread pages is found by bisection over the bits of a bound, as in `policy::select`.
//!
//! Source: Quest, arXiv 2406.10774 §3.3; bounds of grouped heads are not in the paper.
use super::{active, read_key, slot_of, Stored};
use crate::kernel::attend::MAX_DIM;
use crate::kernel::kv::slots::{EMPTY, HEADER};
use crate::kernel::lanes::{load, zip};
use crate::kernel::policy::select::{key, largest};
use crate::simd::*;

/// Takes in the keys `k f32[T, G, dim]` that have just been appended at `positions`.
///
/// `bounds f32[G, ceil(capacity / page), 2, dim]`.
pub fn extend(bounds: &mut [f32], k: &[f32], positions: &[u32], cache: Stored, page: usize) {
    let (n_kv_heads, dim) = (cache.n_kv_heads(), cache.key.dim);
    for (head, bounds) in bounds.chunks_exact_mut(2 * dim * cache.key.capacity.div_ceil(page)).enumerate() {
        let (keys, held) = cache.head(head);
        let first = held.len().saturating_sub(positions.len());
        for (token, &position) in positions.iter().enumerate() {
            let likely = first + token;
            let Some(slot) = slot_of(held, position, likely) else { continue };
            let bounds = &mut bounds[slot / page * 2 * dim..][..2 * dim];
            if slot != likely {
                bound_page(bounds, keys, held, cache, slot / page * page, page);
                continue;
            }
            let k = &k[(token * n_kv_heads + head) * dim..][..dim];
            let (low, high) = bounds.split_at_mut(dim);
            if slot % page == 0 {
                low.copy_from_slice(k);
                high.copy_from_slice(k);
            } else {
                widen(low, high, k);
            }
        }
    }
}

/// Makes all bounds anew from the stored keys.
pub fn rebuild(bounds: &mut [f32], cache: Stored, page: usize) {
    let dim = cache.key.dim;
    for (head, bounds) in bounds.chunks_exact_mut(2 * dim * cache.key.capacity.div_ceil(page)).enumerate() {
        let (keys, held) = cache.head(head);
        for (i, bounds) in bounds.chunks_exact_mut(2 * dim).enumerate() {
            bound_page(bounds, keys, held, cache, i * page, page);
        }
    }
}

#[inline(never)]
fn widen(low: &mut [f32], high: &mut [f32], k: &[f32]) {
    zip(low, k, |low, k| f32x4_min(low, k));
    zip(high, k, |high, k| f32x4_max(high, k));
}

#[inline(never)]
fn bound_page(bounds: &mut [f32], keys: &[u32], held: &[u32], cache: Stored, start: usize, page: usize) {
    let (low, high) = bounds.split_at_mut(cache.key.dim);
    low.fill(f32::INFINITY);
    high.fill(f32::NEG_INFINITY);
    let mut row = [0.0; MAX_DIM];
    let k = &mut row[..cache.key.dim];
    for slot in start..(start + page).min(held.len()) {
        if held[slot] != EMPTY {
            read_key(keys, &cache.key, slot, k);
            widen(low, high, k);
        }
    }
}

/// The token that reads.
#[derive(Clone, Copy)]
pub struct Query<'a> {
    /// `f32[H, dim]`
    pub q: &'a [f32],
    pub position: u32,
    /// `u32[G, 4 + capacity]`
    pub slots: &'a [u32],
    pub dim: usize,
}

/// The slots of the pages that a token reads, at most `n_read` pages per KV head, as bits of `active u32[G, capacity / 32]`.
/// `scores f32[G, ceil(capacity / page)]` receives the bounds.
pub fn choose(
    active: &mut [u32],
    scores: &mut [f32],
    bounds: &[f32],
    query: Query,
    capacity: usize,
    page: usize,
    n_read: usize,
) {
    let (dim, n_pages) = (query.dim, capacity.div_ceil(page));
    let head_words = HEADER + capacity;
    let group = query.q.len() / dim / (query.slots.len() / head_words);
    active.fill(0);
    scores.fill(f32::NEG_INFINITY);
    for (head, bits) in active.chunks_exact_mut(capacity / 32).enumerate() {
        let slots = &query.slots[head * head_words..][..head_words];
        let held = &slots[HEADER..][..slots[0] as usize];
        let scores = &mut scores[head * n_pages..][..n_pages];
        let queries = &query.q[head * group * dim..][..group * dim];
        let bounds = bounds[head * n_pages * 2 * dim..].chunks_exact(2 * dim);
        for ((score, bounds), held) in scores.iter_mut().zip(bounds).zip(held.chunks(page)) {
            if held.iter().any(|&position| position != EMPTY) {
                *score = queries.chunks_exact(dim).map(|q| bound(q, bounds)).fold(f32::NEG_INFINITY, f32::max);
            }
        }
        if let Some(newest) = slot_of(held, query.position, held.len().wrapping_sub(1)) {
            let read = |p: usize| active::set(bits, p * page, ((p + 1) * page).min(held.len()));
            each_best(&scores[..held.len().div_ceil(page)], newest / page, n_read, read);
        }
    }
}

/// Σ_c max(q_c · low_c, q_c · high_c).
#[inline(always)]
fn bound(q: &[f32], bounds: &[f32]) -> f32 {
    let (low, high) = bounds.split_at(q.len());
    let lows = q.as_chunks::<4>().0.iter().zip(low.as_chunks::<4>().0);
    let sum = lows.zip(high.as_chunks::<4>().0).fold(f32x4_splat(0.0), |sum, ((q, low), high)| {
        let q = load(q);
        f32x4_add(sum, f32x4_pmax(f32x4_mul(q, load(low)), f32x4_mul(q, load(high))))
    });
    f32x4_sum(sum)
}

/// Calls `read` for page `current` and for the `n_read - 1` best others; none without a score.
fn each_best(scores: &[f32], current: usize, n_read: usize, mut read: impl FnMut(usize)) {
    let wanted = n_read.saturating_sub(1);
    let least = order(f32::NEG_INFINITY);
    // Other pages of at least this order.
    let at_least = |bound: u32| {
        let (quads, rest) = scores.as_chunks::<4>();
        let bounds = u32x4_splat(bound);
        let sums = quads.iter().fold(u32x4_splat(0), |n, quad| i32x4_sub(n, u32x4_ge(key(load(quad)), bounds)));
        let lanes = [
            u32x4_extract_lane::<0>(sums),
            u32x4_extract_lane::<1>(sums),
            u32x4_extract_lane::<2>(sums),
            u32x4_extract_lane::<3>(sums),
        ];
        let of_rest = rest.iter().filter(|&&score| order(score) >= bound).count();
        lanes.into_iter().sum::<u32>() as usize + of_rest - (order(scores[current]) >= bound) as usize
    };
    // All pages of higher order are read, and of those at the border the first ones that there is room for.
    let border = largest(|bound| at_least(bound) >= wanted).max(least);
    let mut places = wanted - if border == u32::MAX { 0 } else { at_least(border + 1).min(wanted) };
    for (page, &score) in scores.iter().enumerate() {
        let at = order(score);
        let fits = at == border && at > least && places > 0;
        if page == current || at > border || fits {
            read(page);
            places -= (page != current && fits) as usize;
        }
    }
}

/// A score as an integer that orders the same way.
fn order(score: f32) -> u32 {
    u32x4_extract_lane::<0>(key(f32x4_splat(score)))
}
