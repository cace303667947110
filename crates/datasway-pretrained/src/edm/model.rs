//! A folder of `scripts/edm_to_safetensors.py` as a denoiser.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{DType, Device, Tensor, TensorData};
use datasway_diffusion::network::NetworkDenoiser;
use datasway_fs::one_line;

use super::architecture::Architecture;
use super::arguments::architecture;
use super::config::{EdmConfig, Wrapper};
use super::network::EdmNetwork;
use super::precondition::{EdmParameterization, Preconditioning};
use crate::PretrainedError;
use crate::state_dict::StateDict;

/// The file of arguments.
pub const CONFIG_FILE: &str = "edm.json";
/// The file of weights.
pub const WEIGHTS_FILE: &str = "edm.safetensors";

/// Largest size of the file of arguments in bytes.
const MAX_ARGUMENTS: u64 = 1 << 20;

/// A model of NVlabs/edm.
pub struct EdmModel {
    /// The checked arguments.
    pub plan: EdmPlan,
    /// The network, with the label of the class in its biases.
    pub network: EdmNetwork,
    /// From the output of the network to the denoiser.
    pub parameterization: EdmParameterization,
    /// Channels, height and width of a picture.
    pub shape: [usize; 3],
    /// Smallest and largest noise level that the wrapper supports. EDM's own wrapper sets no limits: 0 and infinity.
    pub sigmas: [f64; 2],
    /// Number of classes, 0 if unconditional.
    pub classes: usize,
    /// True if the model has learned a null label, so that it is also an unconditional one.
    pub null_label: bool,
}

/// True if a folder holds a model of NVlabs/edm.
pub fn is_edm(folder: &Path) -> bool {
    folder.join(CONFIG_FILE).is_file()
}

/// True if a path is that of a pickle of NVlabs/edm.
pub fn is_pickle(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "pkl")
}

/// The error of a pickle of NVlabs/edm.
pub fn pickle_refused(path: &Path) -> PretrainedError {
    PretrainedError::Unsupported {
        path: path.to_owned(),
        message: "a pickle runs the code inside it, so it is not read: write a folder from it with scripts/edm_to_safetensors.py where \
                  you trust it"
            .to_owned(),
    }
}

impl EdmModel {
    /// Loads the model of a folder as one of this class, or of the null label.
    ///
    /// # Errors
    /// A sentence that names the file and the argument, if a file cannot be read, an argument is missing, unknown or not supported,
    /// a tensor is missing, left over or misshapen, or the class does not fit the model.
    pub fn load(
        folder: &Path,
        class: Option<usize>,
        device: &Device,
        dtype: DType,
    ) -> Result<Self, PretrainedError> {
        if is_pickle(folder) {
            return Err(pickle_refused(folder));
        }
        let (arguments, weights) = (folder.join(CONFIG_FILE), folder.join(WEIGHTS_FILE));
        let config: EdmConfig =
            serde_json::from_slice(&datasway_fs::read(&arguments, MAX_ARGUMENTS)?)
                .map_err(|error| refused(&arguments, &error.to_string()))?;
        let plan = EdmPlan::new(&config, class).map_err(|message| refused(&arguments, &message))?;
        let tensors = crate::weights::read(&weights)?;
        plan.build(tensors, class, device, dtype)
            .map_err(|message| PretrainedError::Weights {
                message: one_line(&message),
                path: weights,
            })
    }

    /// The denoiser of flat points.
    pub fn denoiser(self) -> NetworkDenoiser<EdmNetwork> {
        let [channels, height, width] = self.shape;
        let d = channels * height * width;
        let forward = move |network: &EdmNetwork, x: Tensor<2>, level: Tensor<1>| {
            let n = x.dims()[0];
            let images = x.reshape([n, channels, height, width]);
            network.forward(images, level).reshape([n, d])
        };
        NetworkDenoiser::flat(self.network, d, self.parameterization, forward)
    }

    /// The model of arguments and weights.
    ///
    /// # Errors
    /// A clause, as for [`load`](Self::load).
    pub fn new(
        config: &EdmConfig,
        tensors: BTreeMap<String, TensorData>,
        class: Option<usize>,
        device: &Device,
        dtype: DType,
    ) -> Result<Self, String> {
        EdmPlan::new(config, class)?.build(tensors, class, device, dtype)
    }
}

/// Arguments of a model that have been checked.
#[derive(Debug, Clone)]
pub struct EdmPlan {
    architecture: Architecture,
    preconditioning: Preconditioning,
    shape: [usize; 3],
    table: Option<usize>,
}

impl EdmPlan {
    /// The checked arguments of a model, for this class.
    ///
    /// # Errors
    /// A clause that names the argument.
    pub fn new(config: &EdmConfig, class: Option<usize>) -> Result<Self, String> {
        let architecture = architecture(config)?;
        check_class(&architecture, class)?;
        let [size, channels, _] = config.wrapper.interface();
        Ok(Self {
            preconditioning: Preconditioning::new(&config.wrapper)?,
            architecture,
            shape: [channels, size, size],
            table: match &config.wrapper {
                Wrapper::Iddpm(iddpm) => Some(iddpm.steps + 1),
                Wrapper::Vp(_) | Wrapper::Ve(_) | Wrapper::Edm(_) => None,
            },
        })
    }

    fn build(
        self,
        tensors: BTreeMap<String, TensorData>,
        class: Option<usize>,
        device: &Device,
        dtype: DType,
    ) -> Result<EdmModel, String> {
        check_size(&self.architecture, &tensors)?;
        let state = StateDict::new(tensors, device, dtype);
        let table = self.table.map(|levels| {
            let table: Tensor<1> = state.root().tensor("u", [levels]);
            table.into_data().iter::<f64>().collect()
        });
        let network = self.network(&state, class);
        state.finish()?;
        let preconditioning = match table {
            Some(table) => self.preconditioning.clone().with_table(table)?,
            None => self.preconditioning.clone(),
        };
        let classes = self.architecture.classes;
        Ok(EdmModel {
            network,
            parameterization: preconditioning.parameterization,
            shape: self.shape,
            sigmas: preconditioning.sigmas,
            classes,
            null_label: classes > 0 && self.architecture.null_label,
            plan: self,
        })
    }

    /// Takes the tensors of the network.
    pub fn network(&self, state: &StateDict, class: Option<usize>) -> EdmNetwork {
        EdmNetwork::new(&state.root().at("model"), &self.architecture, class)
    }
}

/// Checks that a class is given if and only if the model needs one.
fn check_class(architecture: &Architecture, class: Option<usize>) -> Result<(), String> {
    let classes = architecture.classes;
    match class {
        Some(_) if classes == 0 => {
            Err("the model has no classes (label_dim is 0): give no class".to_owned())
        }
        Some(class) if class >= classes => Err(format!(
            "the model has the classes 0 to {}, and not {class}",
            classes - 1
        )),
        None if classes > 0 && !architecture.null_label => Err(format!(
            "the model has {classes} classes and no null label (label_dropout is 0): give a class of 0 to {}",
            classes - 1
        )),
        _ => Ok(()),
    }
}

/// Checks that the network of the arguments is not far larger than the file, before it is allocated.
fn check_size(
    architecture: &Architecture,
    tensors: &BTreeMap<String, TensorData>,
) -> Result<(), String> {
    let numbers = |data: &TensorData| data.shape().iter().map(|n| *n as f64).product::<f64>();
    let stored: f64 = tensors.values().map(numbers).sum();
    let needed = architecture.weights();
    if needed <= 2.0 * stored + 1e6 {
        return Ok(());
    }
    Err(format!(
        "the file has {stored} weights, and the network of {CONFIG_FILE} about {needed}: its arguments describe another network"
    ))
}

/// An error of a file. What the file says may be of any length.
fn refused(path: &Path, message: &str) -> PretrainedError {
    PretrainedError::File {
        path: path.to_owned(),
        message: one_line(message),
    }
}
