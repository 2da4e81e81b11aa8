//! A run of columns of four rows, taken apart for byte dot products.
//!
//! ```text
//! low[block of 32 columns][step of 4 columns]  16 bytes: row r has columns 4 * step.. in bytes 4r..
//! scales, offsets[block][half of 16 columns]   one f32 per row
//! ```
//! Codes are 7 bits without a sign, as the dot product wants its second operand: those that could be negative are larger
//! by the format's bias. Codes of 8 bits are whole where the machine allows (see `Wide`). Where it does not, their sign bit has a plane
//! of its own, `code = low - 128 * high`, which keeps them exact.
use super::{Format, Masks};
use crate::simd::*;

/// Columns of a group: a multiple of every format's block.
pub const GROUP_COLUMNS: usize = 512;
const BLOCKS: usize = GROUP_COLUMNS / 32;
type Sixteen = [u8; 16];
type Four = [f32; 4];

#[repr(C, align(16))]
pub struct Group {
    pub low: [[Sixteen; 8]; BLOCKS],
    pub high: [[Sixteen; 8]; BLOCKS],
    pub scales: [[Four; 2]; BLOCKS],
    pub offsets: [[Four; 2]; BLOCKS],
}

impl Group {
    pub const EMPTY: Self = Self {
        low: [[[0; 16]; 8]; BLOCKS],
        high: [[[0; 16]; 8]; BLOCKS],
        scales: [[[0.0; 4]; 2]; BLOCKS],
        offsets: [[[0.0; 4]; 2]; BLOCKS],
    };

    /// The values of one row, products and sums rounded to f32 each. In the vectors, codes are `flip`ped and then larger
    /// by `bias`; scales belong to 16 columns if `halves`; without `offset` there is nothing to add.
    #[inline(never)]
    pub fn values(&self, lane: usize, out: &mut [f32], flip: v128, bias: v128, halves: bool, offset: bool) {
        for (i, out) in out.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let (block, step) = (i / 8, i % 8);
            let half = if halves { step / 4 } else { 0 };
            let bytes = |plane: &[[Sixteen; 8]; BLOCKS], flip: v128| {
                let word: [u8; 4] = plane[block][step].as_chunks::<4>().0[lane];
                let word = v128_xor(u32x4_splat(u32::from_le_bytes(word)), flip);
                i32x4_extend_low_i16x8(i16x8_extend_low_i8x16(word))
            };
            let high = i32x4_shl(bytes(&self.high, i32x4_splat(0)), 7);
            let code = i32x4_sub(i32x4_sub(bytes(&self.low, flip), bias), high);
            let product = f32x4_mul(f32x4_splat(self.scales[block][half][lane]), f32x4_convert_i32x4(code));
            let sum = f32x4_add(product, f32x4_splat(self.offsets[block][half][lane]));
            store(out, if offset { sum } else { product });
        }
    }

    /// Takes `n_blocks` blocks of four interleaved rows apart, to column `column` on.
    ///
    /// # Safety
    /// They are readable at `group`, and have no more columns than there are here.
    #[inline(never)]
    pub unsafe fn place<F: Format>(&mut self, column: usize, group: *const u8, n_blocks: usize, masks: &Masks) {
        debug_assert!(column + n_blocks * F::COLUMNS <= GROUP_COLUMNS);
        for i in 0..n_blocks {
            self.place_block::<F>((column + i * F::COLUMNS) / 32, group.add(4 * i * F::BYTES), masks);
        }
    }

    /// Puts the same block of four interleaved rows at block `at` of 32 columns.
    ///
    /// # Safety
    /// `4 * F::BYTES` bytes are readable at `group`, and there is room for a block at `at`.
    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn place_block<F: Format>(&mut self, at: usize, group: *const u8, masks: &Masks) {
        let opened = F::open(group, masks);
        for run in 0..masks.runs::<F>() {
            let at = at + run * F::RUN / 32;
            let steps = F::RUN / F::PARTS / 4;
            for step in 0..if F::RUN == 32 { steps } else { masks.trips(steps) } {
                let codes = F::codes(group, run, step, masks);
                for (part, &code) in codes.iter().enumerate().take(F::PARTS) {
                    // The parts of a run of 32 columns share a block, those of a longer one have a block each.
                    let (at, step) = if F::RUN == 32 { (at, part * steps + step) } else { (at + part, step) };
                    let low = self.low.get_unchecked_mut(at).get_unchecked_mut(step);
                    if !F::WIDE {
                        store(low, code);
                    } else if masks.wide.whole {
                        store(low, v128_xor(code, masks.wide.flip));
                    } else {
                        store(low, v128_and(code, masks.x7f));
                        let high = self.high.get_unchecked_mut(at).get_unchecked_mut(step);
                        store(high, v128_and(u16x8_shr(code, 7), masks.x01));
                    }
                }
            }
            super::unrolled!(F::RUN / 32, i => {
                for half in 0..32 / F::GROUP {
                    let (scale, offset) = F::scale(group, &opened, run, i, half, masks);
                    store(&mut self.scales.get_unchecked_mut(at + i)[half], scale);
                    if F::OFFSET {
                        store(&mut self.offsets.get_unchecked_mut(at + i)[half], offset);
                    }
                }
            });
        }
    }
}

/// Loads four floats or sixteen codes.
#[cfg_attr(target_arch = "wasm32", inline(always))]
pub fn load<T>(lanes: &T) -> v128 {
    const { assert!(core::mem::size_of::<T>() == 16) };
    unsafe { v128_load(lanes as *const T as *const v128) }
}

#[cfg_attr(target_arch = "wasm32", inline(always))]
fn store<T>(lanes: &mut T, value: v128) {
    const { assert!(core::mem::size_of::<T>() == 16) };
    unsafe { v128_store(lanes as *mut T as *mut v128, value) }
}
