//! The reverse of attention of a whole text to itself.
//! Source: arXiv 2205.14135 §3.1 (no row of weights is kept: the log-sum-exp makes it anew).
//!
//! ```text
//! for every query head, every token t and every token s that it sees:
//!   logit = cap tanh(scale q·k / cap) - slope (t - s),   p = e^(logit - lse)
//!   dv[s] += p * do
//!   ds     = p * (do·v - do·o) * (1 - tanh²) * scale
//!   dq    += ds * k[s],  dk[s] += ds * q
//! ```
//! Token `t` of the text is at position `t`. Bound by the four passes over a key and a value.
use crate::kernel::lanes::{load, zip};
use crate::kernel::math::tanh;
use crate::kernel::scalar::exp;
use crate::simd::*;

/// What attention read and made.
#[derive(Clone, Copy)]
pub struct Attention<'a> {
    /// `f32[T, H, key_dim]`, `f32[T, G, key_dim]`, `f32[T, G, value_dim]`, as attention read them.
    pub q: &'a [f32],
    pub k: &'a [f32],
    pub v: &'a [f32],
    /// `f32[T, H, value_dim]`, and the gradient with respect to it.
    pub out: &'a [f32],
    pub d_out: &'a [f32],
    /// `f32[H, T]`
    pub lse: &'a [f32],
    /// `f32[H]`
    pub slopes: Option<&'a [f32]>,
    pub n_heads: usize,
    pub n_kv_heads: usize,
    pub key_dim: usize,
    pub value_dim: usize,
    pub scale: f32,
    /// 0: none.
    pub softcap: f32,
    /// Latest positions that a token sees, itself included; 0: all.
    pub window: usize,
}

/// Gradients with respect to `q`, `k` and `v`, in their shapes.
pub struct Gradients<'a> {
    pub q: &'a mut [f32],
    pub k: &'a mut [f32],
    pub v: &'a mut [f32],
    /// `f32[G, T]`: the weights `p` of each key, summed over all that see it.
    pub mass: &'a mut [f32],
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (fours, rest) = a.as_chunks::<4>();
    let sum =
        fours.iter().zip(b.as_chunks::<4>().0).fold(f32x4_splat(0.0), |sum, (a, b)| f32x4_madd(load(a), load(b), sum));
    let from = a.len() - rest.len();
    f32x4_sum(sum) + rest.iter().zip(&b[from..]).map(|(a, b)| a * b).sum::<f32>()
}

/// `x += factor * y`.
fn add(x: &mut [f32], factor: f32, y: &[f32]) {
    let factor = f32x4_splat(factor);
    zip(x, y, |x, y| f32x4_madd(y, factor, x));
}

pub fn attend(gradients: &mut Gradients, a: Attention) {
    let (group, n_tokens) = (a.n_heads / a.n_kv_heads, a.lse.len() / a.n_heads);
    gradients.q.fill(0.0);
    gradients.k.fill(0.0);
    gradients.v.fill(0.0);
    gradients.mass.fill(0.0);
    for h in 0..a.n_heads {
        let slope = a.slopes.map_or(0.0, |slopes| slopes[h]);
        for t in 0..n_tokens {
            let (row, lse) = (t * a.n_heads + h, a.lse[h * n_tokens + t]);
            let q = &a.q[row * a.key_dim..][..a.key_dim];
            let dq = &mut gradients.q[row * a.key_dim..][..a.key_dim];
            let d_out = &a.d_out[row * a.value_dim..][..a.value_dim];
            let kept = dot(d_out, &a.out[row * a.value_dim..][..a.value_dim]);
            let first = if a.window == 0 { 0 } else { (t + 1).saturating_sub(a.window) };
            for s in first..=t {
                let kv_head = h / group;
                let at = s * a.n_kv_heads + kv_head;
                let (key, value) = (at * a.key_dim, at * a.value_dim);
                let k = &a.k[key..][..a.key_dim];
                let mut logit = a.scale * dot(q, k);
                let mut bend = 1.0;
                if a.softcap > 0.0 {
                    let bent = f32x4_extract_lane::<0>(tanh(f32x4_splat(logit / a.softcap)));
                    (logit, bend) = (a.softcap * bent, 1.0 - bent * bent);
                }
                let p = exp(logit - slope * (t - s) as f32 - lse);
                gradients.mass[kv_head * n_tokens + s] += p;
                add(&mut gradients.v[value..][..a.value_dim], p, d_out);
                let ds = p * (dot(d_out, &a.v[value..][..a.value_dim]) - kept) * bend * a.scale;
                add(dq, ds, k);
                add(&mut gradients.k[key..][..a.key_dim], ds, q);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{close, Random};

    /// Attention in float64: outputs `[T, H, value_dim]`, log-sum-exps `[H, T]` and what attention keys get `[G, T]`.
    fn forward(q: &[f64], k: &[f64], v: &[f64], a: &Attention) -> [Vec<f64>; 3] {
        let n_tokens = q.len() / (a.n_heads * a.key_dim);
        let (mut out, mut lse) = (vec![0.0; n_tokens * a.n_heads * a.value_dim], vec![0.0; a.n_heads * n_tokens]);
        let mut mass = vec![0.0; a.n_kv_heads * n_tokens];
        for h in 0..a.n_heads {
            let kv = |s: usize| s * a.n_kv_heads + h * a.n_kv_heads / a.n_heads;
            for t in 0..n_tokens {
                let row = t * a.n_heads + h;
                let sees = |s: usize| s <= t && (a.window == 0 || s + a.window > t);
                let logit = |s: usize| {
                    let dot = (0..a.key_dim).map(|i| q[row * a.key_dim + i] * k[kv(s) * a.key_dim + i]).sum::<f64>();
                    let (x, cap) = (dot * a.scale as f64, a.softcap as f64);
                    let bent = if cap > 0.0 { cap * (x / cap).tanh() } else { x };
                    bent - a.slopes.map_or(0.0, |slopes| slopes[h] as f64) * (t - s) as f64
                };
                let seen: Vec<(usize, f64)> = (0..n_tokens).filter(|&s| sees(s)).map(|s| (s, logit(s))).collect();
                let sum = seen.iter().map(|(_, logit)| logit.exp()).sum::<f64>();
                lse[h * n_tokens + t] = sum.ln();
                for (s, logit) in seen {
                    mass[h * a.n_kv_heads / a.n_heads * n_tokens + s] += logit.exp() / sum;
                    for i in 0..a.value_dim {
                        out[row * a.value_dim + i] += logit.exp() / sum * v[kv(s) * a.value_dim + i];
                    }
                }
            }
        }
        [out, lse, mass]
    }

    #[test]
    fn matches_finite_differences() {
        let mut random = Random(65);
        let slopes = [0.5, 0.25, 0.125, 0.0625];
        for (n_kv_heads, key_dim, value_dim, softcap, window, alibi) in
            [(4, 8, 8, 0.0, 0, false), (2, 8, 16, 2.0, 3, false), (1, 24, 8, 0.0, 0, true), (4, 5, 3, 1.0, 2, true)]
        {
            let (n_tokens, n_heads) = (6, 4);
            let mut wide = |n: usize| random.floats(n).iter().map(|&x| x as f64).collect::<Vec<f64>>();
            let inputs = [
                wide(n_tokens * n_heads * key_dim),
                wide(n_tokens * n_kv_heads * key_dim),
                wide(n_tokens * n_kv_heads * value_dim),
            ];
            let narrow = |x: &[f64]| x.iter().map(|&x| x as f32).collect::<Vec<f32>>();
            let [q, k, v] = [0, 1, 2].map(|i| narrow(&inputs[i]));
            let d_out = random.floats(n_tokens * n_heads * value_dim);
            let shape = Attention {
                q: &q,
                k: &k,
                v: &v,
                out: &[],
                d_out: &d_out,
                lse: &[],
                slopes: alibi.then_some(&slopes),
                n_heads,
                n_kv_heads,
                key_dim,
                value_dim,
                scale: 0.4,
                softcap,
                window,
            };
            let [out, lse, wanted] = forward(&inputs[0], &inputs[1], &inputs[2], &shape);
            let (out, lse) = (narrow(&out), narrow(&lse));
            let [mut dq, mut dk, mut dv] = [0, 1, 2].map(|i| vec![f32::NAN; inputs[i].len()]);
            let mut mass = vec![f32::NAN; n_kv_heads * n_tokens];
            let mut gradients = Gradients { q: &mut dq, k: &mut dk, v: &mut dv, mass: &mut mass };
            attend(&mut gradients, Attention { out: &out, lse: &lse, ..shape });
            mass.iter().zip(wanted).for_each(|(&got, wanted)| close(got, wanted, 1e-5));
            for (part, got) in [dq, dk, dv].iter().enumerate() {
                for i in 0..got.len() {
                    let at = |step: f64| {
                        let mut inputs = inputs.clone();
                        inputs[part][i] += step;
                        let [out, ..] = forward(&inputs[0], &inputs[1], &inputs[2], &shape);
                        out.iter().zip(&d_out).map(|(out, &d)| out * d as f64).sum::<f64>()
                    };
                    close(got[i], (at(1e-5) - at(-1e-5)) / 2e-5, 2e-5);
                }
            }
        }
    }
}
