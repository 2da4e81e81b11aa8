//! Kernels of Locket: stateless arithmetic over offsets into one linear memory.
//!
//! | module   | what                                                                       |
//! |----------|----------------------------------------------------------------------------|
//! | `abi`    | the exports; the only place where an offset becomes a slice                |
//! | `kernel` | one file per operation, written once against `simd`                        |
//! | `quant`  | one file per block format, and the table of them by ggml type id           |
//! | `simd`   | 128-bit vectors: WASM's own, or an emulation for native tests              |
//! | `bare`   | in place of the standard library, which WASM does without; see `scalar`    |
#![cfg_attr(target_arch = "wasm32", no_std)]
#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code))]
// The instructions of WASM are no closures by themselves; their emulations are.
#![allow(clippy::redundant_closure)]
#[cfg(target_arch = "wasm32")]
mod abi;
#[cfg(target_arch = "wasm32")]
mod bare;
mod kernel;
#[cfg(test)]
mod oracle;
mod quant;
mod simd;
