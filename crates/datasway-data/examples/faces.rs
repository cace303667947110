//! Writes procedural faces in CelebA's layout: `cargo run --example faces -- FOLDER COUNT [SEED [SIZE]]`.

const USAGE: &str = "write FOLDER COUNT [SEED [SIZE]], the last three as numbers";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |position: usize, default: u64| arguments.get(position).map_or(Ok(default), |a| a.parse());
    let (Some(folder), Ok(count), Ok(seed), Ok(size)) = (
        arguments.first(),
        number(1, 100),
        number(2, 0),
        number(3, 64),
    ) else {
        return Err(USAGE.into());
    };
    if folder.starts_with('-') {
        return Err(USAGE.into());
    }
    datasway_data::faces::write_celeba(folder.as_ref(), count as usize, seed, size as usize)?;
    Ok(())
}
