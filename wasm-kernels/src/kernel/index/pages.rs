//! Bounds of the keys of pages, and the pages that a query reads.
//!
//! ```text
//! page         `page` neighbouring slots of a KV head; a smallest and a largest value per channel
//! bound(page)  = Σ_c max(q_c · low_c, q_c · high_c)  >=  q · k  for every key of the page
//! of a KV head the largest of its query heads' bounds counts
//! read         the page of the token itself, and the best of the others up to `n_read`, the lower one among equals
//!
//! layout       f32[G, pages / 4, 2, dim, 4]: four pages side by side, first their low values, then the high ones
//! ```
//! - Which of the two products is larger depends on the sign of q_c alone: of each channel one vector is loaded, low or
//!   high, for four pages at once.
//! - A key widens its page's bounds as it is appended; the first key of a page is its bounds. A slot that is used again
//!   has its page's bounds made anew from the keys that are there, so they stay tight where slots come and go.
//! - A page without tokens is never read.
//! - The border between read and unread pages is found by bisection over the bits of a bound, as in `policy::select`.
//!
//! Source: Quest, arXiv 2406.10774 §3.3; bounds of grouped heads are not in the paper.
use super::{active, read_key, slot_of};
use crate::kernel::attend::MAX_DIM;
use crate::kernel::kv::slots::{EMPTY, HEADER};
use crate::kernel::kv::Stored;
use crate::kernel::lanes::{load, store};
use crate::kernel::policy::select::{key, largest};
use crate::simd::*;

/// Pages side by side.
const LANES: usize = 4;

/// Pages of a KV head that there is room for.
pub const fn n_pages(capacity: usize, page: usize) -> usize {
    capacity.div_ceil(page).next_multiple_of(LANES)
}

/// Floats of one KV head's bounds.
fn n_bounds(capacity: usize, page: usize, dim: usize) -> usize {
    2 * dim * n_pages(capacity, page)
}

/// Takes in the keys `k f32[T, G, dim]` that have just been appended at `positions`.
pub fn extend(bounds: &mut [f32], k: &[f32], positions: &[u32], cache: Stored, page: usize) {
    let (n_kv_heads, dim) = (cache.n_kv_heads(), cache.key.dim);
    for (head, bounds) in bounds.chunks_exact_mut(n_bounds(cache.key.capacity, page, dim)).enumerate() {
        let (keys, held) = (cache.keys_of(head), cache.held(head));
        let first = held.len().saturating_sub(positions.len());
        for (token, &position) in positions.iter().enumerate() {
            let likely = first + token;
            let Some(slot) = slot_of(held, position, likely) else { continue };
            if slot != likely {
                bound_page(bounds, keys, held, cache, slot / page, page);
            } else {
                let k = &k[(token * n_kv_heads + head) * dim..][..dim];
                widen(bounds, slot / page, k, slot % page == 0);
            }
        }
    }
}

/// Makes all bounds anew from the stored keys.
pub fn rebuild(bounds: &mut [f32], cache: Stored, page: usize) {
    let Stored { key, .. } = cache;
    for (head, bounds) in bounds.chunks_exact_mut(n_bounds(key.capacity, page, key.dim)).enumerate() {
        let (keys, held) = (cache.keys_of(head), cache.held(head));
        (0..held.len().div_ceil(page)).for_each(|i| bound_page(bounds, keys, held, cache, i, page));
    }
}

#[inline(never)]
fn bound_page(bounds: &mut [f32], keys: &[u32], held: &[u32], cache: Stored, page: usize, n_slots: usize) {
    let mut row = [0.0; MAX_DIM];
    let k = &mut row[..cache.key.dim];
    let mut first = true;
    for (slot, &position) in held.iter().enumerate().skip(page * n_slots).take(n_slots) {
        if position != EMPTY {
            read_key(keys, &cache.key, slot, k);
            widen(bounds, page, k, first);
            first = false;
        }
    }
}

/// Takes a key into the bounds of a page, or makes it them.
#[inline(never)]
fn widen(bounds: &mut [f32], page: usize, k: &[f32], first: bool) {
    let bounds = &mut bounds[page / LANES * 2 * LANES * k.len()..][..2 * LANES * k.len()];
    let (low, high) = bounds.split_at_mut(LANES * k.len());
    let lanes = low.chunks_exact_mut(LANES).zip(high.chunks_exact_mut(LANES));
    for ((low, high), &k) in lanes.zip(k) {
        let (low, high) = (&mut low[page % LANES], &mut high[page % LANES]);
        if first || k < *low {
            *low = k;
        }
        if first || k > *high {
            *high = k;
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
/// `scores f32[G, pages]` receives the bounds.
pub fn choose(
    active: &mut [u32],
    scores: &mut [f32],
    bounds: &[f32],
    query: Query,
    capacity: usize,
    page: usize,
    n_read: usize,
) {
    let (dim, n_pages) = (query.dim, n_pages(capacity, page));
    let head_words = HEADER + capacity;
    let group = query.q.len() / dim / (query.slots.len() / head_words);
    active.fill(0);
    scores.fill(f32::NEG_INFINITY);
    for (head, bits) in active.chunks_exact_mut(capacity / 32).enumerate() {
        let slots = &query.slots[head * head_words..][..head_words];
        let held = &slots[HEADER..][..slots[0] as usize];
        let used = held.len().div_ceil(page);
        let scores = &mut scores[head * n_pages..][..used.next_multiple_of(LANES)];
        let bounds = &bounds[head * n_pages * 2 * dim..][..scores.len() * 2 * dim];
        for q in query.q[head * group * dim..][..group * dim].chunks_exact(dim) {
            raise(scores, bounds, q);
        }
        for (p, score) in scores.iter_mut().enumerate() {
            if held.iter().skip(p * page).take(page).all(|&position| position == EMPTY) {
                *score = f32::NEG_INFINITY;
            }
        }
        if let Some(newest) = slot_of(held, query.position, held.len().wrapping_sub(1)) {
            let read = |p: usize| active::set(bits, p * page, ((p + 1) * page).min(held.len()));
            each_best(&scores[..used], newest / page, n_read, read);
        }
    }
}

/// `scores[p]` = the larger one of itself and the bound of `q` on page `p`.
#[inline(never)]
fn raise(scores: &mut [f32], bounds: &[f32], q: &[f32]) {
    let dim = q.len();
    // Where the vector of each channel lies that the sign of q chooses.
    let mut places = [0u32; MAX_DIM];
    for (c, (place, q)) in places.iter_mut().zip(q).enumerate() {
        *place = (LANES * (c + if *q < 0.0 { 0 } else { dim })) as u32;
    }
    for (scores, bounds) in scores.as_chunks_mut::<LANES>().0.iter_mut().zip(bounds.chunks_exact(2 * LANES * dim)) {
        let mut sums = [f32x4_splat(0.0); 4];
        for (places, q) in places[..dim].as_chunks::<4>().0.iter().zip(q.as_chunks::<4>().0) {
            for i in 0..4 {
                // SAFETY: a place is a multiple of four below 2 * LANES * dim, and a reference covers what is read.
                let bound = unsafe { v128_load(bounds.as_ptr().add(places[i] as usize) as *const v128) };
                sums[i] = f32x4_madd(bound, f32x4_splat(q[i]), sums[i]);
            }
        }
        let sum = f32x4_add(f32x4_add(sums[0], sums[1]), f32x4_add(sums[2], sums[3]));
        store(scores, f32x4_pmax(load(scores), sum));
    }
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
