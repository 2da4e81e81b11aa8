//! Constants of the inner loops, see `opaque`.
use super::iq4::CODES;
use super::Format;
use crate::simd::*;

pub struct Masks {
    /// Every byte the number in the name.
    pub x01: v128,
    pub x02: v128,
    pub x03: v128,
    pub x04: v128,
    pub x0c: v128,
    pub x0f: v128,
    pub x10: v128,
    pub x30: v128,
    pub x3f: v128,
    pub x7f: v128,
    /// Every byte 2 to the i-th.
    pub bit: [v128; 8],
    /// Bytes 4r.. 2 to the 0, 1, 2, 3, and 2 to the 4, 5, 6, 7.
    pub bits_of_step: [v128; 2],
    /// Bytes 4r.. 4r.
    pub first_of_row: v128,
    /// Every lane 255.
    pub byte: v128,
    /// What the indices of IQ4_NL and IQ4_XS stand for.
    pub iq4_codes: v128,
    pub half: HalfMasks,
    pub wide: Wide,
    trips: [usize; 9],
}

/// Constants of `f16x4_to_f32x4_with`.
pub struct HalfMasks {
    pub magnitude: v128,
    pub sign: v128,
    pub normal: v128,
    pub one_more: v128,
    pub least: v128,
}

/// How codes of 8 bits become second operands of a dot product.
pub struct Wide {
    /// In one piece, or the lower 7 bits and the sign apart.
    pub whole: bool,
    /// What a whole code is combined with by exclusive or.
    pub flip: v128,
    /// What that adds to it, in every lane.
    pub bias: v128,
}

impl Masks {
    #[inline(never)]
    pub fn new() -> Self {
        Self::with(SecondOperand::probe())
    }

    pub fn with(second_operand: SecondOperand) -> Self {
        let bytes = |byte: u8| opaque(u8x16_splat(byte));
        Self {
            x01: bytes(0x01),
            x02: bytes(0x02),
            x03: bytes(0x03),
            x04: bytes(0x04),
            x0c: bytes(0x0c),
            x0f: bytes(0x0f),
            x10: bytes(0x10),
            x30: bytes(0x30),
            x3f: bytes(0x3f),
            x7f: bytes(0x7f),
            bit: core::array::from_fn(|i| u8x16_splat(1 << i)),
            bits_of_step: [u32x4_splat(0x0804_0201), u32x4_splat(0x8040_2010)],
            first_of_row: opaque(i32x4(0, 0x0404_0404, 0x0808_0808, 0x0c0c_0c0c)),
            byte: opaque(i32x4_splat(255)),
            iq4_codes: opaque(unsafe { v128_load(CODES.as_ptr() as *const v128) }),
            half: HalfMasks::new(|word| opaque(u32x4_splat(word))),
            wide: Wide {
                whole: second_operand != SecondOperand::SevenBits,
                flip: u8x16_splat(if second_operand == SecondOperand::Unsigned { 0x80 } else { 0 }),
                bias: i32x4_splat(if second_operand == SecondOperand::Unsigned { 128 } else { 0 }),
            },
            trips: opaque(core::array::from_fn(|n| n)),
        }
    }

    /// `n`, at most 8, as the trip count of a loop that is not to be unrolled.
    pub fn trips(&self, n: usize) -> usize {
        self.trips[n]
    }

    /// Runs of a block, as a trip count.
    pub fn runs<F: Format>(&self) -> usize {
        let runs = F::COLUMNS / F::RUN;
        if runs == 1 {
            1
        } else {
            self.trips(runs)
        }
    }
}

impl HalfMasks {
    /// `word` splats a word.
    pub fn new(word: impl Fn(u32) -> v128) -> Self {
        Self {
            magnitude: word(0x7fff),
            sign: word(1 << 31),
            normal: word(112 << 23),
            one_more: word(1 << 23),
            least: word(113 << 23),
        }
    }
}
