//! Blocks for tests: random bytes, some of them extreme, with scales of every kind.
use super::{with_format, Format};
use crate::oracle::Random;

/// Bytes at which the half floats of a block start.
pub fn half_floats(type_id: u32) -> &'static [usize] {
    match type_id {
        3 | 7 | 12 | 13 => &[0, 2],
        10 => &[80, 82],
        11 => &[108],
        14 => &[208],
        _ => &[0],
    }
}

/// `n` blocks.
pub fn sample(random: &mut Random, type_id: u32, n: usize) -> Vec<u8> {
    let bytes = with_format!(type_id, F => F::BYTES, unreachable!());
    let mut blocks: Vec<u8> = (0..n * bytes).map(|_| random.bits() as u8).collect();
    for block in blocks.chunks_mut(bytes) {
        match random.below(8) {
            0 => block.fill([0, 0x80, 0x7f, 0xff][random.below(4)]),
            1 => block[bytes / 2..].fill(0x80),
            _ => {}
        }
        for &at in half_floats(type_id) {
            let sign = (random.below(2) << 15) as u16;
            let magnitude = match random.below(8) {
                0 => 0,
                1 => 1 + random.below(0x3ff),
                _ => 0x400 * (1 + random.below(14)) + random.below(0x400),
            };
            block[at..at + 2].copy_from_slice(&(sign | magnitude as u16).to_le_bytes());
        }
    }
    blocks
}
