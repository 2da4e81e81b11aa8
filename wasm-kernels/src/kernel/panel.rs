//! Eight rows and a run of columns of a weight matrix, taken apart for the tiles of a matrix product.
//!
//! Unpacking is done once for all tokens, so that one inner loop serves every format and its cost fades with the
//! number of tokens; the panel stays in the first cache meanwhile.
use super::formats::BlockFormat;
use super::weights::Weights;
use crate::quant::{Group, Masks, GROUP_COLUMNS};
use crate::simd::*;

/// Groups of 4 rows in a panel.
pub const GROUPS: usize = 2;
/// Columns in a panel: a multiple of every format's block.
pub const COLUMNS: usize = GROUP_COLUMNS;

pub struct Panel(pub [Group; GROUPS]);

impl Panel {
    pub const EMPTY: Self = Self([Group::EMPTY; GROUPS]);

    /// Takes the groups that start at `rows` apart, `n` columns from `column` on.
    pub fn fill(&mut self, w: Weights, rows: &[usize], column: usize, n: usize, masks: &Masks) {
        let BlockFormat { columns, place, .. } = *w.format;
        debug_assert!(n <= COLUMNS);
        for (group, &row) in self.0.iter_mut().zip(rows) {
            // SAFETY: whole blocks of four rows, which are there.
            unsafe {
                if w.is_whole(row) {
                    place(group, 0, w.group(row, column), n / columns, masks);
                } else {
                    for at in (0..n).step_by(columns) {
                        place(group, at, w.last_group(column + at, masks).as_ptr(), 1, masks);
                    }
                }
            }
        }
    }

    /// The values in lane `lane` of the first group.
    pub fn values(&self, w: Weights, lane: usize, out: &mut [f32], masks: &Masks) {
        let BlockFormat { wide, halves, offset, .. } = *w.format;
        let whole = wide && masks.wide.whole;
        let flip = if whole { masks.wide.flip } else { i32x4_splat(0) };
        let bias = if wide { i32x4_splat(0) } else { w.format.bias(masks) };
        self.0[0].values(lane, out, flip, bias, halves, offset);
    }
}
