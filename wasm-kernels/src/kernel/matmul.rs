//! Matrix products of quantised weights with quantised activations, any format, any number of tokens.
//!
//! ```text
//! tokens that come in fours:
//!     for each 8 rows, each 512 columns:
//!         panel = those weights, unpacked
//!         for each 4 tokens:  out[token][row..row + 8] += tile(panel, activations)
//! the other one to three:
//!     for each 4 times 4 rows:  out[token][row..] = dot(weights, activations)
//! ```
//! The panel (10 to 20 KB) and 4 tokens' activations (3 KB) stay in the first cache, all tokens' activations in the
//! second.
use super::last_rows::last_rows;
use super::matvec::dot;
use super::panel::{Panel, COLUMNS, GROUPS};
use super::quantize::{quantized_bytes, BLOCK};
use super::tile::{diagonals, tile, Shape, TOKENS};
use super::weights::Weights;
use crate::quant::{Format, Group, Masks};
use crate::simd::*;

/// Rows `out[token][0..n_rows]` of a product; with `accumulate`, it is added to what is there.
pub struct Product<'a> {
    pub out: &'a mut [f32],
    /// `n_tokens` rows of quantised activations.
    pub x: &'a [u8],
    pub n_tokens: usize,
    pub accumulate: bool,
}

pub fn matmul<F: Format>(product: &mut Product, w: Weights) {
    matmul_with::<F>(product, w, &Masks::new());
}

#[inline(never)]
fn matmul_with<F: Format>(product: &mut Product, w: Weights, masks: &Masks) {
    let fours = product.n_tokens & !3;
    if fours > 0 {
        panels::<F>(product, w, fours, masks);
    }
    for token in fours..product.n_tokens {
        if F::WIDE && !masks.wide.whole {
            vectors::<F, 1, true>(product, w, token, masks);
        } else {
            match F::PARTS {
                2 => vectors::<F, 4, false>(product, w, token, masks),
                _ => vectors::<F, 2, false>(product, w, token, masks),
            }
        }
    }
    last_rows(product, w, F::COLUMNS, |w, row, column, block| w.unpack::<F>(row, column, block));
}

/// One token: the matrix in `G` parts, a group of each side by side.
///
/// Far apart, because the hardware fetches ahead of one stream per page of memory, and not across its end: a single
/// stream reads less than half of what four can.
fn vectors<F: Format, const G: usize, const SPLIT: bool>(
    product: &mut Product,
    w: Weights,
    token: usize,
    masks: &Masks,
) {
    let groups = w.n_rows / 4;
    let part = groups / G;
    for i in 0..part {
        some_groups::<F, G, SPLIT>(product, w, token, core::array::from_fn(|g| g * part + i), masks);
    }
    if G * part < groups {
        // The last group takes the places of those that are missing: computed several times, with the same result.
        some_groups::<F, G, SPLIT>(product, w, token, core::array::from_fn(|g| (G * part + g).min(groups - 1)), masks);
    }
}

/// One token, the groups with these numbers.
#[inline(never)]
fn some_groups<F: Format, const G: usize, const SPLIT: bool>(
    product: &mut Product,
    w: Weights,
    token: usize,
    groups: [usize; G],
    masks: &Masks,
) {
    let out = &mut product.out[token * w.n_rows..][..w.n_rows];
    let mut acc = groups.map(|group| load_or_zero(&out[4 * group..], product.accumulate));
    let start = groups.map(|group| w.group::<F>(4 * group, 0).as_ptr());
    unsafe {
        let x = product.x.as_ptr().add(token * quantized_bytes(w.n_cols));
        dot::<F, G, SPLIT>(&mut acc, start, w.n_cols / F::COLUMNS, x, masks);
    }
    for (group, acc) in groups.into_iter().zip(acc) {
        store(&mut out[4 * group..], acc);
    }
}

/// The inner loop of the formats with these properties.
struct Like<const HALVES: bool, const OFFSET: bool, const SPLIT: bool>;

impl<const HALVES: bool, const OFFSET: bool, const SPLIT: bool> Shape for Like<HALVES, OFFSET, SPLIT> {
    const HALVES: bool = HALVES;
    const OFFSET: bool = OFFSET;
    const SPLIT: bool = SPLIT;
}

/// The first `n_tokens` tokens, a multiple of four.
fn panels<F: Format>(product: &mut Product, w: Weights, n_tokens: usize, masks: &Masks) {
    let mut panel = Panel::EMPTY;
    let rows = w.n_rows & !3;
    for row in (0..rows).step_by(4 * GROUPS) {
        // Without a second group at the end the first one is computed twice.
        let rows = [row, if row + 4 < rows { row + 4 } else { row }];
        for column in (0..w.n_cols).step_by(COLUMNS) {
            let n = COLUMNS.min(w.n_cols - column);
            panel.fill::<F>(w, rows, column, n, masks);
            let accumulate = product.accumulate || column > 0;
            let place = Place { w, n_tokens, column, n, accumulate, bias: Group::bias::<F>(masks), masks };
            let groups = panel.0.each_ref();
            unsafe {
                match (F::GROUP, F::OFFSET, F::WIDE && !masks.wide.whole) {
                    (16, false, _) => tokens::<Like<true, false, false>, GROUPS>(product, groups, rows, place),
                    (16, true, _) => tokens::<Like<true, true, false>, GROUPS>(product, groups, rows, place),
                    (_, true, _) => tokens::<Like<false, true, false>, GROUPS>(product, groups, rows, place),
                    (_, _, false) => tokens::<Like<false, false, false>, GROUPS>(product, groups, rows, place),
                    (_, _, true) => {
                        for (group, row) in groups.into_iter().zip(rows).take(if rows[0] == rows[1] { 1 } else { 2 }) {
                            tokens::<Like<false, false, true>, 1>(product, [group], [row], place);
                        }
                    }
                }
            }
        }
    }
}

/// A run of columns, and what to do with its products.
#[derive(Clone, Copy)]
struct Place<'a> {
    w: Weights<'a>,
    n_tokens: usize,
    column: usize,
    n: usize,
    accumulate: bool,
    bias: v128,
    masks: &'a Masks,
}

/// The groups of four `rows` each times the first tokens.
///
/// # Safety
/// The product has activations for them.
#[inline(never)]
unsafe fn tokens<S: Shape, const G: usize>(
    product: &mut Product,
    groups: [&Group; G],
    rows: [usize; G],
    Place { w, n_tokens, column, n, accumulate, bias, masks }: Place,
) {
    for token in (0..n_tokens).step_by(TOKENS) {
        let at = |g: usize, t: usize| (token + t) * w.n_rows + rows[g];
        let mut acc: [[v128; TOKENS]; G] = core::array::from_fn(|g| {
            diagonals(core::array::from_fn(|t| load_or_zero(&product.out[at(g, t)..], accumulate)))
        });
        let x = product.x.as_ptr().add(token * quantized_bytes(w.n_cols) + column / 32 * TOKENS * BLOCK);
        tile::<S, G>(&mut acc, groups, n / 32, x, bias, masks);
        for (g, acc) in acc.into_iter().enumerate() {
            for (t, acc) in diagonals(acc).into_iter().enumerate() {
                store(&mut product.out[at(g, t)..], acc);
            }
        }
    }
}

/// Four floats, or zeros.
#[cfg_attr(target_arch = "wasm32", inline(always))]
fn load_or_zero(from: &[f32], load: bool) -> v128 {
    if load {
        unsafe { v128_load(from[..4].as_ptr() as *const v128) }
    } else {
        f32x4_splat(0.0)
    }
}

#[cfg_attr(target_arch = "wasm32", inline(always))]
fn store(to: &mut [f32], lanes: v128) {
    unsafe { v128_store(to[..4].as_mut_ptr() as *mut v128, lanes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::quantize::{block_of, quantize};
    use crate::kernel::weights::repack;
    use crate::oracle::{close, Random};
    use crate::quant::sample::sample;
    use crate::quant::{with_format, Unpacked};

    /// (tokens, rows, blocks).
    const SHAPES: [(usize, usize, usize); 9] =
        [(1, 1, 1), (1, 4, 3), (1, 43, 2), (2, 3, 2), (3, 4, 1), (4, 5, 3), (5, 8, 1), (6, 9, 2), (9, 21, 2)];

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
            quantize(&mut xq, &x, n_tokens, n_cols);
            let before = random.floats(n_tokens * n_rows);
            let eight_bits = [SecondOperand::Unsigned, SecondOperand::SevenBits];
            for (accumulate, second_operand) in [(false, 0), (true, 0), (true, 1)] {
                let masks = Masks::with(eight_bits[second_operand]);
                let mut out = before.clone();
                matmul_with::<F>(&mut Product { out: &mut out, x: &xq, n_tokens, accumulate }, w, &masks);
                for (i, &got) in out.iter().enumerate() {
                    let (t, row) = (i / n_rows, i % n_rows);
                    let (sum, size) = naive::<F>(w, row, |column| block_of(&xq, n_tokens, n_cols, t, column));
                    close(got, sum + if accumulate { before[i] as f64 } else { 0.0 }, 1e-6 * size.max(1.0));
                }
            }
        }
    }

    /// The product of a row and the quantised activations in f64, and the sum of its terms' sizes.
    fn naive<F: Format>(w: Weights, row: usize, x: impl Fn(usize) -> ([i8; 32], f32)) -> (f64, f64) {
        let mut block = Unpacked::EMPTY;
        let (mut sum, mut size) = (0.0, 0.0);
        for column in 0..w.n_cols {
            if column % F::COLUMNS == 0 {
                w.unpack::<F>(row, column, &mut block);
            }
            let (codes, scale) = x(column);
            let x = codes[column % 32] as f64 * scale as f64;
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
