//! The one to three rows of a matrix behind its groups of four, number by number: the end of a vocabulary, if anything.
use super::matmul::Product;
use super::quantize::block_of;
use super::weights::Weights;
use crate::quant::Unpacked;

/// Their products with every token. `unpack` takes the block of `columns` columns apart that starts at a row and a column.
#[inline(never)]
pub fn last_rows(product: &mut Product, w: Weights, columns: usize, unpack: fn(&Weights, usize, usize, &mut Unpacked)) {
    for row in w.n_rows & !3..w.n_rows {
        for token in 0..product.n_tokens {
            let out = &mut product.out[token * w.n_rows + row];
            let mut sum = if product.accumulate { *out } else { 0.0 };
            let mut block = Unpacked::EMPTY;
            for column in (0..w.n_cols).step_by(32) {
                if column % columns == 0 {
                    unpack(&w, row, column, &mut block);
                }
                let (codes, scale) = block_of(product.x, product.n_tokens, w.n_cols, token, column);
                for half in 0..2 {
                    let i = column % columns / 16 + half;
                    let pairs = codes[16 * half..][..16].iter().zip(&block.codes[16 * i..]);
                    let (dot, total) =
                        pairs.fold((0, 0), |(dot, total), (&x, &w)| (dot + x as i32 * w as i32, total + x as i32));
                    sum += scale * (block.scales[i] * dot as f32 + block.offsets[i] * total as f32);
                }
            }
            *out = sum;
        }
    }
}
