//! The operations on autodiff, with their gradients. On a nested autodiff the gradients are compositions of Burn's own
//! operations, so that they can be differentiated once more.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Shape, TensorMetadata};

use crate::backend::KernelBackend;
use crate::norm::GroupNormOptions;
use crate::stride::Stride;

impl<B: KernelBackend, C: CheckpointStrategy> KernelBackend for Autodiff<B, C> {
    fn silu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        match Silu.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let value = x.primitive().clone();
                prep.finish(value.clone(), B::silu(value))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::silu(x.into_primitive())),
        }
    }

    fn group_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        options: GroupNormOptions,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), gamma.node(), beta.node()];
        match GroupNorm(options)
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let state = [&x, &gamma, &beta].map(|tensor| tensor.primitive().clone());
                let [x, gamma, beta] = state.clone();
                prep.finish(state, B::group_norm(x, gamma, beta, options))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::group_norm(
                x.into_primitive(),
                gamma.into_primitive(),
                beta.into_primitive(),
                options,
            )),
        }
    }

    fn conv3x3(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stride: Stride,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node(), bias.node()];
        match Conv3x3(stride)
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let state = [&x, &weight, &bias].map(|tensor| tensor.primitive().clone());
                let [x, weight, bias] = state.clone();
                prep.finish(state, B::conv3x3(x, weight, bias, stride))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::conv3x3(
                x.into_primitive(),
                weight.into_primitive(),
                bias.into_primitive(),
                stride,
            )),
        }
    }

    fn pointwise(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node(), bias.node()];
        match Pointwise.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let state = [&x, &weight].map(|tensor| tensor.primitive().clone());
                let [x, weight] = state.clone();
                prep.finish(state, B::pointwise(x, weight, bias.into_primitive()))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::pointwise(
                x.into_primitive(),
                weight.into_primitive(),
                bias.into_primitive(),
            )),
        }
    }

    fn self_attention(qkv: FloatTensor<Self>, heads: usize) -> FloatTensor<Self> {
        match Attention(heads)
            .prepare::<C>([qkv.node()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let state = qkv.primitive().clone();
                prep.finish(state.clone(), B::self_attention(state, heads))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::self_attention(qkv.into_primitive(), heads)),
        }
    }
}

#[derive(Debug)]
struct Silu;

impl<B: KernelBackend> Backward<B, 1> for Silu {
    type State = FloatTensor<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [parent] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        if let Some(node) = parent {
            grads.register::<B>(node.id, B::silu_derivative(ops.state, grad));
        }
    }
}

#[derive(Debug)]
struct GroupNorm(GroupNormOptions);

impl<B: KernelBackend> Backward<B, 3> for GroupNorm {
    /// x, γ, β.
    type State = [FloatTensor<B>; 3];

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [x, gamma, beta] = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        let (on_x, on_gamma, on_beta) = B::group_norm_gradient(x, gamma, beta, grad, self.0);
        for (parent, gradient) in ops.parents.into_iter().zip([on_x, on_gamma, on_beta]) {
            if let Some(node) = parent {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct Conv3x3(Stride);

impl<B: KernelBackend> Backward<B, 3> for Conv3x3 {
    /// x, weight, bias.
    type State = [FloatTensor<B>; 3];

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [on_x, on_weight, on_bias] = ops.parents;
        let [x, weight, bias] = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        if let Some(node) = on_bias {
            let sums = B::channel_sums(grad.clone());
            // One bias for all images, or one for each.
            let sums = if bias.shape()[0] == sums.shape()[0] {
                sums
            } else {
                B::float_sum_dim(sums, 0)
            };
            grads.register::<B>(node.id, sums);
        }
        if let Some(node) = on_x {
            let size = [x.shape()[2], x.shape()[3]];
            let pulled = B::conv3x3_input_gradient(weight.clone(), grad.clone(), self.0, size);
            grads.register::<B>(node.id, pulled);
        }
        if let Some(node) = on_weight {
            grads.register::<B>(node.id, B::conv3x3_weight_gradient(x, weight, grad, self.0));
        }
    }
}

#[derive(Debug)]
struct Pointwise;

impl<B: KernelBackend> Backward<B, 3> for Pointwise {
    /// x, weight.
    type State = [FloatTensor<B>; 2];

    fn backward(
        self,
        ops: Ops<Self::State, 3>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [on_x, on_weight, on_bias] = ops.parents;
        let [x, weight] = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        if let Some(node) = on_bias {
            let sum = B::float_sum_dim(B::channel_sums(grad.clone()), 0);
            let channels = Shape::new([sum.shape()[1]]);
            grads.register::<B>(node.id, B::float_reshape(sum, channels));
        }
        if let Some(node) = on_x {
            let pulled = B::pointwise_input_gradient(weight, grad.clone());
            grads.register::<B>(node.id, pulled);
        }
        if let Some(node) = on_weight {
            grads.register::<B>(node.id, B::pointwise_weight_gradient(x, grad));
        }
    }
}

#[derive(Debug)]
struct Attention(usize);

impl<B: KernelBackend> Backward<B, 1> for Attention {
    type State = FloatTensor<B>;

    fn backward(
        self,
        ops: Ops<Self::State, 1>,
        grads: &mut Gradients,
        _checkpointer: &mut Checkpointer,
    ) {
        let [parent] = ops.parents;
        let grad = grads.consume::<B>(&ops.node);
        if let Some(node) = parent {
            let pulled = B::self_attention_gradient(ops.state, grad, self.0);
            grads.register::<B>(node.id, pulled);
        }
    }
}
