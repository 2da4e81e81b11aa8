//! A run of columns of four rows, taken apart for byte dot products.
//!
//! ```text
//! low[block of 32 columns][step of 4 columns]  16 bytes: row r has columns 4 * step.. in bytes 4r..
//! scales, offsets[block][half of 16 columns]   one f32 per row
//! ```
//! Codes are 7 bits without a sign, as the dot product wants its second operand: those that could be negative are 64
//! larger. Codes of 8 bits are whole where the machine allows (see `Wide`). Where it does not, their sign bit has a plane
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

    /// What is added to the codes of a format, in every lane.
    pub fn bias<F: Format>(masks: &Masks) -> v128 {
        if F::WIDE {
            masks.wide.bias
        } else {
            i32x4_splat(if F::OFFSET { 0 } else { 64 })
        }
    }

    /// Puts the same block of four interleaved rows at block `at` of 32 columns.
    ///
    /// # Safety
    /// `4 * F::BYTES` bytes are readable at `group`.
    #[cfg_attr(target_arch = "wasm32", inline(always))]
    pub unsafe fn place_vectors<F: Format>(&mut self, at: usize, group: *const u8, masks: &Masks) {
        let opened = F::open(group, masks);
        for run in 0..masks.runs::<F>() {
            let at = at + run * F::RUN / 32;
            let steps = F::RUN / F::PARTS / 4;
            for step in 0..if F::RUN == 32 { steps } else { masks.trips(steps) } {
                let codes = F::codes(group, run, step, masks);
                for (part, &code) in codes.iter().enumerate().take(F::PARTS) {
                    let step = part * steps + step;
                    self.place_codes::<F>(at + step / 8, step % 8, code, masks);
                }
            }
            super::unrolled!(F::RUN / 32, i => {
                for half in 0..32 / F::GROUP {
                    let (scale, offset) = F::scale(group, &opened, run, i, half, masks);
                    store(&mut self.scales[at + i][half], scale);
                    if F::OFFSET {
                        store(&mut self.offsets[at + i][half], offset);
                    }
                }
            });
        }
    }

    #[cfg_attr(target_arch = "wasm32", inline(always))]
    fn place_codes<F: Format>(&mut self, at: usize, step: usize, code: v128, masks: &Masks) {
        if !F::WIDE {
            let bias = if F::OFFSET { 0 } else { 64 - (1 << F::BIAS_BITS) };
            store(&mut self.low[at][step], i8x16_add(code, i8x16_splat(bias)));
        } else if masks.wide.whole {
            store(&mut self.low[at][step], v128_xor(code, masks.wide.flip));
        } else {
            store(&mut self.low[at][step], v128_and(code, masks.x7f));
            store(&mut self.high[at][step], v128_and(u16x8_shr(code, 7), masks.x01));
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
