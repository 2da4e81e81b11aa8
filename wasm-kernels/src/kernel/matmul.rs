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
//! A few tokens in common formats do without a panel, two or four of them side by side (`shared`).
//!
//! The panel (10 to 20 KB) and 4 tokens' activations (3 KB) stay in the first cache, all tokens' activations in the
//! second.
use super::lanes::{self, load_some, store_some};
use super::matvec::ABREAST;
use super::panel::{Panel, COLUMNS, GROUPS};
use super::quantize::{quantized_bytes, BLOCK};
use super::shared::{self, Shared, SUMS};
use super::tile::{diagonals, tile, Shape, TOKENS};
use super::weights::Weights;
use crate::quant::{Group, Masks};
use crate::simd::*;
use core::ops::Range;

/// From so many tokens on, unpacking into a panel costs less than it saves.
const WORTH_A_PANEL: usize = 32;

/// Rows `out[token][0..n_rows]` of a product; with `accumulate`, it is added to what is there.
pub struct Product<'a> {
    pub out: &'a mut [f32],
    /// `n_tokens` rows of quantised activations.
    pub x: &'a [u8],
    pub n_tokens: usize,
    pub accumulate: bool,
}

pub fn matmul(product: &mut Product, w: Weights) {
    matmul_with(product, w, &Masks::new());
}

fn matmul_with(product: &mut Product, w: Weights, masks: &Masks) {
    let (fours, shared) = (product.n_tokens & !3, w.format.shared(masks));
    let mut next = fours;
    match shared {
        Some(Shared { four, .. }) if fours < WORTH_A_PANEL => together(product, w, 0..fours, 4, four, masks),
        _ if fours > 0 => panels(product, w, fours, masks),
        _ => {}
    }
    if let (Some(Shared { pair, .. }), 2..) = (shared, product.n_tokens - next) {
        together(product, w, next..next + 2, 2, pair, masks);
        next += 2;
    }
    for token in next..product.n_tokens {
        let out = &mut product.out[token * w.n_rows..][..w.n_rows];
        let x = product.x[token * quantized_bytes(w.n_cols)..].as_ptr();
        vectors(out, w, x, product.accumulate, masks);
    }
}

/// The rows of the `i`-th round over a matrix: one group in each of `abreast` parts of it, or of those that are left
/// behind the parts, the last one several times.
///
/// Far apart, because the hardware fetches ahead of one stream per page of memory, and not across its end: a single
/// stream reads less than half of what four can.
fn abreast_rows(i: usize, n_groups: usize, abreast: usize) -> [usize; ABREAST] {
    let part = n_groups / abreast;
    core::array::from_fn(|g| match i {
        i if i < part => 4 * (g.min(abreast - 1) * part + i),
        _ => 4 * (abreast * part + g).min(n_groups - 1),
    })
}

/// One token: the matrix in as many parts as groups go side by side, one of each at a time.
fn vectors(out: &mut [f32], w: Weights, x: *const u8, accumulate: bool, masks: &Masks) {
    let dot = w.format.dot(masks);
    let (whole, n_blocks) = (w.n_rows / 4, w.n_cols / w.format.columns);
    for i in 0..whole.div_ceil(ABREAST) {
        let rows = abreast_rows(i, whole, ABREAST);
        let mut sums = rows.map(|row| load_or_zero(&out[row..row + 4], accumulate));
        // SAFETY: there are as many rows and columns.
        unsafe { dot(&mut sums, &rows.map(|row| w.group(row, 0)), n_blocks, x, masks) };
        for (row, sum) in rows.into_iter().zip(sums) {
            store(&mut out[row..row + 4], sum);
        }
    }
    let last = &mut out[4 * whole..];
    if !last.is_empty() {
        let mut sums = [load_or_zero(last, accumulate); ABREAST];
        for column in (0..w.n_cols).step_by(w.format.columns) {
            let block = w.last_group(column, masks);
            // SAFETY: one block, and the activations of its columns.
            unsafe { dot(&mut sums, &[block.as_ptr(); ABREAST], 1, x.add(quantized_bytes(column)), masks) };
        }
        store(last, sums[0]);
    }
}

/// Some tokens, `n` at a time: as `vectors`, with weights that are unpacked once for all `n`.
fn together(product: &mut Product, w: Weights, tokens: Range<usize>, n: usize, dot: shared::Dot, masks: &Masks) {
    let (whole, n_blocks, row_bytes) = (w.n_rows / 4, w.n_cols / w.format.columns, quantized_bytes(w.n_cols));
    let (abreast, last) = (SUMS / n, w.n_rows % 4);
    for i in 0..whole.div_ceil(abreast) + (last > 0) as usize {
        let rows = if i < whole.div_ceil(abreast) { abreast_rows(i, whole, abreast) } else { [4 * whole; ABREAST] };
        let n_rows = (w.n_rows - rows[0]).min(4);
        for token in tokens.clone().step_by(n) {
            let place = |s: usize| (token + s % n) * w.n_rows + rows[s / n];
            let mut sums: [v128; SUMS] =
                core::array::from_fn(|s| load_or_zero(&product.out[place(s)..][..n_rows], product.accumulate));
            let x = product.x[token * row_bytes..].as_ptr();
            // SAFETY: there are as many rows and columns; of the last rows one block at a time.
            unsafe {
                if n_rows == 4 {
                    dot(&mut sums, &rows.map(|row| w.group(row, 0)), n_blocks, x, row_bytes, masks);
                } else {
                    for column in (0..w.n_cols).step_by(w.format.columns) {
                        let block = w.last_group(column, masks);
                        let x = x.add(quantized_bytes(column) * if n == 4 { 4 } else { 1 });
                        dot(&mut sums, &[block.as_ptr(); ABREAST], 1, x, row_bytes, masks);
                    }
                }
            }
            for (s, sum) in sums.into_iter().enumerate() {
                store(&mut product.out[place(s)..][..n_rows], sum);
            }
        }
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
fn panels(product: &mut Product, w: Weights, n_tokens: usize, masks: &Masks) {
    let mut panel = Panel::EMPTY;
    for row in (0..w.n_rows).step_by(4 * GROUPS) {
        // Without a second group at the end the first one is computed twice.
        let rows = [row, if row + 4 < w.n_rows { row + 4 } else { row }];
        for column in (0..w.n_cols).step_by(COLUMNS) {
            let n = COLUMNS.min(w.n_cols - column);
            panel.fill(w, &rows, column, n, masks);
            let accumulate = product.accumulate || column > 0;
            let place = Place { w, n_tokens, column, n, accumulate, bias: w.format.bias(masks), masks };
            let groups = panel.0.each_ref();
            unsafe {
                match (w.format.halves, w.format.offset, w.format.splits(masks)) {
                    (true, false, _) => tokens::<Like<true, false, false>, GROUPS>(product, groups, rows, place),
                    (true, true, _) => tokens::<Like<true, true, false>, GROUPS>(product, groups, rows, place),
                    (_, true, _) => tokens::<Like<false, true, false>, GROUPS>(product, groups, rows, place),
                    (_, _, true) if SecondOperand::MAY_BE_SEVEN_BITS => {
                        for (group, row) in groups.into_iter().zip(rows).take(if rows[0] == rows[1] { 1 } else { 2 }) {
                            tokens::<Like<false, false, true>, 1>(product, [group], [row], place);
                        }
                    }
                    _ => tokens::<Like<false, false, false>, GROUPS>(product, groups, rows, place),
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
    // Of the last group, rows that there are.
    let n_rows = rows.map(|row| (w.n_rows - row).min(4));
    let out = product.out.as_mut_ptr();
    for token in (0..n_tokens).step_by(TOKENS) {
        let place =
            |g: usize, t: usize| core::slice::from_raw_parts_mut(out.add((token + t) * w.n_rows + rows[g]), n_rows[g]);
        let mut acc: [[v128; TOKENS]; G] =
            core::array::from_fn(|g| diagonals(core::array::from_fn(|t| load_or_zero(place(g, t), accumulate))));
        let x = product.x.as_ptr().add(token * quantized_bytes(w.n_cols) + column / 32 * TOKENS * BLOCK);
        tile::<S, G>(&mut acc, groups, n / 32, x, bias, masks);
        for (g, acc) in acc.into_iter().enumerate() {
            for (t, acc) in diagonals(acc).into_iter().enumerate() {
                store(place(g, t), acc);
            }
        }
    }
}

/// At most four floats, or zeros.
#[cfg_attr(target_arch = "wasm32", inline(always))]
fn load_or_zero(from: &[f32], load: bool) -> v128 {
    match from.first_chunk::<4>() {
        _ if !load => f32x4_splat(0.0),
        Some(from) => lanes::load(from),
        None => load_last(from),
    }
}

/// As many of the lanes as there is room for.
#[cfg_attr(target_arch = "wasm32", inline(always))]
fn store(to: &mut [f32], v: v128) {
    match to.first_chunk_mut::<4>() {
        Some(to) => lanes::store(to, v),
        None => store_last(to, v),
    }
}

#[inline(never)]
fn load_last(from: &[f32]) -> v128 {
    load_some(from, 0.0)
}

#[inline(never)]
fn store_last(to: &mut [f32], v: v128) {
    store_some(to, v);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::formats::BlockFormat;
    use crate::kernel::quantize::{block_of, quantize};
    use crate::kernel::weights::repack;
    use crate::oracle::{close, Random};
    use crate::quant::sample::sample;
    use crate::quant::{with_format, Format, Unpacked};

    /// (tokens, rows, blocks).
    const SHAPES: [(usize, usize, usize); 9] =
        [(1, 1, 1), (1, 4, 3), (1, 43, 2), (2, 3, 2), (3, 4, 1), (4, 5, 3), (5, 8, 1), (6, 9, 2), (9, 21, 2)];

    /// Every combination of tails of rows, tokens and panels; some blocks with the extremes of codes and scales.
    fn check<F: Format>(type_id: u32) {
        let (mut random, format) = (Random(type_id as u64), BlockFormat::by_id(type_id).unwrap());
        for (n_tokens, n_rows, blocks) in SHAPES {
            let n_cols = if F::COLUMNS == 32 { [32, 96, 544][blocks - 1] } else { 256 * blocks };
            let file = sample(&mut random, type_id, n_rows * n_cols / F::COLUMNS);
            let mut bytes = file.clone();
            repack(&mut bytes, &mut vec![0; 4 * n_cols / F::COLUMNS * F::BYTES], n_cols, format);
            let w = Weights { bytes: &bytes, n_rows, n_cols, format };
            let x = random.floats(n_tokens * n_cols);
            let mut xq = vec![0; n_tokens * quantized_bytes(n_cols)];
            quantize(&mut xq, &x, n_tokens, n_cols);
            let before = random.floats(n_tokens * n_rows);
            let eight_bits = [SecondOperand::Unsigned, SecondOperand::SevenBits];
            for (accumulate, second_operand) in [(false, 0), (true, 0), (true, 1)] {
                let masks = Masks::with(eight_bits[second_operand]);
                let mut out = before.clone();
                matmul_with(&mut Product { out: &mut out, x: &xq, n_tokens, accumulate }, w, &masks);
                for (i, &got) in out.iter().enumerate() {
                    let (t, row) = (i / n_rows, i % n_rows);
                    let (sum, size) = naive::<F>(&file, w, row, |column| block_of(&xq, n_tokens, n_cols, t, column));
                    close(got, sum + if accumulate { before[i] as f64 } else { 0.0 }, 1e-6 * size.max(1.0));
                }
            }
        }
    }

    /// The product of a row and the quantised activations in f64, and the sum of its terms' sizes.
    fn naive<F: Format>(file: &[u8], w: Weights, row: usize, x: impl Fn(usize) -> ([i8; 32], f32)) -> (f64, f64) {
        let mut block = Unpacked::EMPTY;
        let (mut sum, mut size) = (0.0, 0.0);
        for column in 0..w.n_cols {
            if column % F::COLUMNS == 0 {
                F::unpack(&file[(row * w.n_cols + column) / F::COLUMNS * F::BYTES..][..F::BYTES], &mut block);
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

    /// What a token gets must not depend on which tokens it is read with.
    fn check_alone<F: Format>(type_id: u32) {
        let (mut random, format) = (Random(50 + type_id as u64), BlockFormat::by_id(type_id).unwrap());
        let (n_rows, n_cols) = (43, 2 * F::COLUMNS);
        let mut bytes = sample(&mut random, type_id, n_rows * n_cols / F::COLUMNS);
        repack(&mut bytes, &mut vec![0; 4 * n_cols / F::COLUMNS * F::BYTES], n_cols, format);
        let w = Weights { bytes: &bytes, n_rows, n_cols, format };
        for n_tokens in [2, 3, 4, 7] {
            let x = random.floats(n_tokens * n_cols);
            let product = |x: &[f32]| {
                let n_tokens = x.len() / n_cols;
                let (mut xq, mut out) = (vec![0; n_tokens * quantized_bytes(n_cols)], vec![0.0; n_tokens * n_rows]);
                quantize(&mut xq, x, n_tokens, n_cols);
                matmul(&mut Product { out: &mut out, x: &xq, n_tokens, accumulate: false }, w);
                out
            };
            let alone: Vec<f32> = x.chunks(n_cols).flat_map(|x| product(x)).collect();
            assert_eq!(product(&x), alone, "{type_id}, {n_tokens} tokens");
        }
    }

    #[test]
    fn tokens_together_give_the_bits_of_each_alone() {
        for type_id in [2, 3, 6, 7, 8, 10, 11, 12, 13, 14, 20, 23] {
            with_format!(type_id, F => check_alone::<F>(type_id), unreachable!());
        }
    }
}
