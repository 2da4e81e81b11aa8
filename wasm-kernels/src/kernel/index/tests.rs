//! Every index against a plain one, in double precision and with lists.
use super::clusters::{self, Level, Queries};
use super::kmeans::{self, Points};
use super::sketch::{self, Feed};
use super::{active, classes, pages};
use crate::kernel::kv::keys::read_key;
use crate::kernel::kv::slots::{self, Cache, EMPTY, HEADER};
use crate::kernel::kv::values::read_value;
use crate::kernel::kv::Stored;
use crate::kernel::kv::{KvType, Shape};
use crate::oracle::{close, Random};

const CAPACITY: usize = 96;
const DIM: usize = 24;
const HEADS: usize = 2;

/// A cache that owns what it is made of.
struct Store {
    keys: Vec<u32>,
    values: Vec<u8>,
    slots: Vec<u32>,
    shape: Shape,
}

impl Store {
    fn new(kind: KvType) -> Self {
        let shape = Shape { kind, dim: DIM, capacity: CAPACITY };
        let mut slots = vec![0; HEADS * (HEADER + CAPACITY)];
        slots::heads(&mut slots, CAPACITY).for_each(|mut head| head.reset());
        Self {
            keys: vec![0; HEADS * shape.key_bytes() / 4],
            values: vec![0; HEADS * shape.value_bytes()],
            slots,
            shape,
        }
    }

    fn cache(&mut self) -> Cache<'_> {
        let Self { keys, values, slots, shape } = self;
        Cache { keys, values, slots, ranks: None, key: *shape, value: *shape }
    }

    fn stored(&self) -> Stored<'_> {
        Stored { keys: &self.keys, slots: &self.slots, key: self.shape }
    }

    /// Position, key and value of each slot that holds one, in order of slots.
    fn held(&self, head: usize) -> Vec<(usize, u32, Vec<f32>, Vec<f32>)> {
        let (keys, positions) = (self.stored().keys_of(head), self.stored().held(head));
        let values = &self.values[head * self.shape.value_bytes()..];
        let occupied = positions.iter().enumerate().filter(|(_, &position)| position != EMPTY);
        let read = |(slot, &position): (usize, &u32)| {
            let (mut k, mut v) = (vec![0.0; DIM], vec![0.0; DIM]);
            read_key(keys, &self.shape, slot, &mut k);
            read_value(values, &self.shape, slot, &mut v);
            (slot, position, k, v)
        };
        occupied.map(read).collect()
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| *a as f64 * *b as f64).sum()
}

fn is_set(bits: &[u32], slot: usize) -> bool {
    bits[slot / 32] >> (slot % 32) & 1 == 1
}

#[test]
fn bits_of_a_range() {
    for (start, end) in [(0, 0), (0, 1), (3, 31), (3, 32), (0, 64), (31, 33), (40, 96), (0, 96)] {
        let mut bits = [0; 3];
        active::set(&mut bits, start, end);
        assert!((0..96).all(|slot| is_set(&bits, slot) == (start..end).contains(&slot)));
    }
}

#[test]
fn bounds_follow_the_keys_and_the_best_pages_are_read() {
    for (kind, page) in [(KvType::F32, 4), (KvType::F32, 16), (KvType::Q8_0, 8), (KvType::F16, 32)] {
        let mut random = Random(7);
        let mut store = Store::new(kind);
        let n_pages = pages::n_pages(CAPACITY, page);
        let mut bounds = vec![0.0; HEADS * n_pages * 2 * DIM];
        for round in 0..40 {
            let position = 5 * round;
            let n = 1 + random.below(5);
            for mut head in slots::heads(&mut store.slots, CAPACITY) {
                while head.n_occupied() + n > 70 {
                    head.evict(random.below(CAPACITY));
                }
            }
            let (k, v) = (random.floats(n * HEADS * DIM), random.floats(n * HEADS * DIM));
            let positions: Vec<u32> = (0..n).map(|i| position + i as u32).collect();
            store.cache().append(&k, &v, &positions);
            pages::extend(&mut bounds, &k, &positions, store.stored(), page);
            let q = random.floats(2 * HEADS * DIM);
            let (mut bits, mut scores) = (vec![0; HEADS * CAPACITY / 32], vec![0.0; HEADS * n_pages]);
            let (newest, n_read) = (*positions.last().unwrap(), 1 + random.below(7));
            let query = pages::Query { q: &q, position: newest, slots: &store.slots, dim: DIM };
            pages::choose(&mut bits, &mut scores, &bounds, query, CAPACITY, page, n_read);
            for head in 0..HEADS {
                check_pages(&store, head, &q, &bits, &scores, page, n_read, newest);
            }
        }
        let mut made_anew = vec![0.0; bounds.len()];
        pages::rebuild(&mut made_anew, store.stored(), page);
        for head in 0..HEADS {
            for (slot, _, k, _) in store.held(head) {
                let bounds = &made_anew[head * n_pages * 2 * DIM..][..n_pages * 2 * DIM];
                let (low, high) = bounds_of(bounds, slot / page);
                assert!((0..DIM).all(|c| low[c] <= k[c] && k[c] <= high[c]));
            }
        }
    }
}

/// Low and high values of a page, from among those of its head.
fn bounds_of(bounds: &[f32], page: usize) -> (Vec<f32>, Vec<f32>) {
    let four = &bounds[page / 4 * 8 * DIM..][..8 * DIM];
    let at = |i: usize| (0..DIM).map(|c| four[4 * (i * DIM + c) + page % 4]).collect();
    (at(0), at(1))
}

#[allow(clippy::too_many_arguments)]
fn check_pages(
    store: &Store,
    head: usize,
    q: &[f32],
    bits: &[u32],
    scores: &[f32],
    page: usize,
    n_read: usize,
    newest: u32,
) {
    let held = store.held(head);
    let n_pages = pages::n_pages(CAPACITY, page);
    let scores = &scores[head * n_pages..][..n_pages];
    let bits = &bits[head * CAPACITY / 32..][..CAPACITY / 32];
    let queries = &q[head * 2 * DIM..][..2 * DIM];
    // An upper bound of what each page's keys give. The rounding of 8 bits may pass it by a little.
    for (slot, _, k, _) in &held {
        let best = queries.chunks(DIM).map(|q| dot(q, k)).fold(f64::NEG_INFINITY, f64::max);
        assert!(best <= scores[slot / page] as f64 + 0.3, "{best} above {}", scores[slot / page]);
    }
    let mut used: Vec<usize> = held.iter().map(|(slot, ..)| slot / page).collect();
    used.dedup();
    let current = held.iter().find(|(_, position, ..)| *position == newest).unwrap().0 / page;
    let mut others: Vec<usize> = used.iter().copied().filter(|&p| p != current).collect();
    others.sort_by(|&a, &b| scores[b].partial_cmp(&scores[a]).unwrap().then(a.cmp(&b)));
    others.truncate(n_read - 1);
    for (slot, ..) in held {
        assert_eq!(is_set(bits, slot), slot / page == current || others.contains(&(slot / page)));
    }
}

#[test]
fn fresh_bounds_are_exact() {
    let mut random = Random(8);
    let mut store = Store::new(KvType::F32);
    let page = 8;
    let mut bounds = vec![0.0; HEADS * CAPACITY / page * 2 * DIM];
    for position in 0..90 {
        let (k, v) = (random.floats(HEADS * DIM), random.floats(HEADS * DIM));
        store.cache().append(&k, &v, &[position]);
        pages::extend(&mut bounds, &k, &[position], store.stored(), page);
    }
    let mut wanted = vec![0.0; bounds.len()];
    pages::rebuild(&mut wanted, store.stored(), page);
    for head in 0..HEADS {
        let of_head = |all: &[f32], i: usize| bounds_of(&all[head * all.len() / HEADS..], i);
        (0..90usize.div_ceil(page)).for_each(|i| assert_eq!(of_head(&bounds, i), of_head(&wanted, i)));
    }
}

/// Unit vectors of rows.
fn directions(rows: &[f32]) -> Vec<Vec<f64>> {
    rows.chunks(DIM)
        .map(|row| {
            let length = dot(row, row).sqrt();
            row.iter().map(|&x| x as f64 / length).collect()
        })
        .collect()
}

fn nearest(point: &[f64], centres: &[Vec<f64>]) -> (usize, f64) {
    let far = |c: &Vec<f64>| c.iter().zip(point).map(|(c, p)| (c - p).powi(2)).sum::<f64>();
    centres.iter().map(far).enumerate().fold((0, f64::INFINITY), |best, x| if x.1 < best.1 { x } else { best })
}

#[test]
fn k_means_equals_a_plain_one() {
    let mut random = Random(9);
    for n in [1, 3, 17, 60] {
        let rows = random.floats(n * DIM);
        let k = n.div_ceil(4);
        let (mut centres, mut labels) = (vec![0.0; k * DIM], vec![u32::MAX; n]);
        kmeans::seed(&mut centres, &mut vec![0.0; n], Points::Rows(&rows), DIM);
        let points = directions(&rows);
        let mut wanted = vec![points[0].clone()];
        while wanted.len() < k {
            let farthest = points.iter().map(|p| nearest(p, &wanted).1).enumerate();
            let next = farthest.fold((0, -1.0), |best, x| if x.1 > best.1 { x } else { best }).0;
            wanted.push(points[next].clone());
        }
        for _ in 0..10 {
            let changed = kmeans::assign(&mut labels, &centres, Points::Rows(&rows), DIM);
            let expected: Vec<u32> = points.iter().map(|p| nearest(p, &wanted).0 as u32).collect();
            assert_eq!(labels, expected);
            if changed == 0 {
                break;
            }
            kmeans::means(&mut centres, &mut vec![0; k], &labels, Points::Rows(&rows), DIM);
            for (j, centre) in wanted.iter_mut().enumerate() {
                let own: Vec<_> = (0..n).filter(|&i| expected[i] as usize == j).map(|i| &points[i]).collect();
                if !own.is_empty() {
                    *centre = (0..DIM).map(|c| own.iter().map(|p| p[c]).sum::<f64>() / own.len() as f64).collect();
                }
            }
            wanted.iter().flatten().zip(&centres).for_each(|(wanted, got)| close(*got, *wanted, 1e-5));
        }
    }
}

#[test]
fn slots_are_sorted_by_cluster_and_keep_what_they_hold() {
    for kind in [KvType::F32, KvType::F16, KvType::Q8_0, KvType::Q4_0] {
        let mut random = Random(10);
        let mut store = Store::new(kind);
        let n = 90;
        let (k, v) = (random.floats(n * HEADS * DIM), random.floats(n * HEADS * DIM));
        store.cache().append(&k, &v, &(0..n as u32).collect::<Vec<_>>());
        let before: Vec<_> = (0..HEADS).map(|head| store.held(head)).collect();
        let sorted = 80;
        for (head, before) in before.iter().enumerate() {
            let labels: Vec<u32> = (0..sorted).map(|_| random.below(7) as u32).collect();
            let (groups, wanted): (Vec<u32>, Vec<f32>) = ((0..8).map(|i| i % 3).collect(), random.floats(8));
            let mut order = [0; 8];
            clusters::sort(&mut order, Some(&groups), Some(&wanted));
            let key = |j: u32| (groups[j as usize], -wanted[j as usize]);
            assert!(order.windows(2).all(|pair| key(pair[0]) < key(pair[1])));
            let (mut starts, mut used_up) = (vec![0; 9], labels.clone());
            clusters::arrange(&mut store.cache(), head, &mut starts, &mut used_up, &order);
            let after = store.held(head);
            let mut place = 0;
            for (rank, &cluster) in order.iter().enumerate() {
                assert_eq!(starts[rank] as usize, place);
                for i in (0..sorted).filter(|&i| labels[i] == cluster) {
                    let ((_, p, k, v), (slot, q, l, w)) = (&before[i], &after[place]);
                    assert_eq!((*slot, p, k, v), (place, q, l, w));
                    place += 1;
                }
            }
            assert_eq!(starts[8] as usize, sorted);
            assert_eq!(before[sorted..], after[sorted..]);
            let mut again = vec![0; sorted];
            clusters::label(&mut again, &starts);
            assert!(again
                .iter()
                .enumerate()
                .all(|(slot, &j)| (starts[j as usize]..starts[j as usize + 1]).contains(&(slot as u32))));
            let mut centroids = vec![0.0; 8 * DIM];
            let keys = store.stored().keys_of(head);
            clusters::average(&mut centroids, &starts, Points::Keys(keys, store.shape), DIM);
            for j in 0..8 {
                let own = &after[starts[j] as usize..starts[j + 1] as usize];
                for c in 0..DIM {
                    let mean = own.iter().map(|(_, _, k, _)| k[c] as f64).sum::<f64>() / own.len().max(1) as f64;
                    close(centroids[j * DIM + c], mean, 1e-5);
                }
            }
        }
    }
}

#[test]
fn clusters_above_the_threshold_are_read() {
    let mut random = Random(11);
    for round in 0..30 {
        let (k, n_coarse, n_tokens, group) = (9, 3, 1 + round % 3, 2);
        let sizes: Vec<u32> = (0..k).map(|_| random.below(9) as u32).collect();
        let starts: Vec<u32> = (0..=k).map(|j| sizes[..j].iter().sum()).collect();
        let coarse_starts = [0, 2, 6, 9u32];
        let (centroids, coarse_centroids) = (random.floats(k * DIM), random.floats(n_coarse * DIM));
        // Two KV heads' queries, of which the second's are read.
        let q = random.floats(n_tokens * 2 * group * DIM);
        let queries = Queries { q: &q[group * DIM..], n_tokens, n_heads: 2 * group, group, dim: DIM, scale: 0.3 };
        let probabilities = |centroids: &[f32], sizes: &[u32], alive: &dyn Fn(usize) -> bool| {
            let mut sums = vec![0.0; sizes.len()];
            for row in 0..n_tokens * group {
                let q = &q[(row / group * 2 * group + group + row % group) * DIM..][..DIM];
                let e: Vec<f64> = centroids.chunks(DIM).map(|c| (dot(q, c) * 0.3).exp()).collect();
                let total: f64 = (0..e.len()).filter(|&j| alive(j)).map(|j| e[j] * sizes[j] as f64).sum();
                (0..e.len()).for_each(|j| sums[j] += e[j] / total / (n_tokens * group) as f64);
            }
            sums
        };
        let coarse_sizes: Vec<u32> =
            coarse_starts.windows(2).map(|ends| starts[ends[1] as usize] - starts[ends[0] as usize]).collect();
        let (threshold, coarse_threshold) = (0.02, 0.03);
        let fine = Level { centroids: &centroids, starts: &starts, threshold };
        let coarse = Level { centroids: &coarse_centroids, starts: &coarse_starts, threshold: coarse_threshold };
        for two_levels in [false, true] {
            let wanted_coarse = probabilities(&coarse_centroids, &coarse_sizes, &|_| true);
            let alive = |j: usize| {
                let run = coarse_starts.windows(2).position(|ends| (ends[0]..ends[1]).contains(&(j as u32))).unwrap();
                !two_levels || wanted_coarse[run] > coarse_threshold as f64
            };
            let wanted = probabilities(&centroids, &sizes, &alive);
            let (mut bits, mut scores, mut coarse_scores) = ([0; 3], [0.0; 9], [0.0; 3]);
            let mut room = [0.0; clusters::scratch(9)];
            let levels = two_levels.then_some(coarse);
            clusters::choose(&mut bits, &mut scores, &mut coarse_scores, &mut room, fine, levels, queries);
            for j in 0..k {
                if alive(j) {
                    close(scores[j], wanted[j], 1e-5);
                }
                let read = alive(j) && wanted[j] > threshold as f64;
                (starts[j]..starts[j + 1]).for_each(|slot| assert_eq!(is_set(&bits, slot as usize), read));
            }
            (starts[k] as usize..96).for_each(|slot| assert!(is_set(&bits, slot)));
            if two_levels {
                coarse_scores.iter().zip(&wanted_coarse).for_each(|(got, wanted)| close(*got, *wanted, 1e-5));
            }
        }
    }
}

/// First key, its position, size, samples, sum of values.
type PlainCluster = (Vec<f32>, u32, u32, Vec<u32>, Vec<f64>);

/// The plain sketch of one head.
#[derive(Default)]
struct PlainSketch {
    clusters: Vec<PlainCluster>,
    mu: f64,
    samples: Vec<u32>,
}

#[test]
fn a_sketch_equals_its_definition() {
    for (key_samples, value_samples, clusters) in [(3, 5, 40), (1, 1, 40), (0, 0, 40), (2, 4, 3), (0, 0, 3)] {
        let mut random = Random(12);
        let shape = sketch::Shape { clusters, key_samples, value_samples, key_dim: DIM, value_dim: DIM };
        let mut words = vec![0; HEADS * shape.words()];
        let mut floats = vec![0.0; HEADS * shape.floats()];
        let mut store = Store::new(KvType::F32);
        let (n, stride, scale, delta) = (60u32, key_samples + value_samples, 0.2, 1.25);
        let draws: Vec<f32> = (0..HEADS * n as usize * stride).map(|_| random.below(1000) as f32 / 1000.0).collect();
        let mut plain: Vec<PlainSketch> = (0..HEADS).map(|_| PlainSketch::default()).collect();
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        for position in 0..n {
            let (k, v) = (random.floats(HEADS * DIM), random.floats(HEADS * DIM));
            store.cache().append(&k, &v, &[position]);
            keys.push(k);
            values.push(v);
            // Some leave one by one, some together.
            let before = if position % 7 < 3 { 0 } else { position.saturating_sub(10) };
            let mut leaving: Vec<u32> = store.held(0).iter().map(|h| h.1).filter(|&p| p < before).collect();
            leaving.sort();
            let given = Some((&draws[..], n as usize));
            let feed = Feed { before, delta, scale, seed: 0, layer: 0, given };
            sketch::feed(&mut words, &mut floats, &shape, &mut store.cache(), feed);
            assert!((0..HEADS).all(|head| store.held(head).iter().all(|h| h.1 >= before)));
            for (head, plain) in plain.iter_mut().enumerate() {
                for &p in &leaving {
                    let row = |rows: &Vec<Vec<f32>>| rows[p as usize][head * DIM..][..DIM].to_vec();
                    let (k, v) = (row(&keys), row(&values));
                    let draw = |i: usize| draws[(head * n as usize + p as usize) * stride + i];
                    let far = |x: &[f32]| {
                        x.iter().zip(&k).map(|(x, k)| (*x as f64 - *k as f64).powi(2)).sum::<f64>().sqrt()
                            * scale as f64
                    };
                    let near = plain.clusters.iter().map(|c| far(&c.0)).enumerate();
                    let near = near.fold((0, f64::INFINITY), |best, x| if x.1 < best.1 { x } else { best });
                    let value: Vec<f64> = v.iter().map(|&v| v as f64).collect();
                    if near.1 <= delta as f64 || plain.clusters.len() == clusters {
                        let cluster = &mut plain.clusters[near.0];
                        cluster.2 += 1;
                        for i in 0..key_samples {
                            if (draw(i) as f64) < 1.0 / cluster.2 as f64 {
                                cluster.3[i] = p;
                            }
                        }
                        cluster.4.iter_mut().zip(value).for_each(|(sum, v)| *sum += v);
                    } else {
                        plain.clusters.push((k.clone(), p, 1, vec![p; key_samples], value));
                    }
                    plain.mu += dot(&v, &v);
                    let chance = dot(&v, &v) / plain.mu;
                    let first = plain.samples.is_empty();
                    plain.samples.resize(value_samples, p);
                    for i in 0..value_samples {
                        if first || (draw(key_samples + i) as f64) < chance {
                            plain.samples[i] = p;
                        }
                    }
                }
            }
            check_sketch(&mut words, &mut floats, &shape, &plain, &store, (&keys, &values), &mut random);
        }
        assert!(plain.iter().all(|plain| plain.clusters.len() > 2));
    }
}

fn check_sketch(
    words: &mut [u32],
    floats: &mut [f32],
    shape: &sketch::Shape,
    plain: &[PlainSketch],
    store: &Store,
    (keys, values): (&[Vec<f32>], &[Vec<f32>]),
    random: &mut Random,
) {
    let (n_tokens, group, scale) = (2, 2, 0.2f32);
    let n_heads = HEADS * group;
    let q = random.floats(n_tokens * n_heads * DIM);
    let (mut out, mut lse) = (vec![0.0; q.len()], vec![0.0; n_tokens * n_heads]);
    let mut wanted = Vec::new();
    for token in 0..n_tokens {
        for h in 0..n_heads {
            let (head, q) = (h / group, &q[(token * n_heads + h) * DIM..][..DIM]);
            let row = |rows: &[Vec<f32>], p: u32| rows[p as usize][head * DIM..][..DIM].to_vec();
            let e = |k: &[f32]| (dot(q, k) * scale as f64).exp();
            let (mut sum, mut total) = (0.0, vec![0.0; DIM]);
            let mut add = |weight: f64, v: &[f32]| total.iter_mut().zip(v).for_each(|(t, v)| *t += weight * *v as f64);
            for (_, _, k, v) in store.held(head) {
                sum += e(&k);
                add(e(&k), &v);
            }
            // What attention over the slots leaves.
            lse[h * n_tokens + token] = if sum > 0.0 { sum.ln() as f32 } else { f32::NEG_INFINITY };
            let exact = store.held(head);
            for c in 0..DIM {
                let value: f64 = exact.iter().map(|(_, _, k, v)| e(k) * v[c] as f64).sum();
                out[(token * n_heads + h) * DIM + c] = if sum > 0.0 { (value / sum) as f32 } else { 0.0 };
            }
            let plain = &plain[head];
            for (first, _, n, samples, value_sum) in &plain.clusters {
                if shape.key_samples == 0 {
                    let mean: Vec<f32> = value_sum.iter().map(|v| (v / *n as f64) as f32).collect();
                    sum += *n as f64 * e(first);
                    add(*n as f64 * e(first), &mean);
                }
                for &p in samples {
                    sum += *n as f64 / shape.key_samples as f64 * e(&row(keys, p));
                }
            }
            for &p in &plain.samples {
                let v = row(values, p);
                add(plain.mu / shape.value_samples as f64 / dot(&v, &v) * e(&row(keys, p)), &v);
            }
            wanted.push((sum, total));
        }
    }
    let queries = sketch::Queries { q: &q, n_tokens, scale };
    sketch::read(&mut out, &mut lse, words, floats, shape, queries);
    for (row, (sum, total)) in wanted.iter().enumerate() {
        let (token, h) = (row / n_heads, row % n_heads);
        close(lse[h * n_tokens + token], sum.ln(), 1e-4);
        for c in 0..DIM {
            close(out[row * DIM + c], total[c] / sum, 2e-4);
        }
    }
}

#[test]
fn hashed_draws_make_fair_samples() {
    // All keys are one cluster; each of 400 tokens should be the sample equally often.
    let shape = sketch::Shape { clusters: 1, key_samples: 8, value_samples: 8, key_dim: DIM, value_dim: DIM };
    let (mut early, mut all) = (0, 0);
    for seed in 0..60 {
        let mut words = vec![0; HEADS * shape.words()];
        let mut floats = vec![0.0; HEADS * shape.floats()];
        let mut store = Store::new(KvType::F32);
        for position in 0..64 {
            let row = vec![1.0; HEADS * DIM];
            store.cache().append(&row, &row, &[position]);
            let feed = Feed { before: position + 1, delta: 1.0, scale: 1.0, seed, layer: 1, given: None };
            sketch::feed(&mut words, &mut floats, &shape, &mut store.cache(), feed);
        }
        let samples = words.chunks(shape.words()).flat_map(|head| &head[4 + 2..]);
        for &position in samples {
            early += (position < 16) as u32;
            all += 1;
        }
    }
    let share = early as f64 / all as f64;
    assert!((share - 0.25).abs() < 0.04, "{share}");
}

#[test]
fn tokens_stay_by_class() {
    let mut random = Random(13);
    for round in 0..100 {
        let mut store = Store::new(KvType::F32);
        let mut marks = vec![0.0; if round % 2 == 0 { CAPACITY } else { HEADS * CAPACITY }];
        let classes: Vec<u8> = (0..50).map(|_| (random.below(3) == 0) as u8 * 3).collect();
        let mut ids = Vec::new();
        let row = vec![0.0; 3 * HEADS * DIM];
        for start in (0..90).step_by(3) {
            let positions = [start, start + 1, start + 2];
            let new: Vec<u32> = (0..3).map(|_| random.below(50) as u32).collect();
            store.cache().append(&row, &row, &positions);
            classes::mark(&mut marks, &store.slots, CAPACITY, &new, &positions, &classes);
            ids.extend(new);
            let over = 20 + random.below(40);
            let last = start + 3 - random.below(12).min(start as usize) as u32;
            let keep = classes::Keep { over, first: random.below(5) as u32, last, most: random.below(12) };
            let before: Vec<Vec<u32>> = (0..HEADS).map(|head| store.held(head).iter().map(|h| h.1).collect()).collect();
            classes::thin(&mut store.slots, &mut marks, CAPACITY, keep);
            for (head, before) in before.iter().enumerate() {
                let is_marked = |p: u32| classes[ids[p as usize] as usize] > 0;
                let between = |p: u32| p >= keep.first && p < keep.last;
                let mut latest: Vec<u32> = before.iter().copied().filter(|&p| between(p) && is_marked(p)).collect();
                latest.sort_by_key(|p| !p);
                latest.truncate(keep.most);
                let stays = |p: &u32| before.len() <= over || !between(*p) || latest.contains(p);
                let wanted: Vec<u32> = before.iter().copied().filter(stays).collect();
                let held: Vec<u32> = store.held(head).iter().map(|h| h.1).collect();
                assert_eq!(held, wanted);
                let marks = &marks[head * (marks.len() / CAPACITY - 1) * CAPACITY..][..CAPACITY];
                for (slot, position, ..) in store.held(head) {
                    assert_eq!(marks[slot] > 0.0, is_marked(position));
                }
            }
        }
        let (from, to) = (random.below(90) as u32, random.below(90) as u32);
        let before: Vec<u32> = store.held(1).iter().map(|h| h.1).collect();
        classes::evict(&mut store.slots, CAPACITY, from, to);
        let held: Vec<u32> = store.held(1).iter().map(|h| h.1).collect();
        assert_eq!(held, before.into_iter().filter(|p| !(from..to).contains(p)).collect::<Vec<_>>());
    }
}

#[test]
fn tokens_far_apart_are_found_in_order() {
    let mut random = Random(14);
    let mut store = Store::new(KvType::F32);
    let k = random.floats(80 * HEADS * DIM);
    store.cache().append(&k, &k, &(0..80).collect::<Vec<_>>());
    slots::heads(&mut store.slots, CAPACITY).for_each(|mut head| (0..10).for_each(|_| head.evict(random.below(80))));
    let (last, wanted) = (70, 12);
    let mut scores = vec![0.0; HEADS * CAPACITY];
    kmeans::far_apart(&mut scores, store.stored(), last, wanted);
    for head in 0..HEADS {
        let held: Vec<_> = store.held(head).into_iter().filter(|h| h.1 < last).collect();
        let mut chosen = vec![0];
        while chosen.len() < wanted {
            let far = |i: usize| {
                let to =
                    |&j: &usize| (0..DIM).map(|c| (held[i].2[c] as f64 - held[j].2[c] as f64).powi(2)).sum::<f64>();
                chosen.iter().map(to).fold(f64::INFINITY, f64::min)
            };
            let next = (0..held.len()).map(|i| (i, far(i)));
            chosen.push(next.fold((0, -1.0), |best, x| if x.1 > best.1 { x } else { best }).0);
        }
        let scores = &scores[head * CAPACITY..][..CAPACITY];
        for (order, &i) in chosen.iter().enumerate() {
            assert_eq!(scores[held[i].0], (wanted - order) as f32);
        }
        assert_eq!(scores.iter().filter(|&&score| score != 0.0).count(), wanted);
    }
}

#[test]
fn a_radius_may_follow_the_spread_of_the_keys() {
    let shape = sketch::Shape { clusters: 8, key_samples: 0, value_samples: 0, key_dim: DIM, value_dim: DIM };
    let mut random = Random(15);
    let mut store = Store::new(KvType::F32);
    let k = random.floats(50 * HEADS * DIM);
    store.cache().append(&k, &k, &(0..50).collect::<Vec<_>>());
    let held: Vec<_> = (0..HEADS).map(|head| store.held(head)).collect();
    let (mut words, mut floats) = (vec![0; HEADS * shape.words()], vec![0.0; HEADS * shape.floats()]);
    let feed = Feed { before: 1, delta: -0.5, scale: 0.3, seed: 0, layer: 0, given: None };
    sketch::feed(&mut words, &mut floats, &shape, &mut store.cache(), feed);
    for (head, words) in words.chunks(shape.words()).enumerate() {
        let keys: Vec<_> = held[head].iter().map(|h| &h.2).collect();
        let far = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (*a as f64 - *b as f64).powi(2)).sum::<f64>();
        let total: f64 = keys.iter().flat_map(|a| keys.iter().map(move |b| far(a, b))).sum();
        close(f32::from_bits(words[3]), 0.5 * 0.3 * (total / 2500.0).sqrt(), 1e-4);
    }
}
