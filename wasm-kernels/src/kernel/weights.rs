//! A quantised weight matrix as it lies in memory: rows in interleaved groups of four; what is left over at the end
//! as it was in the file.
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
    #[inline(always)]
    pub fn group<F: Format>(&self, row: usize, column: usize) -> &'a [u8] {
        &self.bytes[(row * self.n_cols + 4 * column) / F::COLUMNS * F::BYTES..]
    }

    /// Takes the block of row `row` that starts at column `column` apart.
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
    let row = n_cols / F::COLUMNS * F::BYTES;
    for group in w.chunks_exact_mut(4 * row) {
        scratch[..4 * row].copy_from_slice(group);
        for (i, group) in group.chunks_exact_mut(4 * F::BYTES).enumerate() {
            let block = |lane: usize| &scratch[lane * row + i * F::BYTES..][..F::BYTES];
            interleave::<F>([block(0), block(1), block(2), block(3)], group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Random;
    use crate::quant::sample::sample;
    use crate::quant::{with_format, Group, Masks};

    /// What the kernels see of repacked rows, row by row and as vectors, is what the file says.
    fn check<F: Format>(type_id: u32) {
        let mut random = Random(100 + type_id as u64);
        for (n_rows, n_cols) in [(1, 256), (3, 256), (4, 512), (9, 768)] {
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
                    let masks = Masks::new();
                    let (mut rows, mut vectors) = (Group::EMPTY, Group::EMPTY);
                    if row < n_rows & !3 {
                        for lane in 0..4 {
                            w.unpack::<F>((row & !3) + lane, column, &mut got);
                            rows.place::<F>(lane, 0, &got);
                        }
                        unsafe { vectors.place_vectors::<F>(0, w.group::<F>(row & !3, column).as_ptr(), &masks) }
                        assert_eq!(rows.low, vectors.low, "type {type_id}");
                        assert_eq!(rows.high, vectors.high, "type {type_id}");
                        for (rows, vectors) in rows.scales.iter().zip(&vectors.scales) {
                            assert_eq!(rows[..32 / F::GROUP], vectors[..32 / F::GROUP], "type {type_id}");
                        }
                        for (rows, vectors) in rows.offsets.iter().zip(&vectors.offsets).filter(|_| F::OFFSET) {
                            assert_eq!(rows[..32 / F::GROUP], vectors[..32 / F::GROUP], "type {type_id}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn repacked_rows_are_the_rows_of_the_file() {
        for type_id in [2, 3, 6, 7, 8, 10, 11, 12, 13, 14, 20, 23] {
            with_format!(type_id, F => check::<F>(type_id), unreachable!());
        }
    }
}
