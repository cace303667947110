//! Compute devices by name.

use burn::tensor::{DType, Device};

use crate::DiffusionError;

/// The names that [`device`] knows.
pub const DEVICES: [&str; 3] = ["flex", "wgpu", "ndarray"];

/// A device by name: `flex` (the CPU, pure Rust), `wgpu` (a GPU through Vulkan, Metal or DirectX; cargo
/// feature `wgpu`) or `ndarray` (a second, slow CPU backend to check against; cargo feature `ndarray`).
///
/// # Errors
/// If the name is unknown, or its feature was not compiled in.
pub fn device(name: &str) -> Result<Device, DiffusionError> {
    match name {
        "flex" => Ok(Device::flex()),
        #[cfg(feature = "wgpu")]
        "wgpu" => Ok(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "ndarray")]
        "ndarray" => {
            #[expect(deprecated, reason = "an independent backend to check against")]
            let device = Device::ndarray();
            Ok(device)
        }
        name if DEVICES.contains(&name) => Err(DiffusionError::Invalid(format!(
            "the device {name} needs the cargo feature of that name: add --features {name} after cargo run"
        ))),
        name => Err(DiffusionError::Invalid(format!(
            "there is no device {name}; the devices are {}",
            DEVICES.join(", ")
        ))),
    }
}

/// The widest float type of the device: f64 if it has it, else f32. Used for sums that cancel at small noise levels.
pub fn widest_float(device: &Device) -> DType {
    if device.supports_dtype(DType::F64) {
        DType::F64
    } else {
        DType::F32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_device_lists_the_known_ones() {
        assert!(device("flex").is_ok());
        let error = device("cuda").unwrap_err().to_string();
        assert!(error.contains("flex, wgpu, ndarray"), "{error}");
    }

    #[test]
    fn the_cpu_has_doubles() {
        assert_eq!(widest_float(&Device::flex()), DType::F64);
    }
}
