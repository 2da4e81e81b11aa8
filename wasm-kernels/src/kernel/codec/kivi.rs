//! KIVI: keys in few bits per channel over groups of tokens, values per token over groups of channels.
//! Source: arXiv 2402.02750 §3.
//!
//! ```text
//! step = (max - min) / (2^bits - 1), code = round((x - min) / step), x' = code * step + min
//! keys    a block of 32 slots: per group of slots and channel (step, min); then vectors, lane = slot % 4, in which the
//!         codes of slots lane, lane + 4, ... follow each other: 32 slots of one channel of 4 bits, of two of 2 bits
//! values  a row per slot: per group of channels (step, min); then the codes, as fields.rs says
//! ```
//! - Channels of keys that are large are so for every token: they get a step of their own.
//! - A vector of keys opens into those of attention's floats by shifts of whole vectors.
//! - So does a row of values.
use super::fields::{spread, CodeRows};
use super::floats::Rows;
use crate::kernel::kv::half::Widen;
use crate::kernel::lanes::store;
use crate::kernel::scalar::nearest;
use crate::simd::*;

/// Slots of a block.
pub const BLOCK: usize = 32;
/// Slots of attention's group: lanes of a vector.
const LANES: usize = 4;

/// Rounds to stored parameters and to codes.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    pub bits: u32,
    /// (step, min), as they are stored.
    pub params: Rows,
}

impl Grid {
    pub fn new(bits: u32, halves: bool) -> Self {
        Self { bits, params: Rows { width: 2, halves } }
    }

    fn mask(&self) -> u32 {
        (1 << self.bits) - 1
    }

    /// Step and least of stored parameters, in all lanes.
    #[inline(always)]
    fn pair(&self, params: &[u32], widen: &Widen) -> [v128; 2] {
        if self.params.halves {
            let pair = i32x4_splat(params[0] as i32);
            [widen.high(i32x4_shl(pair, 16)), widen.high(pair)]
        } else {
            [0, 1].map(|i| i32x4_splat(params[i] as i32))
        }
    }

    /// Stores the parameters of `x`; what makes codes of it.
    fn fit(&self, params: &mut [u32], x: impl Iterator<Item = f32> + Clone) -> Coder {
        let (low, high) = x.clone().fold((f32::MAX, f32::MIN), |(low, high), x| (low.min(x), high.max(x)));
        self.params.write(params, &[0.0, low]);
        let min = self.params.get(params, 1);
        self.params.write(params, &[(high - min) / self.mask() as f32, low]);
        let step = self.params.get(params, 0);
        Coder { min, inverse: if step > 0.0 { 1.0 / step } else { 0.0 }, most: self.mask() as f32 }
    }
}

/// Makes codes of numbers.
struct Coder {
    min: f32,
    inverse: f32,
    most: f32,
}

impl Coder {
    /// Ties to even.
    fn code(&self, x: f32) -> u32 {
        nearest((x - self.min) * self.inverse).clamp(0.0, self.most) as u32
    }
}

/// Keys of one KV head, block by block.
#[derive(Clone, Copy, Debug)]
pub struct KeyCodes {
    pub grid: Grid,
    /// Tokens that share a step: 8, 16 or 32.
    pub group: usize,
    pub dim: usize,
}

impl KeyCodes {
    fn param_words(&self) -> usize {
        BLOCK / self.group * self.dim * self.grid.params.words()
    }

    pub fn block_words(&self) -> usize {
        self.param_words() + self.dim * self.grid.bits as usize
    }

    fn param(&self, group: usize, channel: usize) -> usize {
        (group * self.dim + channel) * self.grid.params.words()
    }

    /// Word of a slot's code within its block, and its place there.
    fn place(&self, slot: usize, channel: usize) -> (usize, u32) {
        let (bits, share) = (self.grid.bits, 4 / self.grid.bits as usize);
        let word = self.param_words() + LANES * (channel / share) + slot % LANES;
        (word, bits * (slot / LANES) as u32 + (channel % share * 16) as u32)
    }

    /// One number of a slot below 32.
    pub fn get(&self, block: &[u32], slot: usize, channel: usize) -> f32 {
        let (word, shift) = self.place(slot, channel);
        let params = &block[self.param(slot / self.group, channel)..];
        let code = block[word] >> shift & self.grid.mask();
        code as f32 * self.grid.params.get(params, 0) + self.grid.params.get(params, 1)
    }

    /// Codes one channel of the slots from `first` on, the first of a group.
    pub fn encode(&self, block: &mut [u32], first: usize, channel: usize, x: &[f32]) {
        let at = self.param(first / self.group, channel);
        let coder = self.grid.fit(&mut block[at..], x.iter().copied());
        for (i, &x) in x.iter().enumerate() {
            let (word, shift) = self.place(first + i, channel);
            block[word] = block[word] & !(self.grid.mask() << shift) | coder.code(x) << shift;
        }
    }

    /// 32 keys as floats, interleaved as attention's F32 keys are.
    #[inline(never)]
    pub fn decode(&self, block: &[u32], out: &mut [f32]) {
        let (params, codes) = block[..self.block_words()].split_at(self.param_words());
        let (bits, share) = (self.grid.bits, 4 / self.grid.bits as usize);
        let out = &mut out.as_chunks_mut::<LANES>().0[..BLOCK / LANES * self.dim];
        let (fields, widen) = (u32x4_splat(opaque(15)), Widen::new());
        for (group, quads) in out.chunks_exact_mut(self.group / LANES * self.dim).enumerate() {
            for channel in 0..self.dim {
                let [step, min] = self.grid.pair(&params[self.param(group, channel)..], &widen);
                let codes: &[u32; LANES] = codes[LANES * (channel / share)..][..LANES].try_into().unwrap();
                // SAFETY: the reference covers 16 readable bytes.
                let codes = unsafe { v128_load(codes.as_ptr() as *const v128) };
                let mut codes =
                    u32x4_shr(codes, (channel % share * 16) as u32 + bits * (group * self.group / LANES) as u32);
                if bits == 2 {
                    codes = spread(codes, bits);
                }
                for pair in quads.chunks_exact_mut(2 * self.dim) {
                    for (at, code) in [(channel, codes), (self.dim + channel, u32x4_shr(codes, 4))] {
                        let code = f32x4_convert_i32x4(v128_and(code, fields));
                        store(&mut pair[at], f32x4_add(f32x4_mul(code, step), min));
                    }
                    codes = u32x4_shr(codes, 8);
                }
            }
        }
    }
}

/// Values of one KV head, a row per slot.
#[derive(Clone, Copy, Debug)]
pub struct ValueCodes {
    pub grid: Grid,
    /// Channels that share a step, a multiple of 8; the last group may be shorter.
    pub group: usize,
    pub dim: usize,
}

impl ValueCodes {
    fn param_words(&self) -> usize {
        self.dim.div_ceil(self.group) * self.grid.params.words()
    }

    fn codes(&self) -> CodeRows {
        CodeRows { bits: self.grid.bits, dim: self.dim }
    }

    pub fn row_words(&self) -> usize {
        self.param_words() + self.codes().words()
    }

    pub fn encode(&self, row: &mut [u32], x: &[f32]) {
        let (params, codes) = row.split_at_mut(self.param_words());
        codes.fill(0);
        for (group, x) in x.chunks(self.group).enumerate() {
            let coder = self.grid.fit(&mut params[group * self.grid.params.words()..], x.iter().copied());
            for (i, &x) in x.iter().enumerate() {
                self.codes().put([&mut *codes, &mut []], group * self.group + i, coder.code(x));
            }
        }
    }

    #[inline(never)]
    pub fn decode(&self, row: &[u32], out: &mut [f32]) {
        let (params, row) = row.split_at(self.param_words());
        let (codes, widen, sixteen) = (self.codes(), Widen::new(), u32x4_splat(opaque(15)));
        let (mut next, mut params, mut pair) =
            (0, params.chunks_exact(self.grid.params.words()), [f32x4_splat(0.0); 2]);
        for (part, out) in out[..self.dim].chunks_mut(BLOCK).enumerate() {
            let mut fields = if codes.bits == 2 { codes.wide(row, part) } else { codes.four_words([row, &[]], part) };
            for (eight, out) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                if BLOCK * part + 8 * eight == next {
                    pair = self.grid.pair(params.next().unwrap(), &widen);
                    next += self.group;
                }
                let [step, min] = pair;
                for (out, fields) in out.as_chunks_mut::<LANES>().0.iter_mut().zip([fields, u32x4_shr(fields, 4)]) {
                    let code = f32x4_convert_i32x4(v128_and(fields, sixteen));
                    store(out, f32x4_add(f32x4_mul(code, step), min));
                }
                fields = u32x4_shr(fields, 8);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{close, Random};

    /// By the definition, in float64: codes, step, min.
    fn naive(x: &[f32], bits: u32) -> (Vec<f64>, f64, f64) {
        let (low, high) = x.iter().fold((f64::MAX, f64::MIN), |(l, h), &x| (l.min(x as f64), h.max(x as f64)));
        let step = (high - low) / ((1 << bits) - 1) as f64;
        let code = |x: f32| if step > 0.0 { ((x as f64 - low) / step).round_ties_even() } else { 0.0 };
        (x.iter().map(|&x| code(x)).collect(), step, low)
    }

    #[test]
    fn keys_are_opened_as_their_definition_says() {
        let mut random = Random(32);
        for (bits, group, dim) in [(2, 8, 8), (2, 32, 16), (4, 16, 24), (4, 32, 64), (2, 16, 80), (4, 8, 256)] {
            for halves in [false, true] {
                let keys = KeyCodes { grid: Grid::new(bits, halves), group, dim };
                let mut block = vec![u32::MAX; keys.block_words()];
                let x = random.floats(BLOCK * dim);
                for (first, channel) in (0..BLOCK).step_by(group).flat_map(|f| (0..dim).map(move |c| (f, c))) {
                    let column: Vec<f32> = (first..first + group).map(|slot| x[slot * dim + channel]).collect();
                    keys.encode(&mut block, first, channel, &column);
                    let (codes, step, min) = naive(&column, bits);
                    for (i, code) in codes.iter().enumerate() {
                        let got = keys.get(&block, first + i, channel);
                        if halves {
                            close(got, column[i] as f64, step * 0.5 + 4e-3);
                        } else {
                            close(got, code * step + min, 2e-6);
                        }
                    }
                }
                let mut out = vec![f32::NAN; BLOCK * dim];
                keys.decode(&block, &mut out);
                for (slot, channel) in (0..BLOCK).flat_map(|s| (0..dim).map(move |c| (s, c))) {
                    let at = (slot / 4 * dim + channel) * 4 + slot % 4;
                    assert_eq!(out[at], keys.get(&block, slot, channel));
                }
            }
        }
    }

    #[test]
    fn values_are_opened_as_their_definition_says() {
        let mut random = Random(33);
        for (bits, group, dim) in [(2, 8, 8), (2, 8, 16), (4, 32, 64), (4, 32, 80), (2, 32, 96), (2, 64, 128)] {
            for halves in [false, true] {
                let values = ValueCodes { grid: Grid::new(bits, halves), group, dim };
                let mut row = vec![u32::MAX; values.row_words()];
                let x = random.floats(dim);
                values.encode(&mut row, &x);
                let mut out = vec![f32::NAN; dim];
                values.decode(&row, &mut out);
                for (x, out) in x.chunks(group).zip(out.chunks(group)) {
                    let (codes, step, min) = naive(x, bits);
                    for ((x, out), code) in x.iter().zip(out).zip(codes) {
                        if halves {
                            close(*out, *x as f64, step * 0.5 + 4e-3);
                        } else {
                            close(*out, code * step + min, 2e-6);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn equal_numbers_have_no_step() {
        let keys = KeyCodes { grid: Grid::new(2, false), group: 8, dim: 8 };
        let mut block = vec![u32::MAX; keys.block_words()];
        keys.encode(&mut block, 8, 3, &[-1.5; 8]);
        assert!((8..16).all(|slot| keys.get(&block, slot, 3) == -1.5));
    }
}
