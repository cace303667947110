//! The blocks of the levels: down, in the middle, and up.

use burn::module::Module;
use burn::tensor::Tensor;

use super::attention::UNetAttention;
use super::block_type::LevelStep;
use super::config::UNet2DConfig;
use super::limits;
use super::plan::{self, FILTER, UNetLevelPlan};
use super::resnet::ResnetBlock;
use super::step::{StepDown, StepUp};
use crate::resampling::{Resampling, ScaleChange};
use crate::state_dict::StateScope;

/// The blocks of a level of the way down.
#[derive(Module, Debug)]
pub struct Down {
    resnets: Vec<ResnetBlock>,
    /// One after each block, or none.
    attentions: Vec<UNetAttention>,
    step: Option<StepDown>,
}

/// The middle.
#[derive(Module, Debug)]
pub struct Middle {
    resnets: Vec<ResnetBlock>,
    attention: Option<UNetAttention>,
}

/// The blocks of a level of the way up.
#[derive(Module, Debug)]
pub struct Up {
    resnets: Vec<ResnetBlock>,
    /// One after each block, one after the last, or none.
    attentions: Vec<UNetAttention>,
    step: Option<StepUp>,
    /// The filter of the path of pictures.
    picture: Option<Resampling>,
}

/// Takes the residual blocks and attentions of a level.
fn blocks(
    scope: &StateScope<'_>,
    config: &UNet2DConfig,
    level: &UNetLevelPlan,
) -> (Vec<ResnetBlock>, Vec<UNetAttention>) {
    let resnets = level.resnets.iter().enumerate();
    let resnets =
        resnets.map(|(i, plan)| ResnetBlock::load(&scope.at("resnets").index(i), config, plan));
    let attention = |i: usize| {
        let scope = scope.at("attentions").index(i);
        let groups = Some(level.attention_groups);
        UNetAttention::load(&scope, config, level.channels, groups, level.scale)
    };
    let attentions = (0..level.attentions).map(attention);
    (resnets.collect(), attentions.collect())
}

impl Down {
    /// Takes the tensors of a level, the finest first.
    pub fn load(scope: &StateScope<'_>, config: &UNet2DConfig, level: usize) -> Self {
        let plan = UNetLevelPlan::down(config, level);
        let (resnets, attentions) = blocks(scope, config, &plan);
        let step = plan.step.as_ref();
        Self {
            resnets,
            attentions,
            step: step.map(|step| StepDown::load(scope, config, &plan, step)),
        }
    }

    /// The coarser level, and the picture for it.
    pub fn forward(
        &self,
        x: Tensor<4>,
        embedding: Tensor<2>,
        picture: Tensor<4>,
        skips: &mut Vec<Tensor<4>>,
    ) -> (Tensor<4>, Tensor<4>) {
        let mut x = x;
        for (i, resnet) in self.resnets.iter().enumerate() {
            x = resnet.forward(x, embedding.clone());
            if let Some(attention) = self.attentions.get(i) {
                x = attention.forward(x);
            }
            skips.push(x.clone());
        }
        let Some(step) = &self.step else {
            return (x, picture);
        };
        let (x, picture) = step.forward(x, embedding, picture);
        skips.push(x.clone());
        (x, picture)
    }
}

impl Middle {
    /// Takes the tensors of `mid_block`.
    pub fn load(scope: &StateScope<'_>, config: &UNet2DConfig) -> Self {
        let plan = plan::middle(config);
        let attention = || {
            let groups = limits::mid_attention_groups(config);
            let scope = scope.at("attentions.0");
            UNetAttention::load(&scope, config, plan.channels[0], groups, plan.scale)
        };
        Self {
            resnets: (0..2)
                .map(|i| ResnetBlock::load(&scope.at("resnets").index(i), config, &plan))
                .collect(),
            attention: config.add_attention.then(attention),
        }
    }

    /// The coarsest pictures after the middle.
    pub fn forward(&self, x: Tensor<4>, embedding: Tensor<2>) -> Tensor<4> {
        let mut x = self.resnets[0].forward(x, embedding.clone());
        if let Some(attention) = &self.attention {
            x = attention.forward(x);
        }
        self.resnets[1].forward(x, embedding)
    }
}

impl Up {
    /// Takes the tensors of a level, the coarsest first.
    pub fn load(scope: &StateScope<'_>, config: &UNet2DConfig, index: usize) -> Self {
        let plan = UNetLevelPlan::up(config, index);
        let (resnets, attentions) = blocks(scope, config, &plan);
        let step = plan.step.as_ref();
        let is_skip = plan.kind.step == LevelStep::Skip;
        Self {
            resnets,
            attentions,
            step: step.map(|step| StepUp::load(scope, config, &plan, step)),
            picture: is_skip.then(|| Resampling::new(FILTER.to_vec(), ScaleChange::Up)),
        }
    }

    /// The finer level, and the sum of the pictures so far.
    pub fn forward(
        &self,
        x: Tensor<4>,
        embedding: Tensor<2>,
        picture: Option<Tensor<4>>,
        skips: &mut Vec<Tensor<4>>,
    ) -> (Tensor<4>, Option<Tensor<4>>) {
        let mut x = x;
        let after_last = self.resnets.len() - self.attentions.len();
        for (i, resnet) in self.resnets.iter().enumerate() {
            let skip = skips.pop().expect("one skip for every block of the way up");
            x = resnet.forward(Tensor::cat(vec![x, skip], 1), embedding.clone());
            let attention = i.checked_sub(after_last).map(|i| &self.attentions[i]);
            if let Some(attention) = attention {
                x = attention.forward(x);
            }
        }
        let mut picture = picture;
        if let (Some(filter), Some(coarse)) = (&self.picture, picture.take()) {
            picture = Some(filter.forward(coarse));
        }
        let Some(step) = &self.step else {
            return (x, picture);
        };
        if let Some(added) = step.picture(&x) {
            picture = Some(match picture {
                Some(picture) => picture + added,
                None => added,
            });
        }
        (step.forward(x, embedding), picture)
    }
}
