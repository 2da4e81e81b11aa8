//! From dot products to weights of values: position bias, mask, running maximum, exponentials, rounding to 14 bits.
use super::rows::Row;
use super::CHUNK;
use crate::kernel::activation::softcapped;
use crate::kernel::kv::values::BLOCK;
use crate::kernel::kv::{KvType, Shape};
use crate::kernel::lanes::{load, store};
use crate::kernel::logits::max as largest;
use crate::kernel::math::exp_nonpositive;
use crate::simd::*;

/// Which positions a token sees: `position - p <= reach`, modulo 2^32, so that one comparison excludes later positions,
/// those before the window, and empty slots.
#[derive(Clone, Copy)]
pub struct Mask {
    position: u32,
    reach: u32,
}

impl Mask {
    pub fn new(position: u32, window: u32) -> Self {
        Self { position, reach: if window == 0 { position } else { position.min(window - 1) } }
    }

    /// The first and the last of some positions.
    pub fn range(positions: &[u32]) -> (u32, u32) {
        let (mut low, mut high) = (u32x4_splat(u32::MAX), u32x4_splat(0));
        for quad in positions.as_chunks::<4>().0 {
            let quad = load_positions(quad);
            (low, high) = (u32x4_min(low, quad), u32x4_max(high, quad));
        }
        let lanes = |v: v128| {
            [
                u32x4_extract_lane::<0>(v),
                u32x4_extract_lane::<1>(v),
                u32x4_extract_lane::<2>(v),
                u32x4_extract_lane::<3>(v),
            ]
        };
        (lanes(low).into_iter().fold(u32::MAX, u32::min), lanes(high).into_iter().fold(0, u32::max))
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

#[inline(always)]
fn load_positions(quad: &[u32; 4]) -> v128 {
    // SAFETY: the reference covers 16 readable bytes.
    unsafe { v128_load(quad.as_ptr() as *const v128) }
}

/// Turns scaled dot products into logits; returns the largest.
pub fn finish(logits: &mut [f32], positions: &[u32], row: &Row, range: (u32, u32), softcap: f32) -> f32 {
    if softcap == 0.0 && row.slope == 0.0 && row.mask.shows(range) {
        return largest(logits);
    }
    for (logits, positions) in logits.as_chunks_mut::<4>().0.iter_mut().zip(positions.as_chunks::<4>().0) {
        let distance = i32x4_sub(u32x4_splat(row.mask.position), load_positions(positions));
        let mut logit = load(logits);
        if softcap != 0.0 {
            logit = softcapped(logit, softcap);
        }
        if row.slope != 0.0 {
            logit = f32x4_sub(logit, f32x4_mul(f32x4_splat(row.slope), f32x4_convert_u32x4(distance)));
        }
        let visible = u32x4_le(distance, u32x4_splat(row.mask.reach));
        store(logits, v128_bitselect(logit, f32x4_splat(f32::NEG_INFINITY), visible));
    }
    largest(logits)
}

/// A row's softmax so far.
#[derive(Clone, Copy)]
pub struct Running {
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
    /// Makes room for logits up to `max`; returns what the output so far has to be multiplied with, if anything.
    pub fn raise(&mut self, max: f32) -> Option<f32> {
        if max <= self.max {
            return None;
        }
        let factor = (self.max - max).exp();
        self.max = max;
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
        crate::kernel::lanes::map(out, |v| f32x4_mul(f32x4_add(v, offset), factor));
        self.max + self.sum.ln()
    }
}

/// Weights of the values of a chunk, for one row.
#[derive(Clone, Copy)]
pub struct Weights {
    /// As floats, for F32 and F16.
    pub floats: [f32; CHUNK],
    /// As 14-bit numbers, two words per four slots (see `simd::dot14`), the slots' scales included.
    pub words: [u32; CHUNK / 2],
    /// What one of those numbers stands for.
    pub unit: f32,
}

impl Default for Weights {
    fn default() -> Self {
        Self { floats: [0.0; CHUNK], words: [0; CHUNK / 2], unit: 0.0 }
    }
}

/// `e^(logit - max)` of every slot.
pub fn weigh(weights: &mut Weights, state: &mut Running, logits: &[f32], values: &[u8], shape: Shape) {
    if state.max == f32::NEG_INFINITY {
        return;
    }
    let max = f32x4_splat(state.max);
    let mut sum = f32x4_splat(0.0);
    let probs = |logits: &[f32; 4]| exp_nonpositive(f32x4_sub(load(logits), max));
    let floats = weights.floats.as_chunks_mut::<4>().0.iter_mut().zip(logits.as_chunks::<4>().0);
    if matches!(shape.kind, KvType::F32 | KvType::F16) {
        for (weights, logits) in floats {
            let p = probs(logits);
            sum = f32x4_add(sum, p);
            store(weights, p);
        }
        state.sum += f32x4_sum(sum);
        return;
    }
    let mut top = f32x4_splat(0.0);
    for (i, (weights, logits)) in floats.enumerate() {
        let p = probs(logits);
        sum = f32x4_add(sum, p);
        let place = 4 * i / BLOCK * shape.value_block_bytes() + 4 * (4 * i % BLOCK);
        let scales: &[u8; 16] = values[place..][..16].try_into().unwrap();
        // SAFETY: the reference covers 16 readable bytes.
        let scales = unsafe { v128_load(scales.as_ptr() as *const v128) };
        // The mask keeps what an unused slot happens to hold out of it, be it NaN.
        let weight = v128_and(f32x4_mul(p, scales), f32x4_gt(p, f32x4_splat(0.0)));
        top = f32x4_pmax(top, weight);
        store(weights, weight);
    }
    state.sum += f32x4_sum(sum);
    let top = largest(&to_array(top));
    if top > 0.0 {
        weights.unit = top / 16383.0;
        let n = round14(&mut weights.words, &weights.floats[..logits.len()], 16383.0 / top);
        state.weight_sum += n as f32 * weights.unit;
    }
}

fn to_array(v: v128) -> [f32; 4] {
    let mut lanes = [0.0; 4];
    store(&mut lanes, v);
    lanes
}

/// Rounds weights to multiples of 1 / `factor`; returns their sum.
fn round14(words: &mut [u32], weights: &[f32], factor: f32) -> i32 {
    // Adding 2^23 rounds to an integer and leaves it in the low bits.
    let magic = f32x4_splat(8_388_608.0);
    let mut sum = i32x4_splat(0);
    let round = |x: &[f32]| {
        let scaled = f32x4_mul(load(x.try_into().unwrap()), f32x4_splat(factor));
        v128_and(f32x4_add(scaled, magic), i32x4_splat(16383))
    };
    for (words, x) in words.as_chunks_mut::<8>().0.iter_mut().zip(weights.as_chunks::<16>().0) {
        let lanes = [round(&x[..4]), round(&x[4..8]), round(&x[8..12]), round(&x[12..])];
        sum = lanes.iter().fold(sum, |sum, lane| i32x4_add(sum, *lane));
        let [first, second] = dot14_pack(lanes);
        // SAFETY: eight words are 32 writable bytes.
        unsafe {
            v128_store(words.as_mut_ptr() as *mut v128, first);
            v128_store(words[4..].as_mut_ptr() as *mut v128, second);
        }
    }
    let pairs = i32x4_add(sum, i64x2_shuffle::<1, 0>(sum, sum));
    i32x4_extract_lane::<0>(pairs) + i32x4_extract_lane::<1>(pairs)
}
