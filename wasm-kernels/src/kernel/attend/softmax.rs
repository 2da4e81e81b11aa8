//! From dot products to weights of values: position bias, mask, running maximum, exponentials, rounding to 14 bits.
use super::chunk::{load_words, Chunk};
use super::rows::Row;
use super::{Extras, CHUNK};
use crate::kernel::activation::softcapped;
use crate::kernel::kv::KvType;
use crate::kernel::lanes::{load, store};
use crate::kernel::logits::max_lane;
use crate::kernel::math::Exp;
use crate::kernel::scalar::{exp, ln};
use crate::simd::*;

/// Which positions a token sees: `position - p <= reach`, modulo 2^32, so that one comparison excludes later positions,
/// those before the window, and empty slots.
#[derive(Clone, Copy, Default)]
pub struct Mask {
    position: u32,
    reach: u32,
}

impl Mask {
    pub fn new(position: u32, window: u32) -> Self {
        Self { position, reach: if window == 0 { position } else { position.min(window - 1) } }
    }

    /// Is nothing in this range visible?
    pub fn hides(&self, (low, high): (u32, u32)) -> bool {
        low > self.position || high < self.position - self.reach
    }

    /// Is all of this range visible?
    fn shows(&self, (low, high): (u32, u32)) -> bool {
        high <= self.position && self.position - low <= self.reach
    }
}

/// The largest of a row's logits in a chunk, and the largest scale of the values it sees there. Not of those that it does
/// not: a token's result must not depend on the tokens that are read with it.
#[derive(Clone, Copy)]
pub struct Top {
    pub logit: f32,
    scale: f32,
}

/// Turns scaled dot products, `top` the largest of them, into logits.
pub fn finish(logits: &mut [f32], top: f32, row: &Row, chunk: &Chunk, softcap: f32) -> Top {
    let is_plain = softcap == 0.0 && row.slope == 0.0 && chunk.head.extras.bias.is_none() && !chunk.has_gaps;
    if is_plain && row.mask.shows(chunk.range) {
        return Top { logit: top, scale: chunk.top_scale };
    }
    bias_and_mask(logits, row, chunk, softcap)
}

#[inline(never)]
fn bias_and_mask(logits: &mut [f32], row: &Row, chunk: &Chunk, softcap: f32) -> Top {
    let (mut top, mut top_scale) = (f32x4_splat(f32::NEG_INFINITY), f32x4_splat(0.0));
    let Extras { bias, active, ranks, .. } = chunk.head.extras;
    let quads = chunk.runs.iter().flat_map(|run| (0..run.n / 4).map(|i| (run.place / 4 + i, run.slot / 4 + i)));
    // Fours of slots: of the chunk, and of the head.
    for (i, quad) in quads {
        let (logits, scales) = (&mut logits.as_chunks_mut::<4>().0[i], &chunk.scales.as_chunks::<4>().0[i]);
        let behind = i32x4_sub(u32x4_splat(row.mask.position), load_words(&chunk.head.slots.as_chunks().0[quad]));
        let mut visible = u32x4_le(behind, u32x4_splat(row.mask.reach));
        let mut distance = behind;
        let mut logit = load(logits);
        if softcap != 0.0 {
            logit = softcapped(logit, softcap);
        }
        if let Some(bias) = bias {
            logit = f32x4_add(logit, load(&bias.as_chunks().0[quad]));
        }
        if let Some(active) = active {
            visible = v128_and(visible, lanes_of_bits(active[quad / 8] >> (quad % 8 * 4)));
        }
        if row.slope != 0.0 {
            if let Some(ranks) = ranks {
                distance = i32x4_sub(u32x4_splat(row.index), load_words(&ranks.as_chunks().0[quad]));
            }
            logit = f32x4_sub(logit, f32x4_mul(f32x4_splat(row.slope), f32x4_convert_u32x4(distance)));
        }
        let logit = v128_bitselect(logit, f32x4_splat(f32::NEG_INFINITY), visible);
        store(logits, logit);
        top = f32x4_pmax(top, logit);
        top_scale = f32x4_pmax(top_scale, v128_and(load(scales), visible));
    }
    Top { logit: max_lane(top), scale: max_lane(top_scale) }
}

/// Lane i is all ones where bit i is 1.
fn lanes_of_bits(bits: u32) -> v128 {
    let lanes = u32x4(1, 2, 4, 8);
    i32x4_eq(v128_and(u32x4_splat(bits), lanes), lanes)
}

/// By how much a logit may pass the maximum that weights are made against. Larger steps are few in any row.
const SLACK: f32 = 8.0;

/// A row's softmax so far.
#[derive(Clone, Copy)]
pub struct Running {
    /// The largest logit, or up to `SLACK` less.
    max: f32,
    /// Of e^(logit - max).
    sum: f32,
    /// Of the weights of 4-bit values: what the offset of their codes has to be multiplied with.
    weight_sum: f32,
}

impl Default for Running {
    fn default() -> Self {
        Self { max: f32::NEG_INFINITY, sum: 0.0, weight_sum: 0.0 }
    }
}

impl Running {
    /// Makes room for logits up to `max`; returns what the output and the weights so far have to be multiplied with, if
    /// anything.
    pub fn raise(&mut self, max: f32) -> Option<f32> {
        if max <= self.max + SLACK {
            return None;
        }
        let before = core::mem::replace(&mut self.max, max);
        // So far all weights are 0.
        if before == f32::NEG_INFINITY {
            return None;
        }
        let factor = exp(before - max);
        self.sum *= factor;
        self.weight_sum *= factor;
        Some(factor)
    }

    /// Normalises the output; returns the log-sum-exp.
    pub fn finish(&self, out: &mut [f32], kind: KvType) -> f32 {
        if self.max == f32::NEG_INFINITY {
            return self.max;
        }
        let offset = if kind == KvType::Q4_0 { f32x4_splat(-7.5 * self.weight_sum) } else { f32x4_splat(0.0) };
        let factor = f32x4_splat(1.0 / self.sum);
        for out in out.as_chunks_mut::<4>().0 {
            store(out, f32x4_mul(f32x4_add(load(out), offset), factor));
        }
        self.max + ln(self.sum)
    }
}

/// Weights of 4- and 8-bit values of a chunk, for one row.
#[derive(Clone, Copy)]
pub struct Weights {
    /// As 14-bit numbers, two words per four slots (see `simd::dot14`), the slots' scales included.
    pub words: [u32; CHUNK / 2],
    /// What one of those numbers stands for.
    pub unit: f32,
}

impl Default for Weights {
    fn default() -> Self {
        Self { words: [0; CHUNK / 2], unit: 0.0 }
    }
}

/// The weights `e^(logit - max)` of a chunk, which replace the logits, `top.logit` the largest of them. With values of
/// floats that is all.
pub fn weigh(weights: &mut Weights, state: &mut Running, logits: &mut [f32], top: Top, chunk: &Chunk, kind: KvType) {
    if top.logit == f32::NEG_INFINITY {
        *weights = Weights::default();
        return logits.fill(0.0);
    }
    if matches!(kind, KvType::F32 | KvType::F16) {
        state.sum += weigh_floats(logits, state.max);
        return;
    }
    // No weight in this chunk is larger.
    let bound = exp(top.logit - state.max) * top.scale;
    weights.unit = bound / 16383.0;
    let factor = if bound > 0.0 { 16383.0 / bound } else { 0.0 };
    let (sum, units) = weigh_codes(&mut weights.words, logits, chunk.scales, state.max, factor);
    state.sum += sum;
    state.weight_sum += units as f32 * weights.unit;
}

/// Replaces logits by e^(logit - max), returns the sum.
#[inline(never)]
fn weigh_floats(logits: &mut [f32], max: f32) -> f32 {
    let (mut sum, exp) = (f32x4_splat(0.0), Exp::new());
    for logits in logits.as_chunks_mut::<4>().0 {
        let [p] = exp.nonpositive([f32x4_sub(load(logits), f32x4_splat(max))]);
        sum = f32x4_add(sum, p);
        store(logits, p);
    }
    f32x4_sum(sum)
}

/// Replaces logits by e^(logit - max), and writes these times `scale * factor` as 14-bit numbers; returns the sum of the
/// exponentials and that of the numbers.
#[inline(never)]
fn weigh_codes(words: &mut [u32], logits: &mut [f32], scales: &[f32; CHUNK], max: f32, factor: f32) -> (f32, i32) {
    // Adding 2^23 rounds to an integer and leaves it in the low bits.
    let [magic, mask] = opaque([8_388_608.0, f32::from_bits(16383)]).map(|x| f32x4_splat(x));
    let exp = Exp::new();
    let (max, factor) = (f32x4_splat(max), f32x4_splat(factor));
    let (mut sum, mut units) = (f32x4_splat(0.0), i32x4_splat(0));
    let sixteens = logits.as_chunks_mut::<16>().0.iter_mut().zip(scales.as_chunks::<16>().0);
    for (words, (logits, scales)) in words.as_chunks_mut::<8>().0.iter_mut().zip(sixteens) {
        let (logits, scales) = (logits.as_chunks_mut::<4>().0, scales.as_chunks::<4>().0);
        let p: [v128; 4] = exp.nonpositive(core::array::from_fn(|i| f32x4_sub(load(&logits[i]), max)));
        logits.iter_mut().zip(p).for_each(|(logits, p)| store(logits, p));
        sum = f32x4_add(sum, f32x4_add(f32x4_add(p[0], p[1]), f32x4_add(p[2], p[3])));
        let weights: [v128; 4] = core::array::from_fn(|i| {
            let rounded = f32x4_madd(f32x4_mul(p[i], load(&scales[i])), factor, magic);
            v128_and(rounded, mask)
        });
        units = weights.iter().fold(units, |units, weight| i32x4_add(units, *weight));
        let [first, second] = dot14_pack(weights);
        // SAFETY: eight words are 32 writable bytes.
        unsafe {
            v128_store(words.as_mut_ptr() as *mut v128, first);
            v128_store(words[4..].as_mut_ptr() as *mut v128, second);
        }
    }
    let pairs = i32x4_add(units, i64x2_shuffle::<1, 0>(units, units));
    (f32x4_sum(sum), i32x4_extract_lane::<0>(pairs) + i32x4_extract_lane::<1>(pairs))
}
