//! The capture devices of a thread.

use crate::error::JvpError;
use burn::tensor::{Device, DeviceConfig};
use std::cell::RefCell;

/// A capture device and the default types of its tensors.
struct Slot {
    types: String,
    device: Device,
    busy: bool,
}

thread_local! {
    /// A process has 65,536 capture devices, and one records one function at a time: a thread has one for each level of
    /// nested recordings and each choice of default types.
    static SLOTS: RefCell<Vec<Slot>> = const { RefCell::new(Vec::new()) };
}

/// A capture device that records nothing else until it is dropped.
pub(crate) struct CaptureDevice {
    slot: usize,
    /// The device.
    pub device: Device,
}

impl CaptureDevice {
    /// A free capture device that creates tensors of the same default types as `live`.
    ///
    /// # Errors
    /// [`JvpError::Capture`] if the types cannot be set.
    pub fn acquire(live: &Device) -> Result<Self, JvpError> {
        let settings = live.settings();
        let types = format!(
            "{:?} {:?} {:?}",
            settings.float_dtype, settings.int_dtype, settings.bool_dtype
        );
        let free = SLOTS.with_borrow_mut(|slots| {
            let slot = slots.iter().position(|s| !s.busy && s.types == types)?;
            slots[slot].busy = true;
            Some(Self {
                slot,
                device: slots[slot].device.clone(),
            })
        });
        if let Some(free) = free {
            return Ok(free);
        }
        let mut device = Device::capture();
        let config = DeviceConfig::default()
            .float_dtype(settings.float_dtype)
            .int_dtype(settings.int_dtype)
            .bool_dtype(settings.bool_dtype);
        // A capture device answers questions about types only inside a scope.
        let mut configured = Ok(());
        device
            .clone()
            .capture_scope(|scope| {
                configured = device.configure(config);
                scope.complete([], [])
            })
            .map_err(|e| JvpError::Capture(e.to_string()))?;
        configured.map_err(|e| JvpError::Capture(e.to_string()))?;
        SLOTS.with_borrow_mut(|slots| {
            slots.push(Slot {
                types,
                device: device.clone(),
                busy: true,
            });
            Ok(Self {
                slot: slots.len() - 1,
                device,
            })
        })
    }
}

impl Drop for CaptureDevice {
    fn drop(&mut self) {
        SLOTS.with_borrow_mut(|slots| slots[self.slot].busy = false);
    }
}
