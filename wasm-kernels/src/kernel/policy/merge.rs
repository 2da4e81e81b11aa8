//! What becomes of slots that have been emptied: they join slots that stayed.
//!
//! ```text
//! mark        before = slots as they are;  then something empties some of them: the victims
//! join        every victim finds its receiver: a slot that stayed, at a position from `first` up to `last`
//!   fold      the key of highest cosine;  r = score of the victim / score of the receiver
//!             v = (v + Σ r v_victim) / (1 + Σ r),  bias += ln(1 + Σ r),  score += Σ scores of the victims
//!   mean      the nearest position, of two the earlier;  k and v = the mean of receiver and victims
//! ```
//! - Scores are attention, so that r is what the victim weighs where the receiver weighs 1; a bias of ln(1 + Σ r) gives a
//!   receiver the weight of all that it stands for. The score goes along, so that the next fold finds the same ratio.
//! - What a victim held still lies in its slot until the next token takes it.
//! - Sums are of floats and are stored once, whatever the type of keys and values.
//! - Without a receiver a victim is dropped.
//!
//! Sources: MassFold (github.com/jg-codes/kvfold); Elastic Cache, arXiv 2407.18121 §3.2.
use super::blocks::{each_quad, MAX_DIM};
use super::cut::Range;
use crate::kernel::kv::keys::{read_key, write_key};
use crate::kernel::kv::slots::{EMPTY, HEADER};
use crate::kernel::kv::values::{read_value, write_value};
use crate::kernel::kv::Shape;
use crate::kernel::lanes::store;
use crate::kernel::scalar::ln;
use crate::simd::*;

/// Victims that look for their receivers at once.
const TILE: usize = 8;

/// In `before`: no victim, and a victim without a receiver. All else is the slot of a victim's receiver.
const NONE: u32 = u32::MAX;
const ALONE: u32 = u32::MAX - 1;

/// Keys and values of one layer, to be changed.
pub struct Changed<'a> {
    pub keys: &'a mut [u32],
    pub values: &'a mut [u8],
    pub slots: &'a [u32],
    pub key: Shape,
    pub value: Shape,
}

/// How victims join.
pub enum Join<'a> {
    /// Into values, by `scores f32[G, capacity]`; `bias f32[G, capacity]` grows.
    Fold { scores: &'a mut [f32], bias: &'a mut [f32] },
    /// Into keys and values.
    Mean,
}

/// Joins all slots that were occupied in `before u32[G, 4 + capacity]` and are no more; `before` is used up.
pub fn join(cache: Changed, before: &mut [u32], range: Range, mut kind: Join) {
    let (capacity, stride) = (cache.key.capacity, HEADER + cache.key.capacity);
    let keys = cache.keys.chunks_exact_mut(cache.key.key_bytes() / 4);
    let values = cache.values.chunks_exact_mut(cache.value.value_bytes());
    let slots = cache.slots.chunks_exact(stride).zip(before.chunks_exact_mut(stride));
    for (h, ((slots, before), (keys, values))) in slots.zip(keys.zip(values)).enumerate() {
        let (positions, before) = (&slots[HEADER..], &mut before[HEADER..]);
        let mut n_victims = 0;
        let mut joins: [u32; TILE] = [0; TILE];
        let n_slots = (slots[0] as usize).next_multiple_of(32).max(last_victim(before, positions));
        for slot in 0..n_slots {
            let victim = before[slot] != EMPTY && positions[slot] == EMPTY;
            if !victim {
                before[slot] = NONE;
                continue;
            }
            if let Join::Mean = kind {
                before[slot] = nearest(positions, before[slot], range);
                continue;
            }
            before[slot] = ALONE;
            joins[n_victims] = slot as u32;
            n_victims += 1;
            if n_victims == TILE {
                most_alike(keys, positions, before, &cache.key, &joins, range);
                n_victims = 0;
            }
        }
        if n_victims > 0 {
            most_alike(keys, positions, before, &cache.key, &joins[..n_victims], range);
        }
        let head = &mut Head { keys, values, key: cache.key, value: cache.value };
        for slot in 0..n_slots {
            let receiver = before[slot];
            if receiver >= ALONE {
                continue;
            }
            let rows = h * capacity..(h + 1) * capacity;
            match &mut kind {
                Join::Fold { scores, bias } => head.fold(&mut scores[rows.clone()], &mut bias[rows], before, receiver),
                Join::Mean => head.mean(before, receiver),
            }
        }
    }
}

/// One past the last slot that was occupied before and is no more.
fn last_victim(before: &[u32], positions: &[u32]) -> usize {
    (0..before.len()).rev().find(|&slot| before[slot] != EMPTY && positions[slot] == EMPTY).map_or(0, |slot| slot + 1)
}

/// The slot of the nearest position in the range.
fn nearest(positions: &[u32], position: u32, range: Range) -> u32 {
    let receivers = positions.iter().enumerate().filter(|(_, &other)| range.includes(other));
    receivers.min_by_key(|(_, &other)| (other.abs_diff(position), other)).map_or(ALONE, |(slot, _)| slot as u32)
}

/// Writes to `before` of each victim the slot in the range whose key is most alike.
#[inline(never)]
fn most_alike(keys: &[u32], positions: &[u32], before: &mut [u32], shape: &Shape, victims: &[u32], range: Range) {
    let dim = shape.dim;
    let mut rows = [0.0; TILE * MAX_DIM];
    for (row, &victim) in rows.chunks_exact_mut(dim).zip(victims) {
        read_key(keys, shape, victim as usize, row);
    }
    // Cosines up to the victims' lengths, which are the same for all receivers.
    let mut best = [f32x4_splat(f32::NEG_INFINITY); TILE];
    let mut place = [u32x4_splat(ALONE); TILE];
    let n_slots = positions.iter().rposition(|&position| position != EMPTY).map_or(0, |slot| slot + 1);
    each_quad(keys, positions, shape, n_slots, |quad| {
        let span = u32x4_splat(range.last.saturating_sub(range.first));
        let is = u32x4_lt(i32x4_sub(quad.positions, u32x4_splat(range.first)), span);
        if !v128_any_true(is) {
            return;
        }
        let length = f32x4_sqrt(quad.squares());
        let slots = i32x4_add(u32x4_splat(quad.slot as u32), u32x4(0, 1, 2, 3));
        for (i, row) in rows.chunks_exact(dim).take(victims.len()).enumerate() {
            let cosine = f32x4_div(quad.dot(row), length);
            let better = v128_and(is, f32x4_gt(cosine, best[i]));
            best[i] = v128_bitselect(cosine, best[i], better);
            place[i] = v128_bitselect(slots, place[i], better);
        }
    });
    for (i, &victim) in victims.iter().enumerate() {
        let mut cosines = [0.0; 4];
        store(&mut cosines, best[i]);
        let places = [
            u32x4_extract_lane::<0>(place[i]),
            u32x4_extract_lane::<1>(place[i]),
            u32x4_extract_lane::<2>(place[i]),
            u32x4_extract_lane::<3>(place[i]),
        ];
        let found = (0..4).filter(|&lane| places[lane] != ALONE);
        let first = found.reduce(|a, b| {
            let better = cosines[b] > cosines[a] || cosines[b] == cosines[a] && places[b] < places[a];
            if better {
                b
            } else {
                a
            }
        });
        before[victim as usize] = first.map_or(ALONE, |lane| places[lane]);
    }
}

/// Keys and values of one head.
struct Head<'a> {
    keys: &'a mut [u32],
    values: &'a mut [u8],
    key: Shape,
    value: Shape,
}

impl Head<'_> {
    /// Folds all victims of a receiver into its value.
    fn fold(&mut self, scores: &mut [f32], bias: &mut [f32], before: &mut [u32], receiver: u32) {
        let to = receiver as usize;
        let mut sum = [0.0; MAX_DIM];
        let mut one = [0.0; MAX_DIM];
        let (sum, one) = (&mut sum[..self.value.dim], &mut one[..self.value.dim]);
        read_value(self.values, &self.value, to, sum);
        let (mut mass, mut score) = (1.0, scores[to]);
        for (slot, joins) in before.iter_mut().enumerate().filter(|(_, joins)| **joins == receiver) {
            *joins = NONE;
            // A receiver that weighs nothing takes nothing: no ratio would mean anything.
            let ratio = if scores[to] > 0.0 { (scores[slot] / scores[to]).max(0.0) } else { 0.0 };
            read_value(self.values, &self.value, slot, one);
            sum.iter_mut().zip(one.iter()).for_each(|(sum, one)| *sum += ratio * one);
            mass += ratio;
            score += scores[slot].max(0.0);
        }
        sum.iter_mut().for_each(|sum| *sum /= mass);
        write_value(self.values, &self.value, to, sum);
        bias[to] += ln(mass);
        scores[to] = score;
    }

    /// Makes key and value of a receiver the mean of its own and its victims'.
    fn mean(&mut self, before: &mut [u32], receiver: u32) {
        let to = receiver as usize;
        let mut sums = [[0.0; MAX_DIM]; 2];
        let mut one = [0.0; MAX_DIM];
        let [k, v] = &mut sums;
        let (k, v) = (&mut k[..self.key.dim], &mut v[..self.value.dim]);
        read_key(self.keys, &self.key, to, k);
        read_value(self.values, &self.value, to, v);
        let mut n = 1.0;
        for (slot, joins) in before.iter_mut().enumerate().filter(|(_, joins)| **joins == receiver) {
            *joins = NONE;
            read_key(self.keys, &self.key, slot, &mut one[..self.key.dim]);
            k.iter_mut().zip(&one).for_each(|(sum, one)| *sum += one);
            read_value(self.values, &self.value, slot, &mut one[..self.value.dim]);
            v.iter_mut().zip(&one).for_each(|(sum, one)| *sum += one);
            n += 1.0;
        }
        k.iter_mut().chain(v.iter_mut()).for_each(|sum| *sum /= n);
        write_key(self.keys, &self.key, to, k);
        write_value(self.values, &self.value, to, v);
    }
}
