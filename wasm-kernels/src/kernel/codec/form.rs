//! What a codec's region says about itself.
//!
//! ```text
//! u32 header[24]          see the constants
//! u32 channels[G, dim]    ThinK: those that stay, in front
//! f32 squares[2, G, dim]  ThinK: sums over queries and keys, until the channels are chosen
//! u32 ends[sets], ...     two widths: see mixed.rs
//! exact keys [G, ring, dim], exact values [G, ring, dim]: of position p in row p % ring
//! ```
use super::cq::Coupled;
use super::floats::Rows;
use super::kivi::{Grid, KeyCodes, ValueCodes, BLOCK};
use super::mixed::Mixed;
use crate::kernel::kv::{KvType, Shape};

pub const HEADER: usize = 24;
// Words of the header.
const KIND: usize = 0;
/// Keys, and values, at positions below this one are coded; the others are exact.
pub const CODED_KEYS: usize = 1;
pub const CODED_VALUES: usize = 2;
/// ThinK: have the channels been chosen?
pub const CHOSEN: usize = 3;
/// Two widths: how often tokens have been coded together.
pub const SETS: usize = 3;
const N_KV_HEADS: usize = 4;
const CAPACITY: usize = 5;
const KEY_DIM: usize = 6;
const VALUE_DIM: usize = 7;
/// Offsets of codes, slots and codebooks.
pub const KEYS: usize = 8;
pub const VALUES: usize = 9;
pub const SLOTS: usize = 10;
pub const BOOKS: usize = 11;
/// Latest tokens that stay exact.
const RECENT: usize = 12;
/// Rows of exact tokens per KV head: at least `recent` and a chunk.
const RING: usize = 13;
/// Are exact tokens and parameters of 16 bits?
const HALVES: usize = 14;
/// Parameters of the kind.
const PARAMS: usize = 15;

/// How keys are coded.
#[derive(Clone, Copy, Debug)]
pub enum Keys {
    Kivi(KeyCodes),
    /// So many channels, in a plain type.
    Think(usize, Shape),
    Coupled(Coupled),
    Mixed(Mixed),
}

/// How values are coded.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    Kivi(ValueCodes),
    Plain(Shape),
    Coupled(Coupled),
    Mixed(Mixed),
}

/// The sizes of one layer's codec.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    pub n_kv_heads: usize,
    pub capacity: usize,
    pub key_dim: usize,
    pub value_dim: usize,
    pub recent: usize,
    pub ring: usize,
    pub halves: bool,
    pub keys: Keys,
    pub values: Values,
}

impl Form {
    pub fn read(header: &[u32]) -> Self {
        let word = |i: usize| header[i] as usize;
        let (key_dim, value_dim) = (word(KEY_DIM), word(VALUE_DIM));
        let (capacity, halves) = (word(CAPACITY), word(HALVES) != 0);
        let params: [usize; 4] = core::array::from_fn(|i| word(PARAMS + i));
        let n_kv_heads = word(N_KV_HEADS);
        let (keys, values) = match word(KIND) {
            0 => {
                let [key_bits, value_bits, tokens, channels] = params;
                let grid = |bits: usize| Grid::new(bits as u32, halves);
                (
                    Keys::Kivi(KeyCodes { grid: grid(key_bits), group: tokens, dim: key_dim }),
                    Values::Kivi(ValueCodes { grid: grid(value_bits), group: channels, dim: value_dim }),
                )
            }
            1 => {
                let [kept, key_type, value_type, _] = params;
                let shape = |kind: usize, dim| Shape { kind: KvType::from_id(kind as u32), dim, capacity };
                let narrow = shape(key_type, kept.next_multiple_of(8));
                (Keys::Think(kept, narrow), Values::Plain(shape(value_type, value_dim)))
            }
            3 => {
                let [low, rich, sets, least] = params;
                let low = low as u32;
                let mixed = Mixed { low, rich, sets, least, capacity, n_kv_heads, key_dim, value_dim, halves };
                (Keys::Mixed(mixed), Values::Mixed(mixed))
            }
            _ => {
                let [channels, n, halves, _] = params;
                let coupled = |dim| Coupled { dim, n, centre: Rows { width: channels, halves: halves != 0 } };
                (Keys::Coupled(coupled(key_dim)), Values::Coupled(coupled(value_dim)))
            }
        };
        let (recent, ring) = (word(RECENT), word(RING));
        Self { n_kv_heads, capacity, key_dim, value_dim, recent, ring, halves, keys, values }
    }

    /// Words of one KV head's coded keys.
    pub fn key_words(&self) -> usize {
        match self.keys {
            Keys::Kivi(codes) => self.capacity / BLOCK * codes.block_words(),
            Keys::Think(_, shape) => shape.key_bytes() / 4,
            Keys::Coupled(codes) => self.capacity * codes.row_words(),
            Keys::Mixed(codes) => self.capacity * codes.row_words(self.key_dim),
        }
    }

    /// Words of one KV head's values.
    pub fn value_words(&self) -> usize {
        match self.values {
            Values::Kivi(codes) => self.capacity * codes.row_words(),
            Values::Plain(shape) => shape.value_bytes() / 4,
            Values::Coupled(codes) => self.capacity * codes.row_words(),
            Values::Mixed(codes) => self.capacity * codes.value_words(),
        }
    }

    /// Words of all codebooks of the layer: keys' before values'.
    pub fn book_words(&self) -> usize {
        self.coupled().map_or(0, |(keys, values)| self.n_kv_heads * (keys.book_words() + values.book_words()))
    }

    /// Both of them, where they are so.
    pub fn coupled(&self) -> Option<(Coupled, Coupled)> {
        match (self.keys, self.values) {
            (Keys::Coupled(keys), Values::Coupled(values)) => Some((keys, values)),
            _ => None,
        }
    }

    pub fn exact_keys(&self) -> Rows {
        Rows { width: self.key_dim, halves: self.halves }
    }

    pub fn exact_values(&self) -> Rows {
        Rows { width: self.value_dim, halves: self.halves }
    }

    /// Words of the channels, and as many of each half of the squares.
    pub fn channel_words(&self) -> usize {
        if matches!(self.keys, Keys::Think(..)) {
            self.n_kv_heads * self.key_dim
        } else {
            0
        }
    }

    /// Words between the header and the exact tokens.
    fn state_words(&self) -> usize {
        match self.keys {
            Keys::Mixed(codes) => codes.words(),
            _ => 3 * self.channel_words(),
        }
    }

    /// Where the exact key of a position lies in the region.
    pub fn exact_key(&self, head: usize, position: u32) -> usize {
        let row = head * self.ring + position as usize % self.ring;
        HEADER + self.state_words() + row * self.exact_keys().words()
    }

    /// Where the exact value of a position lies in the region.
    pub fn exact_value(&self, head: usize, position: u32) -> usize {
        let row = head * self.ring + position as usize % self.ring;
        self.exact_key(self.n_kv_heads, 0) + row * self.exact_values().words()
    }

    /// Words of the region.
    pub fn words(&self) -> usize {
        match self.values {
            Values::Plain(_) => self.exact_key(self.n_kv_heads, 0),
            _ => self.exact_value(self.n_kv_heads, 0),
        }
    }

    /// Positions below these are coded once `position` tokens are read: those of keys, and of values.
    ///
    /// KIVI codes keys once `recent` of them wait, so that groups are whole.
    pub fn coded(&self, position: u32) -> (u32, u32) {
        let recent = self.recent as u32;
        let left = position.saturating_sub(recent);
        let keys = if matches!(self.keys, Keys::Kivi(_)) { position - position % recent } else { left };
        (keys, if matches!(self.values, Values::Plain(_)) { 0 } else { left })
    }
}
