//! Rows of floats that a codec keeps as such: recent tokens, and the parameters of groups.
use crate::kernel::kv::half::{f32_to_f16, Widen};
use crate::kernel::lanes::{load, store};
use crate::simd::*;

/// Rows of `width` floats, an even number, of 32 or 16 bits.
#[derive(Clone, Copy, Debug)]
pub struct Rows {
    pub width: usize,
    pub halves: bool,
}

impl Rows {
    /// 32-bit words of a row.
    pub fn words(&self) -> usize {
        self.width >> self.halves as usize
    }

    pub fn write(&self, row: &mut [u32], x: &[f32]) {
        if self.halves {
            for (word, x) in row.iter_mut().zip(x.as_chunks::<2>().0) {
                *word = f32_to_f16(x[0]) as u32 | (f32_to_f16(x[1]) as u32) << 16;
            }
        } else {
            row.iter_mut().zip(x).for_each(|(word, x)| *word = x.to_bits());
        }
    }

    #[inline(always)]
    pub fn get(&self, row: &[u32], i: usize) -> f32 {
        if self.halves {
            widened(row[i / 2] >> (i % 2 * 16))
        } else {
            f32::from_bits(row[i])
        }
    }

    /// `x`, as long as a row is wide, a multiple of 4.
    pub fn read(&self, row: &[u32], x: &mut [f32]) {
        let quads = x.as_chunks_mut::<4>().0;
        if self.halves {
            let widen = Widen::new();
            for (x, pair) in quads.iter_mut().zip(row.as_chunks::<2>().0) {
                // SAFETY: two words are four readable halves.
                store(x, widen.low(unsafe { i32x4_load_extend_i16x4(pair.as_ptr() as *const i16) }));
            }
        } else {
            for (x, words) in quads.iter_mut().zip(row.as_chunks::<4>().0) {
                store(x, load(&words.map(f32::from_bits)));
            }
        }
    }
}

/// The normal half or zero in the low 16 bits.
#[inline(always)]
fn widened(half: u32) -> f32 {
    f32::from_bits((half & 0x8000) << 16 | (half & 0x7fff) << 13) * f32::from_bits((112 + 127) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Random;
    use crate::quant::f16_to_f32;

    #[test]
    fn what_is_written_is_read() {
        let mut random = Random(31);
        for (width, halves) in [(8, false), (8, true), (20, false), (20, true)] {
            let rows = Rows { width, halves };
            let x = random.floats(width);
            let wanted: Vec<f32> = x.iter().map(|&x| if halves { f16_to_f32(f32_to_f16(x)) } else { x }).collect();
            let (mut row, mut got) = (vec![u32::MAX; rows.words()], vec![0.0; width]);
            rows.write(&mut row, &x);
            rows.read(&row, &mut got);
            assert_eq!(got, wanted);
            assert_eq!((0..width).map(|i| rows.get(&row, i)).collect::<Vec<_>>(), wanted);
        }
    }
}
