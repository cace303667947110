//! `sensitivity check`: a model passes on its own data, and is refused on others.

mod common;

use common::Folder;

/// A check of the shipped model that takes seconds.
const CHECK: [&str; 9] = [
    "check",
    "--images",
    "32",
    "--steps",
    "4",
    "--bandwidth",
    "1",
    "--out",
    "out",
];

#[test]
fn the_shipped_model_fits_faces_and_the_folder_is_whole() {
    let folder = Folder::new();
    let data = ["--data", "faces:1600"];
    folder
        .run("sensitivity", &[&CHECK[..], &data].concat())
        .succeeded();
    let names = ["losses.csv", "samples.png", "index.html", "summary.json"];
    assert!(names.iter().all(|name| folder.has(&format!("out/{name}"))));
    let summary = folder.json("out/summary.json");
    assert_eq!(summary["fits"], true);
    assert_eq!(summary["same_data"], false);
    assert_eq!(summary["linear"], "covariance");
    let gap = summary["precision"]["largest"].as_f64().unwrap();
    assert!(gap > 0.0 && gap < 0.1, "{gap} grey levels");
    let rows = folder.rows("out/losses.csv");
    assert_eq!(rows.len(), 1 + summary["losses"].as_array().unwrap().len());
}

#[test]
fn bars_in_the_place_of_faces_are_refused_with_one_sentence_after_the_page() {
    let folder = Folder::new();
    std::fs::create_dir(folder.join("bars")).unwrap();
    for i in 0..40_u32 {
        let picture = image::RgbImage::from_fn(16, 16, |x, y| {
            image::Rgb(
                [if (x * (i % 5) + y * (i % 7) + i) % 6 < 3 {
                    255
                } else {
                    0
                }; 3],
            )
        });
        picture.save(folder.join(&format!("bars/{i}.png"))).unwrap();
    }
    let data = ["--data", "folder:bars"];
    folder
        .run("sensitivity", &[&CHECK[..], &data].concat())
        .refused(1, "does not fit");
    assert!(folder.has("out/index.html"));
    assert_eq!(folder.json("out/summary.json")["fits"], false);
}

/// The estimate of memory is within this factor of the run's own peak, either way.
const MEMORY_FACTOR: f64 = 1.5;

/// Checks the estimated memory of a run against its peak, where the system tells that.
fn check_memory(cost: &serde_json::Value, summary: &serde_json::Value) {
    let [estimated, peak] = [&cost["memory"], &summary["peak_memory_bytes"]].map(|v| v.as_f64());
    let (Some(estimated), Some(peak)) = (estimated, peak) else {
        return;
    };
    let ratio = estimated / peak;
    println!("estimated {estimated:.0} bytes, peak {peak:.0}: {ratio:.2}");
    assert!(
        (1.0 / MEMORY_FACTOR..MEMORY_FACTOR).contains(&ratio),
        "{ratio}"
    );
}

#[test]
fn the_estimated_memory_is_that_of_the_run() {
    let folder = Folder::new();
    let options = ["--batch", "32", "--bandwidth", "1"];
    let check = ["check", "--images", "32", "--samples", "96", "--steps", "4"];
    let check = [&check[..], &["--changes", "3", "--out", "out"], &options].concat();
    folder.run("sensitivity", &check).succeeded();
    let cost = &folder.json("out/summary.json")["cost"];
    let changes = ["attr:Eyeglasses", "attr:Smiling", "attr:Pale_Skin"];
    let changes = changes.map(|name| ["--add", name]).concat();
    let run = [&["--samples", "96", "--steps", "4"], &changes[..], &options].concat();
    folder.run("sensitivity", &run).succeeded();
    let summary = folder.json("runs/sensitivity/summary.json");
    check_memory(cost, &summary);
    assert_eq!(cost["evaluations"], 7);
}

#[test]
fn the_estimated_memory_of_influences_is_that_of_the_run() {
    let folder = Folder::new();
    let of = ["--of", "region:4,4,8,8", "--of", "principal"];
    let options = ["--batch", "16", "--bandwidth", "1", "--steps", "4"];
    let options = [&["--samples", "40"], &of[..], &options].concat();
    let check = [&["check", "--images", "32", "--out", "out"], &options[..]].concat();
    folder.run("sensitivity", &check).succeeded();
    let cost = &folder.json("out/summary.json")["influence_cost"];
    folder
        .run("sensitivity", &[&["influence"], &options[..]].concat())
        .succeeded();
    let summary = folder.json("runs/influence/summary.json");
    // Seven evaluations of a path. Every product that finds the principal direction goes back and forth along it, and the closed-form
    // denoiser of the check decides how many these are, up to eight.
    let products = cost["products"].as_array().unwrap();
    let product = |name: &str, vectors: usize| {
        let product = (products.iter())
            .find(|product| product["product"] == name && product["vectors"] == vectors);
        product.map(|product| product["evaluations"].as_f64().unwrap())
    };
    assert_eq!(product("forward", 0), Some(7.0));
    let forth = product("jvp", 1).unwrap() / 7.0;
    assert!(
        forth.fract() == 0.0 && (1.0..=8.0).contains(&forth),
        "{forth}"
    );
    assert_eq!(product("vjp", 1), product("jvp", 1));
    assert_eq!(product("vjp", 2), Some(7.0));
    let [estimated, seconds] = [&cost["seconds"], &summary["seconds"]].map(|v| v.as_f64().unwrap());
    println!("estimated {estimated:.2} s, measured {seconds:.2} s");
    check_memory(cost, &summary);
}

#[test]
fn a_functional_that_is_not_understood_is_refused_before_the_model_is_timed() {
    let folder = Folder::new();
    folder
        .run("sensitivity", &[&CHECK[..], &["--of", "smile"]].concat())
        .refused(1, "--of smile");
}

#[test]
fn a_sidecar_is_for_models_of_other_libraries() {
    let folder = Folder::new();
    let data = ["--data", "faces:100", "--write"];
    folder
        .run("sensitivity", &[&CHECK[..], &data].concat())
        .refused(1, "--write");
    folder
        .run("sensitivity", &[&CHECK[..], &["--crop", "center"]].concat())
        .refused(1, "--crop");
}
