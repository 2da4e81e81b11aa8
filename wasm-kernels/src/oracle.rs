//! What the tests of the kernels share: lengths to try, numbers to try them on, and the comparison with an oracle.

/// A small generator (xorshift64*), so that every run tests the same numbers.
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u32 {
        // Without the constant the first draws of small seeds resemble each other.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) as u32
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.bits() as usize % n
    }

    /// Roughly normal, mean 0, variance 1: the sum of twelve uniform draws.
    pub fn float(&mut self) -> f32 {
        (0..12).map(|_| self.bits() as f32 / u32::MAX as f32).sum::<f32>() - 6.0
    }

    pub fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.float()).collect()
    }
}

/// Lengths around the widths of vectors, tiles and blocks.
pub fn lengths() -> impl Iterator<Item = usize> {
    (1..=17).chain(31..=33).chain(63..=65).chain(127..=129).chain([200, 577])
}

/// Panics unless `got` is within `tolerance * max(1, |wanted|)`.
#[track_caller]
pub fn close(got: f32, wanted: f64, tolerance: f64) {
    let error = (got as f64 - wanted).abs();
    assert!(error <= tolerance * wanted.abs().max(1.0), "got {got}, wanted {wanted}");
}
