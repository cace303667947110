# /// script
# requires-python = ">=3.10"
# dependencies = ["torch", "diffusers", "numpy", "safetensors"]
# ///
"""Whole runs with a network of google/ddpm-cifar10-32's configuration (35.7 million weights), beside PyTorch with diffusers.

    cargo build --workspace --bins
    python3 scripts/benchmark_pretrained_run.py --bin target/debug --csv pretrained-run-cpu.csv

The weights are random: how long a run takes does not depend on what they are. diffusers writes the pipeline, Datasway loads it as
any other, with drawn faces of 32x32 pixels as its data and the faces with glasses as the direction.

PyTorch's side is the ranking as its users would write it: Heun's method with diffusers' network, the closed form of both blurred
sets of images, and `torch.func.jvp` through the whole sampler. First both compute samples and sensitivities from the same noise, and must agree.
Then whole runs are timed in turn: Datasway's process from start to end, with its page and files, against PyTorch's computation
alone, without the import of the library. Printed are medians, the median of the rounds' ratios, and each process's peak memory.
With `--processor-time` each has one thread, and its time is that for which it had a processor: for a machine that other work
shares. `clip_sample` is off, because Datasway would draw the samples again with clamped images, which PyTorch's side does not.

Influences and `check` are Datasway's alone: seconds and peak memory. `check` refuses random weights, as it must.
"""

import argparse
import math
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmark_pretrained import CONFIG, in_order
from benchmark_sensitivity import ATTRIBUTE, ROOT, decoded, process

BANDWIDTH = 2.0
NAME = f"sensitivity/add attr:{ATTRIBUTE}"


def prepare(folder):
    """Writes the pipeline."""
    import torch
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    torch.manual_seed(0)
    DDPMPipeline(UNet2DModel(**CONFIG), DDPMScheduler(clip_sample=False)).save_pretrained(folder)


def pytorch(pipeline, cache, results, out, clock):
    """Samples and their sensitivities from the noise of Datasway's results; prints the seconds that they took."""
    import numpy as np
    import torch
    from diffusers import DDPMScheduler, UNet2DModel
    from safetensors.torch import load_file, save_file

    clock = getattr(time, clock)
    started = clock()
    network = UNet2DModel.from_pretrained(Path(pipeline) / "unet").eval()
    in_order(network)
    signals = DDPMScheduler.from_pretrained(Path(pipeline) / "scheduler").alphas_cumprod.double()
    levels = ((1 - signals) / signals).sqrt().log().numpy()
    images, has = decoded(cache)
    images = torch.tensor(images)
    clouds = [images, images[torch.tensor(has)]]
    arrays = load_file(results)
    sigmas = [*arrays["sigmas"].tolist(), 0.0]

    def denoise(x, sigma):
        step = float(np.interp(math.log(sigma), levels, np.arange(len(levels))))
        pictures = x.reshape(len(x), 3, 32, 32) / math.sqrt(1 + sigma**2)
        return x - sigma * network(pictures, torch.full((len(x),), step)).sample.flatten(1)

    def closed_form(cloud, x, sigma):
        """log p up to what it has in common for all clouds, |x|², which would cost digits in single precision; and D."""
        logits = (2 * x @ cloud.T - (cloud**2).sum(1)) / (2 * sigma**2)
        return logits.logsumexp(1, keepdim=True) - math.log(len(cloud)), logits.softmax(1) @ cloud

    def perturbed(x, sigma, mass):
        blurred = math.hypot(sigma, BANDWIDTH)
        (log_rho, d_rho), (log_nu, d_nu) = (closed_form(cloud, x, blurred) for cloud in clouds)
        return denoise(x, sigma) + mass * (sigma / blurred) ** 2 * (log_nu - log_rho).exp() * (d_nu - d_rho)

    def heun(mass):
        x = arrays["noise"] * sigmas[0]
        for sigma, below in zip(sigmas, sigmas[1:]):
            slope = (x - perturbed(x, sigma, mass)) / sigma
            moved = x + (below - sigma) * slope
            if below > 0:
                slope = (slope + (moved - perturbed(moved, below, mass)) / below) / 2
                moved = x + (below - sigma) * slope
            x = moved
        return x

    zero = torch.zeros(())
    with torch.no_grad(), torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        samples, sensitivity = torch.func.jvp(heun, (zero,), (zero + 1,))
    print(clock() - started)
    if out != "-":
        save_file({"samples": samples, NAME: sensitivity}, out)


def agree(ours, theirs, limit=1e-3):
    """Ends the program if samples or sensitivities differ."""
    from safetensors.numpy import load_file

    ours, theirs = load_file(ours), load_file(theirs)
    for name in ("samples", NAME):
        error = abs(ours[name] - theirs[name]).max() / abs(theirs[name]).max()
        print(f"{name}: differs by {error:.1e} of the largest entry", flush=True)
        if not error < limit:
            sys.exit("the two do not compute the same")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, default=ROOT / "target/release")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--steps", type=int, default=18)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", nargs="*", default=["influence", "check"], help="what is timed without PyTorch")
    parser.add_argument("--csv", type=Path, help="write the raw times here")
    parser.add_argument("--processor-time", action="store_true", help="time one thread on its core, not the wall clock")
    parser.add_argument("--pytorch", nargs=5, help=argparse.SUPPRESS)
    parser.add_argument("--prepare", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.pytorch:
        return pytorch(*options.pytorch)
    if options.prepare:
        return prepare(options.prepare)
    raw = ["round,what,datasway_s,torch_s,torch_with_import_s,datasway_peak_mib,torch_peak_mib"]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        pipeline, cache = folder / "pipeline", folder / "cache"
        # In a process of its own: the peak of a child is at least the memory of the process that starts it.
        process([sys.executable, __file__, "--prepare", str(pipeline)])

        def datasway(subcommand, out, *words):
            model = ["--checkpoint", pipeline, "--data", f"faces:{options.images}", "--cache", cache]
            size = ["--samples", options.samples, "--steps", options.steps, "--bandwidth", BANDWIDTH]
            command = [options.bin / "sensitivity", *subcommand, *model, *size, "--out", folder / out, *words]
            accepted = (0, 1) if subcommand == ["check"] else (0,)
            _, seconds, peak = process(list(map(str, command)), accepted, options.processor_time)
            if not (folder / out / "index.html").exists():
                sys.exit(f"{' '.join(map(str, command))} has written no page")
            return seconds, peak

        def ranking(out):
            return datasway([], out, "--add", f"attr:{ATTRIBUTE}")

        def torch(out):
            clock = "process_time" if options.processor_time else "perf_counter"
            words = [pipeline, cache, folder / "first" / "sensitivities.safetensors", out, clock]
            command = [sys.executable, __file__, "--pytorch", *map(str, words)]
            output, whole, peak = process(command, one_thread=options.processor_time)
            return float(output.split()[-1]), whole, peak

        ranking("first")
        torch(folder / "theirs.safetensors")
        agree(folder / "first" / "sensitivities.safetensors", folder / "theirs.safetensors")
        rounds = []
        for i in range(options.rounds):
            (mine, peak), (theirs, whole, their_peak) = ranking("timed"), torch("-")
            rounds.append((mine, theirs, whole, peak, their_peak))
            raw.append(",".join([str(i), "ranking", *(f"{v:.3f}" for v in rounds[-1])]))
            print(f"ranking: Datasway {mine:.1f} s; PyTorch {theirs:.1f} s, with the import {whole:.1f} s", flush=True)
        report(rounds, options.samples)
        write(options.csv, raw)
        for what in options.alone:
            seconds, peak = datasway([what], what)
            raw.append(f"0,{what},{seconds:.3f},,,{peak:.3f},")
            print(f"{what}: Datasway {seconds:.1f} s, {peak:.0f} MiB", flush=True)
            write(options.csv, raw)


def report(rounds, samples):
    """Prints medians and ratios of the rankings."""
    middle = [statistics.median(column) for column in zip(*rounds)]
    ratio = statistics.median(mine / theirs for mine, theirs, *_ in rounds)
    print(f"ranking: Datasway {middle[0]:.1f} s, PyTorch {middle[1]:.1f} s, ratio {ratio:.2f}")
    print(f"seconds a sample: {middle[0] / samples:.2f} against {middle[1] / samples:.2f}")
    print(f"peak memory: Datasway {middle[3]:.0f} MiB, PyTorch {middle[4]:.0f} MiB, ratio {middle[3] / middle[4]:.2f}", flush=True)


def write(file, lines):
    """Writes the raw times, if there is a file for them."""
    if file:
        file.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
