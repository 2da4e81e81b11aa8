//! Codebooks of coupled quantization: weighted k-means of every group of channels.
//! Source: arXiv 2405.03917 §3.3 (weights), Lloyd 1982 (rounds).
//!
//! ```text
//! seed    first centre = the point of largest weight, next = of largest weight * squared distance to the nearest centre
//! round   label of a point = nearest centre;  centre = weighted mean of its points; one without points stays
//! ```
//! The lower index wins among equals, so that a text gives the same codebooks everywhere.
use super::cq::nearest;
use super::floats::Rows;

/// Most centres of a group, and most channels.
const MAX_CENTRES: usize = 256;
const MAX_CHANNELS: usize = 32;

/// All heads of one layer's keys, or values.
pub struct Training<'a> {
    /// `f32[G, dim / channels, centres, channels]`
    pub books: &'a mut [f32],
    /// `f32[G, n, dim]`
    pub points: &'a [f32],
    /// `f32[G, n, dim / channels]`, or `f32[G, n]` for all groups alike.
    pub weights: &'a [f32],
    pub n: usize,
    pub dim: usize,
    pub channels: usize,
    pub centres: usize,
}

impl Training<'_> {
    fn groups(&self) -> usize {
        self.dim / self.channels
    }

    /// Floats of one group's part of a book.
    fn part(&self) -> usize {
        self.channels * self.centres
    }

    /// A point's channels of a group of a head, and its weight; `at` counts the groups of all heads.
    fn point(&self, at: usize, i: usize) -> (&[f32], f32) {
        let (row, group) = (at / self.groups() * self.n + i, at % self.groups());
        let x = &self.points[row * self.dim + group * self.channels..][..self.channels];
        let of_group =
            if self.weights.len() == self.points.len() / self.dim { row } else { row * self.groups() + group };
        (x, self.weights[of_group])
    }

    /// Places `used` centres of each group and leaves the others infinitely far; `distances f32[n]` is scratch.
    pub fn seed(&mut self, distances: &mut [f32], used: usize) {
        let part = self.part();
        self.books.fill(f32::INFINITY);
        for at in 0..self.books.len() / part {
            distances.fill(1.0);
            for centre in 0..used {
                let mut best = (f32::NEG_INFINITY, 0);
                for (i, distance) in distances.iter().enumerate() {
                    let weighted = self.point(at, i).1 * distance;
                    if weighted > best.0 {
                        best = (weighted, i);
                    }
                }
                let mut x = [0.0; MAX_CHANNELS];
                let x = &mut x[..self.channels];
                x.copy_from_slice(self.point(at, best.1).0);
                self.books[at * part + centre * self.channels..][..x.len()].copy_from_slice(x);
                for (i, distance) in distances.iter_mut().enumerate() {
                    let apart = x.iter().zip(self.point(at, i).0).map(|(a, b)| (a - b) * (a - b)).sum();
                    *distance = if centre == 0 { apart } else { distance.min(apart) };
                }
            }
        }
    }

    /// `labels u32[G, dim / channels, n]`; how many of them have changed.
    pub fn round(&mut self, labels: &mut [u32]) -> u32 {
        let (part, centre) = (self.part(), Rows { width: self.channels, halves: false });
        let mut changed = 0;
        for (at, labels) in labels.chunks_exact_mut(self.n).enumerate() {
            let mut changed_here = 0;
            // SAFETY: floats are words.
            let book = unsafe { core::slice::from_raw_parts(self.books[at * part..].as_ptr() as *const u32, part) };
            for (i, label) in labels.iter_mut().enumerate() {
                let new = nearest(book, centre, self.point(at, i).0).0 as u32;
                changed_here += (*label != new) as u32;
                *label = new;
            }
            if changed_here > 0 {
                self.average(at, labels);
            }
            changed += changed_here;
        }
        changed
    }

    fn average(&mut self, at: usize, labels: &[u32]) {
        for channel in 0..self.channels {
            let mut sums = [(0.0f64, 0.0f64); MAX_CENTRES];
            for (i, &label) in labels.iter().enumerate() {
                let (x, weight) = self.point(at, i);
                let (sum, weights) = &mut sums[label as usize];
                *sum += weight as f64 * x[channel] as f64;
                *weights += weight as f64;
            }
            let part = at * self.part()..(at + 1) * self.part();
            for (centre, (sum, weights)) in self.books[part].chunks_exact_mut(self.channels).zip(sums) {
                if weights > 0.0 {
                    centre[channel] = (sum / weights) as f32;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // Points 0, 1, 10, 11 with weights 1, 3, 1, 1 in the second of two groups of one channel; the first is constant.
        let points: Vec<f32> = [0.0, 1.0, 10.0, 11.0].iter().flat_map(|x| [5.0, *x]).collect();
        let weights: Vec<f32> = [1.0, 3.0, 1.0, 1.0].iter().flat_map(|w| [1.0, *w]).collect();
        for (used, wanted) in [(4, [1.0, 11.0, 0.0, 10.0]), (2, [0.75, 10.5, f32::INFINITY, f32::INFINITY])] {
            let (mut books, mut labels) = (vec![f32::NAN; 8], vec![u32::MAX; 8]);
            let (points, weights) = (&points, &weights);
            let mut training = Training { books: &mut books, points, weights, n: 4, dim: 2, channels: 1, centres: 4 };
            training.seed(&mut [0.0; 4], used);
            assert_eq!(training.books[4..6], [1.0, 11.0]);
            while training.round(&mut labels) > 0 {}
            assert_eq!(labels[..4], [0; 4]);
            assert_eq!(labels[4..], if used == 4 { [2, 0, 3, 1] } else { [0, 0, 1, 1] });
            assert_eq!(books[4..], wanted);
        }
    }
}
