//! Values that the compiler knows nothing about.

/// `x`, hidden from the compiler at the price of a store and a load.
///
/// For constants of inner loops: LLVM writes a vector constant at every use, and V8 builds it anew there in three
/// instructions; a hidden one stays in a register. And for trip counts: where LLVM unrolls a loop over accumulators,
/// it also gathers the operations on each of them, and what all of them need no longer fits the registers.
pub fn opaque<T>(x: T) -> T {
    core::hint::black_box(x)
}
