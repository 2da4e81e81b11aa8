//! Block formats of quantised tensors, one file each, and the table of them by ggml type id.
//!
//! A row is a run of blocks; a block is `COLUMNS` values in `BYTES` bytes. Every format comes apart into the same
//! form, so that one kernel serves all of them: `value[i] = scale[i / 16] * code[i] + offset[i / 16]`. How four
//! interleaved blocks do so in vectors is what kernels use; how one block of a file does is what tests compare with.
mod group;
mod half;
mod interleave;
mod iq4;
mod masks;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;
#[cfg(test)]
pub mod sample;
mod scales_6bit;
mod vectors;

pub use group::{load, Group, GROUP_COLUMNS};
pub use half::{bf16_to_f32, f16_to_f32, f16x4_to_f32x4_with};
pub use interleave::interleave_block;
pub use iq4::{Iq4Nl, Iq4Xs};
pub use masks::Masks;
pub use q2_k::Q2K;
pub use q3_k::Q3K;
pub use q4_0::Q4_0;
pub use q4_1::Q4_1;
pub use q4_k::Q4K;
pub use q5_0::Q5_0;
pub use q5_1::Q5_1;
pub use q5_k::Q5K;
pub use q6_k::Q6K;
pub use q8_0::Q8_0;
pub use vectors::Opened;

use crate::simd::*;
use core::ops::Range;
use vectors::half_floats;

/// ggml type ids of the formats that are plain floats; the third is BF16.
pub const F32: u32 = 0;
pub const F16: u32 = 1;

/// Columns of the largest block.
pub const MAX_COLUMNS: usize = 256;

/// One block taken apart, for tests.
#[cfg_attr(not(test), allow(dead_code))]
pub struct Unpacked {
    pub codes: [i8; MAX_COLUMNS],
    pub scales: [f32; MAX_COLUMNS / 16],
    /// -0.0 in formats without one: the only value that leaves every product as it is, zeros of either sign included.
    pub offsets: [f32; MAX_COLUMNS / 16],
}

#[cfg_attr(not(test), allow(dead_code))]
impl Unpacked {
    pub const EMPTY: Self = Self { codes: [0; 256], scales: [0.0; 16], offsets: [-0.0; 16] };

    /// Value of column `i`: a product and a sum, each rounded to f32, as in the `gguf` package.
    pub fn value(&self, i: usize) -> f32 {
        self.scales[i / 16] * self.codes[i] as f32 + self.offsets[i / 16]
    }
}

/// A block format: how a block is in a GGUF file, and how four interleaved ones become vectors.
///
/// Formats pack columns of several places into the same bytes. So a block is taken apart in *runs* of `RUN` columns, a
/// run in *steps*: each brings 4 columns of each of `PARTS` parts, which follow one another in the run.
pub trait Format {
    const COLUMNS: usize;
    const BYTES: usize;
    /// The bytes of a block that are 16-bit scales, first or last in it; all others come in words of 4.
    const HALF_FLOATS: Range<usize>;
    /// Columns that share a scale: 16 or 32.
    const GROUP: usize;
    /// Whether blocks have offsets; codes are not negative then.
    const OFFSET: bool = false;
    /// Whether codes need 8 bits. Others are between -64 and 63.
    const WIDE: bool = false;
    /// Vectors of codes are this much larger, so that they have no sign: 2 to this power, or 0 for nothing.
    const BIAS_BITS: u32 = 0;
    /// Whether models have most of their weights in it, so that decoding several tokens at once has code of its own.
    const COMMON: bool = false;
    const RUN: usize = 32;
    const PARTS: usize = 2;

    /// Takes one block of `BYTES` bytes in the file's order apart, number by number: what tests compare with.
    #[cfg_attr(not(test), allow(dead_code))]
    fn unpack(block: &[u8], out: &mut Unpacked);

    /// Puts the bits of four interleaved blocks in the order that `codes` is quick with, where the file's is not.
    ///
    /// # Safety
    /// `4 * BYTES` bytes are writable at `group`.
    unsafe fn settle(_group: *mut u8, _masks: &Masks) {}

    /// What the vectors of four interleaved blocks have in common.
    ///
    /// # Safety
    /// `4 * BYTES` bytes are readable at `group`.
    unsafe fn open(group: *const u8, masks: &Masks) -> Opened {
        Opened::scaled(half_floats(group, 0, masks))
    }

    /// One step: columns `4 * step..` of every part; row r has its 4 columns in bytes 4r... 7 bits without a sign, larger
    /// than the code by the bias; signed bytes in wide formats. Only `PARTS` vectors count.
    ///
    /// # Safety
    /// As `open`.
    unsafe fn codes(group: *const u8, run: usize, step: usize, masks: &Masks) -> [v128; 4];

    /// Scale and offset, one per row, of block `i` of 32 columns in a run, of its half `half` of 16 where scales belong
    /// to so many. `i` and `half` are constants where this is inlined.
    ///
    /// # Safety
    /// As `open`, which `opened` is the result of.
    unsafe fn scale(
        _group: *const u8,
        opened: &Opened,
        _run: usize,
        _i: usize,
        _half: usize,
        _masks: &Masks,
    ) -> (v128, v128) {
        (opened.d, opened.dmin)
    }
}

/// `$body` for each `$i` below `$n`, at most 4, each time with a constant. Where it must be so, whatever LLVM, told to be
/// sparing, makes of a loop.
macro_rules! unrolled {
    ($n:expr, $i:ident => $body:expr) => {{
        macro_rules! turn {
            ($value:literal) => {
                if $value < $n {
                    let $i: usize = $value;
                    $body;
                }
            };
        }
        turn!(0);
        turn!(1);
        turn!(2);
        turn!(3);
    }};
}
pub(crate) use unrolled;

/// Evaluates `$body` with `$F` as the format of ggml type id `$type`, or `$otherwise` for ids that are not blocks.
macro_rules! with_format {
    ($type:expr, $F:ident => $body:expr, $otherwise:expr) => {{
        macro_rules! arm {
            ($name:ident) => {{
                type $F = $crate::quant::$name;
                $body
            }};
        }
        match $type {
            2 => arm!(Q4_0),
            3 => arm!(Q4_1),
            6 => arm!(Q5_0),
            7 => arm!(Q5_1),
            8 => arm!(Q8_0),
            10 => arm!(Q2K),
            11 => arm!(Q3K),
            12 => arm!(Q4K),
            13 => arm!(Q5K),
            14 => arm!(Q6K),
            20 => arm!(Iq4Nl),
            23 => arm!(Iq4Xs),
            _ => $otherwise,
        }
    }};
}
#[cfg_attr(not(target_arch = "wasm32"), allow(unused_imports))]
pub(crate) use with_format;

/// The half float at a byte of a block, as f32.
fn f16_at(block: &[u8], byte: usize) -> f32 {
    f16_to_f32(u16::from_le_bytes([block[byte], block[byte + 1]]))
}
