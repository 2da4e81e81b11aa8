//! Which slots a query reads, and what stands for the ones that it doesn't: indexes beside the cache.
//!
//! ```text
//! pages      lower and upper bounds of the keys of blocks of slots; the best blocks are read         Quest
//! clusters   centroids of the keys of a fixed prefix; the clusters above a threshold are read        Squeezed Attention
//! kmeans     how those clusters are made                                                             offline
//! sketch     clusters of keys and samples of values that stand for slots which are gone              SubGen
//! classes    marks on slots by the class of their token, and the choice of what stays by them        SepLLM, anchors
//! ```
//! `pages` and `clusters` write a bitmap of slots for `attend`, `active u32[G, capacity / 32]`: a slot whose bit is 0 is
//! not read. One call serves all KV heads of a layer. State lies where the caller says; nothing is kept here.
pub mod active;
pub mod classes;
pub mod clusters;
pub mod kmeans;
pub mod pages;
pub mod sketch;
#[cfg(test)]
mod tests;

use super::kv::{keys, Shape};
use super::lanes::{load, zip};
use crate::simd::*;

/// The slot that holds a position; `likely` is looked at first.
#[inline(never)]
fn slot_of(positions: &[u32], position: u32, likely: usize) -> Option<usize> {
    if positions.get(likely) == Some(&position) {
        return Some(likely);
    }
    positions.iter().position(|&p| p == position)
}

/// `keys::read_key`, once for all indexes.
#[inline(never)]
fn read_key(keys: &[u32], shape: &Shape, slot: usize, k: &mut [f32]) {
    keys::read_key(keys, shape, slot, k);
}

/// `sum += x`.
#[inline(never)]
fn add(sum: &mut [f32], x: &[f32]) {
    zip(sum, x, |sum, x| f32x4_add(sum, x));
}

/// `x *= factor`.
#[inline(never)]
fn scale(x: &mut [f32], factor: f32) {
    super::elementwise::scale(x, factor);
}

/// Σ a·b of equally long rows, a multiple of four.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let pairs = a.as_chunks::<4>().0.iter().zip(b.as_chunks::<4>().0);
    f32x4_sum(pairs.fold(f32x4_splat(0.0), |sum, (a, b)| f32x4_madd(load(a), load(b), sum)))
}

/// |a - b|² of equally long rows, a multiple of four.
#[inline(never)]
fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let pairs = a.as_chunks::<4>().0.iter().zip(b.as_chunks::<4>().0);
    f32x4_sum(pairs.fold(f32x4_splat(0.0), |sum, (a, b)| {
        let difference = f32x4_sub(load(a), load(b));
        f32x4_madd(difference, difference, sum)
    }))
}
