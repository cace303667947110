//! Operations that move entries.

use crate::{integers, mixed, samples};
use burn::tensor::{Bool, Int, Tensor, s};
use burn_jvp::check::CheckOptions;

fn mask(x: &Tensor<3>) -> Tensor<3, Bool> {
    let places = Tensor::<1, Int>::arange(0..x.shape().num_elements() as i64, &x.device());
    places.remainder_scalar(3).equal_elem(1).reshape(x.shape())
}

samples! {
    shapes: CheckOptions::default(), [mixed([2, 3, 4])], |i| {
        let x = || i[0].get::<3>();
        (x().reshape([4, 3, 2]) * x().swap_dims(0, 2) + x().permute([2, 1, 0]).flip([0, 2])).into()
    };
    repetitions: CheckOptions::default(), [mixed([2, 1, 4]), mixed([3, 1])], |i| {
        let (x, c) = (i[0].get::<3>(), i[1].get::<2>());
        (x.clone().expand([2, 3, 4]) * c.expand([2, 3, 4]) + x.repeat_dim(1, 3)).into()
    };
    windows: CheckOptions::default(), [mixed([2, 7])], |i| {
        i[0].get::<2>().unfold::<3, _>(1, 3, 2).into()
    };
    ranges: CheckOptions::default(), [mixed([3, 4]), mixed([2, 2])], |i| {
        let (x, v) = (i[0].get::<2>(), i[1].get::<2>());
        (x.clone().slice_assign([1..3, 0..2], v).slice(s![..;-1, 1..]) * x.slice(s![.., ..3])).into()
    };
    joined: CheckOptions::default(), [mixed([3, 2]), mixed([3, 1])], |i| {
        Tensor::cat(vec![i[0].get::<2>(), i[1].get::<2>(), i[0].get::<2>().ones_like()], 1).into()
    };
    picked: CheckOptions::default(), [mixed([2, 3, 4]), integers([4], &[2, 0, 0, 1])], |i| {
        let (x, at) = (i[0].get::<3>(), i[1].get_kind::<1, Int>());
        let each = at.clone().reshape([1, 4, 1]).expand([2, 4, 4]);
        (x.clone().select(1, at) * x.gather(1, each)).into()
    };
    masked: CheckOptions::default(), [mixed([2, 3, 4]), mixed([2, 3, 4])], |i| {
        let (x, v) = (i[0].get::<3>(), i[1].get::<3>());
        let m = mask(&x);
        (x.clone().mask_where(m.clone(), v * 3.0) * x.mask_fill(m.bool_not(), -1.0)).into()
    };
}
