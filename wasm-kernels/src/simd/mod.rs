//! 128-bit vectors under the names of `core::arch::wasm32`, plus the few operations in which the two binaries differ.
//!
//! Kernels are written once against this module. In WASM the names are the instructions themselves; elsewhere
//! `portable` emulates them lane by lane, so that `cargo test` runs the same kernels natively. `dot`, `dot14` and `madd` are
//! relaxed SIMD in the binary `relaxed` and plain SIMD in `simd128`.
mod byte_dot;
mod dot;
mod dot14;
mod lookup;
mod madd;
mod opaque;
#[cfg(not(target_arch = "wasm32"))]
mod portable;
mod transpose;

#[cfg(target_arch = "wasm32")]
pub use core::arch::wasm32::*;
#[cfg(not(target_arch = "wasm32"))]
pub use portable::*;

pub use byte_dot::SecondOperand;
pub use dot::dot4_i8x16_u7x16_add;
pub use dot14::*;
pub use lookup::i8x16_lookup;
pub use madd::{f32x4_madd, f32x4_sum};
pub use opaque::opaque;
pub use transpose::transpose;
