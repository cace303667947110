//! The optimiser's state as bytes, for checkpoints.

use burn::optim::ModuleOptimizer;
use burn::tensor::Bytes;

use crate::DiffusionError;

/// The state of an optimiser.
///
/// # Errors
/// If it cannot be written.
pub fn state(optimizer: &ModuleOptimizer) -> Result<Vec<u8>, DiffusionError> {
    match optimizer.into_bytes() {
        Ok(bytes) => Ok(bytes.to_vec()),
        Err(error) => Err(DiffusionError::Config(format!(
            "the optimiser's state cannot be written: {error}"
        ))),
    }
}

/// A new optimiser in a state that [`state`] gave.
///
/// # Errors
/// If the bytes are not such a state.
pub fn restore(
    optimizer: ModuleOptimizer,
    state: Vec<u8>,
) -> Result<ModuleOptimizer, DiffusionError> {
    let state = Bytes::from_bytes_vec(state);
    optimizer.from_bytes(state).map_err(|error| {
        DiffusionError::Config(format!("the optimiser's state cannot be read: {error}"))
    })
}
