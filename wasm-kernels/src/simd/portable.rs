//! Emulation of the WASM SIMD instructions that the kernels use, lane by lane, for native tests.
//! Names, operands and results are those of `core::arch::wasm32`.
#![allow(non_camel_case_types)]

/// Sixteen bytes; lane 0 is the lowest.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(16))]
pub struct v128([u8; 16]);

trait Lanes: Copy {
    fn of(v: v128) -> Self;
    fn pack(self) -> v128;
}

macro_rules! lanes {
    ($($t:ty, $n:literal);+) => { $(
        impl Lanes for [$t; $n] {
            fn of(v: v128) -> Self {
                const B: usize = 16 / $n;
                core::array::from_fn(|i| <$t>::from_le_bytes(v.0[B * i..][..B].try_into().unwrap()))
            }
            fn pack(self) -> v128 {
                const B: usize = 16 / $n;
                v128(core::array::from_fn(|i| self[i / B].to_le_bytes()[i - i / B * B]))
            }
        }
    )+ };
}
lanes!(i8, 16; u8, 16; i16, 8; u16, 8; i32, 4; u32, 4; i64, 2; u64, 2; f32, 4);

macro_rules! splat { ($($name:ident: $t:ty, $n:literal);+ $(;)?) => { $(
    pub fn $name(a: $t) -> v128 { [a; $n].pack() }
)+ }; }
splat! {
    i8x16_splat: i8, 16;
    u8x16_splat: u8, 16;
    i16x8_splat: i16, 8;
    i32x4_splat: i32, 4;
    u32x4_splat: u32, 4;
    f32x4_splat: f32, 4;
}

pub fn f32x4(a: f32, b: f32, c: f32, d: f32) -> v128 {
    [a, b, c, d].pack()
}
pub fn i32x4(a: i32, b: i32, c: i32, d: i32) -> v128 {
    [a, b, c, d].pack()
}
pub fn u32x4(a: u32, b: u32, c: u32, d: u32) -> v128 {
    [a, b, c, d].pack()
}

// Two operands, lane by lane.
macro_rules! binary { ($($name:ident: $t:ty, $n:literal, |$a:ident, $b:ident| $e:expr);+ $(;)?) => { $(
    pub fn $name(a: v128, b: v128) -> v128 {
        let (a, b) = (<[$t; $n]>::of(a), <[$t; $n]>::of(b));
        <[_; $n]>::pack(core::array::from_fn(|i| { let ($a, $b) = (a[i], b[i]); $e }))
    }
)+ }; }
binary! {
    v128_and: u64, 2, |a, b| a & b;
    v128_or: u64, 2, |a, b| a | b;
    v128_xor: u64, 2, |a, b| a ^ b;
    v128_andnot: u64, 2, |a, b| a & !b;
    i8x16_add: i8, 16, |a, b| a.wrapping_add(b);
    i8x16_sub: i8, 16, |a, b| a.wrapping_sub(b);
    i32x4_add: i32, 4, |a, b| a.wrapping_add(b);
    i32x4_sub: i32, 4, |a, b| a.wrapping_sub(b);
    i32x4_mul: i32, 4, |a, b| a.wrapping_mul(b);
    u32x4_min: u32, 4, |a, b| a.min(b);
    u32x4_max: u32, 4, |a, b| a.max(b);
    i32x4_min: i32, 4, |a, b| a.min(b);
    i32x4_max: i32, 4, |a, b| a.max(b);
    f32x4_add: f32, 4, |a, b| a + b;
    f32x4_sub: f32, 4, |a, b| a - b;
    f32x4_mul: f32, 4, |a, b| a * b;
    f32x4_div: f32, 4, |a, b| a / b;
    f32x4_pmax: f32, 4, |a, b| if a < b { b } else { a };
    f32x4_pmin: f32, 4, |a, b| if b < a { b } else { a };
    f32x4_max: f32, 4, |a, b| if a.is_nan() || b.is_nan() { f32::NAN } else { a.max(b) };
    f32x4_min: f32, 4, |a, b| if a.is_nan() || b.is_nan() { f32::NAN } else { a.min(b) };
    i8x16_eq: i8, 16, |a, b| -((a == b) as i8);
    i32x4_lt: i32, 4, |a, b| -((a < b) as i32);
    i32x4_eq: i32, 4, |a, b| -((a == b) as i32);
    u32x4_gt: u32, 4, |a, b| -((a > b) as i32);
    u32x4_lt: u32, 4, |a, b| -((a < b) as i32);
    u32x4_ge: u32, 4, |a, b| -((a >= b) as i32);
    u32x4_le: u32, 4, |a, b| -((a <= b) as i32);
    f32x4_eq: f32, 4, |a, b| -((a == b) as i32);
    f32x4_gt: f32, 4, |a, b| -((a > b) as i32);
    f32x4_lt: f32, 4, |a, b| -((a < b) as i32);
}

// One operand, lane by lane.
macro_rules! unary { ($($name:ident: $t:ty, $n:literal, |$a:ident| $e:expr);+ $(;)?) => { $(
    pub fn $name(a: v128) -> v128 {
        <[_; $n]>::pack(<[$t; $n]>::of(a).map(|$a| $e))
    }
)+ }; }
unary! {
    i32x4_neg: i32, 4, |a| a.wrapping_neg();
    f32x4_abs: f32, 4, |a| a.abs();
    f32x4_neg: f32, 4, |a| -a;
    f32x4_sqrt: f32, 4, |a| a.sqrt();
    f32x4_nearest: f32, 4, |a| a.round_ties_even();
    f32x4_convert_i32x4: i32, 4, |a| a as f32;
    f32x4_convert_u32x4: u32, 4, |a| a as f32;
}

macro_rules! shift { ($($name:ident: $t:ty, $n:literal, |$a:ident, $s:ident| $e:expr);+ $(;)?) => { $(
    pub fn $name(a: v128, $s: u32) -> v128 {
        <[$t; $n]>::of(a).map(|$a| $e).pack()
    }
)+ }; }
shift! {
    u8x16_shr: u8, 16, |a, s| a.wrapping_shr(s);
    i16x8_shl: i16, 8, |a, s| a.wrapping_shl(s);
    i16x8_shr: i16, 8, |a, s| a.wrapping_shr(s);
    u16x8_shr: u16, 8, |a, s| a.wrapping_shr(s);
    i32x4_shl: i32, 4, |a, s| a.wrapping_shl(s);
    i32x4_shr: i32, 4, |a, s| a.wrapping_shr(s);
    u32x4_shr: u32, 4, |a, s| a.wrapping_shr(s);
}

// Neighbours or halves of narrow lanes become wide lanes.
macro_rules! widen { ($($name:ident: $t:ty, $n:literal -> $w:ty, $m:literal, |$a:ident, $i:ident| $e:expr);+ $(;)?) => { $(
    pub fn $name(a: v128) -> v128 {
        let $a = <[$t; $n]>::of(a).map(|a| a as $w);
        <[$w; $m]>::pack(core::array::from_fn(|$i| $e))
    }
)+ }; }
widen! {
    i16x8_extend_low_i8x16: i8, 16 -> i16, 8, |a, i| a[i];
    i32x4_extend_low_i16x8: i16, 8 -> i32, 4, |a, i| a[i];
    u32x4_extend_low_u16x8: u16, 8 -> u32, 4, |a, i| a[i];
    i16x8_extadd_pairwise_i8x16: i8, 16 -> i16, 8, |a, i| a[2 * i] + a[2 * i + 1];
    i32x4_extadd_pairwise_i16x8: i16, 8 -> i32, 4, |a, i| a[2 * i] + a[2 * i + 1];
}

pub fn i32x4_dot_i16x8(a: v128, b: v128) -> v128 {
    let (a, b) = (<[i16; 8]>::of(a), <[i16; 8]>::of(b));
    let product = |i: usize| a[i] as i32 * b[i] as i32;
    <[i32; 4]>::pack(core::array::from_fn(|i| product(2 * i).wrapping_add(product(2 * i + 1))))
}

pub fn i8x16_narrow_i16x8(a: v128, b: v128) -> v128 {
    let (a, b) = (<[i16; 8]>::of(a), <[i16; 8]>::of(b));
    <[i8; 16]>::pack(core::array::from_fn(|i| (if i < 8 { a[i] } else { b[i - 8] }).clamp(-128, 127) as i8))
}
pub fn i16x8_narrow_i32x4(a: v128, b: v128) -> v128 {
    let (a, b) = (<[i32; 4]>::of(a), <[i32; 4]>::of(b));
    <[i16; 8]>::pack(core::array::from_fn(|i| (if i < 4 { a[i] } else { b[i - 4] }).clamp(-32768, 32767) as i16))
}

pub fn v128_bitselect(a: v128, b: v128, mask: v128) -> v128 {
    v128_or(v128_and(a, mask), v128_andnot(b, mask))
}
pub fn v128_any_true(a: v128) -> bool {
    a.0.iter().any(|&x| x != 0)
}

pub fn i8x16_swizzle(a: v128, s: v128) -> v128 {
    v128(s.0.map(|i| if i < 16 { a.0[i as usize] } else { 0 }))
}
#[rustfmt::skip]
pub fn i8x16_shuffle<
    const I0: usize, const I1: usize, const I2: usize, const I3: usize,
    const I4: usize, const I5: usize, const I6: usize, const I7: usize,
    const I8: usize, const I9: usize, const I10: usize, const I11: usize,
    const I12: usize, const I13: usize, const I14: usize, const I15: usize,
>(a: v128, b: v128) -> v128 {
    let pick = |i: usize| if i < 16 { a.0[i] } else { b.0[i - 16] };
    v128([I0, I1, I2, I3, I4, I5, I6, I7, I8, I9, I10, I11, I12, I13, I14, I15].map(pick))
}
pub fn i32x4_shuffle<const I0: usize, const I1: usize, const I2: usize, const I3: usize>(a: v128, b: v128) -> v128 {
    let (a, b) = (<[u32; 4]>::of(a), <[u32; 4]>::of(b));
    [I0, I1, I2, I3].map(|i| if i < 4 { a[i] } else { b[i - 4] }).pack()
}
pub fn i64x2_shuffle<const I0: usize, const I1: usize>(a: v128, b: v128) -> v128 {
    let (a, b) = (<[u64; 2]>::of(a), <[u64; 2]>::of(b));
    [I0, I1].map(|i| if i < 2 { a[i] } else { b[i - 2] }).pack()
}

macro_rules! lane { ($($extract:ident: $t:ty, $n:literal);+ $(;)?) => { $(
    pub fn $extract<const I: usize>(a: v128) -> $t {
        <[$t; $n]>::of(a)[I]
    }
)+ }; }
lane! {
    f32x4_extract_lane: f32, 4;
    i32x4_extract_lane: i32, 4;
    u32x4_extract_lane: u32, 4;
}

// Memory. Each reads or writes as many bytes as its name says, at any alignment.
pub unsafe fn v128_load(p: *const v128) -> v128 {
    p.read_unaligned()
}
pub unsafe fn v128_store(p: *mut v128, a: v128) {
    p.write_unaligned(a)
}
pub unsafe fn v128_load32_splat(p: *const u32) -> v128 {
    u32x4_splat(p.read_unaligned())
}
pub unsafe fn v128_load64_zero(p: *const u64) -> v128 {
    [p.read_unaligned(), 0].pack()
}
pub unsafe fn i32x4_load_extend_i16x4(p: *const i16) -> v128 {
    i32x4_extend_low_i16x8(v128_load64_zero(p as *const u64))
}
pub unsafe fn i32x4_load_extend_u16x4(p: *const u16) -> v128 {
    u32x4_extend_low_u16x8(v128_load64_zero(p as *const u64))
}
