//! The KV cache of one layer of one sequence: keys, values, and which position lies in which slot.
//!
//! Everything is stored per KV head, `capacity` slots each (a multiple of 32), so that heads may keep different
//! tokens. `keys` and `values` describe the two layouts, each made for the instruction that reads it; `slots` hands
//! slots out and takes them back. A slot is written and freed without touching another one.
pub mod half;
pub mod keys;
pub mod ranks;
pub mod slots;
mod stored;
pub mod values;

use super::logits::largest_size;
pub use stored::Stored;

/// How keys or values are stored, by ggml's type ids.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum KvType {
    F32 = 0,
    F16 = 1,
    /// Four bits: `(code - 7.5) * scale`, code 0..=15.
    Q4_0 = 2,
    /// Eight bits: `code * scale`, code -127..=127.
    Q8_0 = 8,
}

impl KvType {
    pub fn from_id(id: u32) -> Self {
        match id {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            8 => Self::Q8_0,
            _ => unreachable!("a storage type of keys and values"),
        }
    }
}

/// The shape of one of the two halves of a cache: keys or values of all KV heads.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub kind: KvType,
    /// Width of a head, a multiple of 8, at most 256.
    pub dim: usize,
    /// Slots per KV head, a multiple of 32.
    pub capacity: usize,
}

/// The largest value by size, and the factor that brings it to `steps`; zeros for a row of zeros.
fn scale_and_inverse(x: &[f32], steps: f32, round: impl Fn(f32) -> f32) -> (f32, f32) {
    let scale = round(largest_size(x) / steps);
    (scale, if scale > 0.0 { 1.0 / scale } else { 0.0 })
}

/// `x` rounded to an integer, ties to even, in the low bits of the result, two's complement; |x| <= 2^22.
///
/// The sum with 1.5 * 2^23 has no bits for a fraction: one addition, where WASM's own conversion takes x86 many
/// instructions.
pub fn round_bits(x: f32) -> u32 {
    (x + 12_582_912.0).to_bits()
}

/// The code of `x` in -7.5..=7.5: the integer `c` in 0..=15 for which `c - 7.5` is nearest.
pub fn four_bits(x: f32) -> u8 {
    (round_bits(x + 7.5) as u8).min(15)
}
