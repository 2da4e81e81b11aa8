//! Coupled quantization: a byte for a group of neighbouring channels, which names the nearest of a codebook's centres.
//! Source: arXiv 2405.03917 §3.
//!
//! ```text
//! code[u] = argmin over j of |x[u] - centre[u][j]|^2      x' = centre[code]        u: group of channels
//! ```
//! - A centre's channels, floats of 32 or 16 bits, lie next to each other: opening a code is one load for up to four of
//!   them. Distances are taken from four centres at once, which are turned to one channel a vector.
//! - Bound by finding codes and loading what they name, 18 instructions for four channels.
use super::floats::Rows;
use super::kivi::BLOCK;
use crate::kernel::kv::half::Widen;
use crate::kernel::lanes::{load, store};
use crate::simd::*;

/// Codes of keys or values of one KV head, a row per slot.
#[derive(Clone, Copy, Debug)]
pub struct Coupled {
    pub dim: usize,
    /// Centres of a group: a multiple of 4, at most 256.
    pub n: usize,
    /// A centre: as many channels as are coded together.
    pub centre: Rows,
}

/// Words of a centre of a group of 32 channels, which is the widest.
const MAX_WORDS: usize = 32;

impl Coupled {
    pub fn groups(&self) -> usize {
        self.dim / self.centre.width
    }

    pub fn row_words(&self) -> usize {
        self.groups().div_ceil(4)
    }

    /// Words of a KV head's codebook.
    pub fn book_words(&self) -> usize {
        self.groups() * self.group_words()
    }

    /// Words of a group's part of it.
    fn group_words(&self) -> usize {
        self.n * self.centre.words()
    }

    pub fn encode(&self, row: &mut [u32], book: &[u32], x: &[f32]) {
        row.fill(0);
        let groups = x.chunks_exact(self.centre.width).zip(book.chunks_exact(self.group_words()));
        for (u, (x, book)) in groups.enumerate() {
            row[u / 4] |= (nearest(book, self.centre, x).0 as u32) << (u % 4 * 8);
        }
    }

    /// 32 rows as floats, four channels of four slots at a time: interleaved as attention's F32 keys are, or row by row.
    /// Channels are the outer loop, so that few centres lie in the first cache at a time.
    #[inline(never)]
    pub fn decode(&self, rows: &[u32], book: &[u32], interleaved: bool, out: &mut [f32]) {
        let Self { dim, n, centre } = *self;
        let (widen, words, bytes) = (Widen::new(), centre.words(), 4 * self.row_words());
        assert!(rows.len() >= BLOCK * self.row_words() && book.len() >= self.book_words());
        for channel in (0..dim).step_by(4) {
            let (group, within) = (channel / centre.width, (channel % centre.width) >> centre.halves as u32);
            for (four, out) in out.chunks_exact_mut(4 * dim).enumerate() {
                // SAFETY: a row has a byte for each group, and a book `n` centres of `words` words for each, four channels
                // of which lie within one centre or in two. Of a slot without a code whatever may be one.
                let slots = core::array::from_fn(|i| unsafe {
                    let codes = (rows.as_ptr() as *const u8).add((4 * four + i) * bytes + group);
                    let at = |u: usize| {
                        let code = (*codes.add(u) as usize).min(n - 1);
                        book.as_ptr().add(((group + u) * n + code) * words + within)
                    };
                    let second = if centre.width == 2 { at(1) } else { at(0).add(2 >> centre.halves as u32) };
                    if centre.halves {
                        let (a, b) = (v128_load32_splat(at(0)), v128_load32_splat(second));
                        widen.low(i32x4_extend_low_i16x8(i32x4_shuffle::<0, 4, 0, 4>(a, b)))
                    } else {
                        let [a, b] = [at(0), second].map(|at| v128_load64_zero(at as *const u64));
                        i64x2_shuffle::<0, 2>(a, b)
                    }
                });
                let (slots, first, step) =
                    if interleaved { (transpose(slots), channel, 1) } else { (slots, channel / 4, dim / 4) };
                let out = out.as_chunks_mut::<4>().0;
                (0..4).for_each(|i| store(&mut out[first + i * step], slots[i]));
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
        let mut groups = q.chunks_exact(self.centre.width).zip(book.chunks_exact(self.group_words()));
        for table in table.chunks_exact_mut(STRIDE) {
            let Some((q, book)) = groups.next() else {
                table.fill(0.0);
                continue;
            };
            let mut four = Four::new(book, self.centre);
            for (quad, table) in table[..self.n].as_chunks_mut::<4>().0.iter_mut().enumerate() {
                four.turn(quad);
                let channels = q.iter().enumerate();
                let sum = channels
                    .fold(f32x4_splat(0.0), |sum, (i, q)| f32x4_madd(f32x4_splat(q * scale), four.channel(i), sum));
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
        let groups = out.chunks_exact_mut(self.centre.width).zip(book.chunks_exact(self.group_words()));
        for ((out, book), sums) in groups.zip(sums.chunks_exact(STRIDE)) {
            let mut totals = [f32x4_splat(0.0); MAX_WORDS];
            let mut four = Four::new(book, self.centre);
            for (quad, sums) in sums[..self.n].as_chunks::<4>().0.iter().enumerate() {
                let sums = load(sums);
                four.turn(quad);
                for (i, total) in totals[..out.len()].iter_mut().enumerate() {
                    // One that was never learned is infinite.
                    let centres = v128_andnot(four.channel(i), f32x4_eq(sums, f32x4_splat(0.0)));
                    *total = f32x4_madd(sums, centres, *total);
                }
            }
            out.iter_mut().zip(totals).for_each(|(out, total)| *out += f32x4_sum(total));
        }
    }
}

/// Four centres of a group, turned to a vector for each word of a centre.
struct Four<'a> {
    book: &'a [u32],
    centre: Rows,
    words: [v128; MAX_WORDS],
    widen: Widen,
}

impl<'a> Four<'a> {
    #[inline(always)]
    fn new(book: &'a [u32], centre: Rows) -> Self {
        Self { book, centre, words: [f32x4_splat(0.0); MAX_WORDS], widen: Widen::new() }
    }

    /// Takes the centres from 4 `quad` on.
    #[inline(never)]
    fn turn(&mut self, quad: usize) {
        let words = self.centre.words();
        let centres = &self.book[4 * quad * words..][..4 * words];
        // SAFETY: vectors lie within the words of four centres.
        let four = |at: usize| unsafe { v128_load(centres[at..][..4].as_ptr() as *const v128) };
        match words {
            1 => self.words[0] = four(0),
            2 => {
                let (a, b) = (four(0), four(4));
                self.words[0] = i32x4_shuffle::<0, 2, 4, 6>(a, b);
                self.words[1] = i32x4_shuffle::<1, 3, 5, 7>(a, b);
            }
            _ => {
                for at in (0..words).step_by(4) {
                    let turned = transpose(core::array::from_fn(|i| four(i * words + at)));
                    self.words[at..at + 4].copy_from_slice(&turned);
                }
            }
        }
    }

    /// A channel of all of them.
    #[inline(always)]
    fn channel(&self, i: usize) -> v128 {
        if !self.centre.halves {
            return self.words[i];
        }
        let pair = self.words[i / 2];
        self.widen.high(if i.is_multiple_of(2) { i32x4_shl(pair, 16) } else { pair })
    }
}

/// The centre nearest to `x` in a group's part of a book, ties to the lower one, and the squared distance.
#[inline(never)]
pub fn nearest(book: &[u32], centre: Rows, x: &[f32]) -> (usize, f32) {
    let (mut least, mut at) = (f32x4_splat(f32::INFINITY), i32x4_splat(0));
    let mut four = Four::new(book, centre);
    for quad in 0..book.len() / centre.words() / 4 {
        four.turn(quad);
        let distance = x.iter().enumerate().fold(f32x4_splat(0.0), |sum, (i, x)| {
            let apart = f32x4_sub(f32x4_splat(*x), four.channel(i));
            f32x4_add(sum, f32x4_mul(apart, apart))
        });
        let closer = f32x4_lt(distance, least);
        least = v128_bitselect(distance, least, closer);
        at = v128_bitselect(i32x4_splat(4 * quad as i32), at, closer);
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
            let coupled = Coupled { dim, n: centres, centre: Rows { width: channels, halves } };
            let (mut words, x) = (vec![0; coupled.book_words()], random.floats(dim));
            for row in words.chunks_mut(coupled.centre.words()) {
                coupled.centre.write(row, &random.floats(channels));
            }
            let book: Vec<f32> = words
                .chunks(coupled.centre.words())
                .flat_map(|row| (0..channels).map(move |c| coupled.centre.get(row, c)))
                .collect();
            let (mut row, mut out) = (vec![u32::MAX; coupled.row_words()], vec![f32::NAN; dim]);
            coupled.encode(&mut row, &words, &x);
            let rows: Vec<u32> = (0..32).flat_map(|_| row.clone()).collect();
            let (mut keys, mut values) = (vec![f32::NAN; 32 * dim], vec![f32::NAN; 32 * dim]);
            coupled.decode(&rows, &words, true, &mut keys);
            coupled.decode(&rows, &words, false, &mut values);
            out.copy_from_slice(&values[..dim]);
            assert!(values.chunks(dim).all(|value| value == out));
            assert!(keys.iter().enumerate().all(|(i, key)| *key == out[i / 4 % dim]));
            for u in 0..coupled.groups() {
                let centre = |j: usize| (0..channels).map(move |c| (u * centres + j) * channels + c);
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
        assert_eq!(nearest(&book, rows(1), &[0.0]), (1, 1.0));
        let book = bits([0.0, f32::INFINITY, 2.0, f32::NAN, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(nearest(&book, rows(1), &[7.0]), (2, 25.0));
    }
}
