//! Which position lies in which slot, per KV head.
//!
//! ```text
//! head:  u32 n_slots    slots below this one have been used; those at and above it are empty
//!        u32 n_free     empty slots below n_slots
//!        u32 first_free no slot below this one is empty
//!        u32 (spare)
//!        u32 position[capacity]    EMPTY where nothing is stored
//! ```
//! Attention doesn't care for the order of slots, so that evicting is one store, and appending takes the lowest empty
//! slot: nothing moves. An empty slot's position is later than every token's, and so is masked like any future one.
use super::keys::{copy_key, write_key};
use super::ranks::settle;
use super::values::{copy_value, write_value};
use super::Shape;

pub const EMPTY: u32 = u32::MAX;
/// Words before the positions of a head.
pub const HEADER: usize = 4;

/// The slots of one KV head.
pub struct Head<'a> {
    header: &'a mut [u32],
    positions: &'a mut [u32],
}

/// The heads in a slots region.
pub fn heads(region: &mut [u32], capacity: usize) -> impl Iterator<Item = Head<'_>> {
    region.chunks_exact_mut(HEADER + capacity).map(|head| {
        let (header, positions) = head.split_at_mut(HEADER);
        Head { header, positions }
    })
}

/// Positions in the used slots of one head, up to the next multiple of 32, which `capacity` is too.
pub fn positions(region: &[u32], capacity: usize, head: usize) -> &[u32] {
    let head = &region[head * (HEADER + capacity)..][..HEADER + capacity];
    &head[HEADER..][..head[0].next_multiple_of(32) as usize]
}

impl Head<'_> {
    pub fn reset(&mut self) {
        self.header.fill(0);
        self.positions.fill(EMPTY);
    }

    pub fn n_slots(&self) -> usize {
        self.header[0] as usize
    }

    /// Slots that hold a token.
    pub fn n_occupied(&self) -> usize {
        (self.header[0] - self.header[1]) as usize
    }

    /// Of every slot up to the capacity.
    pub fn positions(&self) -> &[u32] {
        self.positions
    }

    /// Takes the lowest empty slot. There must be one.
    pub fn take(&mut self, position: u32) -> usize {
        let n_slots = self.n_slots();
        let mut slot = n_slots;
        if self.header[1] > 0 {
            slot = self.header[2] as usize;
            while self.positions[slot] != EMPTY {
                slot += 1;
            }
            self.header[1] -= 1;
            self.header[2] = slot as u32 + 1;
        } else {
            self.header[0] += 1;
        }
        self.positions[slot] = position;
        slot
    }

    /// Empties a slot; an empty one stays as it is.
    pub fn evict(&mut self, slot: usize) {
        if slot >= self.n_slots() || self.positions[slot] == EMPTY {
            return;
        }
        self.positions[slot] = EMPTY;
        self.header[2] = if self.header[1] == 0 { slot as u32 } else { self.header[2].min(slot as u32) };
        self.header[1] += 1;
        while self.n_slots() > 0 && self.positions[self.n_slots() - 1] == EMPTY {
            self.header[0] -= 1;
            self.header[1] -= 1;
        }
    }

    /// Empties every slot whose position is `position` or later.
    pub fn truncate(&mut self, position: u32) {
        for slot in (0..self.n_slots()).rev() {
            if self.positions[slot] >= position {
                self.evict(slot);
            }
        }
    }

    /// Closes the holes: occupied slots move down and keep their order. `copy` moves what a slot holds.
    pub fn compact(&mut self, mut copy: impl FnMut(usize, usize)) {
        let n_slots = self.n_slots();
        let mut end = 0;
        for slot in 0..n_slots {
            if self.positions[slot] != EMPTY {
                if slot != end {
                    copy(slot, end);
                    self.positions[end] = self.positions[slot];
                }
                end += 1;
            }
        }
        self.positions[end..n_slots].fill(EMPTY);
        self.header.copy_from_slice(&[end as u32, 0, 0, 0]);
    }
}

/// A cache of one layer, to be written.
pub struct Cache<'a> {
    /// `u32[G, key_bytes / 4]`
    pub keys: &'a mut [u32],
    /// `u8[G, value_bytes]`
    pub values: &'a mut [u8],
    /// `u32[G, 4 + capacity]`
    pub slots: &'a mut [u32],
    /// `u32[G, capacity]`: see `ranks`.
    pub ranks: Option<&'a mut [u32]>,
    pub key: Shape,
    pub value: Shape,
}

impl Cache<'_> {
    /// Stores tokens: `k f32[T, G, key.dim]`, `v f32[T, G, value.dim]`, `positions u32[T]`.
    pub fn append(&mut self, k: &[f32], v: &[f32], positions: &[u32]) {
        let (key, value) = (&self.key, &self.value);
        let keys = self.keys.chunks_exact_mut(key.key_bytes() / 4);
        let values = self.values.chunks_exact_mut(value.value_bytes());
        let n_kv_heads = self.slots.len() / (HEADER + key.capacity);
        let heads = heads(self.slots, key.capacity).zip(keys.zip(values)).enumerate();
        for (h, (mut head, (keys, values))) in heads {
            let mut ranks = self.ranks.as_deref_mut().map(|ranks| &mut ranks[h * key.capacity..][..key.capacity]);
            if let Some(ranks) = &mut ranks {
                settle(ranks, head.positions);
            }
            for (t, &position) in positions.iter().enumerate() {
                let rank = head.n_occupied() as u32;
                let (slot, row) = (head.take(position), t * n_kv_heads + h);
                if let Some(ranks) = &mut ranks {
                    ranks[slot] = rank;
                }
                write_key(keys, key, slot, &k[row * key.dim..][..key.dim]);
                write_value(values, value, slot, &v[row * value.dim..][..value.dim]);
            }
        }
    }

    /// Closes the holes of every head.
    pub fn compact(&mut self) {
        let (key, value) = (&self.key, &self.value);
        let keys = self.keys.chunks_exact_mut(key.key_bytes() / 4);
        let values = self.values.chunks_exact_mut(value.value_bytes());
        for (h, (mut head, (keys, values))) in heads(self.slots, key.capacity).zip(keys.zip(values)).enumerate() {
            let mut ranks = self.ranks.as_deref_mut().map(|ranks| &mut ranks[h * key.capacity..][..key.capacity]);
            if let Some(ranks) = &mut ranks {
                settle(ranks, head.positions);
            }
            head.compact(|from, to| {
                copy_key(keys, key, from, to);
                copy_value(values, value, from, to);
                if let Some(ranks) = &mut ranks {
                    ranks.swap(from, to);
                }
            });
        }
    }
}
