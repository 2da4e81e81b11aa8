//! A quantised weight matrix as it lies in memory, see `quant/interleave.rs`.
use super::formats::BlockFormat;
use crate::quant::Masks;

/// `n_rows` rows of `n_cols` columns.
#[derive(Clone, Copy)]
pub struct Weights<'a> {
    pub bytes: &'a [u8],
    pub n_rows: usize,
    pub n_cols: usize,
    pub format: &'static BlockFormat,
}

impl Weights<'_> {
    /// Whether the rows from `row` on are four that lie interleaved.
    pub fn is_whole(&self, row: usize) -> bool {
        row + 4 <= self.n_rows
    }

    /// Where the four interleaved rows from `row` on are, from `column` on.
    pub fn group(&self, row: usize, column: usize) -> *const u8 {
        self.bytes[row * self.format.row_bytes(self.n_cols) + 4 * self.format.row_bytes(column)..].as_ptr()
    }

    /// The block at `column` of the last one to three rows, interleaved as if there were four: the last one repeated.
    pub fn last_group(&self, column: usize, masks: &Masks) -> Block {
        let mut group = Block([0; 4 * MAX_BYTES]);
        let bytes = self.format.bytes;
        let blocks = core::array::from_fn(|lane| {
            let row = ((self.n_rows & !3) + lane).min(self.n_rows - 1);
            &self.bytes[self.format.row_bytes(row * self.n_cols + column)..][..bytes]
        });
        self.format.interleave(&mut group.0[..4 * bytes], blocks, masks);
        group
    }
}

/// Bytes of the largest block of any format.
const MAX_BYTES: usize = 210;

/// A block of four rows.
pub struct Block([u8; 4 * MAX_BYTES]);

impl Block {
    pub fn as_ptr(&self) -> *const u8 {
        self.0.as_ptr()
    }
}

/// Interleaves rows that lie as they were in the file, in place, four at a time. `scratch` has room for four rows.
pub fn repack(w: &mut [u8], scratch: &mut [u8], n_cols: usize, format: &BlockFormat) {
    let (masks, bytes, row) = (Masks::new(), format.bytes, format.row_bytes(n_cols));
    for rows in w.chunks_exact_mut(4 * row) {
        scratch[..4 * row].copy_from_slice(rows);
        for (i, group) in rows.chunks_exact_mut(4 * bytes).enumerate() {
            let blocks = core::array::from_fn(|lane| &scratch[lane * row + i * bytes..][..bytes]);
            format.interleave(group, blocks, &masks);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::panel::Panel;
    use crate::oracle::Random;
    use crate::quant::sample::sample;
    use crate::quant::{with_format, Format, Unpacked};
    use crate::simd::SecondOperand;

    /// What the kernels see of repacked rows is what the file says.
    fn check<F: Format>(type_id: u32) {
        let (mut random, format) = (Random(100 + type_id as u64), BlockFormat::by_id(type_id).unwrap());
        for (n_rows, n_cols) in [(1, 256), (3, 256), (4, 512), (16, 256), (43, 768)] {
            let file = sample(&mut random, type_id, n_rows * n_cols / F::COLUMNS);
            let mut bytes = file.clone();
            repack(&mut bytes, &mut vec![0; 4 * n_cols / F::COLUMNS * F::BYTES], n_cols, format);
            let w = Weights { bytes: &bytes, n_rows, n_cols, format };
            for row in 0..n_rows {
                for column in (0..n_cols).step_by(F::COLUMNS) {
                    let mut wanted = Unpacked::EMPTY;
                    F::unpack(&file[(row * n_cols + column) / F::COLUMNS * F::BYTES..][..F::BYTES], &mut wanted);
                    for second_operand in [SecondOperand::Unsigned, SecondOperand::Signed, SecondOperand::SevenBits] {
                        same::<F>(w, row, column, &wanted, &Masks::with(second_operand));
                    }
                }
            }
        }
    }

    /// Lane `row % 4` of a group's vectors is what row `row` says.
    fn same<F: Format>(w: Weights, row: usize, column: usize, wanted: &Unpacked, masks: &Masks) {
        let mut panel = Panel::EMPTY;
        panel.fill(w, &[row & !3], column, F::COLUMNS, masks);
        let group = &panel.0[0];
        for i in 0..F::COLUMNS {
            let half = if F::GROUP == 16 { i % 32 / 16 } else { 0 };
            assert_eq!(group.scales[i / 32][half][row % 4], wanted.scales[i / 16]);
            assert!(!F::OFFSET || group.offsets[i / 32][half][row % 4] == wanted.offsets[i / 16]);
        }
        let mut values = vec![0.0; F::COLUMNS];
        panel.values(w, row % 4, &mut values, masks);
        for (i, value) in values.into_iter().enumerate() {
            assert_eq!(value.to_bits(), wanted.value(i).to_bits());
        }
    }

    #[test]
    fn repacked_rows_are_the_rows_of_the_file() {
        for type_id in [2, 3, 6, 7, 8, 10, 11, 12, 13, 14, 20, 23] {
            with_format!(type_id, F => check::<F>(type_id), unreachable!());
        }
    }
}
