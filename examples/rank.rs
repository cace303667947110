//! Which samples move most if faces with glasses are added to the training data, or blond ones removed?
//!
//! ```sh
//! cargo run -p datasway --example rank            # the shipped model
//! cargo run -p datasway --example rank -- runs/train/checkpoint.safetensors
//! ```

use std::error::Error;

use datasway::{Direction, SensitivityConfig, TrainedModel};

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1);
    let model = TrainedModel::load(file.as_deref().unwrap_or("checkpoints/faces16.safetensors"))?;
    let directions = [
        Direction::add(model.select("attr:Eyeglasses")?),
        Direction::remove(model.select("attr:Blond_Hair")?)?,
    ];
    let config = SensitivityConfig {
        samples: 16,
        ..SensitivityConfig::default()
    };
    let result = model.sensitivities(&directions, &config)?;
    for (k, direction) in directions.iter().enumerate() {
        println!("{direction}:");
        for sample in result.ranking(k).iter().take(5) {
            println!(
                "  sample {} moves by {:.2} per unit of mass",
                sample.index, sample.score
            );
        }
    }
    Ok(())
}
