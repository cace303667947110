//! Networks of NVlabs/edm: SongUNet (DDPM++, NCSN++) and DhariwalUNet (ADM) with the preconditionings VP, VE, iDDPM and EDM.
//!
//! A pickle of that library holds code, so it is not read. `scripts/edm_to_safetensors.py` writes a folder from it:
//! `edm.safetensors`, the averaged weights by their names, and `edm.json`, every argument of the wrapper and of the network with its
//! value ([`EdmConfig`]).

mod architecture;
mod arguments;
mod attention;
mod block;
mod config;
mod mapping;
mod model;
mod network;
mod precondition;

pub use config::{
    Dhariwal, EdmConfig, EdmWrapper, IddpmWrapper, Network, Song, VeWrapper, VpWrapper, Wrapper,
};
pub use model::{CONFIG_FILE, EdmModel, EdmPlan, WEIGHTS_FILE, is_edm, is_pickle, pickle_refused};
pub use network::EdmNetwork;
pub use precondition::{EdmParameterization, iddpm_levels};
