use super::*;
use crate::kernel::index::{active, pages};
use crate::oracle::Random;

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
