//! A layer's budget spread over its KV heads by their scores.
//!
//! ```text
//! staying = total slots of the layer, less the protected ones
//! every head keeps its `least` best candidates; the rest goes to the best of all heads; none keeps more than `most` slots
//!
//! a border b gives head h     max(least, candidates of h with a score of at least b)
//! largest border that gives staying or more; what it gives too much, its equals lose: later heads first
//! ```
//! - A head's share is a number, so that each head is then thinned as by a budget of its own: nothing is remembered
//!   between heads.
//! - Where few slots leave, as after a token, the worst of all heads is looked for as often instead.
//!
//! Source: AdaKV, arXiv 2407.11550 Algorithm 1.
use super::select::{largest, thin, Candidates, Keep, FEW};
use crate::kernel::kv::slots;
use crate::simd::*;

/// What stays of a layer.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// Slots of all heads together.
    pub total: usize,
    /// Candidates that each head keeps at least.
    pub least: usize,
    /// Slots that a head keeps at most.
    pub most: usize,
    /// Positions below this one stay.
    pub first: u32,
    /// Positions from this one on stay.
    pub last: u32,
}

/// Empties slots of every head; `scores` are `f32[G, capacity]`, and stay as they are.
pub fn spread(region: &mut [u32], scores: &[f32], capacity: usize, spread: Spread) {
    let Spread { total, least, most, first, last } = spread;
    let keep = Keep { budget: most, first, last };
    for (mut head, row) in slots::heads(region, capacity).zip(scores.chunks_exact(capacity)) {
        let leaving = head.n_occupied().saturating_sub(most);
        if leaving > 0 {
            thin(&mut head, Some(row), keep, leaving);
        }
    }
    let occupied: usize = slots::heads(region, capacity).map(|head| head.n_occupied()).sum();
    let leaving = occupied.saturating_sub(total);
    if leaving <= FEW {
        (0..leaving).for_each(|_| evict_worst(region, scores, capacity, keep, least));
        return;
    }

    let mut sum = |f: &dyn Fn(v128) -> v128| -> usize {
        let heads = slots::heads(region, capacity).zip(scores.chunks_exact(capacity));
        heads.map(|(head, row)| share(&Candidates::of(&head, Some(row), keep), least, f)).sum()
    };
    let staying = sum(&|_| u32x4_splat(u32::MAX)).saturating_sub(leaving);
    let border = u32x4_splat(largest(|border| sum(&|key| u32x4_ge(key, u32x4_splat(border))) >= staying));
    let mut places = staying.saturating_sub(sum(&|key| u32x4_gt(key, border)));
    for (mut head, row) in slots::heads(region, capacity).zip(scores.chunks_exact(capacity)) {
        let candidates = Candidates::of(&head, Some(row), keep);
        let above = share(&candidates, least, &|key| u32x4_gt(key, border));
        let equal = share(&candidates, least, &|key| u32x4_ge(key, border)) - above;
        let taken = equal.min(places);
        places -= taken;
        let leaving = n_candidates(&candidates) - above - taken;
        if leaving > 0 {
            thin(&mut head, Some(row), keep, leaving);
        }
    }
}

/// How many candidates of a head have `f(key)` set, but `least` at least.
#[inline(never)]
fn share(candidates: &Candidates, least: usize, f: &dyn Fn(v128) -> v128) -> usize {
    candidates.count(|key, _| f(key)).max(least.min(n_candidates(candidates)))
}

#[inline(never)]
fn n_candidates(candidates: &Candidates) -> usize {
    candidates.count(|_, _| u32x4_splat(u32::MAX))
}

/// Empties the worst slot of all heads that have candidates to spare, of equals that of the last head.
fn evict_worst(region: &mut [u32], scores: &[f32], capacity: usize, keep: Keep, least: usize) {
    let mut found: Option<(u32, usize, usize)> = None;
    for (h, (head, row)) in slots::heads(region, capacity).zip(scores.chunks_exact(capacity)).enumerate() {
        let candidates = Candidates::of(&head, Some(row), keep);
        if n_candidates(&candidates) <= least {
            continue;
        }
        let (slots, n) = candidates.worst(1);
        let key = candidates.at(slots[0]).0;
        if n > 0 && found.is_none_or(|(least, ..)| key <= least) {
            found = Some((key, h, slots[0]));
        }
    }
    if let Some((_, h, slot)) = found {
        slots::heads(region, capacity).nth(h).unwrap().evict(slot);
    }
}
