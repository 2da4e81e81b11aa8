//! Attention over two disjoint sets of slots from what it is over each. Source: arXiv 1805.02867.
//!
//! ```text
//! lse = ln(e^a + e^b), out = e^(a - lse) out_a + e^(b - lse) out_b
//! ```
use crate::kernel::lanes::zip;
use crate::kernel::scalar::{exp, ln};
use crate::simd::*;

/// One result of attention.
pub struct Part<'a> {
    /// `f32[T, H, dim]`
    pub out: &'a [f32],
    /// `f32[H, T]`; -infinity where a row saw nothing.
    pub lse: &'a [f32],
}

/// `out f32[T, H, dim]` and `lse f32[H, T]` become those of both sets of slots.
pub fn join(out: &mut [f32], lse: &mut [f32], other: Part, n_tokens: usize) {
    let (dim, n_heads) = (out.len() / lse.len(), lse.len() / n_tokens);
    let rows = out.chunks_exact_mut(dim).zip(other.out.chunks_exact(dim)).enumerate();
    for (i, (out, from)) in rows {
        let place = i % n_heads * n_tokens + i / n_heads;
        let (a, b) = (lse[place], other.lse[place]);
        let top = a.max(b);
        if top == f32::NEG_INFINITY {
            continue;
        }
        let (ea, eb) = (exp(a - top), exp(b - top));
        let (wa, wb) = (f32x4_splat(ea / (ea + eb)), f32x4_splat(eb / (ea + eb)));
        zip(out, from, |x, y| f32x4_add(f32x4_mul(x, wa), f32x4_mul(y, wb)));
        lse[place] = top + ln(ea + eb);
    }
}
