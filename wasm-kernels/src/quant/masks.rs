//! Constants of the inner loops, kept out of the compiler's sight.
//!
//! V8 builds a vector constant anew, in three instructions, wherever one is written in WASM, and LLVM writes it at
//! every use. As values that the compiler knows nothing about they stay in registers.
use super::iq4::CODES;
use crate::simd::*;
use core::hint::black_box;

/// Every byte the number in the name; and what half floats need.
pub struct Masks {
    pub x01: v128,
    pub x03: v128,
    pub x04: v128,
    pub x0f: v128,
    pub x10: v128,
    pub x30: v128,
    pub x3f: v128,
    pub x7f: v128,
    /// Every lane 255.
    pub byte: v128,
    /// What the indices of IQ4_NL and IQ4_XS stand for.
    pub iq4_codes: v128,
    /// Trip counts of loops that must not be unrolled.
    pub four: usize,
    pub eight: usize,
    /// Sign, magnitude and exponents of 16-bit floats, see `half_floats`.
    pub half: HalfMasks,
}

pub struct HalfMasks {
    pub magnitude: v128,
    pub sign: v128,
    pub normal: v128,
    pub one_more: v128,
    pub least: v128,
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

impl Masks {
    pub fn new() -> Self {
        let bytes = |byte: u8| black_box(u8x16_splat(byte));
        let words = |word: u32| black_box(u32x4_splat(word));
        Self {
            x01: bytes(0x01),
            x03: bytes(0x03),
            x04: bytes(0x04),
            x0f: bytes(0x0f),
            x10: bytes(0x10),
            x30: bytes(0x30),
            x3f: bytes(0x3f),
            x7f: bytes(0x7f),
            byte: words(255),
            iq4_codes: black_box(unsafe { v128_load(CODES.as_ptr() as *const v128) }),
            four: black_box(4),
            eight: black_box(8),
            half: HalfMasks::new(words),
        }
    }
}
