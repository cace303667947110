//! The results of a function: one tensor, several, or a tuple of tensors of any rank and kind.

use crate::dyn_tensor::DynTensor;
use burn::tensor::Tensor;
use burn::tensor::kind::Basic;

/// The result of a function that is differentiated.
///
/// It is implemented for [`DynTensor`], for lists and arrays of it, and for tuples of [`DynTensor`] and [`Tensor`].
pub trait Outputs: Sized {
    /// The tangents of the result, a stack `[K, *shape]` for each tensor; `None` where it depends on no variable that
    /// has a tangent, as for integers and booleans.
    type Tangents;

    /// The tensors of the result.
    fn into_tensors(self) -> Vec<DynTensor>;

    /// The result of these tensors, as many as [`into_tensors`](Self::into_tensors) gave.
    ///
    /// # Panics
    /// If number, ranks or kinds differ.
    fn from_tensors(tensors: Vec<DynTensor>) -> Self;

    /// The tangents of these tensors.
    ///
    /// # Panics
    /// If the number differs.
    fn tangents(tangents: Vec<Option<DynTensor>>) -> Self::Tangents;
}

impl Outputs for DynTensor {
    type Tangents = Option<DynTensor>;

    fn into_tensors(self) -> Vec<DynTensor> {
        vec![self]
    }

    fn from_tensors(tensors: Vec<DynTensor>) -> Self {
        let [tensor] = exactly(tensors);
        tensor
    }

    fn tangents(tangents: Vec<Option<DynTensor>>) -> Self::Tangents {
        let [tangent] = exactly(tangents);
        tangent
    }
}

impl Outputs for Vec<DynTensor> {
    type Tangents = Vec<Option<DynTensor>>;

    fn into_tensors(self) -> Vec<DynTensor> {
        self
    }

    fn from_tensors(tensors: Vec<DynTensor>) -> Self {
        tensors
    }

    fn tangents(tangents: Vec<Option<DynTensor>>) -> Self::Tangents {
        tangents
    }
}

impl<const N: usize> Outputs for [DynTensor; N] {
    type Tangents = [Option<DynTensor>; N];

    fn into_tensors(self) -> Vec<DynTensor> {
        self.into()
    }

    fn from_tensors(tensors: Vec<DynTensor>) -> Self {
        exactly(tensors)
    }

    fn tangents(tangents: Vec<Option<DynTensor>>) -> Self::Tangents {
        exactly(tangents)
    }
}

/// A tensor in a tuple.
pub trait OutputTensor: Into<DynTensor> {
    /// The tensor as its own type.
    ///
    /// # Panics
    /// If rank or kind differ.
    fn from_dyn(tensor: DynTensor) -> Self;
}

impl OutputTensor for DynTensor {
    fn from_dyn(tensor: DynTensor) -> Self {
        tensor
    }
}

impl<const D: usize, K: Basic> OutputTensor for Tensor<D, K> {
    fn from_dyn(tensor: DynTensor) -> Self {
        tensor.get_kind()
    }
}

/// Implements [`Outputs`] for a tuple.
macro_rules! tuple {
    ($count:literal: $($name:ident)+) => {
        impl<$($name: OutputTensor),+> Outputs for ($($name,)+) {
            type Tangents = [Option<DynTensor>; $count];

            #[allow(non_snake_case)]
            fn into_tensors(self) -> Vec<DynTensor> {
                let ($($name,)+) = self;
                vec![$($name.into()),+]
            }

            #[allow(non_snake_case)]
            fn from_tensors(tensors: Vec<DynTensor>) -> Self {
                let [$($name),+] = exactly(tensors);
                ($($name::from_dyn($name),)+)
            }

            fn tangents(tangents: Vec<Option<DynTensor>>) -> Self::Tangents {
                exactly(tangents)
            }
        }
    };
}

tuple!(1: A);
tuple!(2: A B);
tuple!(3: A B C);
tuple!(4: A B C D);
tuple!(5: A B C D E);
tuple!(6: A B C D E F);

/// A list of `N` as an array.
fn exactly<T, const N: usize>(list: Vec<T>) -> [T; N] {
    let count = list.len();
    let Ok(array) = list.try_into() else {
        panic!("a function of {N} results gave {count}")
    };
    array
}
