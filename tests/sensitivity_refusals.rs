//! Mistakes that a user can make with `sensitivity`: each gets one sentence before any work.

mod common;
#[path = "common/untrained.rs"]
mod untrained;

use common::{Folder, words};
use safetensors::tensor::{Dtype, TensorView};

#[test]
fn every_number_has_a_range() {
    let folder = Folder::new();
    let whole = words("0 -1 1.5 1e12 4000000000 99999999999999999999");
    let real = ["-1", "nan", "inf", "-inf", "1e30", "1e300", "much"];
    let options: [(&str, &[&str]); 11] = [
        ("--samples", &whole),
        ("--batch", &whole),
        ("--steps", &whole),
        ("--probes", &whole),
        ("--period", &whole),
        ("--seed", &["-1", "1.5", "99999999999999999999"]),
        ("--sigma-max", &[&real[..], &["0"]].concat()),
        ("--sigma-min", &[&real[..], &["0"]].concat()),
        ("--sigma-cut", &[&real[..], &["1e9"]].concat()),
        ("--bandwidth", &real),
        ("--device", &["", "tpu"]),
    ];
    for command in [&[][..], &["influence"]] {
        for (option, values) in options {
            for value in values {
                let argument = format!("{option}={value}");
                let arguments = [command, &[argument.as_str()]].concat();
                folder.run("sensitivity", &arguments).refused(2, option);
                // As a word of its own a negative number is a value too.
                if value.starts_with('-') && value.parse::<f64>().is_ok_and(f64::is_finite) {
                    let arguments = [command, &[option, *value]].concat();
                    folder.run("sensitivity", &arguments).refused(2, option);
                }
            }
        }
    }
    for value in ["-1", "1e12", "4000000000"] {
        let argument = format!("--top={value}");
        let said = folder.run("sensitivity", &["influence", &argument]);
        said.refused(2, "--top");
    }
    for value in [&real[..], &["0", "1e9"]].concat() {
        let said = folder.run("sensitivity", &[&format!("--mass={value}")]);
        said.refused(2, "--mass");
    }
    for value in ["0", "101", "-1", "1.5", "many"] {
        let said = folder.run("sensitivity", &[&format!("--linearizations={value}")]);
        said.refused(2, "--linearizations");
    }
}

#[test]
fn what_does_not_go_together_is_said_before_the_model_is_read() {
    let folder = Folder::new();
    for name in ["file", "a.safetensors", "photos/a.jpg"] {
        folder.write(name, "");
    }
    let both: [(&[&str], &str); 7] = [
        (
            &["--sigma-min", "2", "--sigma-max", "1"],
            "--sigma-min 2 must be below",
        ),
        (&["--sigma-cut", "80"], "nothing would move"),
        (
            &["--density", "probability-flow", "--bandwidth", "1"],
            "empirical",
        ),
        (
            &["--sampler", "stochastic", "--density", "probability-flow"],
            "stochastic",
        ),
        (&["--probes", "2"], "are for --density probability-flow"),
        (
            &words("--density probability-flow --trace exact --probes 2"),
            "--probes is for",
        ),
        (
            &words("--density probability-flow --trace exact --period 2"),
            "--period is for",
        ),
    ];
    for (arguments, says) in both {
        for command in [&["--add", "all"][..], &["influence"]] {
            let model = ["--checkpoint", "absent.safetensors"];
            let arguments = [command, &model, arguments].concat();
            folder.run("sensitivity", &arguments).refused(1, says);
        }
    }
    let linearizations = words("--add all --through weights --linearizations 2");
    let cases: [(&[&str], &str); 40] = [
        (&["--add", "all", "--mass", "0.1"], "--through weights"),
        (
            &[&linearizations[..], &["--damping", "training"]].concat(),
            "--linearizations is for --mass",
        ),
        (
            &[&linearizations[..], &["--mass", "0.1", "--damping", "0.1"]].concat(),
            "--linearizations is for --mass",
        ),
        (
            &words("--add all --through weights --mass 0.1 --by-step"),
            "--by-step is for the derivative",
        ),
        (
            &words("--add all --through weights --mass 0.1 --draw-noise"),
            "--draw-noise is for the derivative",
        ),
        (
            &["--add", "all", "--training-steps", "9"],
            "--through weights",
        ),
        (
            &words("influence --through weights --damping 0.1 --training-rate 1e-3"),
            "--damping training",
        ),
        (&["--add", "all", "--draws", "9"], "--through weights"),
        (
            &["--add", "all", "--gradient-draws", "9"],
            "--through weights",
        ),
        (&["--add", "all", "--draw-noise"], "--through weights"),
        (&["influence", "--damping", "1"], "--through weights"),
        (
            &["influence", "--preconditioner", "none"],
            "--through weights",
        ),
        (
            &words("--add all --through weights --damping training --preconditioner kronecker"),
            "damping by a fraction",
        ),
        (&["influence", "--image-draws", "4"], "--through weights"),
        (
            &["--add", "all", "--through", "weights", "--limit"],
            "no second order",
        ),
        (
            &["--add", "all", "--through", "weights", "--bandwidth", "1"],
            "compares no densities",
        ),
        (
            &["--add", "all", "--through", "weights", "--sigma-cut", "1"],
            "compares no densities",
        ),
        (
            &["--add", "model:file", "--through", "weights"],
            "needs the images",
        ),
        (
            &["--add", "all", "--add", "all"],
            "--add all is given twice",
        ),
        (
            &["--remove", "all", "--remove", "all"],
            "--remove all is given twice",
        ),
        (&["--add", "attr:A&B", "--add", "attr:B&A"], "are the same"),
        (
            &["--add", "index:1,2", "--add", "index:2,1"],
            "are the same",
        ),
        (&["--add", "wings"], "wings"),
        (&["--remove", "attr:"], "attr:"),
        (
            &["influence", "--of", "principal", "--of", "principal"],
            "--of principal is given twice",
        ),
        (
            &["influence", "--of", "image:7", "--of", "image:07"],
            "are the same",
        ),
        (
            &[
                "influence",
                "--of",
                "region:0,0,1,1",
                "--of",
                "region:0, 0, 1, 1",
            ],
            "are the same",
        ),
        (
            &["influence", "--of", "image:file", "--of", "image:./file"],
            "are the same",
        ),
        (
            &words("influence --of linear:a.safetensors:x --of linear:./a.safetensors:x"),
            "are the same",
        ),
        (
            &["--add", "folder:photos", "--add", "folder:./photos/"],
            "are the same",
        ),
        (
            &["--add", "model:file", "--add", "model:photos/../file"],
            "are the same",
        ),
        (&["--add", "model:"], "name a checkpoint"),
        (
            &["--remove", "folder:photos"],
            "only images of the training set",
        ),
        (
            &["--remove", "image:file"],
            "only images of the training set",
        ),
        (
            &["--remove", "model:file"],
            "only images of the training set",
        ),
        (
            &["--add", "all", "--limit", "--sampler", "stochastic"],
            "use heun or euler",
        ),
        (
            &["--add", "model:file", "--sampler", "stochastic"],
            "use heun or euler",
        ),
        (&["influence", "--out", "file"], "file is not a folder"),
        (&["influence", "--out", "file/below"], "below"),
        (&["influence", "--out", "photos"], "photos holds a.jpg"),
    ];
    for (arguments, says) in cases {
        let arguments = [arguments, &["--checkpoint", "absent.safetensors"]].concat();
        folder.run("sensitivity", &arguments).refused(1, says);
    }
}

/// Directions of every kind in the bytes of one file; samples have 192 entries.
fn directions() -> Vec<u8> {
    let mut parts: Vec<(&str, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    let ones = |count: usize| [1.0f32.to_le_bytes()].concat().repeat(count);
    parts.push(("one", Dtype::F32, vec![192], ones(192)));
    parts.push(("each", Dtype::F32, vec![3, 192], ones(3 * 192)));
    parts.push(("turned", Dtype::F32, vec![192, 3], ones(3 * 192)));
    parts.push(("few", Dtype::F32, vec![1, 192], ones(192)));
    parts.push(("short", Dtype::F32, vec![191], ones(191)));
    parts.push(("picture", Dtype::F32, vec![3, 8, 8], ones(192)));
    parts.push(("none", Dtype::F32, vec![0, 192], Vec::new()));
    parts.push(("zero", Dtype::F32, vec![192], vec![0; 4 * 192]));
    let rows = [ones(192), vec![0; 4 * 192]].concat();
    parts.push(("zero row", Dtype::F32, vec![2, 192], rows));
    parts.push((
        "nan",
        Dtype::F32,
        vec![192],
        f32::NAN.to_le_bytes().repeat(192),
    ));
    for (name, number) in [("long", 3e38f32), ("faint", 1e-42)] {
        parts.push((
            name,
            Dtype::F32,
            vec![192],
            number.to_le_bytes().repeat(192),
        ));
    }
    parts.push((
        "whole",
        Dtype::I32,
        vec![192],
        1i32.to_le_bytes().repeat(192),
    ));
    parts.push((
        "double",
        Dtype::F64,
        vec![192],
        1f64.to_le_bytes().repeat(192),
    ));
    parts.push((
        "huge",
        Dtype::F64,
        vec![192],
        1e300f64.to_le_bytes().repeat(192),
    ));
    parts.push((
        "half",
        Dtype::F16,
        vec![192],
        0x3c00u16.to_le_bytes().repeat(192),
    ));
    parts.push((
        "brain",
        Dtype::BF16,
        vec![192],
        0x3f80u16.to_le_bytes().repeat(192),
    ));
    let views = parts.iter().map(|(name, dtype, shape, bytes)| {
        (
            *name,
            TensorView::new(*dtype, shape.clone(), bytes).unwrap(),
        )
    });
    safetensors::serialize(views, None).unwrap()
}

#[test]
fn questions_fit_the_samples_or_are_refused() {
    let folder = Folder::new();
    untrained::model(&folder);
    folder.write("d.safetensors", directions());
    folder.write("large,mask.png", "no picture");
    let ask = |question: &str| {
        let model = words("--checkpoint model.safetensors --samples 2 --steps 2");
        let arguments = [
            &["influence", "--bandwidth", "1", "--of", question],
            &model[..],
        ]
        .concat();
        folder.run("sensitivity", &arguments)
    };
    for (question, says) in [
        (
            "linear:d.safetensors:turned",
            "has the shape [192, 3], but a direction has [192]",
        ),
        ("linear:d.safetensors:few", "has the shape [1, 192]"),
        ("linear:d.safetensors:short", "has the shape [191]"),
        ("linear:d.safetensors:picture", "has the shape [3, 8, 8]"),
        ("linear:d.safetensors:none", "has the shape [0, 192]"),
        ("linear:d.safetensors:zero", "zero everywhere"),
        ("linear:d.safetensors:zero row", "zero everywhere in row 1"),
        ("linear:d.safetensors:nan", "not finite"),
        ("linear:d.safetensors:huge", "not finite"),
        ("linear:d.safetensors:long", "scale it"),
        ("linear:d.safetensors:faint", "scale it"),
        ("linear:d.safetensors:whole", "I32"),
        ("linear:.safetensors:x", ".safetensors"),
        ("linear:d.safetensors", "write linear:FILE"),
        ("region:18446744073709551615,0,1,1", "inside the 8×8 pixels"),
        ("region:0,18446744073709551615,1,1", "inside the 8×8 pixels"),
        ("region:0,0,18446744073709551615,1", "inside the 8×8 pixels"),
        ("region:0,0,0,1", "at least one pixel"),
        ("region:-1,0,1,1", "a box is X,Y,WIDTH,HEIGHT"),
        ("region:0,0,1", "a box is X,Y,WIDTH,HEIGHT"),
        ("region:1e3,0,1,1", "a box is X,Y,WIDTH,HEIGHT"),
        ("region:large,mask.png", "not an image that can be used"),
        ("region:.", "is a folder where a file is needed"),
        ("image:60", "60"),
        ("image:18446744073709551615", "18446744073709551615"),
        ("image:", "image:"),
        ("region:", "write region:"),
        ("", "is not understood"),
    ] {
        ask(question).refused(1, says);
        assert!(!folder.has("runs/influence"), "{question}");
    }
    for name in ["one", "each", "double", "half", "brain"] {
        let said = ask(&format!("linear:d.safetensors:{name}"));
        let errors = said.succeeded().errors;
        let notice = errors.contains("is read from");
        assert_eq!(notice, !["one", "each"].contains(&name), "{name}: {errors}");
    }
    // The folder is that of the last run alone.
    folder.write("runs/influence/notes.txt", "mine");
    ask("region: 0, 0, 1, 1").succeeded();
    let expected = words(
        ".datasway-files groups.csv images.csv index.html influence.safetensors notes.txt summary.json",
    );
    assert_eq!(folder.names("runs/influence"), expected);
}

#[test]
fn a_solver_that_needs_more_memory_than_there_is_is_refused_with_its_option() {
    let folder = Folder::new();
    let solver = ["--through", "weights", "--damping", "training"];
    let iterations = ["--iterations", "10000"];
    // Each of a hundred changes, or of a hundred functionals, has vectors of its own.
    let changes: Vec<String> = (0..100)
        .map(|image| format!("--add=index:{image}"))
        .collect();
    let functionals: Vec<String> = (0..100)
        .map(|image| format!("--of=image:{image}"))
        .collect();
    for (command, hundred) in [(&[][..], &changes), (&["influence"], &functionals)] {
        let hundred: Vec<&str> = hundred.iter().map(String::as_str).collect();
        let arguments = [command, &hundred, &solver, &iterations].concat();
        let said = folder.run("sensitivity", &arguments);
        said.refused(
            1,
            "the vectors of the solver for 100 right-hand sides and 10,000 iterations need ",
        );
        said.refused(1, "choose fewer --iterations, or fewer ");
    }
}
