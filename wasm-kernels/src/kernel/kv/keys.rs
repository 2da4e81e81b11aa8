//! Layout of keys: groups of four slots, a vector of a group holds 32 bits of each.
//!
//! ```text
//! group:  [ word 0 of slots 0 1 2 3 | word 1 of slots 0 1 2 3 | ... ]         one v128 per word
//! slot:   F32   one word per dim
//!         F16   dims (0, 1), (2, 3), ... as two halves per word
//!         Q8_0  per block of 32 dims (bf16 scale << 16 | sum of its codes), then 4 codes per word
//!         Q4_0  per two blocks (bf16 scale | bf16 scale << 16), then 8 codes per word: byte j of word w of a block
//!               of n dims holds dim 4w + j in its low and n/2 + 4w + j in its high four bits
//! ```
//! - A lane is a slot, so that a dot product with a query ends with four logits in one vector and nothing to add up
//!   across lanes; 4 bytes of a slot are what one lane of an int8 dot takes.
//! - A scale of 8 mantissa bits loses nothing: codes are rounded against the rounded scale, which never is too small.
//!   Beside it fits the sum of the codes, with which queries may be offset to unsigned operands.
use super::half::{bf16_above, f32_to_f16};
use super::{four_bits, round_bits, scale_and_inverse, KvType, Shape};
use crate::quant::f16_to_f32;

pub const GROUP: usize = 4;
/// Dims that share a scale; the last block of a head may be shorter.
pub const BLOCK: usize = 32;
/// Words of the widest slot: 256 dims in F32.
const MAX_WORDS: usize = 256;

impl Shape {
    /// Words of scales before the codes of a slot.
    pub fn key_scale_words(&self) -> usize {
        match self.kind {
            KvType::F32 | KvType::F16 => 0,
            KvType::Q8_0 => self.dim.div_ceil(BLOCK),
            KvType::Q4_0 => self.dim.div_ceil(2 * BLOCK),
        }
    }

    /// 32-bit words of one slot's key.
    pub fn key_words(&self) -> usize {
        self.key_scale_words()
            + match self.kind {
                KvType::F32 => self.dim,
                KvType::F16 => self.dim / 2,
                KvType::Q8_0 => self.dim / 4,
                KvType::Q4_0 => self.dim / 8,
            }
    }

    /// Bytes of all keys of one KV head.
    pub fn key_bytes(&self) -> usize {
        4 * self.key_words() * self.capacity
    }
}

/// Where word 0 of a slot lies in its head's keys, in words; the next ones follow at steps of `GROUP`.
fn first_word(words: usize, slot: usize) -> usize {
    slot / GROUP * GROUP * words + slot % GROUP
}

/// Stores the key `x` of `dim` values in a slot of one head's keys, given as words.
pub fn write_key(keys: &mut [u32], shape: &Shape, slot: usize, x: &[f32]) {
    let words = shape.key_words();
    let mut record = [0; MAX_WORDS];
    encode(&mut record[..words], shape, x);
    let first = first_word(words, slot);
    for (i, word) in record[..words].iter().enumerate() {
        keys[first + GROUP * i] = *word;
    }
}

/// The key in a slot, as attention sees it.
pub fn read_key(keys: &[u32], shape: &Shape, slot: usize, x: &mut [f32]) {
    let words = shape.key_words();
    let first = first_word(words, slot);
    let word = |i: usize| keys[first + GROUP * i];
    let codes = shape.key_scale_words();
    match shape.kind {
        KvType::F32 => x.iter_mut().enumerate().for_each(|(i, x)| *x = f32::from_bits(word(i))),
        KvType::F16 => {
            x.iter_mut().enumerate().for_each(|(i, x)| *x = f16_to_f32((word(i / 2) >> (i % 2 * 16)) as u16))
        }
        KvType::Q8_0 => x.iter_mut().enumerate().for_each(|(i, x)| {
            let scale = f32::from_bits(word(i / BLOCK) & 0xffff_0000);
            *x = scale * (word(codes + i / 4) >> (i % 4 * 8)) as i8 as f32;
        }),
        KvType::Q4_0 => x.chunks_mut(BLOCK).enumerate().for_each(|(b, block)| {
            let scale = f32::from_bits(word(b / 2) >> (b % 2 * 16) << 16);
            let half = block.len() / 2;
            block.iter_mut().enumerate().for_each(|(i, x)| {
                let (j, high) = (i % half, i / half * 4);
                let code = word(codes + b * BLOCK / 8 + j / 4) >> (j % 4 * 8 + high) & 15;
                *x = scale * (code as f32 - 7.5);
            });
        }),
    }
}

/// Moves a slot's key; `from` keeps its words.
pub fn copy_key(keys: &mut [u32], shape: &Shape, from: usize, to: usize) {
    let words = shape.key_words();
    let (from, to) = (first_word(words, from), first_word(words, to));
    for i in 0..words {
        keys[to + GROUP * i] = keys[from + GROUP * i];
    }
}

fn encode(record: &mut [u32], shape: &Shape, x: &[f32]) {
    let (scales, codes) = record.split_at_mut(shape.key_scale_words());
    match shape.kind {
        KvType::F32 => codes.iter_mut().zip(x).for_each(|(word, x)| *word = x.to_bits()),
        KvType::F16 => codes.iter_mut().zip(x.chunks_exact(2)).for_each(|(word, pair)| {
            *word = f32_to_f16(pair[0]) as u32 | (f32_to_f16(pair[1]) as u32) << 16;
        }),
        KvType::Q8_0 => {
            let blocks = x.chunks(BLOCK).zip(codes.chunks_mut(BLOCK / 4));
            for (scale_word, (x, codes)) in scales.iter_mut().zip(blocks) {
                let (scale, inverse) = scale_and_inverse(x, 127.0, round_scale);
                let mut sum = 0;
                for (word, x) in codes.iter_mut().zip(x.chunks_exact(4)) {
                    let bytes: [i8; 4] = core::array::from_fn(|i| round_bits(x[i] * inverse) as i8);
                    sum += bytes.iter().map(|&b| b as i32).sum::<i32>();
                    *word = u32::from_le_bytes(bytes.map(|b| b as u8));
                }
                *scale_word = scale.to_bits() | (sum as u32 & 0xffff);
            }
        }
        KvType::Q4_0 => {
            for (b, (x, codes)) in x.chunks(BLOCK).zip(codes.chunks_mut(BLOCK / 8)).enumerate() {
                let (scale, inverse) = scale_and_inverse(x, 7.5, round_scale);
                scales[b / 2] |= scale.to_bits() >> 16 << (b % 2 * 16);
                let (low, high) = x.split_at(x.len() / 2);
                let code = |x: f32| four_bits(x * inverse);
                for ((word, low), high) in codes.iter_mut().zip(low.chunks_exact(4)).zip(high.chunks_exact(4)) {
                    *word = u32::from_le_bytes(core::array::from_fn(|i| code(low[i]) | code(high[i]) << 4));
                }
            }
        }
    }
}

fn round_scale(scale: f32) -> f32 {
    f32::from_bits(bf16_above(scale) << 16)
}
