//! What a cache may have beside keys, values and slots, each alone and all at once, against the same naive computation.
use super::decoded::{put_key, Block, Codec};
use super::join::{join, Part};
use super::tests::{check, frequency, options, shape, Owned, TYPES};
use super::*;
use crate::kernel::kv::keys::read_key;
use crate::kernel::kv::values::read_value;
use crate::kernel::kv::KvType;
use crate::kernel::rope::rope_table;
use crate::oracle::{close, Random};

const CAPACITY: usize = 448;

/// Two KV heads with 400 tokens, of which some have left, more in the second.
fn ragged(random: &mut Random, kind: KvType, with: &str) -> Owned {
    let mut owned = Owned::new(2, shape(kind, 40, CAPACITY), shape(kind, 24, CAPACITY));
    if with.contains("ranks") {
        owned.extras.ranks = vec![0; 2 * CAPACITY];
    }
    owned.append(random, &(0..400).collect::<Vec<_>>());
    for head in 0..2 {
        (0..60 + 200 * head).for_each(|_| owned.evict(head, random.below(400)));
    }
    owned.append(random, &[403, 404, 409]);
    if with.contains("bias") {
        owned.extras.bias = random.floats(2 * CAPACITY);
    }
    if with.contains("active") {
        let word = |i: usize, random: &mut Random| match i % 5 {
            0 | 3 => 0,
            1 => u32::MAX,
            // Some of the eights in which slots are read.
            2 => random.bits() & 0xff << (8 * random.below(4)),
            _ => random.bits(),
        };
        owned.extras.active = (0..2 * CAPACITY / 32).map(|i| word(i, random)).collect();
    }
    if with.contains("turn") {
        let dims = if with.contains("part") { 24 } else { 40 };
        let frequencies: Vec<f32> = (0..dims / 2).map(|i| frequency(i, dims)).collect();
        owned.extras.table = vec![0.0; 416 * dims];
        rope_table(&mut owned.extras.table, &(0..416).collect::<Vec<_>>(), &frequencies, 1.0);
        (owned.extras.dims, owned.extras.halves) = (dims, with.contains("halves"));
    }
    if with.contains("codec") {
        let (keys, values) = (owned.keys.clone(), owned.values.clone());
        let (key, value) = (owned.cache().key, owned.cache().value);
        owned.extras.codec = Some(Box::new(Rows { keys, values, key, value }));
    }
    owned
}

/// Decodes what another cache of plain types holds.
struct Rows {
    keys: Vec<u32>,
    values: Vec<u8>,
    key: Shape,
    value: Shape,
}

impl Codec for Rows {
    fn has_keys(&self) -> bool {
        true
    }

    fn has_values(&self) -> bool {
        self.key.kind != KvType::F16
    }

    fn keys(&self, block: &Block, out: &mut [f32]) {
        let (dim, mut x) = (self.key.dim, vec![0.0; self.key.dim]);
        let head = &self.keys[block.head * self.key.key_bytes() / 4..];
        for slot in 0..32 {
            read_key(head, &self.key, block.start + slot, &mut x);
            put_key(out, dim, slot, |i| x[i]);
        }
    }

    fn values(&self, block: &Block, out: &mut [f32]) {
        let head = &self.values[block.head * self.value.value_bytes()..];
        for (slot, out) in out.chunks_exact_mut(self.value.dim).enumerate() {
            read_value(head, &self.value, block.start + slot, out);
        }
    }
}

#[test]
fn each_alone_and_all_at_once() {
    let mut random = Random(51);
    let cases = [
        "bias",
        "active",
        "ranks",
        "turn",
        "turn halves",
        "turn part",
        "turn halves part",
        "codec",
        "ranks turn",
        "ranks turn halves part",
        "bias active",
        "codec turn",
        "bias active ranks turn",
        "bias active ranks turn codec",
    ];
    for with in cases {
        for kind in TYPES {
            let owned = ragged(&mut random, kind, with);
            check(&owned, &mut random, &[403, 404, 409], 3, options(40), false);
            for (softcap, window, alibi) in [(0.0, 0, true), (5.0, 150, false), (2.0, 33, true)] {
                let options = Options { softcap, window, ..options(40) };
                check(&owned, &mut random, &[404, 409], 2, options, alibi);
            }
        }
    }
}

#[test]
fn a_cache_without_any_slot_to_read_gives_zeros() {
    let mut random = Random(52);
    for kind in TYPES {
        let mut owned = ragged(&mut random, kind, "ranks turn");
        owned.extras.active = vec![0; 2 * CAPACITY / 32];
        check(&owned, &mut random, &[404, 409], 2, options(40), false);
    }
}

#[test]
fn two_parts_join_to_the_whole() {
    let mut random = Random(53);
    for kind in TYPES {
        let mut owned = ragged(&mut random, kind, "");
        let (n_tokens, n_heads) = (3, 6);
        let q = random.floats(n_tokens * n_heads * 40);
        let run = |owned: &Owned| {
            let (mut out, mut lse) = (vec![f32::NAN; n_tokens * n_heads * 24], vec![f32::NAN; n_tokens * n_heads]);
            let queries = Queries { q: &q, positions: &[2, 404, 409], slopes: None, n_heads };
            attend(&mut Results { out: &mut out, scores: None, lse: &mut lse }, queries, owned.cache(), options(40));
            (out, lse)
        };
        let (whole, whole_lse) = run(&owned);
        // The first token sees slots of the first part only.
        let bits: Vec<u32> =
            (0..2 * CAPACITY / 32).map(|i| if i % 14 == 0 { 0xffff } else { random.bits() & !7 }).collect();
        owned.extras.active = bits.clone();
        let (mut out, mut lse) = run(&owned);
        owned.extras.active = bits.iter().map(|bits| !bits).collect();
        let (other, other_lse) = run(&owned);
        assert!(other_lse.contains(&f32::NEG_INFINITY));
        join(&mut out, &mut lse, Part { out: &other, lse: &other_lse }, n_tokens);
        let tolerance = if kind == KvType::Q4_0 { 2e-3 } else { 1e-3 };
        for (&wanted, &got) in whole.iter().chain(&whole_lse).zip(out.iter().chain(&lse)) {
            // Of the earliest tokens a head may hold none.
            if wanted != got {
                close(got, wanted as f64, tolerance);
            }
        }
    }
}
