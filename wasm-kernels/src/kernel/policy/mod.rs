//! What cache policies are made of: scores of slots from attention, noise, pooling, and the choice of what stays.
//!
//! ```text
//! observe   scores += reduce over heads of softmax((logits + noise) / tau)     observe.rs, noise.rs
//! pool      scores of a KV head = mean over its query heads of pooled scores   pool.rs
//! select    empties all but sinks, recent and the best of the rest             select.rs
//! clear, compact, randomise                                                    scores.rs
//! ```
//! Scores lie beside the slots they belong to: `f32[rows, capacity]`, a row per query head, per KV head, or one for the
//! layer. An empty slot's score is 0, so that a token starts at 0 wherever it is put. A policy is a sequence of these
//! calls, each for all heads of a layer; which one, TypeScript decides.
pub mod noise;
pub mod observe;
pub mod pool;
pub mod scores;
pub mod select;
#[cfg(test)]
mod tests;
