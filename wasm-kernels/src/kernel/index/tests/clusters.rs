use super::*;
use crate::kernel::index::clusters::{self, Level, Queries};
use crate::kernel::index::kmeans::{self, Points};
use crate::oracle::{close, Random};

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
