//! Every policy kernel against a plain one.
use super::noise::{Draws, Row};
use super::observe::{observe, Noise, Options, Reduce, Tile};
use super::select::{select, Keep};
use super::{cut, pool, scores};
use crate::kernel::kv::slots::{self, EMPTY, HEADER};
use crate::oracle::{close, Random};
use crate::simd::*;

const CAPACITY: usize = 96;

/// Slots of some heads in which tokens came and went, and positions are in no order.
fn worn_slots(random: &mut Random, n_kv_heads: usize, n_tokens: u32) -> Vec<u32> {
    let mut region = vec![0; n_kv_heads * (HEADER + CAPACITY)];
    for mut head in slots::heads(&mut region, CAPACITY) {
        head.reset();
        for position in 0..n_tokens {
            if head.n_occupied() + 8 > CAPACITY {
                (0..12).for_each(|_| head.evict(random.below(CAPACITY)));
            }
            head.take(position);
        }
        (0..5).for_each(|_| head.evict(random.below(CAPACITY)));
    }
    region
}

fn positions(region: &[u32], head: usize) -> &[u32] {
    &region[head * (HEADER + CAPACITY) + HEADER..][..CAPACITY]
}

#[test]
fn select_equals_a_sort() {
    let mut random = Random(5);
    for round in 0..300 {
        let n_tokens = 20 + random.below(180) as u32;
        let mut region = worn_slots(&mut random, 2, n_tokens);
        let before = region.clone();
        let n_rows = 1 + round % 2;
        // Few different scores, so that there are ties; some are no numbers.
        let mut scores: Vec<f32> = (0..n_rows * CAPACITY)
            .map(|_| [random.float(), random.below(3) as f32, f32::NAN, -0.0, 0.0][random.below(16).min(4)])
            .collect();
        let given = scores.clone();
        let recent = random.below(12) as u32;
        let keep = Keep {
            budget: 12 + recent as usize + random.below(70),
            first: random.below(6) as u32,
            last: n_tokens - recent.min(n_tokens),
        };
        let with_scores = round % 5 > 0;
        select(&mut region, with_scores.then_some(&mut scores[..]), CAPACITY, keep, n_rows == 2);
        for head in 0..2 {
            let row = &given[head * (n_rows - 1) * CAPACITY..][..CAPACITY];
            let (was, is) = (positions(&before, head), positions(&region, head));
            let occupied: Vec<usize> = (0..CAPACITY).filter(|&s| was[s] != EMPTY).collect();
            let mut leaving: Vec<usize> =
                occupied.iter().copied().filter(|&s| was[s] >= keep.first && was[s] < keep.last).collect();
            leaving.sort_by(|&a, &b| {
                let by_score = match (row[a].is_nan(), row[b].is_nan()) {
                    (false, false) => row[a].partial_cmp(&row[b]).unwrap(),
                    (x, y) => y.cmp(&x),
                };
                if with_scores {
                    by_score.then(was[b].cmp(&was[a]))
                } else {
                    was[a].cmp(&was[b])
                }
            });
            leaving.truncate(occupied.len().saturating_sub(keep.budget));
            for slot in 0..CAPACITY {
                let left = leaving.contains(&slot);
                assert_eq!(is[slot], if left { EMPTY } else { was[slot] }, "slot {slot} of {keep:?}, round {round}");
                if with_scores && n_rows == 2 && left {
                    assert_eq!(scores[head * CAPACITY + slot], 0.0);
                }
            }
        }
    }
}

#[derive(Clone)]
struct Case {
    region: Vec<u32>,
    logits: Vec<f32>,
    /// e^logit, up to a factor per row.
    weights: Vec<f32>,
    positions: Vec<u32>,
    scores: Vec<f32>,
}

const N_HEADS: usize = 4;
const N_KV_HEADS: usize = 2;
const N_TOKENS: usize = 3;

fn case(random: &mut Random, n_rows: usize) -> Case {
    let n = 60 + random.below(40) as u32;
    let region = worn_slots(random, N_KV_HEADS, n);
    let queries: Vec<u32> = (0..N_TOKENS as u32).map(|t| n - N_TOKENS as u32 + t).collect();
    let mut logits = vec![f32::NAN; N_HEADS * N_TOKENS * CAPACITY];
    let mut weights = logits.clone();
    for (h, t) in (0..N_HEADS).flat_map(|h| (0..N_TOKENS).map(move |t| (h, t))) {
        let used = slots::positions(&region, CAPACITY, h / 2);
        let place = (h * N_TOKENS + t) * CAPACITY;
        let offset = 3.0 * random.float();
        for (i, &position) in used.iter().enumerate() {
            logits[place + i] = if position <= queries[t] { 2.0 * random.float() } else { f32::NEG_INFINITY };
            weights[place + i] = (logits[place + i] - offset).exp();
        }
    }
    let scores = (0..n_rows * CAPACITY).map(|_| random.float().abs()).collect();
    Case { region, logits, weights, positions: queries, scores }
}

/// The same in double precision, from the definition.
fn observed(case: &Case, n_rows: usize, options: Options, noise: impl Fn(&Case, usize, usize, u32) -> f64) -> Vec<f64> {
    let mut scores: Vec<f64> = case.scores.iter().map(|&x| x as f64).collect();
    for t in 0..N_TOKENS {
        scores.iter_mut().for_each(|score| *score *= options.decay as f64);
        for h in 0..N_HEADS {
            let used = positions(&case.region, h / 2);
            let row = &case.logits[(h * N_TOKENS + t) * CAPACITY..][..CAPACITY];
            let weight = |s: usize| {
                if used[s] > case.positions[t] {
                    0.0
                } else {
                    ((row[s] as f64 + noise(case, h, t, used[s])) / options.tau as f64).exp()
                }
            };
            let sum: f64 = (0..CAPACITY).map(weight).sum();
            for s in 0..CAPACITY {
                let score = &mut scores[h * n_rows / N_HEADS * CAPACITY + s];
                let p = options.weight as f64 * weight(s) / sum;
                *score = if options.reduce == Reduce::Max { score.max(p) } else { *score + p };
            }
        }
    }
    scores
}

#[test]
fn observe_equals_its_definition() {
    let mut random = Random(6);
    let plain =
        Options { reduce: Reduce::Sum, noise: Noise::None, seed: 1, layer: 2, weight: 1.0, decay: 1.0, tau: 1.0 };
    let given: Vec<f32> = (0..N_HEADS * 128 * 128).map(|_| 2.0 * random.float()).collect();
    for n_rows in [1, 2, 4] {
        for options in [
            plain,
            Options { tau: 1.7, weight: 0.25, ..plain },
            Options { decay: 0.9, ..plain },
            Options { reduce: Reduce::Max, ..plain },
            Options { noise: Noise::Given(&given, 128), tau: 0.5, ..plain },
            Options { noise: Noise::Given(&given, 128), tau: 2.0, reduce: Reduce::Max, ..plain },
        ] {
            let mut case = case(&mut random, n_rows);
            let noise = |case: &Case, h: usize, t: usize, p: u32| match options.noise {
                Noise::Given(x, _) => x[(h * 128 + case.positions[t] as usize) * 128 + p as usize] as f64,
                _ => 0.0,
            };
            let wanted = observed(&case, n_rows, options, noise);
            let tile = Tile { positions: &case.positions, slots: &case.region, capacity: CAPACITY };
            observe(&mut case.scores, &mut case.weights, tile, options);
            case.scores.iter().zip(wanted).for_each(|(&got, wanted)| close(got, wanted, 3e-6));
        }
    }
}

#[test]
fn drawn_noise_is_added_to_logits() {
    let mut random = Random(12);
    for tau in [1.0, 1.5, 2.0] {
        for noise in [Noise::Gumbel, Noise::Gaussian] {
            let options = Options { reduce: Reduce::Sum, noise, seed: 9, layer: 1, weight: 1.0, decay: 1.0, tau };
            let mut case = case(&mut random, N_HEADS);
            let drawn = |case: &Case, h: usize, t: usize, p: u32| {
                // Two query heads of a KV head share hashes.
                let (first, draws) = (h / 2 * 2, Draws::new(h % 2));
                let mut hashes = [0; 4];
                Row::new(9, 1, first as u32, case.positions[t]).hash(&mut hashes, &[p; 4]);
                let hash = u32x4_splat(hashes[0]);
                match noise {
                    Noise::Gumbel => -(f32x4_extract_lane::<0>(draws.exponential(hash)) as f64).ln(),
                    _ => f32x4_extract_lane::<0>(draws.gaussian(hash)) as f64,
                }
            };
            let wanted = observed(&case, N_HEADS, options, drawn);
            let tile = Tile { positions: &case.positions, slots: &case.region, capacity: CAPACITY };
            observe(&mut case.scores, &mut case.weights, tile, options);
            case.scores.iter().zip(wanted).for_each(|(&got, wanted)| close(got, wanted, 1e-5));
        }
    }
}

#[test]
fn noise_depends_on_positions_and_not_on_slots() {
    let mut random = Random(7);
    for noise in [Noise::Gumbel, Noise::Gaussian] {
        let options = Options { reduce: Reduce::Sum, noise, seed: 9, layer: 1, weight: 1.0, decay: 1.0, tau: 1.5 };
        let mut case = case(&mut random, N_HEADS);
        case.scores.fill(0.0);
        let mut moved = case.clone();
        // The same tokens in slots of the opposite order.
        for head in 0..N_KV_HEADS {
            let n = moved.region[head * (HEADER + CAPACITY)] as usize;
            moved.region[head * (HEADER + CAPACITY) + HEADER..][..n].reverse();
            for row in head * 2 * N_TOKENS..(head + 1) * 2 * N_TOKENS {
                moved.weights[row * CAPACITY..][..n].reverse();
            }
        }
        for case in [&mut case, &mut moved] {
            let tile = Tile { positions: &case.positions, slots: &case.region, capacity: CAPACITY };
            observe(&mut case.scores, &mut case.weights, tile, options);
        }
        for h in 0..N_HEADS {
            let total: f64 = case.scores[h * CAPACITY..][..CAPACITY].iter().map(|&x| x as f64).sum();
            close(total as f32, N_TOKENS as f64, 1e-5);
            for s in 0..CAPACITY {
                let position = positions(&case.region, h / 2)[s];
                if position != EMPTY {
                    let there = positions(&moved.region, h / 2).iter().position(|&p| p == position).unwrap();
                    close(case.scores[h * CAPACITY + s], moved.scores[h * CAPACITY + there] as f64, 1e-6);
                }
            }
        }
    }
}

#[test]
fn pool_equals_its_definition() {
    let mut random = Random(8);
    for (width, max, n) in [(5, false, 40), (7, true, 96), (1, false, 33), (3, true, 2)] {
        let mut region = vec![0; 2 * (HEADER + CAPACITY)];
        for mut head in slots::heads(&mut region, CAPACITY) {
            head.reset();
            (0..n).for_each(|i| assert_eq!(head.take(3 * i), i as usize));
        }
        let scores = random.floats(4 * CAPACITY).into_iter().map(f32::abs).collect::<Vec<_>>();
        let mut out = vec![f32::NAN; 2 * CAPACITY];
        let end = 3 * (n * 3 / 4);
        pool::pool(&mut out, &scores, &region, CAPACITY, width, max, end);
        let n = (n * 3 / 4) as i32;
        for (i, &got) in out.iter().enumerate() {
            let (head, slot) = (i / CAPACITY, (i % CAPACITY) as i32);
            let mut wanted = 0.0;
            for row in [2 * head, 2 * head + 1] {
                let around = (slot - width as i32 / 2..=slot + width as i32 / 2).filter(|&s| s >= 0 && s < n);
                let x = around.map(|s| scores[row * CAPACITY + s as usize] as f64);
                wanted += if max { x.fold(0.0, f64::max) } else { x.sum::<f64>() / width as f64 } / 2.0;
            }
            close(got, if slot < n { wanted } else { 0.0 }, 1e-6);
        }
    }
}

#[test]
fn scores_follow_their_slots() {
    let mut random = Random(9);
    let region = worn_slots(&mut random, 2, 150);
    for n_rows in [1, 2, 4] {
        let before = random.floats(n_rows * CAPACITY);
        let (mut cleared, mut compacted) = (before.clone(), before.clone());
        scores::clear(&mut cleared, &region, CAPACITY);
        scores::compact(&mut compacted, &region, CAPACITY);
        for row in 0..n_rows {
            let used = positions(&region, row * 2 / n_rows);
            let before = &before[row * CAPACITY..][..CAPACITY];
            let mut wanted: Vec<f32> = (0..CAPACITY).filter(|&s| used[s] != EMPTY).map(|s| before[s]).collect();
            wanted.resize(CAPACITY, 0.0);
            assert_eq!(compacted[row * CAPACITY..][..CAPACITY], wanted);
            for s in 0..CAPACITY {
                assert_eq!(cleared[row * CAPACITY + s], if used[s] == EMPTY { 0.0 } else { before[s] });
            }
        }
        let mut drawn = before.clone();
        scores::randomise(&mut drawn, &region, CAPACITY, 3, 1);
        assert!(drawn.iter().enumerate().all(|(i, &x)| {
            let used = positions(&region, i / CAPACITY * 2 / n_rows);
            if used[i % CAPACITY] == EMPTY {
                x == 0.0
            } else {
                x > 0.0 && x < 1.0
            }
        }));
    }
}

#[test]
fn the_last_query_that_a_slot_mattered_to_is_found() {
    let mut random = Random(10);
    let plain =
        Options { reduce: Reduce::Latest, noise: Noise::None, seed: 1, layer: 2, weight: 1.0, decay: 1.0, tau: 1.0 };
    for reduce in [Reduce::Latest, Reduce::LatestOfAll] {
        for n_rows in [1, 2, 4] {
            let mut case = case(&mut random, n_rows);
            let mut wanted: Vec<f64> = case.scores.iter().map(|&x| x as f64).collect();
            for (t, &query) in case.positions.iter().enumerate() {
                for h in 0..N_HEADS {
                    let used = positions(&case.region, h / 2);
                    let row = &case.logits[(h * N_TOKENS + t) * CAPACITY..][..CAPACITY];
                    let visible: Vec<usize> = (0..CAPACITY).filter(|&s| used[s] <= query).collect();
                    let sum: f64 = visible.iter().map(|&s| (row[s] as f64).exp()).sum();
                    let n = if reduce == Reduce::Latest { visible.len() } else { query as usize + 1 };
                    for s in visible {
                        if used[s] == query || (row[s] as f64).exp() / sum >= 1.0 / n as f64 {
                            wanted[h * n_rows / N_HEADS * CAPACITY + s] = query as f64;
                        }
                    }
                }
            }
            let tile = Tile { positions: &case.positions, slots: &case.region, capacity: CAPACITY };
            observe(&mut case.scores, &mut case.weights, tile, Options { reduce, ..plain });
            case.scores.iter().zip(wanted).for_each(|(&got, wanted)| close(got, wanted, 1e-6));
        }
    }
}

#[test]
fn a_cut_takes_what_lies_below_and_is_not_protected() {
    let mut random = Random(11);
    for n_rows in [1, 2] {
        let mut region = worn_slots(&mut random, 2, 150);
        let before = region.clone();
        let mut scores = random.floats(n_rows * CAPACITY);
        scores[7] = f32::NAN;
        cut::below(&mut region, &scores, CAPACITY, cut::Range { first: 3, last: 140 }, 0.25);
        for head in 0..2 {
            let (was, is) = (positions(&before, head), positions(&region, head));
            let mut n_held = 0;
            for s in 0..CAPACITY {
                let score = scores[head * (n_rows - 1) * CAPACITY + s];
                let below = score < 0.25 || score.is_nan();
                let leaves = was[s] >= 3 && was[s] < 140 && below;
                assert_eq!(is[s], if leaves { EMPTY } else { was[s] });
                n_held += (is[s] != EMPTY) as usize;
            }
            assert_eq!(slots::heads(&mut region.clone(), CAPACITY).nth(head).unwrap().n_occupied(), n_held);
        }
    }
}
