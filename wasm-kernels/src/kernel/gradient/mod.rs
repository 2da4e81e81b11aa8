//! Gradients, for calibration: each file is the reverse of a step of a forward pass. The binary `calibrate` has them, those
//! that run models do not.
//!
//! ```text
//! y = f(x)    ->    dx = f'(x)ᵀ dy        dy: gradient of the loss with respect to y
//! ```
pub mod activation;
pub mod attend;
pub mod linear;
pub mod loss;
pub mod norm;
pub mod squares;
