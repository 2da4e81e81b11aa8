//! Every index against a plain one, in double precision and with lists.
mod classes;
mod clusters;
mod pages;
mod sketch;

use crate::kernel::kv::keys::read_key;
use crate::kernel::kv::slots::{self, Cache, EMPTY, HEADER};
use crate::kernel::kv::values::read_value;
use crate::kernel::kv::{KvType, Shape, Stored};

const CAPACITY: usize = 96;
const DIM: usize = 24;
const HEADS: usize = 2;

/// A cache that owns what it is made of.
struct Store {
    keys: Vec<u32>,
    values: Vec<u8>,
    slots: Vec<u32>,
    shape: Shape,
}

impl Store {
    fn new(kind: KvType) -> Self {
        let shape = Shape { kind, dim: DIM, capacity: CAPACITY };
        let mut slots = vec![0; HEADS * (HEADER + CAPACITY)];
        slots::heads(&mut slots, CAPACITY).for_each(|mut head| head.reset());
        Self {
            keys: vec![0; HEADS * shape.key_bytes() / 4],
            values: vec![0; HEADS * shape.value_bytes()],
            slots,
            shape,
        }
    }

    fn cache(&mut self) -> Cache<'_> {
        let Self { keys, values, slots, shape } = self;
        Cache { keys, values, slots, ranks: None, key: *shape, value: *shape }
    }

    fn stored(&self) -> Stored<'_> {
        Stored { keys: &self.keys, slots: &self.slots, key: self.shape }
    }

    /// Position, key and value of each slot that holds one, in order of slots.
    fn held(&self, head: usize) -> Vec<(usize, u32, Vec<f32>, Vec<f32>)> {
        let (keys, positions) = (self.stored().keys_of(head), self.stored().held(head));
        let values = &self.values[head * self.shape.value_bytes()..];
        let occupied = positions.iter().enumerate().filter(|(_, &position)| position != EMPTY);
        let read = |(slot, &position): (usize, &u32)| {
            let (mut k, mut v) = (vec![0.0; DIM], vec![0.0; DIM]);
            read_key(keys, &self.shape, slot, &mut k);
            read_value(values, &self.shape, slot, &mut v);
            (slot, position, k, v)
        };
        occupied.map(read).collect()
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| *a as f64 * *b as f64).sum()
}

fn is_set(bits: &[u32], slot: usize) -> bool {
    bits[slot / 32] >> (slot % 32) & 1 == 1
}
