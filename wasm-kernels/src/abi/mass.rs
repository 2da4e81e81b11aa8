//! How many slots matter, by the attention of a few rows; see `kernel::policy::mass`.
use super::{read, write};
use crate::kernel::kv::slots::HEADER;
use crate::kernel::policy::mass::{self, Probes};
use wasm_bindgen::prelude::wasm_bindgen;

/// Adds to `mass f32[capacity]` what the probes among the rows show: those at positions from `from` on, and of the others
/// those whose draw by (seed, position) is below `share`. `weights f32[H, T, capacity]` are as `attend` left them.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn mass_observe(
    mass: u32,
    weights: u32,
    slots: u32,
    positions: u32,
    n_tokens: u32,
    n_heads: u32,
    n_kv_heads: u32,
    capacity: u32,
    from: u32,
    seed: u32,
    share: f32,
) {
    let (rows, n_slots) = (n_heads * n_tokens, n_kv_heads * (HEADER as u32 + capacity));
    checked!(write(mass, 4 * capacity), read(weights, 4 * rows * capacity), read(slots, 4 * n_slots),);
    unsafe {
        let weights = read(weights, rows * capacity);
        let (slots, positions) = (read(slots, n_slots), read(positions, n_tokens));
        mass::observe(write(mass, capacity), weights, slots, positions, Probes { from, share, seed });
    }
}

/// How many slots at positions from `first` on reach `tau` of their mass, the last token included if it is `held`;
/// `mass f32[capacity]` becomes scores: per probe of the positions from `start` up to `end` that can see the slot.
#[wasm_bindgen]
#[allow(clippy::too_many_arguments)]
pub fn mass_count(
    mass: u32,
    slots: u32,
    n_kv_heads: u32,
    capacity: u32,
    start: u32,
    end: u32,
    from: u32,
    seed: u32,
    share: f32,
    first: u32,
    held: u32,
    tau: f32,
) -> u32 {
    let n_slots = n_kv_heads * (HEADER as u32 + capacity);
    checked!(write(mass, 4 * capacity), read(slots, 4 * n_slots));
    let (mass, slots) = unsafe { (write(mass, capacity), read(slots, n_slots)) };
    mass::count(mass, slots, Probes { from, share, seed }, (start, end), first, held != 0, tau) as u32
}
