//! Two widths: tokens that matter are coded in twice the bits of the others. Source: ZipVL, arXiv 2410.08584 v1 §4.3.
//!
//! ```text
//! tokens wait exact; once `least` of them do, all are coded together, those that matter and the others apart:
//!   step = (max - min) / (2^bits - 1), code = round((x - min) / step), x' = code * step + min
//!   keys    max, min over the tokens, for each channel
//!   values  divided by the channel's sqrt(max |v|) over the tokens first; max, min over the channels, for each token
//! every slot has a row for `low` bits a channel; a token that matters fills it with the first of its codes, which have
//! twice as many, and has as much room elsewhere, in order of slots, for the rest
//! ```
//! - Nothing leaves a cache that is stored so: a slot is its token's position.
//! - Parameters lie beside the exact tokens, a set for each time that tokens were coded and each of the two kinds. When
//!   there is no room for another set, which takes a text that is cut back many times, the last one serves.
use super::fields::CodeRows;
use super::floats::Rows;
use super::form::{HEADER, SETS};
use super::kivi::BLOCK;
use super::MAX_DIM;
use crate::kernel::lanes::{load, store};
use crate::simd::*;

/// How one layer is coded.
#[derive(Clone, Copy, Debug)]
pub struct Mixed {
    /// Bits of a channel that all tokens have; those that matter have twice as many.
    pub low: u32,
    /// Tokens of a head that may matter.
    pub rich: usize,
    /// Sets of parameters.
    pub sets: usize,
    /// Tokens that are coded together at least.
    pub least: usize,
    pub capacity: usize,
    pub n_kv_heads: usize,
    pub key_dim: usize,
    pub value_dim: usize,
    pub halves: bool,
}

impl Mixed {
    pub(super) fn floats(&self, width: usize) -> Rows {
        Rows { width, halves: self.halves }
    }

    pub(super) fn codes(&self, dim: usize, matters: bool) -> CodeRows {
        CodeRows { bits: self.low << matters as u32, dim }
    }

    /// Words of a row of codes of `low` bits.
    pub fn row_words(&self, dim: usize) -> usize {
        self.codes(dim, false).words()
    }

    /// Words of a slot's value: its step and least, then its codes.
    pub fn value_words(&self) -> usize {
        self.floats(2).words() + self.row_words(self.value_dim)
    }

    fn rich_words(&self) -> usize {
        self.row_words(self.key_dim) + self.row_words(self.value_dim)
    }

    /// Words of a set of parameters: steps and leasts of keys, scales of values.
    fn set_words(&self) -> usize {
        self.floats(2 * self.key_dim + self.value_dim).words()
    }

    /// Where the ends of the sets lie, the marks of those that matter, how many do before each 32 slots, the sets of
    /// parameters, and the rest of codes; behind all of them the region goes on.
    pub(super) fn places(&self) -> [usize; 5] {
        let marks = HEADER + self.sets;
        let before = marks + self.capacity / 32;
        let sets = before + self.capacity / 32;
        let rich = sets + self.n_kv_heads * self.sets * 2 * self.set_words();
        [marks, before, sets, rich, rich + self.n_kv_heads * self.rich * self.rich_words()]
    }

    /// Words of all that.
    pub fn words(&self) -> usize {
        self.places()[4] - HEADER
    }

    /// The place of the rest of a position's codes, if it matters.
    pub(super) fn rich_of(&self, region: &[u32], head: usize, position: usize) -> Option<usize> {
        let [marks, before, _, rich, _] = self.places();
        let (block, bit) = (position / 32, position % 32);
        let bits = region[marks + block];
        let rank = region[before + block] + (bits & ((1 << bit) - 1)).count_ones();
        (bits >> bit & 1 != 0).then_some(rich + (head * self.rich + rank as usize) * self.rich_words())
    }

    /// Where a set of parameters of one kind begins.
    pub(super) fn set(&self, head: usize, set: usize, matters: bool) -> usize {
        self.places()[2] + ((head * self.sets + set) * 2 + matters as usize) * self.set_words()
    }

    /// The set that a position was coded with.
    fn set_of(&self, region: &[u32], position: usize) -> usize {
        let ends = &region[HEADER..][..region[SETS] as usize];
        ends.partition_point(|&end| end as usize <= position)
    }

    /// The slots of a block from `start` on; those that are not below `coded` are as the last one that is.
    #[inline(never)]
    fn tokens(&self, region: &[u32], head: usize, start: usize, coded: usize) -> [Token; BLOCK] {
        let [marks, before, _, rich, _] = self.places();
        let (bits, block) = (region[marks + start / BLOCK], start / BLOCK);
        let first = head * self.rich + region[before + block] as usize;
        let ends = &region[HEADER..][..region[SETS] as usize];
        let mut set = self.set_of(region, start);
        core::array::from_fn(|i| {
            let i = i.min(coded - 1 - start);
            while ends[set] as usize <= start + i {
                set += 1;
            }
            let rank = (bits & ((1 << i) - 1)).count_ones() as usize;
            let rest = (bits >> i & 1 != 0).then_some(rich + (first + rank) * self.rich_words());
            Token { slot: start + i, set, rest }
        })
    }

    /// Opens the keys of the 32 slots from `start` on, those below `coded`, as `f32[8, dim, 4]`.
    #[inline(never)]
    pub fn decode_keys(&self, region: &[u32], keys: &[u32], head: usize, start: usize, coded: usize, out: &mut [f32]) {
        let dim = self.key_dim;
        let (words, row) = (self.row_words(dim), self.floats(dim));
        // Steps and leasts of both kinds, of the set that the latest token was coded with.
        let (mut known, mut steps, mut leasts) = (usize::MAX, [[0.0; MAX_DIM]; 2], [[0.0; MAX_DIM]; 2]);
        let tokens = self.tokens(region, head, start, coded);
        for (tokens, out) in tokens.as_chunks::<4>().0.iter().zip(out.chunks_exact_mut(4 * dim)) {
            let mut rows = [Codes { rows: self.codes(dim, false), row: &[], rest: None }; 4];
            for (row, token) in rows[..opaque(4)].iter_mut().zip(tokens) {
                *row = self.opened(dim, &keys[token.slot * words..], token.rest.map(|at| &region[at..]));
            }
            let kinds = tokens.map(|token| token.rest.is_some() as usize);
            // Once for each set, mostly one: lanes behind those of another.
            let mut first = 0;
            while first < 4 {
                if tokens[first].set != known {
                    known = tokens[first].set;
                    for matters in 0..2 {
                        let set = &region[self.set(head, known, matters == 1)..];
                        row.read(set, &mut steps[matters][..dim]);
                        row.read(&set[row.words()..], &mut leasts[matters][..dim]);
                    }
                }
                let lanes = i32x4_lt(i32x4_splat(first as i32 - 1), i32x4(0, 1, 2, 3));
                let (steps, leasts) = (kinds.map(|kind| &steps[kind]), kinds.map(|kind| &leasts[kind]));
                for (part, out) in out.chunks_mut(4 * self.part()).enumerate() {
                    let mut fields = rows.map(|row| row.fields(part));
                    for (quad, out) in out.as_chunks_mut::<4>().0.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                        let at = part * self.part() + 4 * quad;
                        let four = core::array::from_fn(|i| {
                            let [step, least] = [steps[i], leasts[i]].map(|x| load(x[at..].first_chunk().unwrap()));
                            f32x4_add(f32x4_mul(self.next(&mut fields[i]), step), least)
                        });
                        for (out, four) in out.iter_mut().zip(transpose(four)) {
                            store(out, if first == 0 { four } else { v128_bitselect(four, load(out), lanes) });
                        }
                    }
                }
                let set = known;
                first = (first..4).find(|&i| tokens[i].set != set).unwrap_or(4);
            }
        }
    }

    /// Opens the values of the 32 slots from `start` on, those below `coded`, as `f32[32, dim]`.
    #[inline(never)]
    pub fn decode_values(
        &self,
        region: &[u32],
        values: &[u32],
        head: usize,
        start: usize,
        coded: usize,
        out: &mut [f32],
    ) {
        let dim = self.value_dim;
        let (pair, row) = (self.floats(2), self.floats(dim));
        // Scales of both kinds, of the set that the latest token was coded with.
        let (mut known, mut scales) = (usize::MAX, [[0.0; MAX_DIM]; 2]);
        for (token, out) in self.tokens(region, head, start, coded).iter().zip(out.chunks_exact_mut(dim)) {
            if token.set != known {
                known = token.set;
                for (scales, matters) in scales.iter_mut().zip([false, true]) {
                    let set = self.set(head, known, matters) + self.floats(2 * self.key_dim).words();
                    row.read(&region[set..], &mut scales[..dim]);
                }
            }
            let (params, row) = values[token.slot * self.value_words()..].split_at(pair.words());
            let rest = token.rest.map(|at| &region[at + self.row_words(self.key_dim)..]);
            let (codes, scales) = (self.opened(dim, row, rest), &scales[rest.is_some() as usize]);
            let [step, min] = [0, 1].map(|i| f32x4_splat(pair.get(params, i)));
            let parts = out.chunks_mut(self.part()).zip(scales.chunks(self.part()));
            for (part, (out, scales)) in parts.enumerate() {
                let mut fields = codes.fields(part);
                for (out, scale) in out.as_chunks_mut::<4>().0.iter_mut().zip(scales.as_chunks::<4>().0) {
                    let x = f32x4_add(f32x4_mul(self.next(&mut fields), step), min);
                    store(out, f32x4_mul(x, load(scale)));
                }
            }
        }
    }

    /// Channels whose codes, twice as wide, are four words.
    fn part(&self) -> usize {
        64 / self.low as usize
    }

    /// The first field of each lane, which leaves them.
    #[inline(always)]
    fn next(&self, fields: &mut v128) -> v128 {
        let code = v128_and(*fields, u32x4_splat((1 << (2 * self.low)) - 1));
        *fields = u32x4_shr(*fields, 2 * self.low);
        f32x4_convert_i32x4(code)
    }

    /// A row's codes, with the rest of them if there is one.
    #[inline(never)]
    fn opened<'a>(&self, dim: usize, row: &'a [u32], rest: Option<&'a [u32]>) -> Codes<'a> {
        let (rows, words) = (self.codes(dim, rest.is_some()), self.row_words(dim));
        Codes { rows, row: &row[..words], rest: rest.map(|rest| &rest[..rows.words() - words]) }
    }
}

/// A token that is coded.
#[derive(Clone, Copy)]
struct Token {
    slot: usize,
    /// The parameters that it was coded with.
    set: usize,
    /// Where the rest of its codes lies, if it matters.
    rest: Option<usize>,
}

/// A token's codes, those of one that matters in two pieces.
#[derive(Clone, Copy)]
struct Codes<'a> {
    rows: CodeRows,
    row: &'a [u32],
    rest: Option<&'a [u32]>,
}

impl Codes<'_> {
    /// Codes of channels in lanes, each in a field of as many bits as one that matters has.
    #[inline(never)]
    fn fields(&self, part: usize) -> v128 {
        match self.rest {
            Some(rest) => self.rows.four_words([self.row, rest], part),
            None => self.rows.wide(self.row, part),
        }
    }
}
