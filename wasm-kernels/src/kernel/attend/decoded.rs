//! Keys and values that attention can't read as they lie: coded ones, and keys that are rotated when they are read.
//!
//! ```text
//! for up to 128 slots, as many as there is room for, block of 32 by block:
//!   keys   -> f32 as the type F32 has them, each turned by its index
//!   values -> f32 as the type F32 has them
//! attention goes on with these, as if the cache were of type F32
//! ```
//! - An index is the token's position, or, where the cache has ranks, its place among the tokens of its head.
//! - A codec is one file beside `kernel::codec` with an implementation of [`Codec`]; it sees one block at a time, so that
//!   a virtual call costs nothing that counts.
//! - A slot is decoded once for up to 16 rows. Bound by the rotation, eight instructions for a pair of four slots.
use super::chunk::Runs;
use super::looked_up::Tables;
use super::{Cache, MAX_DIM, SHORT_CHUNK};
use crate::kernel::kv::half::Widen;
use crate::kernel::kv::keys::{BLOCK as SCALED, GROUP};
use crate::kernel::kv::values::BLOCK;
use crate::kernel::kv::{KvType, Shape};
use crate::kernel::rope::{rope, RopeStyle};
use crate::simd::*;
use core::mem::MaybeUninit;

/// Keys, or values, of a block of the widest heads, or of more of narrow ones.
const FLOATS: usize = BLOCK * MAX_DIM;

/// Slots that are decoded at once.
pub fn most_slots(dim: usize) -> usize {
    (FLOATS / dim / BLOCK * BLOCK).min(SHORT_CHUNK)
}

/// 32 slots of a head.
#[derive(Clone, Copy)]
pub struct Block<'a> {
    /// KV head.
    pub head: usize,
    /// The first slot, a multiple of 32.
    pub start: usize,
    /// Positions of the slots' tokens, `EMPTY` where there is none.
    pub positions: &'a [u32; BLOCK],
}

impl<'a> Block<'a> {
    pub fn new(cache: &Cache<'a>, head: usize, start: usize) -> Self {
        Self { head, start, positions: cache.slots[start..].first_chunk().unwrap() }
    }
}

/// Keys or values, or both, stored otherwise than by the cache's types.
pub trait Codec {
    /// Are keys stored its way? Otherwise they are read by the cache's type; the same for values.
    fn has_keys(&self) -> bool;
    fn has_values(&self) -> bool;
    /// Writes the block's keys `f32[8, dim, 4]`, the lane a slot: see `put_key`. What empty slots get does not matter.
    fn keys(&self, block: &Block, out: &mut [f32]);
    /// Writes the block's values `f32[32, dim]`. What empty slots get does not matter.
    fn values(&self, block: &Block, out: &mut [f32]);
    /// How both are read without being opened, and the numbers of one row's table and sums, where they can be.
    fn tables(&self) -> Option<(&dyn Tables, [usize; 2])> {
        None
    }
}

/// Rotation of keys and queries when they are read.
#[derive(Clone, Copy)]
pub struct Rotation<'a> {
    /// `f32[rows, dims / 2, 2]`: (cos, sin) by index, as `rope_table` makes them. Later indexes take the last row.
    pub table: &'a [f32],
    /// Leading dims of a head that turn.
    pub dims: usize,
    pub style: RopeStyle,
}

/// How a cache's slots become floats.
#[derive(Clone, Copy, Default)]
pub struct Decoding<'a> {
    pub codec: Option<&'a dyn Codec>,
    pub rotation: Option<Rotation<'a>>,
}

impl Decoding<'_> {
    pub fn decodes_keys(&self) -> bool {
        self.rotation.is_some() || self.codec.is_some_and(|codec| codec.has_keys())
    }

    /// Tables, if what they take has room.
    pub fn tables(&self) -> Option<(&dyn Tables, [usize; 2])> {
        let of_codec = self.codec.filter(|_| self.rotation.is_none()).and_then(|codec| codec.tables());
        of_codec.filter(|(_, sizes)| sizes.iter().all(|&size| size <= FLOATS))
    }

    pub fn decodes_values(&self) -> bool {
        self.codec.is_some_and(|codec| codec.has_values())
    }
}

/// Room for keys and for values.
pub struct Scratch {
    pub keys: Room,
    pub values: Room,
}

impl Scratch {
    pub fn new() -> Self {
        Self { keys: Room(MaybeUninit::uninit()), values: Room(MaybeUninit::uninit()) }
    }
}

/// Not cleared: decoding writes all that is read.
pub struct Room(MaybeUninit<[f32; FLOATS]>);

impl Room {
    pub fn floats(&mut self, n: usize) -> &mut [f32] {
        assert!(n <= FLOATS);
        // SAFETY: any bits are floats.
        unsafe { core::slice::from_raw_parts_mut(self.0.as_mut_ptr() as *mut f32, n) }
    }
}

/// Keys of some blocks as words of the type F32.
#[inline(never)]
pub fn decode_keys<'a>(room: &'a mut Room, head: &Cache, kv_head: usize, blocks: &Runs) -> &'a [u32] {
    let (Decoding { codec, rotation }, dim) = (head.extras.decoding, head.key.dim);
    let keys = room.floats(blocks.n_slots() * dim);
    let words = head.key.key_words();
    for (run, keys) in blocks.iter().zip(keys.chunks_exact_mut(BLOCK * dim)) {
        let block = Block::new(head, kv_head, run.slot);
        match codec.filter(|codec| codec.has_keys()) {
            Some(codec) => codec.keys(&block, keys),
            None => plain_keys(keys, &head.keys[run.slot * words..], &head.key),
        }
        if let Some(rotation) = rotation {
            let indexes = head.extras.ranks.map_or(block.positions, |ranks| ranks[run.slot..].first_chunk().unwrap());
            rotation.turn_keys(keys, dim, indexes);
        }
    }
    // SAFETY: floats are words.
    unsafe { core::slice::from_raw_parts(keys.as_ptr() as *const u32, keys.len()) }
}

/// Values of some blocks as bytes of the type F32.
#[inline(never)]
pub fn decode_values<'a>(room: &'a mut Room, head: &Cache, kv_head: usize, blocks: &Runs) -> &'a [u8] {
    let values = room.floats(blocks.n_slots() * head.value.dim);
    if let Some(codec) = head.extras.decoding.codec {
        let parts = values.chunks_exact_mut(BLOCK * head.value.dim);
        blocks.iter().zip(parts).for_each(|(run, values)| codec.values(&Block::new(head, kv_head, run.slot), values));
    }
    // SAFETY: a float is four bytes.
    unsafe { core::slice::from_raw_parts(values.as_ptr() as *const u8, 4 * values.len()) }
}

/// Writes the key of the block's slot `slot < 32`.
pub fn put_key(out: &mut [f32], dim: usize, slot: usize, key: impl Fn(usize) -> f32) {
    let place = slot / GROUP * GROUP * dim + slot % GROUP;
    (0..dim).for_each(|i| out[place + GROUP * i] = key(i));
}

impl Rotation<'_> {
    fn row(&self, index: u32) -> &[f32] {
        let rows = self.table.len() / self.dims;
        &self.table[(index as usize).min(rows - 1) * self.dims..][..self.dims]
    }

    /// One head of a query, turned; the rest is 0.
    pub fn turned(&self, q: &[f32], index: u32) -> [f32; MAX_DIM] {
        let mut turned = [0.0; MAX_DIM];
        turned[..q.len()].copy_from_slice(q);
        rope(&mut turned[..q.len()], self.row(index), 1, q.len(), self.dims, self.style);
        turned
    }

    /// Turns the keys `f32[8, dim, 4]` of a block.
    fn turn_keys(&self, keys: &mut [f32], dim: usize, indexes: &[u32; BLOCK]) {
        let half = self.dims / 2;
        let (step, apart) = match self.style {
            RopeStyle::Neighbours => (2 * GROUP, GROUP),
            RopeStyle::Halves => (GROUP, GROUP * half),
        };
        for (keys, indexes) in keys.chunks_exact_mut(GROUP * dim).zip(indexes.as_chunks::<GROUP>().0) {
            let rows = indexes.map(|index| self.row(index).as_ptr());
            let keys = keys.as_mut_ptr();
            for i in 0..half {
                // SAFETY: a row holds `half` pairs, and both places lie in the first `dims <= dim` of a group.
                unsafe {
                    let pair = |slot: usize| v128_load64_zero(rows[slot].add(2 * i) as *const u64);
                    let low = i64x2_shuffle::<0, 2>(pair(0), pair(1));
                    let high = i64x2_shuffle::<0, 2>(pair(2), pair(3));
                    let (cos, sin) = (i32x4_shuffle::<0, 2, 4, 6>(low, high), i32x4_shuffle::<1, 3, 5, 7>(low, high));
                    let (first, second) = (keys.add(step * i) as *mut v128, keys.add(step * i + apart) as *mut v128);
                    let (a, b) = (v128_load(first), v128_load(second));
                    v128_store(first, f32x4_sub(f32x4_mul(a, cos), f32x4_mul(b, sin)));
                    v128_store(second, f32x4_add(f32x4_mul(a, sin), f32x4_mul(b, cos)));
                }
            }
        }
    }
}

/// Keys of the cache's own types as floats.
pub fn plain_keys(out: &mut [f32], keys: &[u32], shape: &Shape) {
    let (words, dim) = (shape.key_words(), shape.dim);
    let keys = &keys[..BLOCK * words];
    let widen = Widen::new();
    for (out, keys) in out.chunks_exact_mut(GROUP * dim).zip(keys.chunks_exact(GROUP * words)) {
        let (out, keys) = (out.as_mut_ptr(), keys.as_ptr());
        // SAFETY: words below `words` of a group are read, dims below `dim` written.
        let word = |i: usize| unsafe { v128_load(keys.add(GROUP * i) as *const v128) };
        let put = |i: usize, x: v128| unsafe { v128_store(out.add(GROUP * i) as *mut v128, x) };
        match shape.kind {
            KvType::F32 => (0..dim).for_each(|i| put(i, word(i))),
            KvType::F16 => (0..dim / 2).for_each(|i| {
                let pair = word(i);
                put(2 * i, widen.high(i32x4_shl(pair, 16)));
                put(2 * i + 1, widen.high(pair));
            }),
            KvType::Q8_0 => {
                for i in 0..dim / 4 {
                    let scale = v128_and(word(4 * i / SCALED), u32x4_splat(0xffff_0000));
                    let codes = word(shape.key_scale_words() + i);
                    for j in 0..4 {
                        let code = i32x4_shr(i32x4_shl(codes, 24 - 8 * j), 24);
                        put(4 * i + j as usize, f32x4_mul(f32x4_convert_i32x4(code), scale));
                    }
                }
            }
            KvType::Q4_0 => {
                for block in 0..dim.div_ceil(SCALED) {
                    let n = (dim - block * SCALED).min(SCALED);
                    let scale = i32x4_shl(word(block / 2), 16 - block as u32 % 2 * 16);
                    let scale = v128_and(scale, u32x4_splat(0xffff_0000));
                    let offset = f32x4_mul(scale, f32x4_splat(-7.5));
                    for w in 0..n / 8 {
                        let codes = word(shape.key_scale_words() + block * SCALED / 8 + w);
                        for j in 0..4 {
                            let at = block * SCALED + 4 * w + j as usize;
                            for (at, shift) in [(at, 8 * j), (at + n / 2, 8 * j + 4)] {
                                let code = v128_and(u32x4_shr(codes, shift), u32x4_splat(15));
                                put(at, f32x4_madd(f32x4_convert_i32x4(code), scale, offset));
                            }
                        }
                    }
                }
            }
        }
    }
}
