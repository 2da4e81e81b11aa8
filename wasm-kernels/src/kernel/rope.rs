//! Rotary positions. Source: arXiv 2104.09864 §3.4.
//!
//! ```text
//! pair i of a head at position p turns by p * inv_freq[i]:
//!   (a, b) -> (a cos - b sin, a sin + b cos)
//! pairs are neighbours (2i, 2i + 1), or halves (i, i + half)
//! ```
//! Sine and cosine are taken once per token in float64 (an f32 product of position and frequency is off by 1e-3 at
//! 10,000 tokens), and shared by all heads and layers; turning is then bound by memory.
use super::lanes::{load, store};
use super::scalar::sin_cos;
use crate::simd::*;

/// `table[t][i] = mscale * (cos, sin)(positions[t] * inv_freq[i])`.
pub fn rope_table(table: &mut [f32], positions: &[u32], inv_freq: &[f32], mscale: f32) {
    for (row, &position) in table.chunks_exact_mut(2 * inv_freq.len()).zip(positions) {
        for (pair, &frequency) in row.as_chunks_mut::<2>().0.iter_mut().zip(inv_freq) {
            let (sin, cos) = sin_cos(position as f64 * frequency as f64);
            *pair = [(cos * mscale as f64) as f32, (sin * mscale as f64) as f32];
        }
    }
}

/// Where the two values of a pair lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RopeStyle {
    /// `(2i, 2i + 1)`, as in LLaMA's GGUF files.
    Neighbours = 0,
    /// `(i, i + half)`, as in GPT-NeoX.
    Halves = 1,
}

impl RopeStyle {
    pub fn from_id(id: u32) -> Self {
        [Self::Neighbours, Self::Halves][id as usize]
    }
}

/// Turns the first `rope_dims` values of every head of `x` `[T, n_heads, head_dim]` by `table` `[T, rope_dims / 2, 2]`;
/// the rest of a head stays as it is.
pub fn rope(x: &mut [f32], table: &[f32], n_heads: usize, head_dim: usize, rope_dims: usize, style: RopeStyle) {
    let tokens = x.chunks_exact_mut(n_heads * head_dim).zip(table.chunks_exact(rope_dims));
    for (token, row) in tokens {
        for head in token.chunks_exact_mut(head_dim) {
            match style {
                RopeStyle::Neighbours => turn_neighbours(&mut head[..rope_dims], row),
                RopeStyle::Halves => turn_halves(&mut head[..rope_dims], row),
            }
        }
    }
}

/// Four pairs `(a, b)`, turned.
#[inline(always)]
fn turn4(a: v128, b: v128, turns: &[f32; 8]) -> (v128, v128) {
    let (cos, sin) = unzip(turns);
    (f32x4_sub(f32x4_mul(a, cos), f32x4_mul(b, sin)), f32x4_add(f32x4_mul(a, sin), f32x4_mul(b, cos)))
}

/// The values at even places and those at odd ones.
#[inline(always)]
fn unzip(x: &[f32; 8]) -> (v128, v128) {
    let [low, high] = x.as_chunks::<4>().0 else { unreachable!() };
    let (low, high) = (load(low), load(high));
    (i32x4_shuffle::<0, 2, 4, 6>(low, high), i32x4_shuffle::<1, 3, 5, 7>(low, high))
}

fn turn(a: &mut f32, b: &mut f32, [cos, sin]: [f32; 2]) {
    (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
}

fn turn_neighbours(head: &mut [f32], row: &[f32]) {
    let ((fours, rest), (turns, turn_rest)) = (head.as_chunks_mut::<8>(), row.as_chunks::<8>());
    for (pairs, turns) in fours.iter_mut().zip(turns) {
        let (a, b) = unzip(pairs);
        let (a, b) = turn4(a, b, turns);
        let [low, high] = pairs.as_chunks_mut::<4>().0 else { unreachable!() };
        store(low, i32x4_shuffle::<0, 4, 1, 5>(a, b));
        store(high, i32x4_shuffle::<2, 6, 3, 7>(a, b));
    }
    for ([a, b], &turns) in rest.as_chunks_mut::<2>().0.iter_mut().zip(turn_rest.as_chunks::<2>().0) {
        turn(a, b, turns);
    }
}

fn turn_halves(head: &mut [f32], row: &[f32]) {
    let half = head.len() / 2;
    let (first, second) = head.split_at_mut(half);
    let ((firsts, first_rest), (seconds, second_rest)) = (first.as_chunks_mut::<4>(), second.as_chunks_mut::<4>());
    let (turns, turn_rest) = row.as_chunks::<8>();
    for ((first, second), turns) in firsts.iter_mut().zip(seconds).zip(turns) {
        let (a, b) = turn4(load(first), load(second), turns);
        store(first, a);
        store(second, b);
    }
    for ((a, b), &turns) in first_rest.iter_mut().zip(second_rest).zip(turn_rest.as_chunks::<2>().0) {
        turn(a, b, turns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{close, Random};

    #[test]
    fn both_styles_match_the_rotation() {
        let mut random = Random(5);
        for (head_dim, rope_dims) in [(8, 8), (16, 16), (32, 10), (64, 64), (80, 32), (96, 96), (128, 64), (256, 256)] {
            let positions = [0, 1, 7, 4095, 131_071];
            let (half, n_heads) = (rope_dims / 2, 3);
            let inv_freq: Vec<f32> = (0..half).map(|i| 1e4f32.powf(-(i as f32) / half as f32)).collect();
            let mut table = vec![0.0; positions.len() * rope_dims];
            rope_table(&mut table, &positions, &inv_freq, 1.1);
            let x = random.floats(positions.len() * n_heads * head_dim);
            for style in [RopeStyle::Neighbours, RopeStyle::Halves] {
                let mut got = x.clone();
                rope(&mut got, &table, n_heads, head_dim, rope_dims, style);
                for (head, (x, got)) in x.chunks(head_dim).zip(got.chunks(head_dim)).enumerate() {
                    let position = positions[head / n_heads] as f64;
                    assert_eq!(x[rope_dims..], got[rope_dims..]);
                    for (i, &inv_freq) in inv_freq.iter().enumerate() {
                        let (a, b) = if style == RopeStyle::Halves { (i, i + half) } else { (2 * i, 2 * i + 1) };
                        let (sin, cos) = (position * inv_freq as f64).sin_cos();
                        close(got[a], 1.1 * (x[a] as f64 * cos - x[b] as f64 * sin), 2e-6);
                        close(got[b], 1.1 * (x[a] as f64 * sin + x[b] as f64 * cos), 2e-6);
                    }
                }
            }
        }
    }
}
