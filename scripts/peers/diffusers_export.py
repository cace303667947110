"""A model that `train` wrote for diffusers, loaded there: scripts/peers/diffusers_export.py FOLDER VALUES

    pip install diffusers torch numpy safetensors
    cargo run --release -p train -- --set network.groups=8 --steps 200 --export-diffusers exported
    cargo run --release -p datasway-pretrained --example denoised_values -- runs/train/checkpoint.safetensors values.safetensors
    python scripts/peers/diffusers_export.py exported values.safetensors

VALUES has points x, noise levels and D(x, σ) as Datasway computes them: of the checkpoint, or of a folder that `train --from` wrote.
The network is loaded by `UNet2DModel.from_pretrained`, and the scheduler by its class. D is made with the scheduler's own functions
for EDM, and by x − σ·ε(c·x, t) for a table of noise levels, t interpolated in ln σ.
Fails if the two differ by more than 1e-5 of the largest entry of D at a noise level.
"""

import argparse
import json
from pathlib import Path

import diffusers
import numpy as np
import torch
from safetensors.numpy import load_file

TOLERANCE = 1e-5


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("values", type=Path)
    arguments = parser.parse_args()
    network = diffusers.UNet2DModel.from_pretrained(arguments.folder / "unet").eval()
    config = json.loads((arguments.folder / "scheduler/scheduler_config.json").read_text())
    scheduler = getattr(diffusers, config["_class_name"]).from_pretrained(arguments.folder / "scheduler")
    values = load_file(arguments.values)
    side, channels = network.config.sample_size, network.config.in_channels
    worst = 0.0
    for x, sigma, ours in zip(values["x"], values["sigmas"], values["denoised"], strict=True):
        images = torch.from_numpy(x).reshape(-1, channels, side, side)
        with torch.no_grad():
            theirs = denoised(network, scheduler, images, float(sigma)).reshape(x.shape).numpy()
        error = np.abs(theirs - ours).max() / np.abs(theirs).max()
        worst = max(worst, error)
        print(f"sigma {sigma:10.4f}   largest entry {np.abs(theirs).max():8.4f}   relative error {error:.1e}")
    if not worst <= TOLERANCE:
        raise SystemExit(f"the denoisers differ by {worst:.1e}, more than {TOLERANCE:.0e}")
    print(f"the denoisers of {arguments.folder} agree to {worst:.1e}")


def denoised(network, scheduler, x, sigma):
    """D(x, σ) of images [n, c, h, w]."""
    if isinstance(scheduler, diffusers.EDMEulerScheduler):
        level = torch.tensor(sigma, dtype=torch.float64)
        time = scheduler.precondition_noise(level).float()
        output = network(scheduler.precondition_inputs(x, sigma), time).sample
        return scheduler.precondition_outputs(x, output, sigma)
    assert scheduler.config.prediction_type == "epsilon", "another prediction than the noise"
    signal = scheduler.alphas_cumprod.double()
    levels = ((1 - signal) / signal).sqrt().log().numpy()
    time = np.interp(np.log(sigma), levels, np.arange(len(levels)))
    output = network(x / np.sqrt(1 + sigma**2), torch.tensor(time).float()).sample
    return x - sigma * output[:, : x.shape[1]]


if __name__ == "__main__":
    main()
