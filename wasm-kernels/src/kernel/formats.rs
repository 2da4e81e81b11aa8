//! Block formats as values: inner loops behind pointers, so that all that is around them is compiled once, not twelve
//! times. A pointer is followed once for some thousand products.
use super::matvec::{dot, Dot};
use super::shared::Shared;
use crate::quant::{interleave_block, with_format, Format, Group, Masks};
use crate::simd::*;
use core::ops::Range;

/// What kernels have to know of a format.
pub struct BlockFormat {
    pub columns: usize,
    pub bytes: usize,
    half_floats: Range<usize>,
    settle: unsafe fn(*mut u8, &Masks),
    /// Scales belong to 16 columns, not 32.
    pub halves: bool,
    pub offset: bool,
    pub wide: bool,
    bias: i32,
    /// Takes so many blocks of four rows apart.
    pub place: unsafe fn(&mut Group, column: usize, group: *const u8, n_blocks: usize, masks: &Masks),
    whole: Dot,
    split: Dot,
    shared: Option<Shared>,
}

impl BlockFormat {
    pub const fn of<F: Format>() -> Self {
        // Running sums, groups times parts, are 8.
        let whole = match F::PARTS {
            2 => dot::<F, 4, false>,
            _ => dot::<F, 2, false>,
        };
        Self {
            columns: F::COLUMNS,
            bytes: F::BYTES,
            half_floats: F::HALF_FLOATS,
            settle: F::settle,
            halves: F::GROUP == 16,
            offset: F::OFFSET,
            wide: F::WIDE,
            bias: if F::BIAS_BITS == 0 { 0 } else { 1 << F::BIAS_BITS },
            place: Group::place::<F>,
            whole,
            split: if F::WIDE && SecondOperand::MAY_BE_SEVEN_BITS { dot::<F, 1, true> } else { whole },
            shared: Shared::of::<F>(),
        }
    }

    /// `None` for ids that are not blocks.
    pub fn by_id(type_id: u32) -> Option<&'static Self> {
        with_format!(type_id, F => Some(const { &BlockFormat::of::<F>() }), None)
    }

    /// Brings a block of each of four rows into memory's order. `group` is as long as all of them.
    pub fn interleave(&self, group: &mut [u8], blocks: [&[u8]; 4], masks: &Masks) {
        debug_assert!(group.len() == 4 * self.bytes);
        interleave_block(group, blocks, &self.half_floats);
        // SAFETY: as long as four blocks.
        unsafe { (self.settle)(group.as_mut_ptr(), masks) };
    }

    /// Whether codes are taken apart, for want of a dot product that takes 8 bits.
    pub fn splits(&self, masks: &Masks) -> bool {
        self.wide && !masks.wide.whole
    }

    /// How one token is multiplied.
    pub fn dot(&self, masks: &Masks) -> Dot {
        if self.splits(masks) {
            self.split
        } else {
            self.whole
        }
    }

    /// How several tokens are multiplied at once, where there is a way of its own for that.
    pub fn shared(&self, masks: &Masks) -> Option<Shared> {
        if self.splits(masks) {
            None
        } else {
            self.shared
        }
    }

    /// What is added to the codes in a group's vectors, in every lane.
    pub fn bias(&self, masks: &Masks) -> v128 {
        if self.wide {
            masks.wide.bias
        } else {
            i32x4_splat(self.bias)
        }
    }

    /// Bytes of `n` columns, whole blocks of one row.
    pub fn row_bytes(&self, n: usize) -> usize {
        n / self.columns * self.bytes
    }
}
