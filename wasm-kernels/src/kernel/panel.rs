//! Eight rows and a run of columns of a weight matrix, taken apart for the tiles of a matrix product.
//!
//! Unpacking is done once for all tokens, so that one inner loop serves every format and its cost fades with the
//! number of tokens; the panel stays in the first cache meanwhile.
use super::weights::Weights;
use crate::quant::{Format, Group, Unpacked, GROUP_COLUMNS};

/// Groups of 4 rows in a panel.
pub const GROUPS: usize = 2;
/// Rows in a panel.
pub const ROWS: usize = 4 * GROUPS;
/// Columns in a panel: a multiple of every format's block.
pub const COLUMNS: usize = GROUP_COLUMNS;

pub struct Panel(pub [Group; GROUPS]);

impl Panel {
    pub const EMPTY: Self = Self([Group::EMPTY; GROUPS]);

    /// Takes the rows from `row` on and `n` columns from `column` on. Rows behind the end count as zero.
    pub fn fill<F: Format>(&mut self, w: Weights, row: usize, column: usize, n: usize) {
        debug_assert!(n <= COLUMNS);
        let blocks = (0..n).step_by(F::COLUMNS);
        for (g, group) in self.0.iter_mut().enumerate() {
            let row = row + 4 * g;
            if row + 4 <= w.n_rows {
                for at in blocks.clone() {
                    unsafe { group.place_vectors::<F>(at / 32, w.group::<F>(row, column + at).as_ptr()) }
                }
                continue;
            }
            for lane in 0..4 {
                if row + lane >= w.n_rows {
                    group.clear(lane);
                    continue;
                }
                let mut block = Unpacked::EMPTY;
                for at in blocks.clone() {
                    w.unpack::<F>(row + lane, column + at, &mut block);
                    group.place::<F>(lane, at / 32, &block);
                }
            }
        }
    }
}
