"""A model of diffusers from training to sensitivities, against PyTorch: scripts/peers/diffusers_end_to_end.py FOLDER

    pip install diffusers torch numpy pillow safetensors
    python scripts/peers/diffusers_end_to_end.py FOLDER [--steps 1500] [--programs target/debug]

1. Draws faces and writes their middles as PNGs, those with glasses once more in a folder of their own.
2. Trains a small DDPM on them with diffusers and saves the pipeline, as any user of diffusers would.
3. Runs `sensitivity --checkpoint FOLDER/pipeline` for the direction of the faces with glasses.
4. From the noise in its output file, draws the samples in PyTorch by Heun's method in double precision, and their derivative in
   the mass of the faces with glasses by `torch.func.jvp` through the whole sampler.

Fails if samples or sensitivities differ by more than 1e-3, relative to the largest entry of a sample.
Without `--programs`, cargo builds what is run.
"""

import argparse
import json
import math
import subprocess
from pathlib import Path

import diffusers
import numpy as np
import torch
from PIL import Image
from safetensors.numpy import load_file

SIZE = 16
FACES = 2000
BATCH = 64
SAMPLES = 8
BANDWIDTH = 2.0
TOLERANCE = 1e-3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=1500, help="steps of training")
    parser.add_argument("--programs", type=Path, help="folder with the programs `sensitivity` and `examples/faces`")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    folder = arguments.folder
    faces, glasses = draw(folder, arguments.programs)
    if not (folder / "pipeline").exists():
        train(faces, arguments.steps).save_pretrained(folder / "pipeline")
    results = folder / "sensitivity"
    run(
        arguments.programs, "sensitivity", ["cargo", "run", "-p", "sensitivity", "--"],
        ["--checkpoint", folder / "pipeline", "--data", f"folder:{folder / 'faces'}", "--add", f"folder:{folder / 'glasses'}",
         "--samples", SAMPLES, "--bandwidth", BANDWIDTH, "--out", results],
    )  # fmt: skip
    compare(folder, results, faces, glasses)


def run(programs, name, build, arguments):
    """Runs a program of this workspace."""
    command = [programs / name] if programs else build
    subprocess.run([str(word) for word in [*command, *arguments]], check=True)


def draw(folder, programs):
    """The faces and those with glasses, as numbers of [-1, 1], `[m, 3, size, size]`; PNGs of both in their folders."""
    drawn = folder / "drawn"
    if not (drawn / "list_attr_celeba.txt").exists():
        run(programs, "examples/faces", ["cargo", "run", "--example", "faces", "--"], [drawn, FACES, 0, SIZE])
    _, header, *rows = (drawn / "list_attr_celeba.txt").read_text().splitlines()
    column = header.split().index("Eyeglasses") + 1
    faces, has_glasses = [], []
    for name in ("faces", "glasses"):
        (folder / name).mkdir(exist_ok=True)
    for row in rows:
        cells = row.split()
        picture = Image.open(drawn / "img_align_celeba" / cells[0])
        left, top = (picture.width - SIZE) // 2, (picture.height - SIZE) // 2
        picture = picture.crop((left, top, left + SIZE, top + SIZE))
        picture.save(folder / "faces" / cells[0])
        if cells[column] == "1":
            picture.save(folder / "glasses" / cells[0])
        faces.append(np.asarray(picture, dtype=np.float32) / 127.5 - 1.0)
        has_glasses.append(cells[column] == "1")
    faces = torch.from_numpy(np.stack(faces)).permute(0, 3, 1, 2).contiguous()
    return faces, faces[torch.tensor(has_glasses)]


def train(faces, steps):
    """A pipeline trained as in diffusers' unconditional example."""
    unet = diffusers.UNet2DModel(
        sample_size=SIZE, block_out_channels=(32, 64), layers_per_block=1, norm_num_groups=8,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    scheduler = diffusers.DDPMScheduler()
    optimizer = torch.optim.AdamW(unet.parameters(), lr=1e-3)
    for step in range(steps):
        images = faces[torch.randint(len(faces), (BATCH,))]
        noise = torch.randn_like(images)
        times = torch.randint(scheduler.config.num_train_timesteps, (BATCH,))
        loss = torch.nn.functional.mse_loss(unet(scheduler.add_noise(images, noise, times), times).sample, noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % 100 == 0:
            print(f"step {step + 1}: loss {loss.item():.4f}", flush=True)
    return diffusers.DDPMPipeline(unet.eval(), scheduler)


def compare(folder, results, faces, glasses):
    """Samples and sensitivities in PyTorch against those in the output file."""
    arrays = {name: torch.from_numpy(array).double() for name, array in load_file(results / "sensitivities.safetensors").items()}
    bandwidth = json.loads((results / "summary.json").read_text())["run"]["h"]
    (name,) = [name for name in arrays if name.startswith("sensitivity/")]
    pipeline = diffusers.DDPMPipeline.from_pretrained(folder / "pipeline")
    denoise = denoiser(pipeline.unet.double().eval(), pipeline.scheduler)
    clouds = [cloud.flatten(1).double() for cloud in (faces, glasses)]

    def perturbed(x, sigma, mass):
        """D + mass·w·r·(D^nu - D^rho), both blurred by the bandwidth h, w = sigma²/(sigma² + h²)."""
        blurred = math.hypot(sigma, bandwidth)
        (log_rho, d_rho), (log_nu, d_nu) = (closed_form(cloud, x, blurred) for cloud in clouds)
        ratio = (log_nu - log_rho).exp()
        return denoise(x, sigma) + mass * (sigma / blurred) ** 2 * ratio * (d_nu - d_rho)

    sigmas = [*arrays["sigmas"].tolist(), 0.0]
    zero = torch.zeros((), dtype=torch.float64)
    torch.nn.GroupNorm.forward = group_norm
    with torch.no_grad(), torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        samples, sensitivity = torch.func.jvp(
            lambda mass: heun(lambda x, sigma: perturbed(x, sigma, mass), sigmas, arrays["noise"]), (zero,), (zero + 1,)
        )
    worst = 0.0
    for what, ours, theirs in [("samples", arrays["samples"], samples), (name, arrays[name], sensitivity)]:
        size = theirs.abs().amax(dim=1)
        errors = (ours - theirs).abs().amax(dim=1) / size
        worst = max(worst, errors.max().item())
        print(f"{what}: largest entries {size.min():.3g} to {size.max():.3g}, largest relative difference {errors.max():.2e}")
    if not worst <= TOLERANCE:
        raise SystemExit(f"differs by {worst:.2e}, allowed {TOLERANCE}")


def denoiser(unet, scheduler):
    """D(x, sigma) = x - sigma·eps(c·x, t) with t interpolated in log sigma, as in k-diffusion."""
    signals = scheduler.alphas_cumprod.double()
    logs = ((1 - signals) / signals).sqrt().log().numpy()

    def denoise(x, sigma):
        time = np.interp(math.log(sigma), logs, np.arange(len(logs)))
        times = torch.full((len(x),), float(time), dtype=x.dtype)
        pictures = x.reshape(len(x), 3, SIZE, SIZE) / math.sqrt(1 + sigma**2)
        return x - sigma * unet(pictures, times).sample.flatten(1)

    return denoise


def group_norm(layer, x):
    """PyTorch's own, whose forward derivative fails for a tangent of another memory layout than its value."""
    x = x.clone(memory_format=torch.contiguous_format)
    return torch.nn.functional.group_norm(x, layer.num_groups, layer.weight, layer.bias, layer.eps)


def closed_form(cloud, x, sigma):
    """log p up to a constant, `[n, 1]`, and the denoiser of points blurred by sigma."""
    squares = (x**2).sum(1, keepdim=True) - 2 * x @ cloud.T + (cloud**2).sum(1)
    logits = -squares / (2 * sigma**2)
    log_density = logits.logsumexp(1, keepdim=True) - math.log(len(cloud))
    return log_density, logits.softmax(1) @ cloud


def heun(denoise, sigmas, noise):
    """Algorithm 1 of Karras et al. 2022."""
    x = noise * sigmas[0]
    for sigma, below in zip(sigmas, sigmas[1:]):
        slope = (x - denoise(x, sigma)) / sigma
        moved = x + (below - sigma) * slope
        if below > 0:
            slope = (slope + (moved - denoise(moved, below)) / below) / 2
            moved = x + (below - sigma) * slope
        x = moved
    return x


if __name__ == "__main__":
    main()
