//! Exact dot products of signed bytes with unsigned 14-bit numbers, four of them per lane.
//!
//! ```text
//! relaxed  w = 128 h + l, both 7 bits:  sum x w = 128 sum x h + sum x l      two byte dots
//! simd128  even and odd places apart, both widened to 16 bits:               two 16-bit dots
//! ```
//! One instruction of four byte products takes 7 unsigned bits; two of them take 14, which is as good as a float
//! operand beside bytes. Both forms take two splatted words per four numbers and two accumulators, so that kernels are
//! written once; the integers that come out are the same.
use super::*;

pub type Pair = (v128, v128);

/// What takes part in a dot on the bytes' side.
#[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
mod form {
    use super::*;

    #[inline(always)]
    pub fn bytes(x: v128) -> Pair {
        (x, x)
    }
    #[cfg(test)]
    pub fn words(w: [u16; 4]) -> [u32; 2] {
        [u32::from_le_bytes(w.map(|w| (w >> 7) as u8)), u32::from_le_bytes(w.map(|w| (w & 127) as u8))]
    }
    #[inline(always)]
    pub fn pack(w: [v128; 4]) -> [v128; 2] {
        let (a, b) = (i16x8_narrow_i32x4(w[0], w[1]), i16x8_narrow_i32x4(w[2], w[3]));
        let high = u8x16_narrow_i16x8(u16x8_shr(a, 7), u16x8_shr(b, 7));
        let low = u8x16_narrow_i16x8(v128_and(a, i16x8_splat(127)), v128_and(b, i16x8_splat(127)));
        [i32x4_shuffle::<0, 4, 1, 5>(high, low), i32x4_shuffle::<2, 6, 3, 7>(high, low)]
    }
    #[inline(always)]
    pub fn dot_add(x: v128, w: v128, acc: v128) -> v128 {
        dot4_i8x16_u7x16_add(x, w, acc)
    }
    #[inline(always)]
    pub fn join(acc: Pair) -> v128 {
        i32x4_add(i32x4_shl(acc.0, 7), acc.1)
    }
    /// The number an accumulator pair starts from to hold `128 * x`.
    #[inline(always)]
    pub fn start(x: v128) -> Pair {
        (x, i32x4_splat(0))
    }
}

#[cfg(not(all(target_arch = "wasm32", target_feature = "relaxed-simd")))]
mod form {
    use super::*;

    #[inline(always)]
    pub fn bytes(x: v128) -> Pair {
        (i16x8_shr(i16x8_shl(x, 8), 8), i16x8_shr(x, 8))
    }
    #[cfg(test)]
    pub fn words(w: [u16; 4]) -> [u32; 2] {
        [w[0] as u32 | (w[2] as u32) << 16, w[1] as u32 | (w[3] as u32) << 16]
    }
    #[inline(always)]
    pub fn pack(w: [v128; 4]) -> [v128; 2] {
        let (a, b) = (i16x8_narrow_i32x4(w[0], w[1]), i16x8_narrow_i32x4(w[2], w[3]));
        [in_pairs(a), in_pairs(b)]
    }
    /// Places 0 1 2 3 of each half in the order 0 2 1 3.
    #[inline(always)]
    fn in_pairs(w: v128) -> v128 {
        i8x16_shuffle::<0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15>(w, w)
    }
    #[inline(always)]
    pub fn dot_add(x: v128, w: v128, acc: v128) -> v128 {
        i32x4_add(acc, i32x4_dot_i16x8(x, w))
    }
    #[inline(always)]
    pub fn join(acc: Pair) -> v128 {
        i32x4_add(acc.0, acc.1)
    }
    #[inline(always)]
    pub fn start(x: v128) -> Pair {
        (i32x4_shl(x, 7), i32x4_splat(0))
    }
}

/// Signed bytes, four per lane, ready for `dot14_add`.
pub use form::bytes as dot14_bytes;
/// One half of a pair: `acc + ` its part of the products.
pub use form::dot_add as dot14_add;
/// The sums of products of a pair of accumulators.
pub use form::join as dot14_join;
/// Sixteen numbers below 2^14, four per vector: the words of four lanes, `[0] [1]` of each next to each other.
pub use form::pack as dot14_pack;
/// A pair of accumulators that holds `128 * x`.
pub use form::start as dot14_start;
/// Four numbers below 2^14 as the two words that `dot14_add` takes splatted, one for each half of a pair.
#[cfg(test)]
pub use form::words as dot14_words;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Random;

    #[test]
    fn products_of_the_largest_numbers_are_exact() {
        let mut random = Random(11);
        for round in 0..200 {
            let x: [i8; 16] = core::array::from_fn(|_| if round == 0 { -128 } else { random.bits() as i8 });
            let w: [u16; 16] = core::array::from_fn(|_| if round < 2 { 16383 } else { random.bits() as u16 & 16383 });
            let bytes = dot14_bytes(unsafe { v128_load(x.as_ptr() as *const v128) });
            let lanes: [v128; 4] = core::array::from_fn(|i| {
                i32x4(w[4 * i] as i32, w[4 * i + 1] as i32, w[4 * i + 2] as i32, w[4 * i + 3] as i32)
            });
            let mut packed = [0u32; 8];
            for (i, half) in dot14_pack(lanes).into_iter().enumerate() {
                unsafe { v128_store(packed[4 * i..].as_mut_ptr() as *mut v128, half) };
            }
            for group in 0..4 {
                let words = dot14_words(w[4 * group..][..4].try_into().unwrap());
                assert_eq!(words, packed[2 * group..][..2]);
                let start = dot14_start(i32x4_splat(-5));
                let acc = (
                    dot14_add(bytes.0, u32x4_splat(words[0]), start.0),
                    dot14_add(bytes.1, u32x4_splat(words[1]), start.1),
                );
                let got = dot14_join(acc);
                let wanted =
                    |lane: usize| (0..4).map(|i| x[4 * lane + i] as i32 * w[4 * group + i] as i32).sum::<i32>() - 640;
                assert_eq!(got, i32x4(wanted(0), wanted(1), wanted(2), wanted(3)));
            }
        }
    }
}
