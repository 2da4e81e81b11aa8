//! A quantised weight matrix as it lies in memory, see `quant/interleave.rs`.
use crate::quant::{interleave, unpack_lane, Format, Unpacked};

/// `n_rows` rows of `n_cols` columns.
#[derive(Clone, Copy)]
pub struct Weights<'a> {
    pub bytes: &'a [u8],
    pub n_rows: usize,
    pub n_cols: usize,
}

impl<'a> Weights<'a> {
    /// The four interleaved rows from `row` on, from `column` on.
    #[cfg_attr(target_arch = "wasm32", inline(always))]
    pub fn group<F: Format>(&self, row: usize, column: usize) -> &'a [u8] {
        &self.bytes[(row * self.n_cols + 4 * column) / F::COLUMNS * F::BYTES..]
    }

    /// Takes the block of row `row` that starts at column `column` apart.
    #[inline(never)]
    pub fn unpack<F: Format>(&self, row: usize, column: usize, out: &mut Unpacked) {
        if row < self.n_rows & !3 {
            unpack_lane::<F>(self.group::<F>(row & !3, column), row & 3, out);
        } else {
            let start = (row * self.n_cols + column) / F::COLUMNS * F::BYTES;
            F::unpack(&self.bytes[start..start + F::BYTES], out);
        }
    }
}

/// Interleaves rows that lie as they were in the file, in place. `scratch` has room for four rows.
pub fn repack<F: Format>(w: &mut [u8], scratch: &mut [u8], n_cols: usize) {
    interleave(w, scratch, n_cols / F::COLUMNS, F::BYTES, F::HALF_FLOATS);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Random;
    use crate::quant::sample::sample;
    use crate::quant::{with_format, Group, Masks};
    use crate::simd::*;

    /// What the kernels see of repacked rows, row by row and as vectors, is what the file says.
    fn check<F: Format>(type_id: u32) {
        let mut random = Random(100 + type_id as u64);
        for (n_rows, n_cols) in [(1, 256), (3, 256), (4, 512), (16, 256), (43, 768)] {
            let file = sample(&mut random, type_id, n_rows * n_cols / F::COLUMNS);
            let mut bytes = file.clone();
            repack::<F>(&mut bytes, &mut vec![0; 4 * n_cols / F::COLUMNS * F::BYTES], n_cols);
            let w = Weights { bytes: &bytes, n_rows, n_cols };
            for row in 0..n_rows {
                for column in (0..n_cols).step_by(F::COLUMNS) {
                    let (mut wanted, mut got) = (Unpacked::EMPTY, Unpacked::EMPTY);
                    F::unpack(&file[(row * n_cols + column) / F::COLUMNS * F::BYTES..][..F::BYTES], &mut wanted);
                    w.unpack::<F>(row, column, &mut got);
                    for i in 0..F::COLUMNS {
                        assert_eq!(got.value(i).to_bits(), wanted.value(i).to_bits(), "type {type_id}");
                    }
                    if row < n_rows & !3 {
                        unsafe { same_vectors::<F>(&w, row, column) }
                    }
                }
            }
        }
    }

    /// Lane `row % 4` of the vectors is what row `row` says.
    unsafe fn same_vectors<F: Format>(w: &Weights, row: usize, column: usize) {
        let masks = Masks::with(SecondOperand::Unsigned);
        let (mut block, mut vectors) = (Unpacked::EMPTY, Group::EMPTY);
        w.unpack::<F>(row, column, &mut block);
        vectors.place_vectors::<F>(0, w.group::<F>(row & !3, column).as_ptr(), &masks);
        let bias = i32x4_extract_lane::<0>(Group::bias::<F>(&masks));
        for i in 0..F::COLUMNS {
            let code = vectors.low[i / 32][i % 32 / 4][4 * (row % 4) + i % 4];
            assert_eq!(code as i32, block.codes[i] as i32 + bias);
            let half = if F::GROUP == 16 { i % 32 / 16 } else { 0 };
            assert_eq!(vectors.scales[i / 32][half][row % 4], block.scales[i / 16]);
            assert!(!F::OFFSET || vectors.offsets[i / 32][half][row % 4] == block.offsets[i / 16]);
        }
    }

    #[test]
    fn repacked_rows_are_the_rows_of_the_file() {
        for type_id in [2, 3, 6, 7, 8, 10, 11, 12, 13, 14, 20, 23] {
            with_format!(type_id, F => check::<F>(type_id), unreachable!());
        }
    }
}
