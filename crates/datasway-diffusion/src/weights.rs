//! Weights of a module by path, as a checkpoint stores them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::{Device, Tensor, TensorData};
use sha2::{Digest, Sha256};

use crate::DiffusionError;

/// A parameter: its id, by which the optimiser's state is keyed, and its values.
#[derive(Debug, Clone)]
pub struct Weight {
    /// Burn's parameter id; 0 if it has none yet.
    pub id: u64,
    /// Shape and values.
    pub data: TensorData,
}

/// Weights with their ids, or 0 if there are none.
pub fn with_ids(
    weights: BTreeMap<String, TensorData>,
    ids: &BTreeMap<String, u64>,
) -> BTreeMap<String, Weight> {
    let id = |path: &String| ids.get(path).copied().unwrap_or(0);
    weights
        .into_iter()
        .map(|(path, data)| {
            (
                path.clone(),
                Weight {
                    id: id(&path),
                    data,
                },
            )
        })
        .collect()
}

/// A new module with weights of this seed and ids derived from their paths, so that a run's file depends on nothing else.
///
/// The device has no autodiff: a module that learns is moved to one afterwards.
///
/// # Errors
/// The error of `build`.
pub fn draw<M: Module>(
    seed: u64,
    device: &Device,
    build: impl FnOnce() -> Result<M, DiffusionError>,
) -> Result<M, DiffusionError> {
    // A device has a single generator, so draws must not interleave.
    static DRAWING: Mutex<()> = Mutex::new(());
    let _alone = DRAWING.lock().unwrap_or_else(PoisonError::into_inner);
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the function that is alone"
    )]
    device.seed(seed);
    let module = build()?;
    // Weights are drawn when they are first read, which happens in `collect`.
    let drawn = collect(&module).into_iter();
    let drawn = drawn.map(|(path, weight)| (path, Weight { id: 0, ..weight }));
    apply(module, drawn.collect()).map_err(DiffusionError::Invalid)
}

/// Checks that every path has a unique id, without which an optimiser's state cannot be resumed.
///
/// # Errors
/// A clause that names the first path without one.
pub(crate) fn check_ids<'a>(
    paths: impl IntoIterator<Item = &'a String>,
    ids: &BTreeMap<String, u64>,
) -> Result<(), String> {
    let mut owners = BTreeMap::new();
    for path in paths {
        match ids.get(path) {
            None | Some(0) => return Err(format!("{path} has no parameter id")),
            Some(id) => {
                if let Some(earlier) = owners.insert(id, path) {
                    return Err(format!("{earlier} and {path} have the same parameter id"));
                }
            }
        }
    }
    Ok(())
}

/// Every float parameter of a module, by its dotted path.
pub fn collect<M: Module>(module: &M) -> BTreeMap<String, Weight> {
    let mut collector = Collector::default();
    module.visit(&mut collector);
    collector.weights
}

/// The shape of every float parameter of a module, by its dotted path. No parameter is drawn.
pub fn shapes<M: Module>(module: &M) -> BTreeMap<String, Vec<usize>> {
    let mut visitor = Shapes::default();
    module.visit(&mut visitor);
    visitor.shapes
}

/// Checks that paths and shapes are those of a module.
///
/// # Errors
/// A sentence that lists missing parameters, unknown ones, and those of another shape.
pub fn check_shapes<'a>(
    needed: &BTreeMap<String, Vec<usize>>,
    given: impl IntoIterator<Item = (&'a str, &'a [usize])>,
) -> Result<(), String> {
    let given: BTreeMap<&str, &[usize]> = given.into_iter().collect();
    let list = |verb: [&str; 2], paths: Vec<String>| {
        let verb = verb[usize::from(paths.len() > 1)];
        (!paths.is_empty()).then(|| format!("{} {verb}", enumerate(&paths)))
    };
    let missing = needed
        .keys()
        .filter(|path| !given.contains_key(path.as_str()));
    let extra = given.keys().filter(|path| !needed.contains_key(**path));
    let misshapen = needed.iter().filter_map(|(path, shape)| {
        let given_shape = given.get(path.as_str())?;
        (*given_shape != shape.as_slice())
            .then(|| format!("{path} has shape {given_shape:?}, the network needs {shape:?}"))
    });
    let misshapen: Vec<String> = misshapen.collect();
    let problems = [
        list(["is missing", "are missing"], missing.cloned().collect()),
        list(
            [
                "is no parameter of the network",
                "are no parameters of the network",
            ],
            extra.map(|path| path.escape_debug().to_string()).collect(),
        ),
        (!misshapen.is_empty()).then(|| enumerate(&misshapen)),
    ];
    let problems: Vec<String> = problems.into_iter().flatten().collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems.join("; "))
    }
}

/// Checks that the paths of ids are parameters of a module.
///
/// # Errors
/// A sentence that names the first path that is not.
pub fn check_paths<'a, V>(
    needed: &BTreeMap<String, V>,
    paths: impl IntoIterator<Item = &'a String>,
) -> Result<(), String> {
    let mut paths = paths.into_iter();
    match paths.find(|path| !needed.contains_key(*path)) {
        None => Ok(()),
        Some(path) => Err(format!(
            "its header gives an id to {path:?}, which is no parameter of the network"
        )),
    }
}

/// The first few items and the number of further ones.
fn enumerate(items: &[String]) -> String {
    const SHOWN: usize = 3;
    match items.len() {
        n if n > SHOWN => format!("{} and {} more", items[..SHOWN].join(", "), n - SHOWN),
        _ => items.join(", "),
    }
}

/// The id of a parameter without one: a function of its path.
fn id_of(path: &str) -> u64 {
    let digest: [u8; 32] = Sha256::digest(path.as_bytes()).into();
    let id = u64::from_le_bytes(*digest.first_chunk().expect("32 bytes"));
    id.max(1)
}

/// The module with its parameters replaced by those of the same path.
///
/// If an id is 0 or occurs twice, ids are derived from the paths, so that no two parameters share one.
///
/// # Errors
/// A sentence that lists missing parameters, unknown ones, and those of another shape.
pub fn apply<M: Module>(module: M, weights: BTreeMap<String, Weight>) -> Result<M, String> {
    let given = weights
        .iter()
        .map(|(path, w)| (path.as_str(), w.data.shape().as_slice()));
    check_shapes(&shapes(&module), given)?;
    let distinct: BTreeSet<u64> = weights.values().map(|weight| weight.id).collect();
    let ids_are_unique = distinct.len() == weights.len() && !distinct.contains(&0);
    let weights = weights.into_iter().map(|(path, weight)| {
        let id = if ids_are_unique {
            weight.id
        } else {
            id_of(&path)
        };
        (path, Weight { id, ..weight })
    });
    let mut applier = Applier {
        path: Vec::new(),
        weights: weights.collect(),
    };
    Ok(module.map(&mut applier))
}

#[derive(Default)]
struct Collector {
    path: Vec<String>,
    weights: BTreeMap<String, Weight>,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let weight = Weight {
            id: param.id.val(),
            data: param.val().into_data(),
        };
        self.weights.insert(self.path.join("."), weight);
    }
}

#[derive(Default)]
struct Shapes {
    path: Vec<String>,
    shapes: BTreeMap<String, Vec<usize>>,
}

impl ModuleVisitor for Shapes {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let shape = param.lazy_shape().to_vec();
        self.shapes.insert(self.path.join("."), shape);
    }
}

/// Replaces the parameters of a module by weights of checked shapes.
struct Applier {
    path: Vec<String>,
    weights: BTreeMap<String, Weight>,
}

impl ModuleMapper for Applier {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.weights.remove(&self.path.join(".")) {
            None => param,
            Some(weight) => {
                let value = Tensor::from_data(weight.data, &param.lazy_device());
                Param::initialized(ParamId::from(weight.id), value)
            }
        }
    }
}
