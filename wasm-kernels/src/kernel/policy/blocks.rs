//! Stored keys as floats, for policies that look at them.
//!
//! ```text
//! 32 keys of a head -> f32[8, dim, 4]: a lane is a slot, so that four slots are measured at once
//! ```
use crate::kernel::attend::decoded::plain_keys;
use crate::kernel::kv::slots;
use crate::kernel::kv::{keys::GROUP, values::BLOCK, Shape};
use crate::kernel::lanes::load;
use crate::simd::*;

/// Widest head.
pub const MAX_DIM: usize = 256;

/// Keys of four slots.
pub struct Quad<'a> {
    /// The first of the slots.
    pub slot: usize,
    /// Lane by lane; `EMPTY` where nothing is stored.
    pub positions: v128,
    /// `f32[dim, 4]`
    keys: &'a [f32],
}

impl Quad<'_> {
    /// Element `i` of the four keys.
    #[inline(always)]
    pub fn dim(&self, i: usize) -> v128 {
        load(self.keys[GROUP * i..][..GROUP].try_into().unwrap())
    }

    /// Products with a vector.
    #[inline(always)]
    pub fn dot(&self, x: &[f32]) -> v128 {
        let dims = self.keys.as_chunks::<GROUP>().0.iter().zip(x);
        dims.fold(f32x4_splat(0.0), |sum, (key, x)| f32x4_madd(load(key), f32x4_splat(*x), sum))
    }

    /// Sums of squares.
    #[inline(always)]
    pub fn squares(&self) -> v128 {
        let dims = self.keys.as_chunks::<GROUP>().0.iter();
        dims.fold(f32x4_splat(0.0), |sum, key| f32x4_madd(load(key), load(key), sum))
    }
}

/// Shows the keys of a head, four slots at a time, up to its last used slot; `all`: those of empty slots too.
#[inline(always)]
pub fn each_quad(keys: &[u32], positions: &[u32], shape: &Shape, n_slots: usize, mut visit: impl FnMut(Quad)) {
    let mut floats = [0.0; BLOCK * MAX_DIM];
    let floats = &mut floats[..BLOCK * shape.dim];
    for start in (0..n_slots).step_by(BLOCK) {
        plain_keys(floats, &keys[start * shape.key_words()..], shape);
        for (i, keys) in floats.chunks_exact(GROUP * shape.dim).enumerate() {
            let slot = start + GROUP * i;
            // SAFETY: there are four positions from `slot` on.
            let positions = unsafe { v128_load(positions[slot..][..GROUP].as_ptr() as *const v128) };
            visit(Quad { slot, positions, keys });
        }
    }
}

/// Slots of a head up to the last one that has been used, rounded up to a block.
pub fn used(slots: &[u32], capacity: usize, head: usize) -> usize {
    slots::positions(slots, capacity, head).len()
}
