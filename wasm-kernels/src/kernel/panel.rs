//! Eight rows and a run of columns of a weight matrix, taken apart for the tiles of a matrix product.
//!
//! Unpacking is done once for all tokens, so that one inner loop serves every format and its cost fades with the
//! number of tokens; the panel stays in the first cache meanwhile.
use super::weights::Weights;
use crate::quant::{Format, Group, Masks, GROUP_COLUMNS};

/// Groups of 4 rows in a panel.
pub const GROUPS: usize = 2;
/// Columns in a panel: a multiple of every format's block.
pub const COLUMNS: usize = GROUP_COLUMNS;

pub struct Panel(pub [Group; GROUPS]);

impl Panel {
    pub const EMPTY: Self = Self([Group::EMPTY; GROUPS]);

    /// Takes the groups that start at `rows` apart, `n` columns from `column` on.
    #[inline(never)]
    pub fn fill<F: Format>(&mut self, w: Weights, rows: [usize; GROUPS], column: usize, n: usize, masks: &Masks) {
        debug_assert!(n <= COLUMNS);
        for (group, row) in self.0.iter_mut().zip(rows) {
            for at in (0..n).step_by(F::COLUMNS) {
                unsafe { group.place_vectors::<F>(at / 32, w.group::<F>(row, column + at).as_ptr(), masks) }
            }
        }
    }
}
