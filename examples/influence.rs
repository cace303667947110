//! Which training images made the upper half of each sample bright?
//!
//! ```sh
//! cargo run -p datasway --example influence
//! ```

use std::error::Error;

use datasway::influence::{Functional, Linear};
use datasway::{SensitivityConfig, TrainedModel};

fn main() -> Result<(), Box<dyn Error>> {
    let model = TrainedModel::load("checkpoints/faces16.safetensors")?;
    let config = SensitivityConfig {
        samples: 4,
        ..SensitivityConfig::default()
    };

    // The mean of the upper half, as an inner product with the pixels: channel by channel, row by row.
    let shape = model.images.shape;
    let plane = shape.height * shape.width;
    let upper = plane / 2 * shape.channels;
    let weight = |pixel: usize| {
        let is_upper = pixel % plane < plane / 2;
        f32::from(u8::from(is_upper)) / upper as f32
    };
    let brightness = Linear {
        name: "brightness of the upper half".to_owned(),
        weights: (0..shape.dim()).map(weight).collect(),
    };
    let functionals: [Box<dyn Functional>; 1] = [Box::new(brightness)];

    let result = model.influences(&functionals, &config, 3)?;
    let brightness = &result.functionals[0];
    for sample in 0..config.samples {
        println!("sample {sample}, {:.3}:", brightness.values[sample]);
        for (sign, images) in [
            ("brighter", &brightness.proponents[sample]),
            ("darker", &brightness.opponents[sample]),
        ] {
            for image in images {
                let name = &model.images.names[image.image];
                println!(
                    "  {sign} by {name}: {:.2} per unit of mass",
                    image.influence
                );
            }
        }
    }
    Ok(())
}
