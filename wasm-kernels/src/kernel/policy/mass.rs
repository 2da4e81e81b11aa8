//! How many tokens matter, by attention itself: a few rows of a prompt, its probes, show how much attention each slot gets,
//! and so many stay as together get a share tau of it. Source: ZipVL, arXiv 2410.08584 §4.2, Algorithm 1.
//!
//! ```text
//! probe     a row is one if it is among the latest, or if its draw is below a share
//! observe   mass of a slot += mean over all heads of its softmax weight, for every probe
//! count     p = fewest slots whose largest masses add up to tau of all;  score = mass / probes that can see the slot
//! ```
//! Draws are hashes of seed and position, the same however a prompt is cut. All heads of a layer hold the same slots.
use super::noise::Row;
use super::select::largest;
use crate::kernel::kv::slots::{self, EMPTY};
use crate::kernel::lanes::{load, store};
use crate::kernel::scalar::nearest;
use crate::simd::*;

/// Which rows of a prompt are probes.
#[derive(Clone, Copy)]
pub struct Probes {
    /// All from this position on.
    pub from: u32,
    /// Share of the others.
    pub share: f32,
    pub seed: u32,
}

impl Probes {
    pub fn has(&self, position: u32) -> bool {
        position >= self.from || Row::new(self.seed, 0, 0, 0).uniform(position) < self.share
    }
}

/// Adds the probes among the rows to `mass f32[capacity]`. `weights f32[H, T, capacity]` are as attention left them,
/// `slots u32[G, 4 + capacity]`.
pub fn observe(mass: &mut [f32], weights: &[f32], slots: &[u32], positions: &[u32], probes: Probes) {
    let (capacity, n_tokens) = (mass.len(), positions.len());
    let n_heads = weights.len() / (capacity * n_tokens);
    let n_slots = slots::positions(slots, capacity, 0).len();
    let rows = weights.chunks_exact(capacity).enumerate();
    for (_, weights) in rows.filter(|(place, _)| probes.has(positions[place % n_tokens])) {
        let weights = weights[..n_slots].as_chunks::<4>().0;
        let sum = f32x4_sum(weights.iter().fold(f32x4_splat(0.0), |sum, x| f32x4_add(sum, load(x))));
        let factor = f32x4_splat(if sum > 0.0 { 1.0 / (sum * n_heads as f32) } else { 0.0 });
        for (mass, weights) in mass.as_chunks_mut::<4>().0.iter_mut().zip(weights) {
            store(mass, f32x4_madd(load(weights), factor, load(mass)));
        }
    }
}

/// The slots at positions from `first` on that reach `tau` of their mass, the last token included whatever its mass if it
/// is `held`; masses become scores. The text has `end` tokens, of which the probes lie behind `start`.
pub fn count(
    mass: &mut [f32],
    slots: &[u32],
    probes: Probes,
    (start, end): (u32, u32),
    first: u32,
    held: bool,
    tau: f32,
) -> usize {
    let positions = slots::positions(slots, mass.len(), 0);
    let mass = &mut mass[..positions.len()];
    mass.iter_mut().zip(positions).filter(|(_, &position)| position < first).for_each(|(mass, _)| *mass = 0.0);
    let wanted = tau as f64 * mass.iter().map(|&mass| mass as f64).sum::<f64>();
    // Floats that are not negative are in the order of their bits.
    let above = |border: u32| mass.iter().filter(move |mass| mass.to_bits() >= border);
    let sum = |border: u32| above(border).map(|&mass| mass as f64).sum::<f64>();
    let border = largest(|border| sum(border) >= wanted);
    let (more, least) = (above(border + 1).count(), f32::from_bits(border) as f64);
    let missing = if least > 0.0 { (wanted - sum(border + 1)) / least } else { 0.0 };
    // Among equals as many as it takes; rounding up.
    let equal = nearest(missing as f32 + 0.499_999) as usize;
    let n = more + equal.max(1);
    // Slots are in order of position, so that probes are met once.
    let (mut row, mut seen) = (end, 0);
    for (mass, &position) in mass.iter_mut().zip(positions).rev().filter(|(_, &position)| position != EMPTY) {
        while row > position.max(start) {
            row -= 1;
            seen += probes.has(row) as u32;
        }
        *mass = if seen > 0 { *mass / seen as f32 } else { 0.0 };
    }
    let Some(last) = positions.iter().position(|&position| held && position + 1 == end) else { return n };
    let better = mass
        .iter()
        .zip(positions)
        .filter(|(&score, &position)| score > mass[last] || (score == mass[last] && position < positions[last]));
    n + (better.count() >= n) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{close, Random};

    #[test]
    fn the_fewest_that_reach_the_share_stay() {
        let mut random = Random(71);
        let (n, capacity) = (50, 64);
        let mut slots = vec![0; 4 + capacity];
        let mut head = slots::heads(&mut slots, capacity).next().unwrap();
        head.reset();
        (0..n as u32).for_each(|position| _ = head.take(position));
        // Every second row is a probe or so, and the last ten are.
        let probes = Probes { from: 40, share: 0.5, seed: 7 };
        for tau in [0.1f32, 0.5, 0.75, 0.97, 1.0] {
            let mut mass = vec![0.0; capacity];
            mass[..n].iter_mut().for_each(|mass| *mass = random.below(1000) as f32 / 64.0);
            let before = mass.clone();
            let got = count(&mut mass, &slots, probes, (0, n as u32), 0, true, tau);
            let mut sorted: Vec<f64> = before[..n].iter().map(|&m| m as f64).collect();
            sorted.sort_by(|a, b| b.total_cmp(a));
            let total: f64 = sorted.iter().sum();
            let mut sum = 0.0;
            let fewest = 1 + sorted.iter().take_while(|&&m| (sum += m, sum < tau as f64 * total).1).count();
            let score = |i: usize| before[i] / (i..n).filter(|&row| probes.has(row as u32)).count() as f32;
            (0..n).for_each(|i| close(mass[i], score(i) as f64, 1e-6));
            let better = (0..n - 1).filter(|&i| score(i) >= score(n - 1)).count();
            assert_eq!(got, fewest + (better >= fewest) as usize, "tau {tau}");
        }
    }

    #[test]
    fn only_probes_count() {
        let mut random = Random(72);
        let (n_heads, n_tokens, capacity) = (4, 3, 32);
        let slots: Vec<u32> = [32, 0, 0, 0].into_iter().chain(0..32).cycle().take(2 * 36).collect();
        let weights: Vec<f32> = random.floats(n_heads * n_tokens * capacity).into_iter().map(f32::exp).collect();
        let row = |place: usize| &weights[place * capacity..][..capacity];
        let mut mass = vec![1.0; capacity];
        // No draw is below 0: of rows 40, 41 and 42 two are probes.
        observe(&mut mass, &weights, &slots, &[40, 41, 42], Probes { from: 41, share: 0.0, seed: 1 });
        for (slot, got) in mass.iter().enumerate() {
            let share = |row: &[f32]| row[slot] as f64 / row.iter().map(|&x| x as f64).sum::<f64>();
            let of = |place: usize| share(row(place)) / n_heads as f64;
            let wanted = (0..n_heads * n_tokens).filter(|place| place % n_tokens > 0).map(of).sum::<f64>();
            close(*got, 1.0 + wanted, 1e-6);
        }
    }
}
