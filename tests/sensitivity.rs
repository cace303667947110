//! `sensitivity` on a small untrained network over procedural faces: the files of a ranking, and what they say.

mod common;
#[path = "common/untrained.rs"]
mod untrained;

use common::{Folder, Said, words};

fn folder() -> Folder {
    let folder = Folder::new();
    untrained::model(&folder);
    folder
}

/// Five samples, in batches of three unless the arguments say otherwise.
fn sensitivity(folder: &Folder, arguments: &[&str]) -> Said {
    let small = words("--checkpoint model.safetensors --samples 5 --steps 4");
    let batch = match arguments.contains(&"--batch") {
        true => &[][..],
        false => &["--batch", "3"],
    };
    folder.run("sensitivity", &[&small, batch, arguments].concat())
}

#[test]
fn two_directions_fill_the_folder_and_the_same_seed_gives_the_same_bytes() {
    let folder = folder();
    let change = ["--add", "attr:Eyeglasses", "--remove", "attr:!Smiling"];
    for out in ["a", "b"] {
        sensitivity(&folder, &[&change[..], &["--out", out]].concat()).succeeded();
    }
    for file in ["sensitivities.safetensors", "ranking.csv"] {
        let [a, b] = ["a", "b"].map(|out| folder.bytes(&format!("{out}/{file}")));
        assert_eq!(a, b, "{file}");
    }
    let bytes = folder.bytes("a/sensitivities.safetensors");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let shape = |name: &str| tensors.tensor(name).unwrap().shape().to_vec();
    assert_eq!(shape("samples"), [5, 192]);
    assert_eq!(shape("sensitivity/add attr:Eyeglasses"), [5, 192]);
    assert_eq!(shape("log_ratio/remove attr:!Smiling"), [5, 4]);
    assert_eq!(folder.rows("a/ranking.csv").len(), 1 + 2 * 5);
    let summary = folder.json("a/summary.json");
    // Heun: two evaluations a step but one in the last, and two directions.
    assert_eq!(summary["evaluations_per_sample"]["path"], 7);
    assert_eq!(summary["evaluations_per_sample"]["tangent"], 14);
    for strip in ["a/add-attr-Eyeglasses.png", "a/remove-attr-not-Smiling.png"] {
        assert!(folder.bytes(strip).starts_with(b"\x89PNG"), "{strip}");
    }
    assert!(folder.text("a/index.html").contains("Eyeglasses"));
}

#[test]
fn through_the_weights_every_sampler_fills_the_folder_with_the_same_bytes_each_time() {
    let folder = folder();
    let change = ["--add", "attr:Eyeglasses", "--remove", "attr:!Smiling"];
    let weights =
        words("--through weights --draws 12 --gradient-draws 20 --iterations 3 --tolerance 1e-6");
    for (out, sampler) in [
        ("a", "heun"),
        ("b", "heun"),
        ("c", "euler"),
        ("d", "stochastic"),
    ] {
        let more = ["--sampler", sampler, "--out", out];
        sensitivity(&folder, &[&change[..], &weights, &more].concat()).succeeded();
    }
    for file in ["sensitivities.safetensors", "ranking.csv"] {
        let [a, b] = ["a", "b"].map(|out| folder.bytes(&format!("{out}/{file}")));
        assert_eq!(a, b, "{file}");
    }
    let bytes = folder.bytes("a/sensitivities.safetensors");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let delta = tensors.tensor("sensitivity/add attr:Eyeglasses").unwrap();
    assert_eq!(delta.shape(), [5, 192]);
    assert!(delta.data().iter().any(|byte| *byte != 0));
    assert!(tensors.names().iter().all(|name| !name.contains("log_")));
    let run = &folder.json("a/summary.json")["run"];
    assert_eq!(run["through"], "weights");
    assert!(run["density"].is_null());
    assert_eq!(run["weights"]["curvature_draws"], 12);
    assert_eq!(run["weights"]["preconditioner"], "kronecker");
    assert_eq!(run["weights"]["residuals"][1].as_array().unwrap().len(), 3);
    assert!(
        folder
            .text("a/index.html")
            .contains("12 draws of the curvature")
    );
    // Three iterations are too few, which is told.
    let changes = run["weights"]["delta_changes"].as_array().unwrap();
    assert_eq!(changes.len(), 2);
    assert!(changes.iter().all(|change| change.as_f64() > Some(0.1)));
    let advice = "give more --iterations than 3";
    assert!(folder.text("a/index.html").contains(advice));
    let patient = words(
        "--through weights --draws 4 --gradient-draws 20 --damping 1 --tolerance 0.2 --iterations 40 --out patient",
    );
    let said = sensitivity(&folder, &[&change[..], &patient].concat()).succeeded();
    assert!(said.errors.contains("of which the last 4 changed δ by"));
    assert!(!said.errors.contains("--iterations"), "{}", said.errors);
    assert!(!folder.text("patient/index.html").contains("--iterations"));
    // The parts of the steps add up to the score, and change nothing else.
    let parts = ["--by-step", "--out", "parts"];
    sensitivity(&folder, &[&change[..], &weights, &parts].concat()).succeeded();
    assert_eq!(
        folder.bytes("a/ranking.csv"),
        folder.bytes("parts/ranking.csv")
    );
    let bytes = folder.bytes("parts/sensitivities.safetensors");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let parts = tensors.tensor("by_step/add attr:Eyeglasses").unwrap();
    assert_eq!(
        (parts.shape(), tensors.tensor("sigmas").unwrap().shape()),
        (&[5, 4][..], &[4][..])
    );
    let parts = parts.data().chunks_exact(4);
    let parts: Vec<f32> = parts
        .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
        .collect();
    for row in &folder.rows("parts/ranking.csv")[1..6] {
        let (sample, score): (usize, f32) = (row[2].parse().unwrap(), row[3].parse().unwrap());
        let sum: f32 = parts[sample * 4..(sample + 1) * 4].iter().sum();
        assert!((sum / score - 1.0).abs() < 1e-3, "{sum} and {score}");
    }
    assert!(
        folder
            .text("parts/index.html")
            .contains("share of the step")
    );
    // Mass on all of the training set changes nothing.
    let all = ["--add", "all", "--out", "all"];
    sensitivity(&folder, &[&all[..], &weights].concat()).succeeded();
    for row in &folder.rows("all/ranking.csv")[1..] {
        assert_eq!(row[3], "0", "{row:?}");
    }
}

#[test]
fn a_longer_training_in_place_of_the_damping_moves_samples_further() {
    let folder = folder();
    let run = |steps: &str| {
        let arguments = [
            "--through",
            "weights",
            "--damping",
            "training",
            "--training-steps",
            steps,
            "--training-rate",
            "1e-3",
            "--iterations",
            "4",
            "--draws",
            "12",
            "--gradient-draws",
            "40",
            "--add",
            "attr:Eyeglasses",
            "--out",
            steps,
        ];
        sensitivity(&folder, &arguments).succeeded();
        let weights = &folder.json(&format!("{steps}/summary.json"))["run"]["weights"];
        assert_eq!(weights["training"]["steps"].to_string(), steps);
        assert!(weights["damping"].is_null(), "{weights}");
        let page = folder.text(&format!("{steps}/index.html"));
        assert!(page.contains(&format!("the length of {steps} steps")));
        let rows = folder.rows(&format!("{steps}/ranking.csv"));
        let scores = rows[1..].iter().map(|row| row[3].parse::<f64>().unwrap());
        scores.sum::<f64>()
    };
    let (short, long) = (run("2"), run("200"));
    assert!(0.0 < short && short < long, "{short} {long}");
}

#[test]
fn a_delta_that_is_not_clear_of_the_noise_of_the_draws_has_a_warning() {
    let folder = folder();
    let weights = words(
        "--through weights --draw-noise --iterations 2 --draws 12 --gradient-draws 40 --by-step",
    );
    let more = ["--add", "attr:Eyeglasses", "--add", "all", "--out", "a"];
    let said = sensitivity(&folder, &[&weights[..], &more].concat()).succeeded();
    let told = &said.errors;
    assert!(told.contains("the draws leave half of them"), "{told}");
    let rows = folder.rows("a/ranking.csv");
    assert_eq!(rows[0].last().unwrap(), "draw_noise");
    let bytes = folder.bytes("a/sensitivities.safetensors");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let noise = tensors.tensor("draw_noise/add attr:Eyeglasses").unwrap();
    assert_eq!(noise.shape(), [5]);
    for row in &rows[1..] {
        let number = |column: usize| row[column].parse::<f64>().unwrap();
        let (score, noise) = (number(3), number(6));
        // Mass on all of the training set changes nothing, with any draws.
        assert_eq!(noise == 0.0, row[0].contains("all"), "{row:?}");
        assert!(row[5] == "false" || score >= 2.0 * noise, "{row:?}");
    }
    let summary = folder.json("a/summary.json");
    assert!(summary["directions"][0]["median_relative_draw_noise"].is_number());
    assert_eq!(summary["run"]["weights"]["draw_noise"], true);
    assert!(
        folder
            .text("a/index.html")
            .contains("other draws of the loss: ±")
    );
}

/// The samples are drawn again from moved weights. A removal takes no more than its group.
#[test]
fn a_finite_mass_shows_the_samples_of_moved_weights() {
    let folder = folder();
    let weights =
        words("--through weights --draws 24 --gradient-draws 60 --iterations 4 --damping 0.01");
    let change = ["--add", "attr:Eyeglasses", "--remove", "attr:Smiling"];
    let run = |more: &[&str]| sensitivity(&folder, &[&change[..], &weights, more].concat());
    run(&["--out", "derivative"]).succeeded();
    let moved = ["--mass", "2", "--compare", "derivative", "--out", "moved"];
    let said = run(&moved).succeeded();
    assert!(
        said.errors.contains("weights moved for a mass of 2"),
        "{}",
        said.errors
    );
    let summary = folder.json("moved/summary.json");
    assert_eq!(summary["run"]["mass"], 2.0);
    let [added, removed] = [0, 1].map(|k| summary["directions"][k].clone());
    assert_eq!(added["mass"], 2.0);
    let whole = removed["images"].as_f64().unwrap() / 60.0;
    assert!(
        (removed["mass"].as_f64().unwrap() + whole).abs() < 1e-12,
        "{removed}"
    );
    // Two groups: the model itself and two moved ones are sampled, without a product.
    assert_eq!(summary["evaluations_per_sample"]["path"], 3 * 7);
    assert_eq!(summary["evaluations_per_sample"]["tangent"], 0);
    assert!(summary["directions"][0]["median_agreement"].is_number());
    let page = folder.text("moved/index.html");
    assert_eq!(page.matches("class=\"want\"").count(), 2 * 5);
    assert!(page.contains("moved, η = 2") && page.contains("x(θ + Δθ)"));
    let pictures = folder.bytes("moved/add-attr-Eyeglasses.png");
    assert!(pictures.starts_with(b"\x89PNG"));

    // A small mass moves the samples as the derivative says.
    run(&words("--mass 0.01 --compare derivative --out little")).succeeded();
    let agreement = |out: &str| {
        let summary = folder.json(&format!("{out}/summary.json"));
        summary["directions"][0]["median_agreement"]
            .as_f64()
            .unwrap()
    };
    let (little, moved) = (agreement("little"), agreement("moved"));
    assert!(little > 0.99 && moved < little, "{little} {moved}");

    let from = ["--from", "moved/summary.json", "--out", "again"];
    folder.run("sensitivity", &from).succeeded();
    for file in ["sensitivities.safetensors", "ranking.csv", "index.html"] {
        let [a, b] = ["moved", "again"].map(|out| folder.bytes(&format!("{out}/{file}")));
        assert!(a == b, "{file}");
    }
    let same = ["--mass", "2", "--compare", "moved", "--out", "refused"];
    run(&same).refused(1, "is of the form of this run");
    let all = ["--remove", "all", "--mass", "1", "--out", "refused"];
    sensitivity(&folder, &[&all[..], &weights].concat())
        .refused(1, "nothing would be left of the training set");
}

/// A number of linearisations is a form of its own, which can be compared with another.
#[test]
fn a_finite_mass_in_two_linearisations_is_compared_with_one() {
    let folder = folder();
    let options = words(
        "--add attr:Eyeglasses --remove attr:Smiling --through weights --draws 24 --gradient-draws 60 --iterations 4 --damping training --training-steps 40 --mass 2",
    );
    let run_at = |rate: &str, more: &[&str]| {
        let rate = ["--training-rate", rate];
        sensitivity(&folder, &[&options[..], &rate, more].concat())
    };
    // So short a training that the legs on an untrained network descend.
    let run = |more: &[&str]| run_at("2e-7", more);
    run(&["--out", "once"]).succeeded();
    let twice = words("--linearizations 2 --compare once --out twice");
    let said = run(&twice).succeeded();
    let form = "moved for a mass of 2 in 2 linearizations";
    assert!(said.errors.contains(form), "{}", said.errors);
    assert!(folder.text("twice/index.html").contains(form));
    let summary = folder.json("twice/summary.json");
    assert_eq!(summary["run"]["linearizations"], 2);
    // Two groups, each in two linearisations.
    let errors = summary["run"]["weights"]["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 4);
    let agreement = &summary["directions"][0]["median_agreement"];
    let agreement = agreement.as_f64().unwrap();
    assert!(agreement > 0.5 && agreement < 1.0, "{agreement}");
    let from = ["--from", "twice/summary.json", "--out", "again"];
    folder.run("sensitivity", &from).succeeded();
    let [a, b] = ["twice", "again"].map(|out| folder.bytes(&format!("{out}/ranking.csv")));
    assert!(a == b);
    run(&["--compare", "once", "--out", "refused"]).refused(1, "is of the form of this run");
    let twice = words("--linearizations 2 --out refused");
    run_at("1e-4", &twice).refused(1, "take one linearization");
}

#[test]
fn two_forms_are_compared_sample_by_sample() {
    let folder = folder();
    let change = ["--add", "attr:Eyeglasses", "--remove", "attr:!Smiling"];
    let run = |more: &[&str]| sensitivity(&folder, &[&change[..], more].concat());
    run(&["--out", "data"]).succeeded();
    let small = words("--draws 12 --gradient-draws 20 --iterations 2");
    let weights = [&["--through", "weights"][..], &small].concat();
    run(&[&weights[..], &["--compare", "data", "--out", "weights"]].concat()).succeeded();

    let arrays = |out: &str| folder.bytes(&format!("{out}/sensitivities.safetensors"));
    let (first, second) = (arrays("data"), arrays("weights"));
    let delta = |bytes: &[u8], sample: usize| -> Vec<f64> {
        let tensors = safetensors::SafeTensors::deserialize(bytes).unwrap();
        let view = tensors.tensor("sensitivity/add attr:Eyeglasses").unwrap();
        let values = view.data().chunks_exact(4);
        let values = values.map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        values.skip(192 * sample).take(192).collect()
    };
    let rows = folder.rows("weights/ranking.csv");
    assert_eq!(rows[0].last().unwrap(), "agreement");
    for row in rows[1..].iter().filter(|row| row[0].contains("Eyeglasses")) {
        let sample: usize = row[2].parse().unwrap();
        let expected = datasway_stats::pearson(&delta(&first, sample), &delta(&second, sample));
        let agreement: f64 = row.last().unwrap().parse().unwrap();
        assert!((agreement - expected).abs() < 1e-9, "{row:?} {expected}");
        assert_eq!(row[5] == "true", agreement >= 0.5, "{row:?}");
    }
    let summary = folder.json("weights/summary.json");
    assert_eq!(summary["run"]["compared_with"]["through"], "data");
    assert!(summary["directions"][0]["median_agreement"].is_number());
    assert!(
        folder
            .text("weights/index.html")
            .contains("agrees with the other form")
    );

    let few = words("--checkpoint model.safetensors --samples 3 --steps 4 --out few");
    folder
        .run("sensitivity", &[&few[..], &change].concat())
        .succeeded();
    // Another run than of the same samples and changes by another form is refused before the work.
    for (more, words) in [
        (&["--compare", "data"][..], "form of this run"),
        (
            &["--bandwidth", "0", "--seed", "9", "--compare", "data"],
            "seed",
        ),
        (
            &words("--bandwidth 0 --sampler euler --compare data"),
            "sampler",
        ),
        (&["--bandwidth", "0", "--compare", "few"], "5 samples"),
        (
            &words("--bandwidth 0 --add attr:Blond_Hair --compare data"),
            "--add",
        ),
        (&["--bandwidth", "0", "--compare", "nowhere"], "nowhere"),
        (&["--bandwidth", "0", "--compare", "."], "summary.json"),
    ] {
        let said = run(&[more, &["--out", "refused"]].concat());
        said.refused(1, words);
        assert!(!folder.has("refused/ranking.csv"));
    }
}

#[test]
fn without_arguments_the_shipped_model_is_ranked() {
    let folder = Folder::new();
    let said = folder.run("sensitivity", &["--samples", "3", "--steps", "2"]);
    let errors = said.succeeded().errors;
    for words in [
        "adding attr:Eyeglasses",
        "removing attr:Blond_Hair",
        "open runs/sensitivity/index.html",
    ] {
        assert!(errors.contains(words), "{errors}");
    }
    assert!(folder.has("runs/sensitivity/index.html"));
}

#[test]
fn another_model_can_be_the_direction() {
    let folder = folder();
    let itself = ["--add", "model:model.safetensors", "--out", "a"];
    sensitivity(&folder, &itself).succeeded();
    // The direction is the model itself: r = 1 but for the quadrature, and D^ν − D = 0, so nothing moves.
    for row in &folder.rows("a/ranking.csv")[1..] {
        let score: f64 = row[3].parse().unwrap();
        assert!(score < 1e-3, "{row:?}");
    }
    let removed = sensitivity(&folder, &["--remove", "model:model.safetensors"]);
    removed.refused(1, "only images of the training set");
}

#[test]
fn the_batch_does_not_change_the_ranking() {
    let folder = folder();
    let order = |batch: &str| -> Vec<String> {
        let arguments = ["--add", "attr:Eyeglasses", "--out", batch, "--batch", batch];
        sensitivity(&folder, &arguments).succeeded();
        let rows = folder.rows(&format!("{batch}/ranking.csv"));
        rows[1..].iter().map(|row| row[2].clone()).collect()
    };
    assert_eq!(order("3"), order("5"));
}

#[test]
fn mistakes_get_one_sentence_and_exit_code_1() {
    let folder = folder();
    for (arguments, says) in [
        (&[][..], "name a change of the data"),
        (&["--add", "attr:Eyeglases"], "Eyeglasses"),
        (
            &["--add", "attr:Eyeglasses", "--data", "faces:61"],
            "fingerprint",
        ),
        (
            &words("--add attr:Eyeglasses --sampler stochastic --density probability-flow"),
            "--density empirical",
        ),
        (
            &["--add", "model:model.safetensors", "--bandwidth", "auto"],
            "use --density probability-flow",
        ),
        (
            &["--add", "model:model.safetensors", "--density", "empirical"],
            "use --density probability-flow",
        ),
        (
            &["--add", "attr:Eyeglasses", "--probes", "8"],
            "are for --density probability-flow",
        ),
        (
            &["--add", "attr:Eyeglasses", "--sigma-max", "0.001"],
            "--sigma-max",
        ),
        (
            &words("--add attr:Eyeglasses --bandwidth 4 --density probability-flow"),
            "--bandwidth is for --density empirical",
        ),
        (
            &words("--add attr:Eyeglasses --limit --density empirical"),
            "--density probability-flow",
        ),
    ] {
        sensitivity(&folder, arguments).refused(1, says);
        assert!(!folder.has("runs/sensitivity"));
    }
}

/// The shipped model at one of its own samples: the density of that picture there is e^1000 times that of the training set and more.
#[test]
fn what_overflows_is_told_and_stands_last_in_complete_files() {
    let folder = Folder::new();
    let of_two = |arguments: &[&str]| {
        let out = arguments[0].trim_start_matches("--");
        let small = ["--samples", "2", "--bandwidth", "0", "--out", out];
        folder.run("sensitivity", &[arguments, &small].concat())
    };
    of_two(&["--add", "attr:Eyeglasses"]).succeeded();
    let bytes = folder.bytes("add/sensitivities.safetensors");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let samples = tensors.tensor("samples").unwrap();
    let pixels = samples.data().chunks(4);
    let pixels = pixels.map(|word| f32::from_le_bytes(word.try_into().unwrap()));
    let levels: Vec<u8> = pixels.map(|v| (127.5 * (v + 1.0)).round() as u8).collect();
    let pixel = |x, y| image::Rgb([0, 1, 2].map(|c| levels[(c * 256 + y * 16 + x) as usize]));
    let picture = image::RgbImage::from_fn(16, 16, pixel);
    picture.save(folder.join("sample.png")).unwrap();

    let told = "not finite, because the density ratio overflowed";
    let picture = "image:sample.png";
    of_two(&["--add", picture]).refused(1, &format!("1 of 2 sensitivities are {told}"));
    let rows = folder.rows("add/ranking.csv");
    let last = |column: &str| {
        let place = rows[0].iter().position(|name| name == column).unwrap();
        rows[2][place].as_str()
    };
    assert_eq!(rows.len(), 3);
    assert_eq!(
        (last("sample"), last("score"), last("trustworthy")),
        ("0", "", "false")
    );
    assert_eq!(
        folder.json("add/summary.json")["directions"][0]["samples_not_finite"],
        1
    );
    assert!(folder.text("add/index.html").contains("δ is not finite"));

    let candidates = ["influence", "--candidates", picture, "--of", "principal"];
    of_two(&candidates).refused(1, &format!("1 of 20,002 influences are {told}"));
}
