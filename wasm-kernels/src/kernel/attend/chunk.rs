//! The slots that are taken together, up to 384 of them, wherever in the cache they lie.
use super::{Cache, CHUNK};
use crate::kernel::kv::values::BLOCK;
use crate::kernel::kv::{KvType, Shape};
use crate::kernel::lanes::store;
use crate::kernel::logits::max_lane;
use crate::simd::*;

/// Slots that are read or passed over together: what one step of the innermost loops takes.
const EIGHT: usize = 8;

/// Slots in a row, of one block: a multiple of eight.
#[derive(Clone, Copy, Default)]
pub struct Run {
    /// The first one, in the head and in the chunk.
    pub slot: usize,
    pub place: usize,
    pub n: usize,
}

/// Slots of a head, those of one block next to each other.
pub struct Runs {
    runs: [Run; CHUNK / EIGHT],
    n: usize,
    n_slots: usize,
}

impl Runs {
    pub fn new() -> Self {
        Self { runs: [Run::default(); CHUNK / EIGHT], n: 0, n_slots: 0 }
    }

    pub fn push(&mut self, slot: usize, n: usize) {
        let place = self.n_slots;
        self.n_slots += n;
        if let Some(last) =
            self.runs[..self.n].last_mut().filter(|last| last.slot + last.n == slot && !slot.is_multiple_of(BLOCK))
        {
            last.n += n;
        } else {
            self.runs[self.n] = Run { slot, place, n };
            self.n += 1;
        }
    }

    /// Becomes the next slots of `next..end`, which moves behind them: at most `most`, by eights, or by blocks if they are
    /// `whole`, of which `active` has bits.
    #[inline(never)]
    pub fn take(&mut self, next: &mut usize, end: usize, most: usize, active: Option<&[u32]>, whole: bool) {
        (self.n, self.n_slots) = (0, 0);
        while *next < end {
            let bits = active.map_or(u32::MAX, |active| active[*next / BLOCK]) >> (*next % BLOCK);
            let n = if bits == 0 || whole || bits == u32::MAX { BLOCK - *next % BLOCK } else { EIGHT };
            if bits != 0 && (n == BLOCK || bits & 255 != 0) {
                if self.n_slots + n > most {
                    break;
                }
                self.push(*next, n);
            }
            *next += n;
        }
    }

    /// As many slots, from the start of what they have been decoded to.
    pub fn in_order(&self) -> Self {
        let mut runs = Self::new();
        self.iter().for_each(|run| runs.push(run.place, run.n));
        runs
    }

    pub fn iter(&self) -> core::slice::Iter<'_, Run> {
        self.runs[..self.n].iter()
    }

    pub fn n_slots(&self) -> usize {
        self.n_slots
    }

    /// Is no slot left out between the first and the last one?
    pub fn is_one_piece(&self) -> bool {
        self.end() - self.start() == self.n_slots
    }

    /// The first slot.
    pub fn start(&self) -> usize {
        self.runs[0].slot
    }

    /// Behind the last slot.
    pub fn end(&self) -> usize {
        self.iter().last().map_or(0, |run| run.slot + run.n)
    }
}

/// What all rows share about the slots of a chunk.
pub struct Chunk<'a> {
    pub runs: &'a Runs,
    pub head: &'a Cache<'a>,
    /// The lowest and the highest position.
    pub range: (u32, u32),
    /// Scales of 4- and 8-bit values, 0 in empty slots.
    pub scales: &'a [f32; CHUNK],
    pub top_scale: f32,
    /// Is a slot among them that is not read?
    pub has_gaps: bool,
}

#[inline(always)]
pub fn load_words(quad: &[u32; 4]) -> v128 {
    // SAFETY: the reference covers 16 readable bytes.
    unsafe { v128_load(quad.as_ptr() as *const v128) }
}

impl<'a> Chunk<'a> {
    /// `value`: how attention finds the values, decoded or not. `scales` is room.
    #[inline(never)]
    pub fn new(runs: &'a Runs, head: &'a Cache, value: Shape, scales: &'a mut [f32; CHUNK]) -> Self {
        let mut has_gaps = false;
        let (mut low, mut high) = (u32x4_splat(u32::MAX), u32x4_splat(0));
        let mut top = f32x4_splat(0.0);
        let has_scales = matches!(value.kind, KvType::Q4_0 | KvType::Q8_0);
        for run in runs.iter() {
            let block = run.slot / BLOCK;
            has_gaps |= head.extras.active.is_some_and(|active| active[block] != u32::MAX);
            let values = if has_scales { &head.values[block * value.value_block_bytes()..][..4 * BLOCK] } else { &[] };
            let values = values.get(run.slot % BLOCK * 4..).unwrap_or_default().as_chunks::<16>().0;
            let positions = head.slots[run.slot..][..run.n].as_chunks::<4>().0;
            let quads = positions.iter().zip(scales[run.place..].as_chunks_mut::<4>().0);
            for (i, (positions, scales)) in quads.enumerate() {
                let positions = load_words(positions);
                (low, high) = (u32x4_min(low, positions), u32x4_max(high, positions));
                let mut scale = f32x4_splat(0.0);
                if let Some(values) = values.get(i) {
                    let empty = i32x4_eq(positions, i32x4_splat(-1));
                    // SAFETY: the reference covers 16 readable bytes.
                    scale = v128_andnot(unsafe { v128_load(values.as_ptr() as *const v128) }, empty);
                }
                top = f32x4_pmax(top, scale);
                store(scales, scale);
            }
        }
        scales[runs.n_slots()..runs.n_slots().next_multiple_of(16)].fill(0.0);
        let range = (lanes(low).into_iter().fold(u32::MAX, u32::min), lanes(high).into_iter().fold(0, u32::max));
        Self { runs, head, range, scales, top_scale: max_lane(top), has_gaps }
    }
}

fn lanes(v: v128) -> [u32; 4] {
    let mut lanes = [0.0; 4];
    store(&mut lanes, v);
    lanes.map(f32::to_bits)
}
