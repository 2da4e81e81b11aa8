//! One file per operation. A kernel takes slices, never allocates, keeps no state and can't fail.
pub mod activation;
pub mod attend;
pub mod codec;
pub mod dequantize;
pub mod elementwise;
pub mod embedding;
pub mod formats;
#[cfg(any(feature = "calibrate", not(target_arch = "wasm32")))]
pub mod gradient;
pub mod index;
pub mod kv;
pub mod lanes;
pub mod logits;
pub mod math;
pub mod matmul;
pub mod matmul_float;
pub mod matvec;
pub mod norm;
pub mod panel;
pub mod policy;
pub mod quantize;
pub mod rope;
pub mod scalar;
pub mod shared;
pub mod tile;
pub mod topk;
pub mod weights;
