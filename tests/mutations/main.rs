//! Damaged inputs for every reader: each of thousands is read or refused in one sentence, in time and in memory, and what is read is sound.
//!
//! A test is a reader. `MUTATIONS_CASES` and `MUTATIONS_SEED` ask for more inputs or others than the gate's.

mod allocation;
mod damage;
mod place;
mod readers;
mod trial;

use readers::{
    Batches, Caches, Checkpoints, Classifiers, DiffusersFolders, EdmFolders, Experiments, Folders,
    IdxFiles, Pictures, Results, Runs, Selections, Sidecars, Sources, Tables, TorchFiles, Tunings,
};

#[global_allocator]
static ALLOCATOR: allocation::Counting = allocation::Counting;

#[test]
fn checkpoints() {
    trial::run("checkpoints", Checkpoints::new);
}

#[test]
fn resumed_runs() {
    trial::run("resumed_runs", Runs::new);
}

#[test]
fn fine_tunings() {
    trial::run("fine_tunings", Tunings::new);
}

#[test]
fn results() {
    trial::run("results", Results::new);
}

#[test]
fn classifiers() {
    trial::run("classifiers", Classifiers::new);
}

#[test]
fn edm_folders() {
    trial::run("edm_folders", EdmFolders::new);
}

#[test]
fn diffusers_folders() {
    trial::run("diffusers_folders", DiffusersFolders::new);
}

#[test]
fn sidecars() {
    trial::run("sidecars", Sidecars::new);
}

#[test]
fn idx_files() {
    trial::run("idx_files", IdxFiles::new);
}

#[test]
fn cifar_batches() {
    trial::run("cifar_batches", Batches::new);
}

#[test]
fn celeba_tables() {
    trial::run("celeba_tables", Tables::new);
}

#[test]
fn pictures() {
    trial::run("pictures", Pictures::new);
}

#[test]
fn folders() {
    trial::run("folders", Folders::new);
}

#[test]
fn caches() {
    trial::run("caches", Caches::new);
}

#[test]
fn experiments() {
    trial::run("experiments", Experiments::new);
}

#[test]
fn selections() {
    trial::run("selections", Selections::new);
}

#[test]
fn torch_files() {
    trial::run("torch_files", TorchFiles::new);
}

#[test]
fn sources() {
    trial::run("sources", Sources::new);
}
