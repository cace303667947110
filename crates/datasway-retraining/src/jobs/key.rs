//! Keys of jobs.
//!
//! The key of a job is the SHA-256 of everything that decides its result: kind, settings, fingerprints of the data and the keys of
//! its inputs.
//! A result is therefore found again whatever else in the experiment changes.
//! A change of the experiment gives new keys to the jobs that depend on it and to no others.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::job::JobKind;

/// Revision of the results of a kind of job.
/// It is raised whenever the same settings begin to give other results, so that old results are not found.
fn revision(kind: JobKind) -> u32 {
    match kind {
        // 2: a bandwidth blurs the data (its weight σ²/(σ² + h²) was missing).
        // 3: log-densities are subtracted before they are rounded.
        JobKind::Sensitivity | JobKind::Attribution => 3,
        _ => 1,
    }
}

/// The key of a job, in hexadecimal; `inputs` are the keys of its inputs.
pub(super) fn key(kind: JobKind, settings: &Value, inputs: &[&str]) -> String {
    let content = json!([revision(kind), kind.name(), settings, inputs]);
    let hash = Sha256::digest(content.to_string());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
