//! Matrix products of quantised weights with quantised activations, any format, any number of tokens.
//!
//! ```text
//! one token:    for each 4 rows:  out[row..row + 4] = dot4(weights, activations)
//! more tokens:  for each 8 rows:
//!                   for each 512 columns:
//!                       panel = those weights, unpacked
//!                       for each 4 tokens:  out[token][row..row + 8] += tile(panel, activations)
//! ```
//! The panel (10 to 20 KB) and 4 tokens' activations (3 KB) stay in the first cache, all tokens' activations in the
//! second.
use super::matvec::dot4;
use super::panel::{Panel, COLUMNS, GROUPS, ROWS};
use super::quantize::{quantized_bytes, BLOCK};
use super::tile::{tile, Shape};
use super::weights::Weights;
use crate::quant::{Format, Group};
use crate::simd::*;

/// Rows `out[token][0..n_rows]` of a product; with `accumulate`, it is added to what is there.
pub struct Product<'a> {
    pub out: &'a mut [f32],
    /// `n_tokens` rows of quantised activations.
    pub x: &'a [u8],
    pub n_tokens: usize,
    pub accumulate: bool,
}

/// The inner loop of the formats with these properties.
struct Like<const HALVES: bool, const OFFSET: bool, const WIDE: bool>;

impl<const HALVES: bool, const OFFSET: bool, const WIDE: bool> Shape for Like<HALVES, OFFSET, WIDE> {
    const HALVES: bool = HALVES;
    const OFFSET: bool = OFFSET;
    const WIDE: bool = WIDE;
}

pub fn matmul<F: Format>(product: &mut Product, w: Weights) {
    let mut first = 0;
    if product.n_tokens == 1 {
        first = w.n_rows & !3;
        for row in (0..first).step_by(4) {
            let out = &mut product.out[row..row + 4];
            let start = load_or_zero(out, product.accumulate);
            let group = w.group::<F>(row, 0).as_ptr();
            store(out, unsafe { dot4::<F>(start, group, w.n_cols / F::COLUMNS, product.x.as_ptr()) });
        }
    }
    if first < w.n_rows {
        panels::<F>(product, w, first);
    }
}

/// The rows from `first` on.
fn panels<F: Format>(product: &mut Product, w: Weights, first: usize) {
    let mut panel = Panel::EMPTY;
    for row in (first..w.n_rows).step_by(ROWS) {
        for column in (0..w.n_cols).step_by(COLUMNS) {
            let n = COLUMNS.min(w.n_cols - column);
            panel.fill::<F>(w, row, column, n);
            let part = Part { row, n_rows: w.n_rows, column, n, accumulate: product.accumulate || column > 0 };
            let groups = panel.0.each_ref();
            unsafe {
                match (F::GROUP, F::OFFSET, F::WIDE) {
                    (16, false, _) => tokens::<Like<true, false, false>, GROUPS>(product, groups, part, w.n_cols),
                    (16, true, _) => tokens::<Like<true, true, false>, GROUPS>(product, groups, part, w.n_cols),
                    (_, true, _) => tokens::<Like<false, true, false>, GROUPS>(product, groups, part, w.n_cols),
                    (_, _, false) => tokens::<Like<false, false, false>, GROUPS>(product, groups, part, w.n_cols),
                    (_, _, true) => {
                        for (g, group) in groups.into_iter().enumerate() {
                            let part = Part { row: row + 4 * g, ..part };
                            tokens::<Like<false, false, true>, 1>(product, [group], part, w.n_cols);
                        }
                    }
                }
            }
        }
    }
}

/// The place of a panel in its matrix.
#[derive(Clone, Copy)]
struct Part {
    row: usize,
    n_rows: usize,
    column: usize,
    n: usize,
    accumulate: bool,
}

/// The groups times every token.
///
/// # Safety
/// The product has activations of `n_cols` columns for `n_tokens` tokens.
unsafe fn tokens<S: Shape, const G: usize>(product: &mut Product, groups: [&Group; G], part: Part, n_cols: usize) {
    let stride = quantized_bytes(n_cols);
    let quads = product.n_tokens & !3;
    for token in (0..quads).step_by(4) {
        step::<S, G, 4>(product, groups, part, token, stride);
    }
    if product.n_tokens & 2 != 0 {
        step::<S, G, 2>(product, groups, part, quads, stride);
    }
    if product.n_tokens & 1 != 0 {
        step::<S, G, 1>(product, groups, part, product.n_tokens - 1, stride);
    }
}

/// The groups times the `TOKENS` tokens from `token` on.
#[inline(always)]
unsafe fn step<S: Shape, const G: usize, const TOKENS: usize>(
    product: &mut Product,
    groups: [&Group; G],
    part: Part,
    token: usize,
    stride: usize,
) {
    let out = |t: usize, g: usize| {
        let row = |i: usize| (token + t) * part.n_rows + (part.row + i).min(part.n_rows);
        row(4 * g)..row(4 * g + 4)
    };
    let mut acc: [[v128; TOKENS]; G] = core::array::from_fn(|g| {
        core::array::from_fn(|t| load_or_zero(&product.out[out(t, g)], part.accumulate))
    });
    let x = product.x.as_ptr().add(token * stride + part.column / 32 * BLOCK);
    tile::<S, G, TOKENS>(&mut acc, groups, part.n / 32, x, stride);
    for (g, acc) in acc.iter().enumerate() {
        for (t, &acc) in acc.iter().enumerate() {
            store(&mut product.out[out(t, g)], acc);
        }
    }
}

/// Up to four floats, the rest zero; or only zeros.
#[inline(always)]
fn load_or_zero(from: &[f32], load: bool) -> v128 {
    if !load {
        return f32x4_splat(0.0);
    }
    if let Some(from) = from.first_chunk::<4>() {
        return unsafe { v128_load(from.as_ptr() as *const v128) };
    }
    let mut lanes = [0.0; 4];
    lanes[..from.len()].copy_from_slice(from);
    f32x4(lanes[0], lanes[1], lanes[2], lanes[3])
}

/// Up to four lanes.
#[inline(always)]
fn store(to: &mut [f32], lanes: v128) {
    if let Some(to) = to.first_chunk_mut::<4>() {
        return unsafe { v128_store(to.as_mut_ptr() as *mut v128, lanes) };
    }
    let mut copy = [0f32; 4];
    unsafe { v128_store(copy.as_mut_ptr() as *mut v128, lanes) };
    to.copy_from_slice(&copy[..to.len()]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::quantize::{self, quantize};
    use crate::kernel::weights::repack;
    use crate::oracle::{close, Random};
    use crate::quant::sample::sample;
    use crate::quant::{with_format, Unpacked};

    /// (tokens, rows, blocks).
    const SHAPES: [(usize, usize, usize); 9] =
        [(1, 1, 1), (1, 4, 3), (1, 11, 2), (2, 3, 2), (3, 4, 1), (4, 5, 3), (5, 8, 1), (6, 9, 2), (9, 17, 1)];

    /// Every combination of tails of rows, tokens and panels; some blocks with the extremes of codes and scales.
    fn check<F: Format>(type_id: u32) {
        let mut random = Random(type_id as u64);
        for (n_tokens, n_rows, blocks) in SHAPES {
            let n_cols = if F::COLUMNS == 32 { [32, 96, 544][blocks - 1] } else { 256 * blocks };
            let mut bytes = sample(&mut random, type_id, n_rows * n_cols / F::COLUMNS);
            repack::<F>(&mut bytes, &mut vec![0; 4 * n_cols / F::COLUMNS * F::BYTES], n_cols);
            let w = Weights { bytes: &bytes, n_rows, n_cols };
            let x = random.floats(n_tokens * n_cols);
            let mut xq = vec![0; n_tokens * quantized_bytes(n_cols)];
            quantize(&mut xq, &x);
            let before = random.floats(n_tokens * n_rows);
            for accumulate in [false, true] {
                let mut out = before.clone();
                matmul::<F>(&mut Product { out: &mut out, x: &xq, n_tokens, accumulate }, w);
                for (i, &got) in out.iter().enumerate() {
                    let (t, row) = (i / n_rows, i % n_rows);
                    let (sum, size) = naive::<F>(w, row, &xq[t * quantized_bytes(n_cols)..]);
                    close(got, sum + if accumulate { before[i] as f64 } else { 0.0 }, 1e-6 * size.max(1.0));
                }
            }
        }
    }

    /// The product of a row and the quantised activations in f64, and the sum of its terms' sizes.
    fn naive<F: Format>(w: Weights, row: usize, xq: &[u8]) -> (f64, f64) {
        let mut block = Unpacked::EMPTY;
        let (mut sum, mut size) = (0.0, 0.0);
        for column in 0..w.n_cols {
            if column % F::COLUMNS == 0 {
                w.unpack::<F>(row, column, &mut block);
            }
            let xq = &xq[column / 32 * BLOCK..][..BLOCK];
            let scale = f32::from_le_bytes(xq[quantize::SCALE..][..4].try_into().unwrap());
            let x = (xq[column % 32] as i8) as f64 * scale as f64;
            let term = block.value(column % F::COLUMNS) as f64 * x;
            sum += term;
            size += term.abs();
        }
        (sum, size)
    }

    #[test]
    fn every_format_matches_the_sum() {
        for type_id in [2, 3, 6, 7, 8, 10, 11, 12, 13, 14, 20, 23] {
            with_format!(type_id, F => check::<F>(type_id), unreachable!());
        }
    }
}
