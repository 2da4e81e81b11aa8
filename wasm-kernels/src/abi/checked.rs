//! What the feature `checked` adds to every export; without it nothing is left of it in the binary.

/// Traps unless every named region lies in memory, starts at a multiple of 16 and no written one overlaps another.
///
/// ```text
/// checked!(write (out, 4 * n), read (x, 4 * n), read (weight, 4 * dim));
/// ```
/// Sizes are in bytes. An operation that works in place names the region once, as written.
macro_rules! checked {
    ($($kind:ident ($offset:expr, $bytes:expr)),+ $(,)?) => {
        #[cfg(feature = "checked")]
        $crate::abi::checked::regions(&[$((stringify!($kind), $offset as u64, $bytes as u64)),+]);
    };
}

/// See [`checked!`]: (`"read"` or `"write"`, offset, bytes) of each region.
#[cfg(feature = "checked")]
pub fn regions(regions: &[(&str, u64, u64)]) {
    let memory = (core::arch::wasm32::memory_size(0) as u64) << 16;
    for (i, &(kind, offset, bytes)) in regions.iter().enumerate() {
        assert!(offset % 16 == 0 && offset != 0 && offset + bytes <= memory);
        for (j, &(_, other, other_bytes)) in regions.iter().enumerate() {
            let apart = offset + bytes <= other || other + other_bytes <= offset || bytes == 0 || other_bytes == 0;
            assert!(i == j || kind == "read" || apart);
        }
    }
}
