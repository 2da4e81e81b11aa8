//! Layout of values: blocks of 32 slots.
//!
//! ```text
//! F32, F16  one row of dims per slot
//! Q8_0      32 scales (f32, one per slot), then for every 4 dims 8 vectors: vector g holds, lane = dim, the codes of
//!           slots 4g .. 4g + 3 in the four bytes of a lane
//! Q4_0      32 scales, then for every 4 dims 4 vectors: as above with slots 4g .. in the low four bits and
//!           16 + 4g .. in the high ones
//! ```
//! - The sum over slots `p_s * V[s]` so is an int8 dot too: a lane is a dim, its four bytes are four slots, and the
//!   probabilities, which are not negative, are the unsigned operand.
//! - The scale is one per slot, so that it can be multiplied into the slot's probability.
use super::half::f32_to_f16;
use super::{four_bits, round_bits, scale_and_inverse, KvType, Shape};
use crate::quant::f16_to_f32;

pub const BLOCK: usize = 32;

impl Shape {
    /// Bytes of the values of one block of slots.
    pub fn value_block_bytes(&self) -> usize {
        match self.kind {
            KvType::F32 => BLOCK * 4 * self.dim,
            KvType::F16 => BLOCK * 2 * self.dim,
            KvType::Q8_0 => BLOCK * (4 + self.dim),
            KvType::Q4_0 => BLOCK * (4 + self.dim / 2),
        }
    }

    /// Bytes of all values of one KV head.
    pub fn value_bytes(&self) -> usize {
        self.capacity / BLOCK * self.value_block_bytes()
    }
}

/// Byte of the codes of (slot, dim) in a block, and the shift of four bits in it.
fn code_place(kind: KvType, slot: usize, dim: usize) -> (usize, u32) {
    let lane_byte = dim % 4 * 4 + slot % 4;
    match kind {
        KvType::Q8_0 => (4 * BLOCK + dim / 4 * 128 + slot / 4 * 16 + lane_byte, 0),
        _ => (4 * BLOCK + dim / 4 * 64 + slot / 4 % 4 * 16 + lane_byte, slot as u32 / 16 * 4),
    }
}

/// Stores the value `x` of `dim` numbers in a slot of one head's values.
pub fn write_value(values: &mut [u8], shape: &Shape, slot: usize, x: &[f32]) {
    let block_bytes = shape.value_block_bytes();
    let block = &mut values[slot / BLOCK * block_bytes..][..block_bytes];
    let slot = slot % BLOCK;
    match shape.kind {
        KvType::F32 => {
            let row = block[slot * 4 * x.len()..].chunks_exact_mut(4);
            row.zip(x).for_each(|(place, x)| place.copy_from_slice(&x.to_le_bytes()));
        }
        KvType::F16 => {
            let row = block[slot * 2 * x.len()..].chunks_exact_mut(2);
            row.zip(x).for_each(|(place, x)| place.copy_from_slice(&f32_to_f16(*x).to_le_bytes()));
        }
        KvType::Q8_0 => {
            let (scale, inverse) = scale_and_inverse(x, 127.0, |scale| scale);
            block[4 * slot..][..4].copy_from_slice(&scale.to_le_bytes());
            for (i, x) in x.as_chunks::<4>().0.iter().enumerate() {
                let place = code_place(shape.kind, slot, 4 * i).0;
                let lanes = &mut block[place..place + 13];
                for (j, x) in x.iter().enumerate() {
                    lanes[4 * j] = round_bits(x * inverse) as u8;
                }
            }
        }
        KvType::Q4_0 => {
            let (scale, inverse) = scale_and_inverse(x, 7.5, |scale| scale);
            block[4 * slot..][..4].copy_from_slice(&scale.to_le_bytes());
            for (dim, x) in x.iter().enumerate() {
                let (place, shift) = code_place(shape.kind, slot, dim);
                let code = four_bits(x * inverse);
                block[place] = block[place] & !(15 << shift) | code << shift;
            }
        }
    }
}

/// The value in a slot, as attention sees it.
pub fn read_value(values: &[u8], shape: &Shape, slot: usize, x: &mut [f32]) {
    let block = &values[slot / BLOCK * shape.value_block_bytes()..];
    let slot = slot % BLOCK;
    let float = |at: usize| f32::from_le_bytes(block[at..][..4].try_into().unwrap());
    let dim = x.len();
    for (i, x) in x.iter_mut().enumerate() {
        let (place, shift) = code_place(shape.kind, slot, i);
        *x = match shape.kind {
            KvType::F32 => float(4 * (slot * dim + i)),
            KvType::F16 => f16_to_f32(u16::from_le_bytes(block[2 * (slot * dim + i)..][..2].try_into().unwrap())),
            KvType::Q8_0 => float(4 * slot) * block[place] as i8 as f32,
            KvType::Q4_0 => float(4 * slot) * ((block[place] >> shift & 15) as f32 - 7.5),
        };
    }
}

/// Moves a slot's value; `from` keeps its own.
pub fn copy_value(values: &mut [u8], shape: &Shape, from: usize, to: usize) {
    let block_bytes = shape.value_block_bytes();
    let (from_block, to_block) = (from / BLOCK * block_bytes, to / BLOCK * block_bytes);
    let (from, to) = (from % BLOCK, to % BLOCK);
    let row = match shape.kind {
        KvType::F32 => 4 * shape.dim,
        KvType::F16 => 2 * shape.dim,
        KvType::Q8_0 | KvType::Q4_0 => 4,
    };
    values.copy_within(from_block + from * row..from_block + (from + 1) * row, to_block + to * row);
    if matches!(shape.kind, KvType::F32 | KvType::F16) {
        return;
    }
    for dim in 0..shape.dim {
        let (source, source_shift) = code_place(shape.kind, from, dim);
        let (target, shift) = code_place(shape.kind, to, dim);
        let mask = if shape.kind == KvType::Q8_0 { 255 } else { 15 };
        let code = values[from_block + source] >> source_shift & mask;
        let place = &mut values[to_block + target];
        *place = *place & !(mask << shift) | code << shift;
    }
}
