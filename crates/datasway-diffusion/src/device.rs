//! Compute devices by name.

use burn::tensor::{DType, Device};

use crate::DiffusionError;

/// The names that [`device`] accepts.
pub const DEVICES: [&str; 6] = ["flex", "cuda", "metal", "rocm", "wgpu", "ndarray"];

/// A device by name.
///
/// - `flex`: the CPU, in pure Rust.
/// - `cuda` (NVIDIA), `metal` (Apple), `rocm` (AMD) or `wgpu` (any, through Vulkan, Metal or DirectX): a GPU.
/// - `ndarray`: a second, slow CPU backend to check against.
///
/// Every device except `flex` needs the cargo feature of its name.
///
/// # Errors
/// If the name is unknown, or its feature was not compiled in.
pub fn device(name: &str) -> Result<Device, DiffusionError> {
    match name {
        "flex" => Ok(Device::flex()),
        #[cfg(feature = "cuda")]
        "cuda" => Ok(Device::cuda(burn::tensor::DeviceIndex::Default)),
        #[cfg(feature = "metal")]
        "metal" => Ok(Device::metal(burn::tensor::DeviceKind::DefaultDevice)),
        #[cfg(feature = "rocm")]
        "rocm" => Ok(Device::rocm(burn::tensor::DeviceIndex::Default)),
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

/// A caution for users of a GPU, or `None` on a CPU.
///
/// On one NVIDIA H200, with Burn 0.22.1, values, JVPs and VJPs of the U-Net agree with the CPU's to what TF32 allows, and
/// training has not been compared (docs/src/results/benchmarks.md). The other GPU runtimes have not been compared since
/// their kernels are searched for.
pub fn caution(name: &str) -> Option<&'static str> {
    match name {
        "cuda" => Some(
            "caution: cuda computes in TF32, with errors of some thousandths, and training on it has not been compared with the CPU's (docs/src/results/benchmarks.md)",
        ),
        "metal" | "rocm" | "wgpu" => Some(
            "caution: results of this device have not been compared with the CPU's; compare with flex before you use a result",
        ),
        _ => None,
    }
}

/// True if tensors of the device lie in a memory of its own, so that every transfer to it costs time.
pub fn has_own_memory(device: &Device) -> bool {
    #[cfg(feature = "ndarray")]
    {
        #[expect(deprecated, reason = "an independent backend to check against")]
        let ndarray = Device::ndarray();
        if *device == ndarray {
            return false;
        }
    }
    *device != Device::flex()
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
        let error = device("tpu").unwrap_err().to_string();
        assert!(
            error.contains("flex, cuda, metal, rocm, wgpu, ndarray"),
            "{error}"
        );
    }

    #[test]
    fn every_gpu_has_a_caution() {
        for name in DEVICES {
            let on_cpu = ["flex", "ndarray"].contains(&name);
            assert_eq!(caution(name).is_none(), on_cpu, "{name}");
        }
    }

    #[test]
    fn the_cpu_has_doubles() {
        assert_eq!(widest_float(&Device::flex()), DType::F64);
    }

    #[test]
    fn the_cpu_and_its_autodiff_twin_have_no_memory_of_their_own() {
        assert!(!has_own_memory(&Device::flex()));
        assert!(!has_own_memory(&Device::flex().autodiff()));
    }
}
