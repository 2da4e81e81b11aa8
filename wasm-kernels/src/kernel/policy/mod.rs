//! What cache policies are made of: scores of slots from attention, noise, pooling, and the choice of what stays.
//!
//! ```text
//! observe   scores += reduce over heads of softmax((logits + noise) / tau)     observe.rs, noise.rs, power.rs
//! pool      scores of a KV head = mean over its query heads of pooled scores   pool.rs
//! geometry  scores from keys alone                                             geometry.rs
//! queries   statistics of queries, and scores for those to come                queries.rs
//! echo      scores from a repetition of the chunk                              echo.rs
//! select    empties all but sinks, recent and the best of the rest             select.rs
//! spread    the same, with a budget that all heads of a layer share            spread.rs
//! cut       empties what lies below a bound                                    cut.rs
//! cascade   ring after ring, and a moving average of attention                 cascade.rs
//! mass      how many slots reach a share of the attention of some rows       mass.rs
//! merge     emptied slots join slots that stayed                               merge.rs
//! clear, compact, randomise                                                    scores.rs
//! ```
//! Scores lie beside the slots they belong to: `f32[rows, capacity]`, a row per query head, per KV head, or one for the
//! layer. An empty slot's score is 0, so that a token starts at 0 wherever it is put. A policy is a sequence of these
//! calls, each for all heads of a layer; which one, TypeScript decides.
pub mod blocks;
pub mod cascade;
pub mod cut;
pub mod echo;
pub mod geometry;
pub mod mass;
pub mod merge;
pub mod noise;
pub mod observe;
pub mod pool;
pub mod power;
pub mod queries;
pub mod scores;
pub mod select;
pub mod spread;
#[cfg(test)]
mod stored_tests;
#[cfg(test)]
mod tests;
