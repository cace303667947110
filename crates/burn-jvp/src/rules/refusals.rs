//! The reasons why operations are refused whatever their inputs.

/// Random numbers, of floats and of integers.
pub(crate) const RANDOM: &str =
    "a random number generated inside is not recorded as a value: pass it as an input";

/// Operations that several devices execute together.
pub(crate) const DISTRIBUTED: &str =
    "the other devices evaluate no tangents: reduce the values and the derivatives after the call";

/// Rounding to quantised numbers.
pub(crate) const QUANTIZE: &str = "the derivative of rounding to quantised numbers is zero almost everywhere: \
     differentiate the function before it is quantised";

/// Quantised numbers as floats.
pub(crate) const DEQUANTIZE: &str =
    "quantised tensors cannot be recorded: dequantise them before the call";

/// Operations that Burn's graph representation has for all types and Burn itself not for booleans.
pub(crate) const NOT_OF_BOOLEANS: &str = "Burn has no such operation on booleans";

/// The gradient of the deformable convolution.
pub(crate) const DEFORMABLE_GRADIENT: &str =
    "its derivative needs the second derivatives of the samples, for which Burn has no operation";

/// The CTC loss and its gradient as one operation.
pub(crate) const CTC: &str = "Burn 0.22.1 records this loss as its recursion, and has the gradient of the whole on some backends only";
