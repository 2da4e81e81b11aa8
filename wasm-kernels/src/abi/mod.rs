//! The only exports of the module, in scalar form: offsets, counts and ids as `u32`, scalars as `f32`.
//! Order of arguments: destination, sources, counts from outermost to innermost, type ids, scalars.
use wasm_bindgen::prelude::wasm_bindgen;

#[macro_use]
mod checked;
mod attention;
#[cfg(feature = "calibrate")]
mod books;
mod cascade;
mod classes;
mod clusters;
mod codec;
mod elementwise;
mod embedding;
#[cfg(feature = "calibrate")]
mod gradient;
mod logits;
mod mass;
mod matmul;
mod pages;
mod policy;
mod policy_stored;
mod quant;
mod signal;
mod sketches;

extern "C" {
    /// Placed by the linker at the end of the module's own data and stack.
    static __heap_base: u8;
}

/// Bytes at the start of memory that belong to the module itself; what a plan places starts behind them.
#[wasm_bindgen]
pub fn reserved_bytes() -> u32 {
    &raw const __heap_base as u32
}

/// `n` values at an offset.
///
/// # Safety
/// The offset is aligned for `T`, inside memory for all `n`, and nothing writes there while the slice lives.
#[inline(always)]
unsafe fn read<'a, T>(offset: u32, n: u32) -> &'a [T] {
    core::slice::from_raw_parts(offset as *const T, n as usize)
}

/// `n` writable values at an offset.
///
/// # Safety
/// As `read`, and nothing else reads or writes there while the slice lives.
#[inline(always)]
unsafe fn write<'a, T>(offset: u32, n: u32) -> &'a mut [T] {
    core::slice::from_raw_parts_mut(offset as *mut T, n as usize)
}

/// `read`, where offset 0 stands for nothing.
#[inline(always)]
unsafe fn optional<'a, T>(offset: u32, n: u32) -> Option<&'a [T]> {
    (offset != 0).then(|| read(offset, n))
}

/// A writable copy at `out` of the `n` floats at `x`, for kernels that work in place; `out` may be `x`.
#[inline(always)]
unsafe fn place<'a>(out: u32, x: u32, n: u32) -> &'a mut [f32] {
    core::ptr::copy(x as *const f32, out as *mut f32, n as usize);
    write(out, n)
}
