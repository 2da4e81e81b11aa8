//! Coupled quantization: a byte for a group of neighbouring channels, which names the nearest of a codebook's centres.
//! Source: arXiv 2405.03917 §3.
//!
//! ```text
//! code[u] = argmin over j of |x[u] - centre[u][j]|^2      x' = centre[code]        u: group of channels
//! ```
//! A codebook is a row of centres for each channel, of 32- or 16-bit floats, so that distances to four centres are one
//! vector.
use super::floats::Rows;
use crate::kernel::kv::half::Widen;
use crate::kernel::lanes::{load, store};
use crate::simd::*;

/// Codes of keys or values of one KV head, a row per slot.
#[derive(Clone, Copy, Debug)]
pub struct Coupled {
    pub dim: usize,
    /// Channels of a group.
    pub channels: usize,
    /// A row of centres: a multiple of 4, at most 256.
    pub centres: Rows,
}

impl Coupled {
    pub fn groups(&self) -> usize {
        self.dim / self.channels
    }

    pub fn row_words(&self) -> usize {
        self.groups().div_ceil(4)
    }

    /// Words of a KV head's codebook.
    pub fn book_words(&self) -> usize {
        self.dim * self.centres.words()
    }

    /// Words of a group's part of it.
    fn group_words(&self) -> usize {
        self.channels * self.centres.words()
    }

    pub fn encode(&self, row: &mut [u32], book: &[u32], x: &[f32]) {
        row.fill(0);
        let groups = x.chunks_exact(self.channels).zip(book.chunks_exact(self.group_words()));
        for (u, (x, book)) in groups.enumerate() {
            row[u / 4] |= (nearest(book, self.centres, x).0 as u32) << (u % 4 * 8);
        }
    }

    /// A code of a slot's row: of a slot without a code whatever may be one.
    #[inline(always)]
    fn code(&self, row: &[u32], channel: usize) -> usize {
        let u = channel >> self.channels.trailing_zeros();
        ((row[u / 4] >> (u % 4 * 8) & 255) as usize).min(self.centres.width - 1)
    }

    /// Four numbers: of a channel's row of centres each the one that a code names.
    #[inline(always)]
    fn four(&self, widen: &Widen, rows: [&[u32]; 4], codes: [usize; 4]) -> v128 {
        // SAFETY: a code is below the number of centres, which a row holds.
        let number = |i: usize| unsafe {
            if self.centres.halves {
                *(rows[i].as_ptr() as *const i16).add(codes[i]) as i32
            } else {
                *rows[i].as_ptr().add(codes[i]) as i32
            }
        };
        let four = i32x4(number(0), number(1), number(2), number(3));
        if self.centres.halves {
            widen.low(four)
        } else {
            four
        }
    }

    fn row<'a>(&self, book: &'a [u32], channel: usize) -> &'a [u32] {
        &book[channel * self.centres.words()..][..self.centres.words()]
    }

    /// 32 rows as floats, interleaved as attention's F32 keys are; channel by channel, so that few centres lie in the
    /// first cache at a time.
    #[inline(never)]
    pub fn decode_keys(&self, rows: &[u32], book: &[u32], out: &mut [f32]) {
        let (widen, words) = (Widen::new(), self.row_words());
        let out = out.as_chunks_mut::<4>().0;
        for first in (0..self.dim).step_by(self.channels) {
            let codes: [usize; 32] = core::array::from_fn(|slot| self.code(&rows[slot * words..], first));
            for channel in first..first + self.channels {
                let row = self.row(book, channel);
                for (quad, codes) in codes.as_chunks::<4>().0.iter().enumerate() {
                    store(&mut out[quad * self.dim + channel], self.four(&widen, [row; 4], *codes));
                }
            }
        }
    }

    /// 32 rows as floats, row by row; four channels after four.
    #[inline(never)]
    pub fn decode_values(&self, rows: &[u32], book: &[u32], out: &mut [f32]) {
        let (widen, words) = (Widen::new(), self.row_words());
        for first in (0..self.dim).step_by(4) {
            let of_channels = core::array::from_fn(|i| self.row(book, first + i));
            for (row, out) in rows.chunks_exact(words).zip(out.chunks_exact_mut(self.dim)) {
                // Channels go in groups of at least two.
                let codes = [first, first, first + 2, first + 2].map(|channel| self.code(row, channel));
                store((&mut out[first..first + 4]).try_into().unwrap(), self.four(&widen, of_channels, codes));
            }
        }
    }
}

/// Numbers of a row of a table, or of sums: any byte names one.
const STRIDE: usize = 256;

/// By tables; see attend/looked_up.rs.
impl Coupled {
    /// Numbers of a table of products, or of sums of weights: a row for each code of a slot's words.
    pub fn table_len(&self) -> usize {
        4 * self.row_words() * STRIDE
    }

    /// `table[u][j] = scale * q[u]·centre[u][j]`, and 0 behind the last group.
    pub fn tabulate(&self, book: &[u32], q: &[f32], scale: f32, table: &mut [f32]) {
        let mut groups = q.chunks_exact(self.channels).zip(book.chunks_exact(self.group_words()));
        for table in table.chunks_exact_mut(STRIDE) {
            let Some((q, book)) = groups.next() else {
                table.fill(0.0);
                continue;
            };
            for (quad, table) in table[..self.centres.width].as_chunks_mut::<4>().0.iter_mut().enumerate() {
                let mut sum = f32x4_splat(0.0);
                for (q, row) in q.iter().zip(book.chunks_exact(self.centres.words())) {
                    sum = f32x4_madd(f32x4_splat(q * scale), self.centres.quad(row, quad), sum);
                }
                store(table, sum);
            }
        }
    }

    /// The table's entry of each slot's codes, summed.
    pub fn look_up(&self, rows: &[u32], table: &[f32], sums: &mut [f32]) {
        let words = self.row_words();
        assert!(table.len() == words * 4 * STRIDE);
        for (row, sum) in rows.chunks_exact(words).zip(sums) {
            let mut two = [0.0; 2];
            for (&codes, table) in row.iter().zip(table.chunks_exact(4 * STRIDE)) {
                // SAFETY: a byte is below the length of each of the four rows.
                let at = |u: usize| unsafe { *table.get_unchecked(u * STRIDE + (codes as usize >> (8 * u) & 255)) };
                two = [two[0] + (at(0) + at(1)), two[1] + (at(2) + at(3))];
            }
            *sum = two[0] + two[1];
        }
    }

    /// Adds a slot's weight to the sums of its codes.
    #[inline(always)]
    pub fn gather(&self, row: &[u32], weight: f32, sums: &mut [f32]) {
        for (&codes, sums) in row.iter().zip(sums.chunks_exact_mut(4 * STRIDE)) {
            for u in 0..4 {
                // SAFETY: as above.
                unsafe { *sums.get_unchecked_mut(u * STRIDE + (codes as usize >> (8 * u) & 255)) += weight };
            }
        }
    }

    /// `out[u] += sum over j of sums[u][j] * centre[u][j]`, over centres that have any.
    pub fn spread(&self, book: &[u32], sums: &[f32], out: &mut [f32]) {
        let rows = book.chunks_exact(self.centres.words());
        for (channel, (out, row)) in out.iter_mut().zip(rows).enumerate() {
            let sums = &sums[channel / self.channels * STRIDE..][..self.centres.width];
            let mut total = f32x4_splat(0.0);
            for (quad, sums) in sums.as_chunks::<4>().0.iter().enumerate() {
                let (sums, centres) = (load(sums), self.centres.quad(row, quad));
                // One that was never learned is infinite.
                let centres = v128_andnot(centres, f32x4_eq(sums, f32x4_splat(0.0)));
                total = f32x4_madd(sums, centres, total);
            }
            *out += f32x4_sum(total);
        }
    }
}

/// The centre nearest to `x` in a group's part of a book, ties to the lower one, and the squared distance.
#[inline(never)]
pub fn nearest(book: &[u32], centres: Rows, x: &[f32]) -> (usize, f32) {
    let (mut least, mut at) = (f32x4_splat(f32::INFINITY), i32x4_splat(0));
    let widen = Widen::new();
    for first in (0..centres.width).step_by(4) {
        let mut distance = f32x4_splat(0.0);
        for (x, of_channel) in x.iter().zip(book.chunks_exact(centres.words())) {
            // SAFETY: four of the row's floats, whose number is a multiple of four.
            let four = unsafe {
                if centres.halves {
                    widen.low(i32x4_load_extend_i16x4(of_channel[first / 2..][..2].as_ptr() as *const i16))
                } else {
                    v128_load(of_channel[first..][..4].as_ptr() as *const v128)
                }
            };
            let apart = f32x4_sub(f32x4_splat(*x), four);
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
        if closer {
            one
        } else {
            best
        }
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
        for (dim, channels, centres, halves) in
            [(8, 4, 8, false), (16, 2, 256, true), (32, 8, 256, false), (24, 4, 16, true)]
        {
            let coupled = Coupled { dim, channels, centres: Rows { width: centres, halves } };
            let (mut words, x) = (vec![0; coupled.book_words()], random.floats(dim));
            for row in words.chunks_mut(coupled.centres.words()) {
                coupled.centres.write(row, &random.floats(centres));
            }
            let book: Vec<f32> = words
                .chunks(coupled.centres.words())
                .flat_map(|row| (0..centres).map(move |j| coupled.centres.get(row, j)))
                .collect();
            let (mut row, mut out) = (vec![u32::MAX; coupled.row_words()], vec![f32::NAN; dim]);
            coupled.encode(&mut row, &words, &x);
            let rows: Vec<u32> = (0..32).flat_map(|_| row.clone()).collect();
            let (mut keys, mut values) = (vec![f32::NAN; 32 * dim], vec![f32::NAN; 32 * dim]);
            coupled.decode_keys(&rows, &words, &mut keys);
            coupled.decode_values(&rows, &words, &mut values);
            out.copy_from_slice(&values[..dim]);
            assert!(values.chunks(dim).all(|value| value == out));
            assert!(keys.iter().enumerate().all(|(i, key)| *key == out[i / 4 % dim]));
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
        let bits = |x: [f32; 8]| x.map(f32::to_bits);
        let rows = |width| Rows { width, halves: false };
        let book = bits([3.0, -1.0, 1.0, 5.0, 1.0, 1.0, -1.0, 9.0]);
        assert_eq!(nearest(&book, rows(8), &[0.0]), (1, 1.0));
        let book = bits([0.0, f32::INFINITY, 2.0, f32::NAN, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(nearest(&book, rows(4), &[7.0]), (2, 25.0));
    }
}
