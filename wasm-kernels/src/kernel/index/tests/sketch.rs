use super::*;
use crate::kernel::index::sketch::{self, Feed};
use crate::oracle::{close, Random};

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
