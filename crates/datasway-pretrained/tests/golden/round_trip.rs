//! Weights go back to where they came from, for every network of the golden cases.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use datasway_diffusion::weights::collect;
use datasway_pretrained::PretrainedNetwork;
use datasway_pretrained::diffusers::dit::DiTConfig;
use datasway_pretrained::diffusers::unet::UNet2DConfig;
use datasway_pretrained::edm::EdmPlan;
use datasway_pretrained::network::NetworkPlan;
use datasway_pretrained::rearrangement::Rearrangement;
use datasway_pretrained::state_dict::StateDict;

use crate::case::cases;
use crate::{dit, edm};

type Tensors = BTreeMap<String, TensorData>;

fn load(plan: &NetworkPlan, tensors: &Tensors, class: Option<usize>) -> PretrainedNetwork {
    let state = StateDict::new(tensors.clone(), &Device::flex(), DType::F32);
    plan.load(&state, class).unwrap()
}

/// Another network with other weights: each is its index.
struct Numbered(usize);

impl ModuleMapper for Numbered {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, mapper) = param.consume();
        let count: usize = value.dims().iter().product();
        let values: Vec<f32> = (self.0..self.0 + count).map(|i| i as f32).collect();
        self.0 += count;
        let data = TensorData::new(values, value.dims());
        let value = Tensor::from_data(data, (&value.device(), value.dtype()));
        Param::from_mapped_value(id, value, mapper)
    }
}

/// True if the weights go back; false if the network is refused because a weight is computed.
fn goes_back(name: &str, plan: &NetworkPlan, tensors: &Tensors, class: Option<usize>) -> bool {
    let network = load(plan, tensors, class);
    let places = match Rearrangement::new(plan, tensors.clone(), class, &network) {
        Ok(places) => places,
        Err(message) => {
            assert!(
                message.contains("where the class enters"),
                "{name}: {message}"
            );
            return false;
        }
    };
    let same = places.tensors(&network).unwrap();
    assert_eq!(
        same,
        plan.current_names(tensors.clone()).unwrap(),
        "{name}: unchanged weights"
    );
    // Any other weights arrive where they were put.
    let other = network.map(&mut Numbered(1));
    let again = load(plan, &places.tensors(&other).unwrap(), class);
    let values = |network: &PretrainedNetwork| -> BTreeMap<_, _> {
        let weights = collect(network).into_iter();
        weights.map(|(path, weight)| (path, weight.data)).collect()
    };
    assert!(values(&again) == values(&other), "{name}: other weights");
    true
}

#[test]
fn weights_of_every_golden_network_go_back_to_their_places_or_it_is_refused() {
    let mut refused = Vec::new();
    let mut check = |name: &str, plan: NetworkPlan, tensors: Tensors, class| {
        if !goes_back(name, &plan, &tensors, class) {
            refused.push(name.to_owned());
        }
    };
    for case in cases("unet.safetensors") {
        let config = UNet2DConfig::parse(&case.config["config"]).unwrap();
        let class = case.config["class"].as_u64().map(|class| class as usize);
        check(&case.name, NetworkPlan::UNet(config), case.weights(), class);
    }
    for case in cases("dit.safetensors") {
        let (class, config) = dit::parts(&case);
        let plan = NetworkPlan::DiT(DiTConfig::parse(&config).unwrap());
        check(&case.name, plan, dit::weights(&case), class);
    }
    for case in cases("edm.safetensors") {
        let (arguments, tensors, class) = edm::parts(&case);
        let plan = EdmPlan::new(&edm::config(&arguments), class).unwrap();
        // The frequencies of the table are no part of the network.
        let single = |data: TensorData| data.try_cast(DType::F32).unwrap();
        let tensors = tensors.into_iter().map(|(name, data)| (name, single(data)));
        check(&case.name, NetworkPlan::Edm(plan), tensors.collect(), class);
    }
    // Networks whose class enters sums of weights.
    let of_classes = [
        "timestep class 3",
        "learned timestep class 3",
        "fourier timestep class 3",
        "song-class",
        "song-other-class",
        "song-null-class",
        "tiny",
        "ncsnpp-class-augment",
        "adm-class",
        "adm-other-class",
        "adm-iddpm-class",
    ];
    assert_eq!(refused, of_classes);
}
