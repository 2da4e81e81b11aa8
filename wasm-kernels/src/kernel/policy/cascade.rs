//! A cascade of ring buffers: each takes every second of the tokens that the one before it gives up, so that the same
//! slots reach back exponentially further. Source: Cascading KV Cache, arXiv 2406.17808 §3.
//!
//! ```text
//! average  score = kept * score + gain * (largest over the KV head's query heads of what each has gathered)
//! insert   each new token, the earliest first, is carried to ring 0:
//!            ring takes it    append; if that is one too many, carry its oldest token to the next ring
//!            ring does not    empty: append; else the better one of it and the ring's newest stays, the other leaves
//!          what the last ring gives up leaves
//! ```
//! - Ring i takes a token at position p if p <= sinks + size * rings, or if 2^i divides p - sinks.
//! - No token ever overtakes another: in order of position lie the sinks, the last ring, ..., ring 0, the new tokens. So
//!   that nothing has to be known of a ring but how many tokens it holds; which ones, the ranks of slots tell, and a move
//!   to another ring changes two numbers.
use crate::kernel::kv::ranks::{leave, settle, slot_of};
use crate::kernel::kv::slots::{self, Head};
use crate::kernel::lanes::{load, store};
use crate::simd::*;

/// Words per head: number of sinks held, then of tokens in ring 0, 1, ...
pub const WORDS: usize = 16;

/// What a cascade is made of.
#[derive(Clone, Copy)]
pub struct Form {
    pub sinks: usize,
    /// At most `WORDS - 1`.
    pub rings: usize,
    /// Tokens of a ring.
    pub size: usize,
}

/// Moves `scores f32[G, capacity]` towards what `gathered f32[H, capacity]` hold, and clears these. Positions below `sinks`
/// have no score.
pub fn average(scores: &mut [f32], gathered: &mut [f32], region: &[u32], sinks: u32, kept: f32, gain: f32) {
    let group = gathered.len() / scores.len();
    let capacity = slots_of(region, scores.len());
    let (kept, gain) = (f32x4_splat(kept), f32x4_splat(gain));
    let heads = scores.chunks_exact_mut(capacity).zip(gathered.chunks_exact(group * capacity)).enumerate();
    for (h, (scores, gathered)) in heads {
        let positions = slots::positions(region, capacity, h);
        let slots = scores.as_chunks_mut::<4>().0.iter_mut().zip(positions.as_chunks::<4>().0).enumerate();
        for (i, (score, positions)) in slots {
            let of_head = |head: usize| load(&gathered[head * capacity..].as_chunks::<4>().0[i]);
            let top = (1..group).fold(of_head(0), |top, head| f32x4_pmax(top, of_head(head)));
            // SAFETY: the reference covers 16 readable bytes.
            let positions = unsafe { v128_load(positions.as_ptr() as *const v128) };
            let new = f32x4_add(f32x4_mul(load(score), kept), f32x4_mul(top, gain));
            store(score, v128_and(new, u32x4_ge(positions, u32x4_splat(sinks))));
        }
    }
    gathered.fill(0.0);
}

/// Slots per head of a region whose heads have `n` slots in all.
fn slots_of(region: &[u32], n: usize) -> usize {
    let n_heads = (region.len() - n) / slots::HEADER;
    n / n_heads
}

/// Takes all tokens that are in no ring yet into the cascade of their head. `region u32[G, 4 + capacity]`, `scores
/// f32[G, capacity]`, `ranks u32[G, capacity]`, `rings u32[G, WORDS]`.
pub fn insert(region: &mut [u32], scores: &mut [f32], ranks: &mut [u32], rings: &mut [u32], form: Form) {
    let capacity = slots_of(region, ranks.len());
    let state = scores.chunks_exact_mut(capacity).zip(ranks.chunks_exact_mut(capacity));
    let heads = slots::heads(region, capacity).zip(state.zip(rings.chunks_exact_mut(WORDS)));
    for (mut head, ((scores, ranks), counts)) in heads {
        settle(ranks, head.positions());
        let mut stored = counts.iter().sum::<u32>() as usize;
        while stored < head.n_occupied() {
            if let Some(leaving) = carry(&head, scores, ranks, counts, form, stored) {
                let slot = slot_of(ranks, leaving);
                head.evict(slot);
                scores[slot] = 0.0;
                leave(ranks, leaving);
            }
            stored = counts.iter().sum::<u32>() as usize;
        }
    }
}

/// Carries the token behind the `stored` ones through the rings; the rank of what leaves.
fn carry(head: &Head, scores: &[f32], ranks: &[u32], counts: &mut [u32], form: Form, stored: usize) -> Option<u32> {
    let (sinks, counts) = counts.split_first_mut().unwrap();
    if (*sinks as usize) < form.sinks {
        *sinks += 1;
        return None;
    }
    let position = head.positions()[slot_of(ranks, stored as u32)] as usize;
    let takes = |ring: usize| {
        position <= form.sinks + form.size * form.rings || position.wrapping_sub(form.sinks).is_multiple_of(1 << ring)
    };
    // The carried token always lies directly behind the ring's newest.
    let mut carried = stored as u32;
    for (ring, count) in counts[..form.rings].iter_mut().enumerate() {
        if *count == 0 || takes(ring) && (*count as usize) < form.size {
            *count += 1;
            return None;
        }
        if takes(ring) {
            carried -= *count;
            continue;
        }
        let score = |rank: u32| scores[slot_of(ranks, rank)];
        return Some(if score(carried) >= score(carried - 1) { carried - 1 } else { carried });
    }
    Some(carried)
}

/// Brings the numbers up to date after the latest tokens have been emptied.
pub fn trim(rings: &mut [u32], region: &mut [u32]) {
    let capacity = region.len() / (rings.len() / WORDS) - slots::HEADER;
    for (head, counts) in slots::heads(region, capacity).zip(rings.chunks_exact_mut(WORDS)) {
        let mut left = counts.iter().sum::<u32>().saturating_sub(head.n_occupied() as u32);
        for i in (1..WORDS).chain([0]) {
            let gone = left.min(counts[i]);
            counts[i] -= gone;
            left -= gone;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::kv::slots::EMPTY;
    use crate::oracle::Random;

    /// The definition: a list of (position, score) per ring, the newest last.
    struct Lists {
        sinks: Vec<u32>,
        rings: Vec<Vec<(u32, f32)>>,
    }

    impl Lists {
        fn insert(&mut self, position: u32, score: f32, form: Form) {
            if self.sinks.len() < form.sinks {
                return self.sinks.push(position);
            }
            let mut item = (position, score);
            for (i, ring) in self.rings.iter_mut().enumerate() {
                let free = position as usize <= form.rings * form.size + form.sinks;
                if free || (position as usize - form.sinks).is_multiple_of(1 << i) {
                    ring.push(item);
                    if ring.len() <= form.size {
                        return;
                    }
                    item = ring.remove(0);
                } else {
                    match ring.last_mut() {
                        None => ring.push(item),
                        Some(newest) if item.1 >= newest.1 => *newest = item,
                        _ => {}
                    }
                    return;
                }
            }
        }
    }

    #[test]
    fn rings_hold_what_lists_hold() {
        let mut random = Random(61);
        let form = Form { sinks: 3, rings: 4, size: 7 };
        let (capacity, n_heads) = (64, 2);
        let mut region = vec![0; n_heads * (slots::HEADER + capacity)];
        slots::heads(&mut region, capacity).for_each(|mut head| head.reset());
        let (mut scores, mut ranks) = (vec![0.0; n_heads * capacity], vec![EMPTY; n_heads * capacity]);
        let mut rings = vec![0; n_heads * WORDS];
        let mut lists: Vec<Lists> =
            (0..n_heads).map(|_| Lists { sinks: vec![], rings: vec![vec![]; form.rings] }).collect();
        let mut next = 0;
        for chunk in [1, 5, 20, 1, 1, 30, 17, 1, 9, 30, 30, 2] {
            for (h, mut head) in slots::heads(&mut region, capacity).enumerate() {
                for position in next..next + chunk {
                    let rank = head.n_occupied() as u32;
                    let place = h * capacity + head.take(position);
                    ranks[place] = rank;
                    scores[place] = random.float();
                    lists[h].insert(position, scores[place], form);
                }
            }
            next += chunk;
            insert(&mut region, &mut scores, &mut ranks, &mut rings, form);
            for (h, head) in slots::heads(&mut region, capacity).enumerate() {
                let held = |slot: &usize| head.positions()[*slot] != EMPTY;
                let mut slots: Vec<usize> = (0..capacity).filter(held).collect();
                slots.sort_by_key(|&slot| head.positions()[slot]);
                let wanted = lists[h].sinks.iter().copied();
                let wanted = wanted.chain(lists[h].rings.iter().rev().flatten().map(|&(position, _)| position));
                assert!(slots.iter().map(|&slot| head.positions()[slot]).eq(wanted), "after {next} tokens");
                let counts = lists[h].rings.iter().map(|ring| ring.len() as u32);
                assert!(rings[h * WORDS + 1..].iter().copied().take(form.rings).eq(counts));
                (0..capacity).filter(|slot| !held(slot)).for_each(|slot| assert_eq!(scores[h * capacity + slot], 0.0));
            }
        }
        // A text that is cut back leaves the later rings as they are.
        let before = rings.clone();
        let cut = lists[0].rings[0][3].0;
        slots::heads(&mut region, capacity).for_each(|mut head| head.truncate(cut));
        trim(&mut rings, &mut region);
        assert_eq!((rings[1], &rings[2..WORDS]), (3, &before[2..WORDS]));
        slots::heads(&mut region, capacity).for_each(|mut head| head.reset());
        trim(&mut rings, &mut region);
        assert!(rings.iter().all(|&n| n == 0));
    }

    #[test]
    fn averages_are_of_the_largest_head_and_not_of_sinks() {
        let mut random = Random(62);
        let (capacity, sinks) = (32, 2);
        let mut region = vec![0; slots::HEADER + capacity];
        let mut head = slots::heads(&mut region, capacity).next().unwrap();
        head.reset();
        (0..20).for_each(|position| _ = head.take(position));
        let (mut scores, mut gathered) = (random.floats(capacity), random.floats(3 * capacity));
        let wanted: Vec<f32> = (0..20)
            .map(|i| {
                let top = gathered[i].max(gathered[capacity + i]).max(gathered[2 * capacity + i]);
                if i < sinks as usize {
                    0.0
                } else {
                    0.9 * scores[i] + 0.1 * top
                }
            })
            .collect();
        average(&mut scores, &mut gathered, &region, sinks, 0.9, 0.1);
        scores.iter().zip(&wanted).for_each(|(&got, &wanted)| crate::oracle::close(got, wanted as f64, 1e-6));
        assert!(gathered.iter().all(|&x| x == 0.0));
    }
}
