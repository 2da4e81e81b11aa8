//! Matrix products of unquantised weights (F32, F16, BF16) with f32 activations.
//!
//! ```text
//! for each row, each 4 tokens:  acc[token] += w[column..column + 4] * x[token][column..column + 4]
//! ```
//! The sums of a row and a token run in the same order whatever the number of tokens.
use crate::quant::{bf16_to_f32, f16_to_f32, f16x4_to_f32x4_with, Masks};
use crate::simd::*;

/// A weight that is a float.
pub trait Float: Copy {
    fn widen(self) -> f32;
    /// Four weights.
    ///
    /// # Safety
    /// `p` points at four readable ones.
    unsafe fn load4(p: *const Self, masks: &Masks) -> v128;
}

impl Float for f32 {
    fn widen(self) -> f32 {
        self
    }
    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn load4(p: *const f32, _: &Masks) -> v128 {
        v128_load(p as *const v128)
    }
}

/// IEEE half.
#[derive(Clone, Copy)]
pub struct F16(pub u16);

impl Float for F16 {
    fn widen(self) -> f32 {
        f16_to_f32(self.0)
    }
    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn load4(p: *const F16, masks: &Masks) -> v128 {
        f16x4_to_f32x4_with(i32x4_load_extend_i16x4(p as *const i16), &masks.half)
    }
}

/// bfloat16.
#[derive(Clone, Copy)]
pub struct Bf16(pub u16);

impl Float for Bf16 {
    fn widen(self) -> f32 {
        bf16_to_f32(self.0)
    }
    #[cfg_attr(target_arch = "wasm32", inline(always))]
    unsafe fn load4(p: *const Bf16, _: &Masks) -> v128 {
        i32x4_shl(i32x4_load_extend_u16x4(p as *const u16), 16)
    }
}

/// Tokens that share the loads of a row.
const TOKENS: usize = 4;

/// `out[token][row] = w[row] · x[token]`, or `+=` with `accumulate`; `n_cols` columns.
pub fn matmul_float<W: Float>(out: &mut [f32], w: &[W], x: &[f32], n_rows: usize, n_cols: usize, accumulate: bool) {
    let masks = Masks::new();
    let fours = x.len() / n_cols / TOKENS * TOKENS;
    let (x, x_rest) = x.split_at(fours * n_cols);
    let (out, out_rest) = out.split_at_mut(fours * n_rows);
    for (out, x) in out.chunks_mut(TOKENS * n_rows).zip(x.chunks(TOKENS * n_cols)) {
        rows::<W, TOKENS>(out, w, x, n_cols, accumulate, &masks);
    }
    for (out, x) in out_rest.chunks_mut(n_rows).zip(x_rest.chunks(n_cols)) {
        rows::<W, 1>(out, w, x, n_cols, accumulate, &masks);
    }
}

/// Every row with `N` tokens.
fn rows<W: Float, const N: usize>(out: &mut [f32], w: &[W], x: &[f32], n_cols: usize, accumulate: bool, masks: &Masks) {
    let n_rows = out.len() / N;
    for (row, w) in w.chunks_exact(n_cols).enumerate() {
        for (t, sum) in dots::<W, N>(w, x, n_cols, masks).into_iter().enumerate() {
            let out = &mut out[t * n_rows + row];
            *out = if accumulate { *out + sum } else { sum };
        }
    }
}

/// One row with `N` tokens.
#[cfg_attr(target_arch = "wasm32", inline(always))]
fn dots<W: Float, const N: usize>(w: &[W], x: &[f32], n_cols: usize, masks: &Masks) -> [f32; N] {
    let vectors = n_cols & !7;
    let mut even = [f32x4_splat(0.0); N];
    let mut odd = even;
    for i in (0..vectors).step_by(8) {
        unsafe {
            let w = [W::load4(w.as_ptr().add(i), masks), W::load4(w.as_ptr().add(i + 4), masks)];
            for t in 0..N {
                let x = x.as_ptr().add(t * n_cols + i) as *const v128;
                even[t] = f32x4_madd(w[0], v128_load(x), even[t]);
                odd[t] = f32x4_madd(w[1], v128_load(x.add(1)), odd[t]);
            }
        }
    }
    core::array::from_fn(|t| {
        let tail = (vectors..n_cols).map(|i| w[i].widen() * x[t * n_cols + i]).sum::<f32>();
        f32x4_sum(f32x4_add(even[t], odd[t])) + tail
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{close, lengths, Random};

    fn check<W: Float>(weight: impl Fn(f32) -> W) {
        let mut random = Random(5);
        for n_cols in lengths() {
            for (n_tokens, n_rows) in [(1, 5), (2, 1), (3, 4), (4, 7), (9, 3)] {
                let w: Vec<W> = random.floats(n_rows * n_cols).into_iter().map(&weight).collect();
                let x = random.floats(n_tokens * n_cols);
                let before = random.floats(n_tokens * n_rows);
                for accumulate in [false, true] {
                    let mut out = before.clone();
                    matmul_float(&mut out, &w, &x, n_rows, n_cols, accumulate);
                    for (i, &got) in out.iter().enumerate() {
                        let (t, row) = (i / n_rows, i % n_rows);
                        let product = |c: usize| w[row * n_cols + c].widen() as f64 * x[t * n_cols + c] as f64;
                        let wanted = (0..n_cols).map(product).sum::<f64>();
                        close(got, wanted + if accumulate { before[i] as f64 } else { 0.0 }, 1e-4);
                    }
                }
            }
        }
    }

    #[test]
    fn f32_matches_the_sum() {
        check(|x| x);
    }

    #[test]
    fn f16_matches_the_sum() {
        // Bits of a half up to 2^8 in size, subnormal ones included.
        check(|x| F16((x.abs() * 4000.0) as u16 | if x < 0.0 { 0x8000 } else { 0 }));
    }

    #[test]
    fn bf16_matches_the_sum() {
        check(|x| Bf16((x.to_bits() >> 16) as u16));
    }
}
