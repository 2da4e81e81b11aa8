//! Scores of query heads to scores of KV heads, each slot seen together with its neighbours.
//!
//! ```text
//! pooled[h, s] = mean or max of scores[h, s - width/2 ..= s + width/2]      0 behind the ends of the candidates
//! out[g, s]    = mean of pooled[h, s] over the query heads of g
//! ```
//! Slots have to lie in order of position, as they do after `kv_compact`; candidates are those below `end`, the recent
//! ones above take no part. Source: SnapKV, arXiv 2404.14469 §4.
use crate::kernel::kv::slots;

/// `out f32[G, capacity]` from `scores f32[H, capacity]`; slots at positions of `end` and later get 0.
pub fn pool(out: &mut [f32], scores: &[f32], slots: &[u32], capacity: usize, width: usize, max: bool, end: u32) {
    let (n_kv_heads, n_heads) = (out.len() / capacity, scores.len() / capacity);
    let group = n_heads / n_kv_heads;
    for (head, out) in out.chunks_exact_mut(capacity).enumerate() {
        let n = slots::positions(slots, capacity, head).iter().take_while(|&&position| position < end).count();
        out.fill(0.0);
        for row in head * group..(head + 1) * group {
            let scores = &scores[row * capacity..][..n];
            for (slot, out) in out[..n].iter_mut().enumerate() {
                let around = &scores[slot.saturating_sub(width / 2)..(slot + width / 2 + 1).min(n)];
                let pooled = if max {
                    around.iter().copied().fold(0.0, f32::max)
                } else {
                    around.iter().sum::<f32>() / width as f32
                };
                *out += pooled / group as f32;
            }
        }
    }
}
