//! Fisher information of groups of channels, its diagonal summed. Source: arXiv 2405.03917 §3.3.
//!
//! ```text
//! weights[head][token][group] = sum over the group's channels of g²
//! ```

/// `weights f32[heads, T, dim / channels]` of gradients `f32[T, heads, dim]`.
pub fn squares(weights: &mut [f32], gradients: &[f32], n_heads: usize, dim: usize, channels: usize) {
    let (groups, n_tokens) = (dim / channels, gradients.len() / (n_heads * dim));
    for (i, weights) in weights.chunks_exact_mut(groups).enumerate() {
        let (head, token) = (i / n_tokens, i % n_tokens);
        let row = &gradients[(token * n_heads + head) * dim..][..dim];
        for (weight, group) in weights.iter_mut().zip(row.chunks_exact(channels)) {
            *weight = group.iter().map(|g| g * g).sum();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // Two tokens, two heads of four channels.
        let gradients: Vec<f32> = (0..16).map(|i| i as f32).collect();
        let mut weights = [f32::NAN; 8];
        squares(&mut weights, &gradients, 2, 4, 2);
        assert_eq!(weights, [1.0, 13.0, 145.0, 221.0, 41.0, 85.0, 313.0, 421.0]);
    }
}
