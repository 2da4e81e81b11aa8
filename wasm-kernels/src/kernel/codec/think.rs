//! ThinK: keys without the channels that recent queries hardly use. Source: arXiv 2407.21018 §3.
//!
//! ```text
//! score of a channel = mean over the last queries of q^2 * mean over the keys of k^2
//! the channels of highest score stay, in order, as the narrower key of a plain type; the others are 0 when read
//! ```
//! The mean over queries is the mean over the query heads of a KV head too. A narrow key opens into whole vectors of
//! attention's floats, which then move to the place of their channel.
use crate::kernel::kv::keys::GROUP;
use crate::kernel::lanes::{load, store};
use crate::simd::*;

/// Sums of squares of one layer's queries and keys, `f32[G, dim]` each.
pub struct Squares<'a> {
    pub q: &'a mut [f32],
    pub k: &'a mut [f32],
}

impl Squares<'_> {
    /// Takes `q f32[T, H, dim]`, of which the last `window` rows count, and `k f32[T, G, dim]`.
    pub fn add(&mut self, q: &[f32], k: &[f32], n_tokens: usize, dim: usize, window: usize) {
        let (q_row, k_row) = (q.len() / n_tokens, k.len() / n_tokens);
        let (group, skipped) = (q_row / k_row, n_tokens - n_tokens.min(window));
        if n_tokens >= window {
            self.q.fill(0.0);
        }
        for (head, q) in q[skipped * q_row..].chunks_exact(dim).enumerate() {
            let sums = &mut self.q[head % (q_row / dim) / group * dim..][..dim];
            sums.iter_mut().zip(q).for_each(|(sum, q)| *sum += q * q);
        }
        for k in k.chunks_exact(k_row) {
            self.k.iter_mut().zip(k).for_each(|(sum, k)| *sum += k * k);
        }
    }
}

/// The `n` channels of highest score, ascending; ties to the lower one.
pub fn select(channels: &mut [u32], q: &[f32], k: &[f32]) {
    let score = |i: usize| q[i] * k[i];
    let mut n = 0;
    for i in 0..q.len() {
        let better = (0..q.len()).filter(|&j| score(j) > score(i) || (score(j) == score(i) && j < i)).count();
        if better < channels.len() && n < channels.len() {
            channels[n] = i as u32;
            n += 1;
        }
    }
}

/// Turns keys `f32[8, narrow, 4]` of a block into keys `f32[8, dim, 4]` with zeros in the channels that are missing, in
/// place: from the end on, as nothing moves down.
#[inline(never)]
pub fn spread(keys: &mut [f32], channels: &[u32], narrow: usize, dim: usize) {
    let vectors = &mut keys.as_chunks_mut::<GROUP>().0[..32 / GROUP * dim];
    for group in (0..32 / GROUP).rev() {
        let mut end = dim;
        for (n, &channel) in channels.iter().enumerate().rev() {
            let (at, zero) = (channel as usize, f32x4_splat(0.0));
            let key = load(&vectors[group * narrow + n]);
            vectors[group * dim + at + 1..group * dim + end].iter_mut().for_each(|gap| store(gap, zero));
            store(&mut vectors[group * dim + at], key);
            end = at;
        }
        vectors[group * dim..group * dim + end].fill([0.0; GROUP]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{close, Random};

    #[test]
    fn narrow_keys_spread_to_their_channels() {
        let mut random = Random(34);
        for (dim, kept) in [(8, 5), (8, 8), (16, 10), (32, 20), (64, 39), (80, 48), (128, 77), (256, 154)] {
            let mut channels: Vec<u32> = (0..dim as u32).collect();
            while channels.len() > kept {
                channels.remove(random.below(channels.len()));
            }
            let narrow = kept.next_multiple_of(8);
            let keys = random.floats(32 * dim);
            let mut out = keys.clone();
            spread(&mut out, &channels, narrow, dim);
            for (slot, channel) in (0..32).flat_map(|s| (0..dim).map(move |c| (s, c))) {
                let place = |width: usize, i: usize| (slot / 4 * width + i) * 4 + slot % 4;
                let from = channels.iter().position(|&c| c == channel as u32);
                assert_eq!(out[place(dim, channel)], from.map_or(0.0, |i| keys[place(narrow, i)]));
            }
        }
    }

    #[test]
    fn scores_are_products_of_means() {
        let mut random = Random(35);
        let (dim, n_heads, n_kv_heads, n, window) = (16, 6, 2, 13, 5);
        let (q, k) = (random.floats(n * n_heads * dim), random.floats(n * n_kv_heads * dim));
        let (mut q2, mut k2) = (vec![9.0; n_kv_heads * dim], vec![0.0; n_kv_heads * dim]);
        Squares { q: &mut q2, k: &mut k2 }.add(&q, &k, n, dim, window);
        for (g, c) in (0..n_kv_heads).flat_map(|g| (0..dim).map(move |c| (g, c))) {
            let square = |x: f32| x as f64 * x as f64;
            let of_q = (n - window..n).flat_map(|t| (3 * g..3 * g + 3).map(move |h| (t * n_heads + h) * dim + c));
            close(q2[g * dim + c], of_q.map(|i| square(q[i])).sum(), 1e-5);
            close(k2[g * dim + c], (0..n).map(|t| square(k[(t * n_kv_heads + g) * dim + c])).sum(), 1e-5);
        }
        // By hand: scores 1, 0, 4, 0.01; and ties go to the lower channel.
        let mut channels = [9; 2];
        select(&mut channels, &[1.0, 25.0, 1.0, 0.01], &[1.0, 0.0, 4.0, 1.0]);
        assert_eq!(channels, [0, 2]);
        select(&mut channels, &[1.0; 4], &[2.0, 1.0, 2.0, 2.0]);
        assert_eq!(channels, [0, 2]);
    }
}
