//! Rows of codes of two, four or eight bits, opened four channels at a time.
//!
//! ```text
//! four words   lane = channel % 4, in which the codes of channels lane, lane + 4, ... follow each other
//! fewer, last  channel after channel
//! ```
//! A vector of four words opens into floats by shifts and masks alone, so that a row is loaded once.
use crate::simd::*;

#[derive(Clone, Copy, Debug)]
pub struct CodeRows {
    pub bits: u32,
    /// Channels, a multiple of 8.
    pub dim: usize,
}

impl CodeRows {
    pub fn words(&self) -> usize {
        (self.dim * self.bits as usize).div_ceil(32)
    }

    /// The word of a channel's code, and its place there.
    fn place(&self, channel: usize) -> (usize, u32) {
        let of_four = 128 / self.bits as usize;
        let (part, rest) = (channel / of_four, channel % of_four);
        if 4 * part + 4 <= self.words() {
            (4 * part + rest % 4, (rest / 4) as u32 * self.bits)
        } else {
            let bit = channel * self.bits as usize;
            (bit / 32, bit as u32 % 32)
        }
    }

    /// Puts a code into a row, which lies in two pieces, that has none there.
    pub fn put(&self, row: [&mut [u32]; 2], channel: usize, code: u32) {
        let (word, shift) = self.place(channel);
        let [first, second] = row;
        let word = if word < first.len() { &mut first[word] } else { &mut second[word - first.len()] };
        *word |= code << shift;
    }

    /// The codes of `128 / bits` channels, in lanes.
    #[inline(always)]
    pub fn four_words(&self, row: [&[u32]; 2], part: usize) -> v128 {
        let [first, second] = row;
        let (piece, at) = if 4 * part < first.len() { (first, 0) } else { (second, first.len()) };
        match piece[4 * part - at..].first_chunk::<4>() {
            // SAFETY: the reference covers 16 readable bytes.
            Some(four) => unsafe { v128_load(four.as_ptr() as *const v128) },
            None => self.last(row, part),
        }
    }

    #[inline(never)]
    fn last(&self, [row, second]: [&[u32]; 2], part: usize) -> v128 {
        let mut lanes = [0; 4];
        let first = part * 128 / self.bits as usize;
        for i in 0..(self.dim - first).min(128 / self.bits as usize) {
            let (at, shift) = self.place(first + i);
            let word = if at < row.len() { row[at] } else { second[at - row.len()] };
            lanes[i % 4] |= (word >> shift & ((1 << self.bits) - 1)) << ((i / 4) as u32 * self.bits);
        }
        u32x4(lanes[0], lanes[1], lanes[2], lanes[3])
    }

    /// The codes of `64 / bits` channels, in lanes, each in a field of twice its bits.
    #[inline(never)]
    pub fn wide(&self, row: &[u32], part: usize) -> v128 {
        spread(u32x4_shr(self.four_words([row, &[]], part / 2), part as u32 % 2 * 16), self.bits)
    }
}

/// Fields of the lower 16 bits of each lane, of 2 or 4 bits, become fields of twice as many.
#[inline(always)]
pub fn spread(lanes: v128, bits: u32) -> v128 {
    let apart = |lanes, shift, mask| v128_and(v128_or(lanes, i32x4_shl(lanes, shift)), u32x4_splat(mask));
    let lanes = apart(apart(v128_and(lanes, u32x4_splat(0xffff)), 8, 0x00ff_00ff), 4, 0x0f0f_0f0f);
    if bits == 2 {
        apart(lanes, 2, 0x3333_3333)
    } else {
        lanes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::lanes::store;
    use crate::oracle::Random;

    #[test]
    fn what_is_put_is_opened() {
        let mut random = Random(37);
        for (bits, dim) in
            [(2, 8), (2, 64), (2, 80), (2, 200), (4, 8), (4, 32), (4, 56), (4, 80), (4, 256), (8, 24), (8, 64)]
        {
            let rows = CodeRows { bits, dim };
            let codes: Vec<u32> = (0..dim).map(|_| random.below(1 << bits) as u32).collect();
            let field = |lanes: v128, i: usize, width: u32| {
                let mut floats = [0.0; 4];
                store(&mut floats, lanes);
                floats[i % 4].to_bits() >> ((i / 4) as u32 * width) & ((1 << width) - 1)
            };
            for first in [rows.words(), rows.words().div_ceil(2)] {
                let mut row = vec![0; rows.words()];
                let (a, b) = row.split_at_mut(first);
                codes.iter().enumerate().for_each(|(i, &code)| rows.put([&mut *a, &mut *b], i, code));
                for (i, &code) in codes.iter().enumerate() {
                    let of_four = 128 / bits as usize;
                    assert_eq!(field(rows.four_words([a, b], i / of_four), i % of_four, bits), code);
                    if b.is_empty() && bits < 8 {
                        assert_eq!(field(rows.wide(a, i / (of_four / 2)), i % (of_four / 2), 2 * bits), code);
                    }
                }
            }
        }
    }
}
