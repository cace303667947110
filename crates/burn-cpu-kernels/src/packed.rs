//! Transformed weights of convolutions, kept for as long as the weights are there and unchanged.
//!
//! A tensor on Flex is changed in place through `Arc::make_mut` only, which leaves weak references without a value. So
//! weights that a weak reference still leads to are what they were when they were transformed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use burn::backend::flex::FlexTensor;
use burn::backend::{Bytes, TensorMetadata};

use crate::conv::PackedWeights;

/// Largest number of values that are kept: one gibibyte.
const LARGEST: usize = 1 << 28;

/// The use of transformed weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// The convolution.
    Forward,
    /// The gradient of its input.
    InputGradient,
}

/// The part of a storage that is read as weights `[o, i, 3, 3]`.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    storage: *const Bytes,
    offset: usize,
    channels: (usize, usize),
    purpose: Purpose,
}

// SAFETY: the address is compared, and not read.
unsafe impl Send for Key {}

/// Weights that were seen. While the reference is there, no other storage has its address.
struct Entry {
    weights: Weak<Bytes>,
    /// None after the first use: weights in training are used once.
    packed: Option<Arc<PackedWeights>>,
}

#[derive(Default)]
struct Cache {
    entries: HashMap<Key, Entry>,
    /// Number of values in all entries.
    values: usize,
}

impl Cache {
    /// Forgets the weights that are gone.
    fn purge(&mut self) {
        self.entries
            .retain(|_, entry| entry.weights.strong_count() > 0);
        let packed = self
            .entries
            .values()
            .filter_map(|entry| entry.packed.as_ref());
        self.values = packed.map(|packed| packed.len()).sum();
    }
}

static CACHE: Mutex<Option<Cache>> = Mutex::new(None);

/// Runs `f` on the cache. A panic while it is locked leaves it in order.
fn with_cache<R>(f: impl FnOnce(&mut Cache) -> R) -> R {
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    f(cache.get_or_insert_default())
}

/// The transformed weights of a contiguous tensor `[o, i, 3, 3]` of f32, whose values are `values`.
pub(crate) fn packed(weights: &FlexTensor, values: &[f32], purpose: Purpose) -> Arc<PackedWeights> {
    let storage = weights.data_arc();
    let shape = weights.shape();
    let channels = (shape[0], shape[1]);
    let key = Key {
        storage: Arc::as_ptr(&storage),
        offset: weights.layout().start_offset(),
        channels,
        purpose,
    };
    let seen = with_cache(|cache| {
        let entry = cache.entries.get(&key);
        // An entry without its weights is of a storage that was dropped at this address.
        let entry = entry.filter(|entry| entry.weights.strong_count() > 0)?;
        Some(entry.packed.clone())
    });
    if let Some(Some(packed)) = seen {
        return packed;
    }
    let packed = match purpose {
        Purpose::Forward => PackedWeights::new(channels.0, channels.1, values),
        Purpose::InputGradient => PackedWeights::turned(channels.0, channels.1, values),
    };
    let packed = Arc::new(packed);
    with_cache(|cache| {
        cache.purge();
        let kept = seen.is_some() && cache.values + packed.len() <= LARGEST;
        if kept {
            cache.values += packed.len();
        }
        let entry = Entry {
            weights: Arc::downgrade(&storage),
            packed: kept.then(|| packed.clone()),
        };
        cache.entries.insert(key, entry);
    });
    packed
}

#[cfg(test)]
mod tests {
    use burn::backend::ops::FloatTensorOps;
    use burn::backend::{DType, Flex, TensorData};

    use super::*;

    fn weights(value: f32) -> FlexTensor {
        FlexTensor::from_data(TensorData::new(vec![value; 2 * 3 * 9], [2, 3, 3, 3]))
    }

    fn first(weights: &FlexTensor, purpose: Purpose) -> (*const PackedWeights, f32) {
        let values = weights.as_slice().expect("contiguous f32");
        let packed = packed(weights, values, purpose);
        (Arc::as_ptr(&packed), packed.values()[0])
    }

    #[test]
    fn weights_are_transformed_again_after_a_change_only() {
        let original = weights(1.0);
        assert_eq!(original.dtype(), DType::F32);
        for purpose in [Purpose::Forward, Purpose::InputGradient] {
            first(&original, purpose);
            let second = first(&original, purpose);
            assert_eq!(second, first(&original.clone(), purpose));
        }
        // In place: nobody else holds the storage.
        let changed = Flex::float_mul_scalar(original, 2.0.into());
        for _ in 0..3 {
            assert_eq!(first(&changed, Purpose::Forward).1, 2.0);
        }
    }

    #[test]
    fn dropped_weights_are_not_found_at_their_address() {
        for value in 1..50 {
            let weights = weights(value as f32);
            for _ in 0..3 {
                assert_eq!(first(&weights, Purpose::Forward).1, value as f32);
            }
        }
    }
}
