use super::*;
use crate::kernel::index::classes;
use crate::oracle::Random;

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
