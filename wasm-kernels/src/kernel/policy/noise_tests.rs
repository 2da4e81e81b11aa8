//! Draws against the distributions that they are to have, and against each other.
use super::*;

fn lanes(v: v128) -> [f32; 4] {
    let mut x = [0.0; 4];
    crate::kernel::lanes::store(&mut x, v);
    x
}

fn draws(row: Row, index: usize, n: u32, draw: impl Fn(&Draws, v128) -> v128) -> Vec<f64> {
    let (mut hashes, all) = (vec![0; n as usize], Draws::new(index));
    row.hash(&mut hashes, &(0..n).collect::<Vec<u32>>());
    let quads = hashes.as_chunks::<4>().0.iter();
    quads.flat_map(|&[a, b, c, d]| lanes(draw(&all, u32x4(a, b, c, d)))).map(f64::from).collect()
}

fn exponential(draws: &Draws, hash: v128) -> v128 {
    f32x4_mul(draws.exponential(hash), f32x4_splat(EXPONENTIAL))
}

fn gumbel(draws: &Draws, hash: v128) -> v128 {
    let x = lanes(exponential(draws, hash)).map(|x| -x.ln());
    f32x4(x[0], x[1], x[2], x[3])
}

/// Largest distance of the draws' distribution from `wanted`, times the root of their number: Kolmogorov's statistic.
fn kolmogorov(mut x: Vec<f64>, wanted: impl Fn(f64) -> f64) -> f64 {
    x.sort_by(f64::total_cmp);
    let n = x.len() as f64;
    let distance =
        |(i, &x): (usize, &f64)| (wanted(x) - i as f64 / n).abs().max((wanted(x) - (i + 1) as f64 / n).abs());
    n.sqrt() * x.iter().enumerate().map(distance).fold(0.0, f64::max)
}

/// Marsaglia's series: 1/2 + φ(x) (x + x³/3 + x⁵/15 + ...).
fn normal_cdf(x: f64) -> f64 {
    let (mut sum, mut term) = (x, x);
    for i in 1..100 {
        term *= x * x / (2 * i + 1) as f64;
        sum += term;
    }
    0.5 + sum * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// Above this lies one in a thousand of samples from the distribution itself.
const RARE: f64 = 1.95;

#[test]
fn sine_matches_the_standard_one() {
    for i in 1..100_000 {
        let x = i as f32 * 1e-5;
        let wanted = (2.0 * std::f64::consts::PI * x as f64).sin();
        assert!((lanes(sin_turns(f32x4_splat(x)))[0] as f64 - wanted).abs() < 1e-6, "{x}");
    }
}

#[test]
fn every_number_of_bits_has_its_exponential() {
    // A hash whose upper half is 0 gives any x: its lower half times an odd factor, by the inverse of that.
    let draws = Draws::new(0);
    let factor = FACTORS[0] as u16;
    let inverse = (0..4).fold(factor, |y, _| y.wrapping_mul(2u16.wrapping_sub(factor.wrapping_mul(y))));
    for low in (1..=u16::MAX).step_by(2) {
        let hash = low.wrapping_mul(inverse) as u32;
        let hash = u32x4(hash, hash ^ 0x1234_0000, hash ^ 0xa5a5_0000, hash ^ 0xffff_0000);
        for (x, found) in lanes(draws.bits(hash, draws.factor)).into_iter().zip(lanes(draws.exponential(hash))) {
            let k = 22 - (x.to_bits() >> 23) as i32 + 127;
            let f = x as f64 / 2f64.powi(22 - k) - 1.0;
            let wanted = k as f64 * std::f64::consts::LN_2 - (-f / 2.0).ln_1p();
            assert!((found as f64 * EXPONENTIAL as f64 - wanted).abs() <= 3.5e-4 * wanted, "{x}");
            assert!(found > 0.0 && x as u32 % 2 == 1, "{x}");
        }
    }
}

#[test]
fn draws_have_their_distribution() {
    for seed in 0..8 {
        for n in [1000, 100_000] {
            let row = Row::new(seed, 3, 1, 77);
            let index = seed as usize;
            let uniform = kolmogorov(draws(row, index, n, Draws::uniform), |x| x);
            let gumbel = kolmogorov(draws(row, index, n, gumbel), |x| (-(-x).exp()).exp());
            let exponential = kolmogorov(draws(row, index, n, exponential), |x| 1.0 - (-x).exp());
            let normal = |x: f64| normal_cdf((x - MEAN as f64) / DEVIATION as f64);
            let gaussian = kolmogorov(draws(row, index, n, Draws::gaussian), normal);
            for (name, found) in
                [("uniform", uniform), ("Gumbel", gumbel), ("exponential", exponential), ("Gaussian", gaussian)]
            {
                assert!(found < RARE, "{name}: {found}, seed {seed}, {n} draws");
            }
        }
    }
}

/// Chi-square of pairs of draws on a grid of 256 cells: mean 255, deviation 22.6.
fn chi_square(pairs: impl Iterator<Item = (f64, f64)>) -> f64 {
    let mut cells = [0.0f64; 256];
    pairs.for_each(|(x, y)| cells[(x * 16.0) as usize * 16 + (y * 16.0) as usize] += 1.0);
    let mean = cells.iter().sum::<f64>() / 256.0;
    cells.iter().map(|x| (x - mean).powi(2) / mean).sum()
}

#[test]
fn tokens_side_by_side_draw_apart() {
    // Pairs, triples apart, over queries at successive positions too: cells of a grid are equally full.
    for seed in 0..6 {
        for (step, queries) in [(1, 1), (2, 1), (3, 1), (16, 1), (0, 1000)] {
            let n = 64_000 / queries;
            let pairs = (0..queries).flat_map(|position| {
                let of = |position| draws(Row::new(seed, 1, 2, position), 0, n + 64, Draws::uniform);
                let here = of(position);
                let next = if step == 0 { of(position + 1) } else { here[step..].to_vec() };
                here.into_iter().zip(next).take(n as usize)
            });
            let square = chi_square(pairs);
            assert!((square - 255.0).abs() < 4.0 * 22.6, "chi-square {square}, seed {seed}, step {step}");
        }
    }
}

#[test]
fn heads_that_share_hashes_draw_apart() {
    for seed in 0..4 {
        let of = |index| draws(Row::new(seed, 1, 2, 5), index, 64_000, Draws::uniform);
        let all: Vec<Vec<f64>> = (0..SHARED).map(of).collect();
        for (i, a) in all.iter().enumerate() {
            for (j, b) in all[..i].iter().enumerate() {
                for lag in [0, 1] {
                    let square = chi_square(a[lag..].iter().copied().zip(b.iter().copied()));
                    assert!((square - 255.0).abs() < 4.5 * 22.6, "chi-square {square} of heads {i} and {j}");
                }
            }
        }
    }
}

#[test]
fn rows_do_not_resemble_each_other() {
    let all: Vec<Vec<f64>> = [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (0, 1, 1, 1)]
        .into_iter()
        .map(|(seed, layer, head, position)| draws(Row::new(seed, layer, head, position), 0, 20_000, Draws::uniform))
        .collect();
    for (i, a) in all.iter().enumerate() {
        for b in &all[..i] {
            for lag in 0..4 {
                let n = a.len() - lag;
                let product = (0..n).map(|j| (a[j + lag] - 0.5) * (b[j] - 0.5)).sum::<f64>() / n as f64 * 12.0;
                assert!(product.abs() < 0.03, "correlation {product} at lag {lag}");
            }
        }
    }
}
