//! Coupled quantization: a byte for a group of neighbouring channels, which names the nearest of a codebook's centres.
//! Source: arXiv 2405.03917 §3.
//!
//! ```text
//! code[u] = argmin over j of |x[u] - centre[u][j]|^2      x' = centre[code]        u: group of channels
//! ```
//! A codebook is `f32[group, channel of the group, centre]`, so that distances to four centres are one vector.
use crate::kernel::lanes::store;
use crate::simd::*;

/// Codes of keys or values of one KV head, a row per slot.
#[derive(Clone, Copy, Debug)]
pub struct Coupled {
    pub dim: usize,
    /// Channels of a group.
    pub channels: usize,
    /// Centres of a group, a multiple of 4, at most 256.
    pub centres: usize,
}

impl Coupled {
    pub fn groups(&self) -> usize {
        self.dim / self.channels
    }

    pub fn row_words(&self) -> usize {
        self.groups().div_ceil(4)
    }

    /// Floats of a KV head's codebook.
    pub fn book_floats(&self) -> usize {
        self.dim * self.centres
    }

    pub fn encode(&self, row: &mut [u32], book: &[f32], x: &[f32]) {
        row.fill(0);
        let groups = x.chunks_exact(self.channels).zip(book.chunks_exact(self.channels * self.centres));
        for (u, (x, book)) in groups.enumerate() {
            row[u / 4] |= (nearest(book, self.centres, x).0 as u32) << (u % 4 * 8);
        }
    }

    /// `x` as the codes tell it.
    #[inline(never)]
    pub fn decode(&self, row: &[u32], book: &[f32], x: &mut [f32]) {
        let groups = x.chunks_exact_mut(self.channels).zip(book.chunks_exact(self.channels * self.centres));
        for (u, (x, book)) in groups.enumerate() {
            let code = (row[u / 4] >> (u % 4 * 8) & 255) as usize;
            x.iter_mut().zip(book.chunks_exact(self.centres)).for_each(|(x, of_channel)| *x = of_channel[code]);
        }
    }
}

/// The centre nearest to `x` in a group's book `f32[x.len(), n]`, ties to the lower one, and the squared distance.
#[inline(never)]
pub fn nearest(book: &[f32], n: usize, x: &[f32]) -> (usize, f32) {
    let (mut least, mut at) = (f32x4_splat(f32::INFINITY), i32x4_splat(0));
    for first in (0..n).step_by(4) {
        let mut distance = f32x4_splat(0.0);
        for (x, of_channel) in x.iter().zip(book.chunks_exact(n)) {
            // SAFETY: four of the `n` floats, a multiple of four.
            let centres = unsafe { v128_load(of_channel[first..first + 4].as_ptr() as *const v128) };
            let apart = f32x4_sub(f32x4_splat(*x), centres);
            distance = f32x4_add(distance, f32x4_mul(apart, apart));
        }
        let closer = f32x4_lt(distance, least);
        least = v128_bitselect(distance, least, closer);
        at = v128_bitselect(i32x4_splat(first as i32), at, closer);
    }
    let (mut distances, mut firsts) = ([0.0; 4], [0.0; 4]);
    store(&mut distances, least);
    store(&mut firsts, at);
    let candidates = (0..4).map(|lane| (distances[lane], firsts[lane].to_bits() as usize + lane));
    let best = candidates.fold((f32::INFINITY, 0), |best: (f32, usize), one| {
        let closer = one.0 < best.0 || (one.0 == best.0 && one.1 < best.1);
        if closer { one } else { best }
    });
    (best.1, best.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Random;

    #[test]
    fn codes_name_the_nearest_centres() {
        let mut random = Random(36);
        for (dim, channels, centres) in [(8, 4, 8), (16, 2, 256), (32, 8, 256), (24, 4, 16)] {
            let coupled = Coupled { dim, channels, centres };
            let (book, x) = (random.floats(coupled.book_floats()), random.floats(dim));
            let (mut row, mut out) = (vec![u32::MAX; coupled.row_words()], vec![f32::NAN; dim]);
            coupled.encode(&mut row, &book, &x);
            coupled.decode(&row, &book, &mut out);
            for u in 0..coupled.groups() {
                let centre = |j: usize| (0..channels).map(move |c| (u * channels + c) * centres + j);
                let apart = |j: usize| {
                    let each = centre(j).enumerate().map(|(c, at)| x[u * channels + c] as f64 - book[at] as f64);
                    each.map(|x| x * x).sum::<f64>()
                };
                let wanted = (0..centres).min_by(|&a, &b| apart(a).total_cmp(&apart(b))).unwrap();
                assert_eq!((row[u / 4] >> (u % 4 * 8) & 255) as usize, wanted);
                assert!(centre(wanted).enumerate().all(|(c, at)| out[u * channels + c] == book[at]));
            }
        }
    }

    #[test]
    fn ties_go_to_the_lower_centre() {
        let book = [3.0, -1.0, 1.0, 5.0, 1.0, 1.0, -1.0, 9.0];
        assert_eq!(nearest(&book, 8, &[0.0]), (1, 1.0));
        assert_eq!(nearest(&[0.0, f32::INFINITY, 2.0, f32::NAN], 4, &[7.0]), (2, 25.0));
    }
}
