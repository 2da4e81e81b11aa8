//! The keys of a cache for kernels that look at them beside attention.
use super::slots::HEADER;
use super::Shape;

/// The keys and slots of one layer, to be read.
#[derive(Clone, Copy)]
pub struct Stored<'a> {
    /// `u32[G, key_bytes / 4]`
    pub keys: &'a [u32],
    /// `u32[G, 4 + capacity]`
    pub slots: &'a [u32],
    pub key: Shape,
}

impl<'a> Stored<'a> {
    pub fn n_kv_heads(&self) -> usize {
        self.slots.len() / (HEADER + self.key.capacity)
    }

    /// Positions of all slots of a head.
    pub fn positions(&self, head: usize) -> &'a [u32] {
        &self.slots[head * (HEADER + self.key.capacity) + HEADER..][..self.key.capacity]
    }

    /// Positions of the slots of a head up to the last one in use.
    pub fn held(&self, head: usize) -> &'a [u32] {
        &self.positions(head)[..self.slots[head * (HEADER + self.key.capacity)] as usize]
    }

    pub fn keys_of(&self, head: usize) -> &'a [u32] {
        let words = self.key.key_bytes() / 4;
        &self.keys[head * words..][..words]
    }
}
