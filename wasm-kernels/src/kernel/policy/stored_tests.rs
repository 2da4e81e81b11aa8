//! Kernels that look at stored keys and values, or at queries, against plain ones.
use super::cut::{self, Range};
use super::echo::{echo, Chunk};
use super::geometry::{geometry, Geometry};
use super::merge::{join, Changed, Join};
use super::queries::{expect, gather, mean_rotation, statistics, Future, Turn};
use super::select::Keep;
use super::spread::{spread, Spread};
use crate::kernel::kv::keys::{read_key, write_key};
use crate::kernel::kv::slots::{heads, EMPTY, HEADER};
use crate::kernel::kv::values::{read_value, write_value};
use crate::kernel::kv::Stored;
use crate::kernel::kv::{KvType, Shape};
use crate::kernel::rope::RopeStyle;
use crate::oracle::{close, Random};

const CAPACITY: usize = 64;
const G: usize = 2;

/// A layer with holes, of which keys and values are known as floats.
struct Layer {
    keys: Vec<u32>,
    values: Vec<u8>,
    slots: Vec<u32>,
    key: Shape,
    value: Shape,
}

impl Layer {
    fn new(random: &mut Random, kind: KvType, dim: usize) -> Self {
        let key = Shape { kind, dim, capacity: CAPACITY };
        let value = Shape { kind, dim: dim + 8, capacity: CAPACITY };
        let mut layer = Self {
            keys: vec![0; G * key.key_bytes() / 4],
            values: vec![0; G * value.value_bytes()],
            slots: vec![0; G * (HEADER + CAPACITY)],
            key,
            value,
        };
        for (h, mut head) in heads(&mut layer.slots, CAPACITY).enumerate() {
            head.reset();
            for position in 0..50 + 3 * h as u32 {
                let slot = head.take(position);
                let (k, v) = (random.floats(dim), random.floats(dim + 8));
                write_key(&mut layer.keys[h * key.key_bytes() / 4..], &key, slot, &k);
                write_value(&mut layer.values[h * value.value_bytes()..], &value, slot, &v);
            }
            (0..9).for_each(|_| head.evict(random.below(40)));
            for position in 60..63 {
                head.take(position);
            }
        }
        layer
    }

    fn positions(&self, h: usize) -> &[u32] {
        &self.slots[h * (HEADER + CAPACITY) + HEADER..][..CAPACITY]
    }

    fn k(&self, h: usize, slot: usize) -> Vec<f64> {
        let mut x = vec![0.0; self.key.dim];
        read_key(&self.keys[h * self.key.key_bytes() / 4..], &self.key, slot, &mut x);
        x.into_iter().map(f64::from).collect()
    }

    fn v(&self, h: usize, slot: usize) -> Vec<f64> {
        let mut x = vec![0.0; self.value.dim];
        read_value(&self.values[h * self.value.value_bytes()..], &self.value, slot, &mut x);
        x.into_iter().map(f64::from).collect()
    }

    fn stored(&self) -> Stored<'_> {
        Stored { keys: &self.keys, slots: &self.slots, key: self.key }
    }

    fn held(&self, h: usize) -> Vec<usize> {
        (0..CAPACITY).filter(|&slot| self.positions(h)[slot] != EMPTY).collect()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn length(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

const TYPES: [KvType; 4] = [KvType::F32, KvType::F16, KvType::Q8_0, KvType::Q4_0];

#[test]
fn geometry_equals_its_definition() {
    let mut random = Random(21);
    for kind in TYPES {
        for dim in [8, 40, 64] {
            let layer = Layer::new(&mut random, kind, dim);
            let mut out = vec![f32::NAN; G * CAPACITY];
            for what in [Geometry::KeyNorm, Geometry::KeyDiff] {
                geometry(&mut out, layer.stored(), what);
                for h in 0..G {
                    let mut mean = vec![0.0; dim];
                    for &slot in &layer.held(h) {
                        let k = layer.k(h, slot);
                        let size = length(&k);
                        mean.iter_mut().zip(k).for_each(|(sum, k)| *sum += k / size);
                    }
                    for slot in 0..CAPACITY {
                        let k = layer.k(h, slot);
                        let wanted = match what {
                            _ if layer.positions(h)[slot] == EMPTY => 0.0,
                            Geometry::KeyNorm => -length(&k),
                            Geometry::KeyDiff => -dot(&k, &mean) / length(&k) / length(&mean),
                        };
                        close(out[h * CAPACITY + slot], wanted, 2e-6);
                    }
                }
            }
        }
    }
}

/// Turns one vector by an angle per pair, scaled.
fn turned(x: &[f64], pairs: &[[f64; 2]], style: RopeStyle) -> Vec<f64> {
    let mut out = x.to_vec();
    for (i, [cos, sin]) in pairs.iter().enumerate() {
        let (a, b) = if style == RopeStyle::Halves { (i, i + pairs.len()) } else { (2 * i, 2 * i + 1) };
        (out[a], out[b]) = (x[a] * cos - x[b] * sin, x[a] * sin + x[b] * cos);
    }
    out
}

#[test]
fn mean_rotation_is_the_mean_of_rotations() {
    for (start, n, magnitude) in [(0, 1, 1.0), (100, 512, 1.0), (8000, 512, 1.2), (3, 16, 1.0)] {
        let inv_freq: Vec<f32> = (0..8).map(|i| 1e4f32.powf(-(i as f32) / 8.0)).chain([0.0, 1e-9]).collect();
        let mut table = vec![f32::NAN; 2 * inv_freq.len()];
        mean_rotation(&mut table, &inv_freq, start, n, magnitude);
        for (pair, &f) in table.chunks(2).zip(&inv_freq) {
            let angles = (start..start + n).map(|p| p as f64 * f as f64);
            let (cos, sin) = angles.fold((0.0, 0.0), |(c, s), angle| (c + angle.cos(), s + angle.sin()));
            close(pair[0], magnitude as f64 * cos / n as f64, 1e-6);
            close(pair[1], magnitude as f64 * sin / n as f64, 1e-6);
        }
    }
}

#[test]
fn expected_weights_equal_their_definition() {
    let mut random = Random(22);
    let (group, n_queries, first) = (2, 37, 3);
    for (kind, dim, rope_dims, style) in [
        (KvType::F32, 16, 16, RopeStyle::Neighbours),
        (KvType::Q8_0, 40, 16, RopeStyle::Halves),
        (KvType::F16, 8, 0, RopeStyle::Halves),
    ] {
        let layer = Layer::new(&mut random, kind, dim);
        let n_heads = G * group;
        let q = random.floats(n_queries * n_heads * dim);
        let positions: Vec<u32> = (0..n_queries as u32).collect();
        let mut stats = vec![0.0; n_heads * statistics(dim)];
        // In two parts, as chunks come.
        let cut = 11 * n_heads * dim;
        gather(&mut stats, &q[..cut], &positions[..11], dim, first);
        gather(&mut stats, &q[cut..], &positions[11..], dim, first);

        let pairs: Vec<[f64; 2]> = (0..rope_dims / 2).map(|i| [0.8 / (i + 1) as f64, 0.1 * i as f64]).collect();
        let table: Vec<f32> = pairs.iter().flatten().map(|&x| x as f32).collect();
        let bias: Vec<f32> = (0..G * CAPACITY).map(|_| random.float().abs()).collect();
        let slopes = [0.0, 0.01, 0.02, 0.05];
        let (scale, epsilon) = (1.0 / (dim as f32).sqrt(), 0.02);
        let future = Future {
            stats: &stats,
            turn: (rope_dims > 0).then_some(Turn { table: &table, style }),
            bias: Some(&bias),
            slopes: Some(&slopes),
            values: &layer.values,
            value: layer.value,
            scale,
            epsilon,
            first,
        };
        let (mut out, mut room) = (vec![f32::NAN; G * CAPACITY], vec![0.0; CAPACITY]);
        expect(&mut out, &mut room, layer.stored(), future);

        for h in 0..G {
            let slots: Vec<usize> = layer.held(h).into_iter().filter(|&s| layer.positions(h)[s] >= first).collect();
            let mut weights = vec![0.0; CAPACITY];
            for head in h * group..(h + 1) * group {
                let queries: Vec<Vec<f64>> = (first as usize..n_queries)
                    .map(|t| q[(t * n_heads + head) * dim..][..dim].iter().map(|&x| x as f64).collect())
                    .collect();
                let n = queries.len() as f64;
                let mean: Vec<f64> = (0..dim).map(|i| queries.iter().map(|q| q[i]).sum::<f64>() / n).collect();
                let z = |slot: usize| {
                    let k = layer.k(h, slot);
                    // R x · k for every query: a mean and a variance of plain numbers.
                    let along = |x: &[f64]| dot(&turned(x, &pairs, style), &k);
                    let centre = along(&mean);
                    let variance = queries.iter().map(|q| (along(q) - centre).powi(2)).sum::<f64>() / n;
                    let position = layer.positions(h)[slot] as f64;
                    scale as f64 * centre
                        + (scale as f64).powi(2) * variance / 2.0
                        + bias[h * CAPACITY + slot] as f64
                        + slopes[head] as f64 * position
                };
                let sum: f64 = slots.iter().map(|&slot| z(slot).exp()).sum();
                slots.iter().for_each(|&slot| weights[slot] += z(slot).exp() / sum / group as f64);
            }
            for slot in 0..CAPACITY {
                let taken = slots.contains(&slot);
                let wanted = if taken { (weights[slot] + epsilon as f64) * length(&layer.v(h, slot)) } else { 0.0 };
                close(out[h * CAPACITY + slot], wanted, 1e-5);
            }
        }
    }
}

#[test]
fn an_echo_is_the_best_weight_in_a_repetition() {
    let mut random = Random(28);
    let (n, sinks) = (5, 3);
    for (kind, dim, group, rope_dims, style) in [
        (KvType::F32, 16, 2, 16, RopeStyle::Neighbours),
        (KvType::Q8_0, 40, 1, 16, RopeStyle::Halves),
        (KvType::F32, 8, 3, 0, RopeStyle::Halves),
    ] {
        let layer = Layer::new(&mut random, kind, dim);
        let n_heads = G * group;
        let (q, k) = (random.floats(n * n_heads * dim), random.floats(n * G * dim));
        let positions: Vec<u32> = (70..70 + n as u32).collect();
        let angles: Vec<f64> = (0..rope_dims / 2).map(|i| n as f64 * 0.5f64.powi(i)).collect();
        let pairs: Vec<[f64; 2]> = angles.iter().map(|a| [a.cos(), a.sin()]).collect();
        let table: Vec<f32> = pairs.iter().flatten().map(|&x| x as f32).collect();
        let slopes: Vec<f32> = (0..n_heads).map(|h| 0.02 * h as f32).collect();
        let mut scores = vec![7.0; G * CAPACITY];
        let chunk = Chunk {
            q: &q,
            k: &k,
            positions: &positions,
            turn: (rope_dims > 0).then_some(&table),
            style,
            slopes: Some(&slopes),
            n_heads,
            scale: 0.3,
            sinks,
        };
        echo(&mut scores, layer.stored(), chunk);

        let floats = |x: &[f32]| x.iter().map(|&x| x as f64).collect::<Vec<f64>>();
        for g in 0..G {
            let keys: Vec<Vec<f64>> = (0..n).map(|i| floats(&k[(i * G + g) * dim..][..dim])).collect();
            let first: Vec<usize> =
                layer.held(g).into_iter().filter(|&slot| layer.positions(g)[slot] < sinks).collect();
            let mut wanted = vec![0.0f64; n];
            for h in g * group..(g + 1) * group {
                for j in 0..n {
                    let q = floats(&q[(j * n_heads + h) * dim..][..dim]);
                    let far = turned(&q, &pairs, style);
                    let at = |q: &[f64], k: &[f64], distance: usize| {
                        (0.3f32 as f64 * dot(q, k) - slopes[h] as f64 * distance as f64).exp()
                    };
                    let cached: Vec<f64> = (0..n).map(|i| at(&far, &keys[i], n + j - i)).collect();
                    let copies: f64 = (0..=j).map(|i| at(&q, &keys[i], j - i)).sum();
                    let sinks: f64 = first
                        .iter()
                        .map(|&s| at(&far, &layer.k(g, s), 70 + n + j - layer.positions(g)[s] as usize))
                        .sum();
                    let total = cached.iter().sum::<f64>() + copies + sinks;
                    wanted.iter_mut().zip(cached).for_each(|(best, e)| *best = best.max(e / total));
                }
            }
            let empty = (0..CAPACITY).filter(|&slot| layer.positions(g)[slot] == EMPTY);
            for (slot, wanted) in empty.zip(wanted) {
                close(scores[g * CAPACITY + slot], wanted, 1e-5);
            }
            layer.held(g).iter().for_each(|slot| assert_eq!(scores[g * CAPACITY + slot], 7.0));
        }
    }
}

#[test]
fn a_spread_budget_equals_a_sort_of_all_heads() {
    let mut random = Random(23);
    for round in 0..300 {
        let layer = Layer::new(&mut random, KvType::F32, 8);
        let scores: Vec<f32> = (0..G * CAPACITY)
            .map(|i| if round % 2 == 0 { random.below(4) as f32 } else { random.float() + (i / CAPACITY) as f32 })
            .collect();
        let (first, last) = (random.below(4) as u32, 63 - random.below(5) as u32);
        let total = 12 + random.below(70);
        let (least, most) = (random.below(1 + total / 2 / G).min(8), total / G + random.below(30));
        let mut region = layer.slots.clone();
        spread(&mut region, &scores, CAPACITY, Spread { total, least, most, first, last });

        // Best first: by score, head, position. A head's own best ones are safe.
        let mut wanted: Vec<Vec<u32>> = Vec::new();
        let mut free: Vec<(f32, usize, u32)> = Vec::new();
        for h in 0..G {
            let held = layer.held(h).into_iter().map(|slot| (scores[h * CAPACITY + slot], layer.positions(h)[slot]));
            let (may_leave, stay): (Vec<_>, Vec<_>) = held.partition(|&(_, p)| p >= first && p < last);
            let mut best = may_leave;
            best.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap().then(a.1.cmp(&b.1)));
            best.truncate(most.saturating_sub(stay.len()));
            let safe = best.drain(..least.min(best.len())).map(|(_, p)| p);
            wanted.push(stay.iter().map(|&(_, p)| p).chain(safe).collect());
            free.extend(best.into_iter().map(|(score, p)| (score, h, p)));
        }
        free.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap().then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
        let taken: usize = wanted.iter().map(Vec::len).sum();
        free.truncate(total.saturating_sub(taken));
        free.iter().for_each(|&(_, h, p)| wanted[h].push(p));
        for (h, head) in heads(&mut region, CAPACITY).enumerate() {
            let mut kept: Vec<u32> = head.positions().iter().copied().filter(|&p| p != EMPTY).collect();
            kept.sort();
            wanted[h].sort();
            assert_eq!(kept, wanted[h], "round {round}, head {h}, total {total}, least {least}, most {most}");
            assert_eq!(head.n_occupied(), kept.len());
        }
    }
}

#[test]
fn the_fewest_stay_that_reach_a_share_of_the_scores() {
    let mut random = Random(27);
    for round in 0..60 {
        let layer = Layer::new(&mut random, KvType::F32, 8);
        let scores: Vec<f32> = (0..G * CAPACITY)
            .map(|_| if round % 2 == 0 { random.below(4) as f32 } else { random.float().abs() })
            .collect();
        let range = Range { first: random.below(4) as u32, last: 63 - random.below(5) as u32 };
        let tau = [0.0, 0.3, 0.7, 0.95, 1.0][round % 5];
        let mut region = layer.slots.clone();
        cut::share(&mut region, &scores, CAPACITY, range, tau);
        for (h, head) in heads(&mut region, CAPACITY).enumerate() {
            let held: Vec<(f64, u32)> = layer
                .held(h)
                .into_iter()
                .map(|slot| (scores[h * CAPACITY + slot] as f64, layer.positions(h)[slot]))
                .collect();
            let total: f64 = held.iter().map(|(score, _)| score).sum();
            let (mut best, stay): (Vec<_>, Vec<_>) = held.into_iter().partition(|&(_, p)| range.includes(p));
            best.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap().then(a.1.cmp(&b.1)));
            let mut mass: f64 = stay.iter().map(|(score, _)| score).sum();
            let mut wanted: Vec<u32> = stay.iter().map(|&(_, p)| p).collect();
            for (score, position) in best {
                if mass >= tau as f64 * total {
                    break;
                }
                mass += score;
                wanted.push(position);
            }
            wanted.sort();
            let mut kept: Vec<u32> = head.positions().iter().copied().filter(|&p| p != EMPTY).collect();
            kept.sort();
            // Of all scores even those of 0 may be counted in.
            assert!(kept == wanted || tau == 1.0 && wanted.iter().all(|p| kept.contains(p)), "{kept:?} {wanted:?}");
        }
    }
}

#[test]
fn the_slot_at_an_index_of_positions_leaves() {
    let mut random = Random(24);
    for (index, budget) in [(0, 43), (1, 40), (17, 20), (40, 30), (90, 0)] {
        let mut layer = Layer::new(&mut random, KvType::F32, 8);
        let before: Vec<Vec<u32>> = (0..G).map(|h| layer.positions(h).to_vec()).collect();
        cut::at(&mut layer.slots, CAPACITY, index, budget);
        for (h, before) in before.iter().enumerate() {
            let mut wanted: Vec<u32> = before.iter().copied().filter(|&p| p != EMPTY).collect();
            wanted.sort();
            while wanted.len() > budget && index < wanted.len() {
                wanted.remove(index);
            }
            let mut kept: Vec<u32> = layer.positions(h).iter().copied().filter(|&p| p != EMPTY).collect();
            kept.sort();
            assert_eq!(kept, wanted);
        }
    }
}

/// Thins a layer by scores; the slots before.
fn thinned(layer: &mut Layer, scores: &mut [f32], range: Range, budget: usize) -> Vec<u32> {
    let before = layer.slots.clone();
    let keep = Keep { budget, first: range.first, last: range.last };
    super::select::select(&mut layer.slots, Some(scores), CAPACITY, keep, false);
    before
}

#[test]
fn victims_fold_into_the_most_alike() {
    let mut random = Random(25);
    let range = Range { first: 2, last: 60 };
    for kind in TYPES {
        for budget in [10, 30, 49] {
            let mut layer = Layer::new(&mut random, kind, 24);
            let mut scores: Vec<f32> = (0..G * CAPACITY).map(|_| random.float().abs() + 0.01).collect();
            let mut bias: Vec<f32> = (0..G * CAPACITY).map(|_| random.float().abs()).collect();
            let before = thinned(&mut layer, &mut scores, range, budget);
            let (scores_before, bias_before) = (scores.clone(), bias.clone());
            let old: Vec<Vec<Vec<f64>>> = (0..G).map(|h| (0..CAPACITY).map(|s| layer.v(h, s)).collect()).collect();
            let (key, value) = (layer.key, layer.value);
            let cache = Changed { keys: &mut layer.keys, values: &mut layer.values, slots: &layer.slots, key, value };
            join(cache, &mut before.clone(), range, Join::Fold { scores: &mut scores, bias: &mut bias });
            for h in 0..G {
                let was = &before[h * (HEADER + CAPACITY) + HEADER..][..CAPACITY];
                let victims = (0..CAPACITY).filter(|&s| was[s] != EMPTY && layer.positions(h)[s] == EMPTY);
                let receivers: Vec<usize> =
                    layer.held(h).into_iter().filter(|&s| range.includes(layer.positions(h)[s])).collect();
                let mut joined = vec![Vec::new(); CAPACITY];
                for victim in victims {
                    let k = layer.k(h, victim);
                    let cosine = |s: usize| dot(&layer.k(h, s), &k) / length(&layer.k(h, s));
                    let best = receivers.iter().copied().reduce(|a, b| if cosine(b) > cosine(a) { b } else { a });
                    joined[best.unwrap()].push(victim);
                }
                for slot in layer.held(h) {
                    let at = |s: usize| scores_before[h * CAPACITY + s] as f64;
                    let ratio = |s: &usize| at(*s) / at(slot);
                    let mass = 1.0 + joined[slot].iter().map(ratio).sum::<f64>();
                    close(bias[h * CAPACITY + slot], bias_before[h * CAPACITY + slot] as f64 + mass.ln(), 1e-5);
                    let score = at(slot) + joined[slot].iter().map(|&s| at(s)).sum::<f64>();
                    close(scores[h * CAPACITY + slot], score, 1e-5);
                    let v: Vec<f32> = (0..value.dim)
                        .map(|i| {
                            let sum = joined[slot].iter().map(|&s| ratio(&s) * old[h][s][i]).sum::<f64>();
                            ((old[h][slot][i] + sum) / mass) as f32
                        })
                        .collect();
                    // As it would be stored.
                    let mut one = vec![0; value.value_bytes()];
                    write_value(&mut one, &value, 0, &v);
                    let mut wanted = vec![0.0; value.dim];
                    read_value(&one, &value, 0, &mut wanted);
                    let step = match kind {
                        KvType::F32 => 1e-5,
                        KvType::F16 => 2e-3,
                        KvType::Q8_0 => 0.04,
                        KvType::Q4_0 => 0.6,
                    };
                    layer
                        .v(h, slot)
                        .iter()
                        .zip(wanted)
                        .for_each(|(&got, wanted)| close(got as f32, wanted as f64, step));
                }
            }
        }
    }
}

#[test]
fn victims_go_into_the_mean_at_the_nearest_position() {
    let mut random = Random(26);
    let range = Range { first: 1, last: 62 };
    for budget in [8, 25] {
        let mut layer = Layer::new(&mut random, KvType::F32, 16);
        let mut scores: Vec<f32> = (0..G * CAPACITY).map(|_| random.float()).collect();
        let before = thinned(&mut layer, &mut scores, range, budget);
        let all = |layer: &Layer, h: usize, s: usize| [layer.k(h, s), layer.v(h, s)].concat();
        let old: Vec<Vec<Vec<f64>>> = (0..G).map(|h| (0..CAPACITY).map(|s| all(&layer, h, s)).collect()).collect();
        let (key, value) = (layer.key, layer.value);
        let cache = Changed { keys: &mut layer.keys, values: &mut layer.values, slots: &layer.slots, key, value };
        join(cache, &mut before.clone(), range, Join::Mean);
        for h in 0..G {
            let was = &before[h * (HEADER + CAPACITY) + HEADER..][..CAPACITY];
            let positions = layer.positions(h);
            let receivers: Vec<usize> = layer.held(h).into_iter().filter(|&s| range.includes(positions[s])).collect();
            let mut buckets: Vec<Vec<usize>> = (0..CAPACITY).map(|s| vec![s]).collect();
            for victim in (0..CAPACITY).filter(|&s| was[s] != EMPTY && positions[s] == EMPTY) {
                let near = |&&s: &&usize| (was[s].abs_diff(was[victim]), was[s]);
                buckets[*receivers.iter().min_by_key(near).unwrap()].push(victim);
            }
            for slot in layer.held(h) {
                let n = buckets[slot].len() as f64;
                for (i, got) in all(&layer, h, slot).into_iter().enumerate() {
                    let wanted = buckets[slot].iter().map(|&s| old[h][s][i]).sum::<f64>() / n;
                    close(got as f32, wanted, 1e-5);
                }
            }
        }
    }
}
