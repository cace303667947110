# /// script
# requires-python = ">=3.10"
# dependencies = ["torch", "numpy", "safetensors"]
# ///
"""A whole `sensitivity` run beside the same in PyTorch: 64 samples, 18 Heun steps, one probe, one direction.

    cargo build --release --workspace --bins
    python3 scripts/benchmark_sensitivity.py --csv sensitivity-cpu.csv

The model is a preset after one step of training on drawn faces: how long a run takes does not depend on what the weights are.
PyTorch's side is the paper's method as its users would write it: `torch.func.jvp` under `vmap` for the sensitivity and the probe together, the
direction in closed form over all its images. First both compute δ with the training set's density, from the same noise, and must agree. Then
whole runs are timed in turn: Datasway's process from start to end, with its page and files, against PyTorch's computation alone, without
the import of the library. Printed are medians, the median of the rounds' ratios, and each process's peak memory.

With `--device cuda` both use the graphics card; then Datasway's CPU computes the same first, and must rank the samples alike.
"""

import argparse
import csv
import json
import math
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import benchmark

ROOT = Path(__file__).resolve().parent.parent
SAMPLES, STEPS, RHO = 64, 18, 7.0
ATTRIBUTE = "Eyeglasses"


def decoded(folder):
    """The images that Datasway keeps decoded (crates/datasway-data/src/cache.rs), in [-1, 1], and which have the attribute."""
    import numpy as np

    (path,) = Path(folder).glob("*.pixels")
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[16 : 16 + length])
    pixels = np.frombuffer(data[16 + length :], np.uint8).astype(np.float32) / 127.5 - 1
    attributes = header["attributes"]
    column = attributes["names"].index(ATTRIBUTE)
    return pixels.reshape(len(header["names"]), -1), [v[column] for v in attributes["values"]]


def pytorch(checkpoint, cache, noise, density, sigma_min, out, device):
    """The sensitivities of samples from `noise`; prints the seconds that they took."""
    import torch
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(checkpoint, "pt") as file:
        metadata = file.metadata()
        header = json.loads(metadata.get("datasway") or metadata["sway"])
        tensors = {name: file.get_tensor(name).to(device) for name in file.keys()}
    network = header["network"]
    benchmark.HEAD, benchmark.WIDTH = network["head_channels"], network["channels"]
    benchmark.LEVELS = len(network["multipliers"])
    lib = benchmark.Torch.__new__(benchmark.Torch)
    lib.borrow(torch, device)
    weights = {name[4:]: t for name, t in tensors.items() if name.startswith("ema/")}
    images, has = decoded(cache)
    images = torch.tensor(images, device=device)
    nu = images[torch.tensor(has, device=device)]
    z = load_file(noise)["noise"].to(device)
    if device != "cpu":
        # The context, and the choice of kernels for this network.
        lib.wait()

    started = time.perf_counter()
    n, d = z.shape
    shape = (network["image_channels"], network["image_size"], network["image_size"])
    sd2 = header["sigma_data"] ** 2

    def denoise(x, sigma):
        root = math.sqrt(sigma**2 + sd2)
        level = torch.full((n,), math.log(sigma) / 4, device=device)
        raw = benchmark.unet(lib, weights, (x / root).reshape(n, *shape), level).reshape(n, d)
        return x * (sd2 / root**2) + raw * (sigma * math.sqrt(sd2) / root)

    def empirical(points, x, sigma):
        """q = log p + (d/2)·log 2πσ² and D in closed form."""
        logs = -torch.cdist(x.double(), points.double()) ** 2 / (2 * sigma**2)
        q = logs.logsumexp(1) - math.log(len(points))
        return q.float(), logs.softmax(1).float() @ points

    def start_density(x, sigma):
        mean, variance = tensors["data_mean"], tensors["data_variance"]
        total = variance + sigma**2
        return (-((x - mean) ** 2) / (2 * total)).sum(1) + 0.5 * (sigma**2 / total).log().sum()

    def slopes(x, delta, q, sigma, probe):
        jvp = lambda v: torch.func.jvp(lambda x: denoise(x, sigma), (x,), (v,))
        if density == "empirical":
            center, carried = jvp(delta)
            q, trace = empirical(images, x, sigma)[0], torch.zeros(n, device=device)
        else:
            center, products = torch.vmap(jvp, out_dims=(None, 0))(torch.stack([delta, probe]))
            carried, trace = products[0], (probe * products[1]).sum(1)
        q_nu, d_nu = empirical(nu, x, sigma)
        forcing = (q_nu - q).exp()[:, None] * (d_nu - center)
        return (x - center) / sigma, (delta - carried - forcing) / sigma, trace / sigma

    ramp = torch.linspace(0, 1, STEPS, dtype=torch.float64)
    low, high = sigma_min ** (1 / RHO), 80 ** (1 / RHO)
    sigmas = ((high + ramp * (low - high)) ** RHO).tolist() + [0.0]
    with torch.no_grad():
        x, delta = z * sigmas[0], torch.zeros_like(z)
        q = start_density(x, sigmas[0])
        for sigma, after in zip(sigmas, sigmas[1:]):
            probe = torch.randint(0, 2, (n, d), device=device).float() * 2 - 1
            first = slopes(x, delta, q, sigma, probe)
            h = after - sigma
            x1, delta1, q1 = (v + h * s for v, s in zip((x, delta, q), first))
            if after > 0:
                second = slopes(x1, delta1, q1, after, probe)
                mean = [(a + b) / 2 for a, b in zip(first, second)]
                x1, delta1, q1 = (v + h * s for v, s in zip((x, delta, q), mean))
            x, delta, q = x1, delta1, q1
    lib.wait()
    seconds = time.perf_counter() - started
    if out:
        save_file({"samples": x.cpu(), "sensitivity": delta.cpu()}, out)
    print(seconds)


def ranks(file):
    """The samples of a ranking, from the first."""
    with open(file, newline="") as lines:
        return [int(row["sample"]) for row in csv.DictReader(lines)]


def correlation(a, b):
    """Spearman's, of two orders of the same things."""
    n = len(a)
    where = {sample: rank for rank, sample in enumerate(b)}
    return 1 - 6 * sum((rank - where[sample]) ** 2 for rank, sample in enumerate(a)) / (n * (n * n - 1))


def process(command, accepted=(0,), one_thread=False):
    """Output and wall time of a process, and its peak memory in MiB. Ends the program at an exit code that is not accepted.
    With one thread, the time is that for which it had a processor."""
    started = time.perf_counter()
    threads = {"RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"} if one_thread else {}
    environment = os.environ | threads
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    output, errors = child.stdout.read(), child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    if os.waitstatus_to_exitcode(status) not in accepted:
        sys.exit(errors)
    seconds = usage.ru_utime + usage.ru_stime if one_thread else time.perf_counter() - started
    return output, seconds, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="celeba32")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bin", type=Path, default=ROOT / "target/release")
    parser.add_argument("--csv", type=Path, help="write the raw times here")
    parser.add_argument("--set", nargs="*", default=[], help="FIELD=VALUE of the training configuration")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda for a graphics card")
    parser.add_argument("--pytorch", nargs=7, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.pytorch:
        checkpoint, cache, noise, density, sigma_min, out, device = options.pytorch
        return pytorch(checkpoint, cache, noise, density, float(sigma_min), out if out != "-" else None, device)
    card = options.device != "cpu"

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        cache, run = folder / "cache", folder / "run"
        train = [options.bin / "train", "--data", f"faces:{options.images}", "--preset", options.preset]
        train += ["--steps", "1", "--sample-every", "0", "--cache", cache, "--out", run]
        for setting in ["flip=false", *options.set]:
            train += ["--set", setting]
        process(list(map(str, train)))
        checkpoint = run / "checkpoint.safetensors"

        def datasway(density, sigma_min, out, device=options.device if card else "flex"):
            command = [options.bin / "sensitivity", "--checkpoint", checkpoint, "--cache", cache, "--out", out]
            command += ["--add", f"attr:{ATTRIBUTE}", "--samples", SAMPLES, "--steps", STEPS]
            command += ["--density", density, "--sigma-min", sigma_min, "--device", device]
            command += ["--probes", 1] if density == "probability-flow" else []
            _, seconds, peak = process(list(map(str, command)))
            return seconds, peak

        def torch(density, sigma_min, out):
            noise = folder / "check" / "sensitivities.safetensors"
            words = [checkpoint, cache, noise, density, sigma_min, out, options.device]
            command = [sys.executable, __file__, "--pytorch", *words]
            output, whole, peak = process(list(map(str, command)))
            return float(output), whole, peak

        from safetensors.numpy import load_file

        name = f"sensitivity/add attr:{ATTRIBUTE}"

        def compare(who, ours, theirs, limit):
            for what, mine, other in [("samples", "samples", "samples"), ("sensitivity", name, "sensitivity")]:
                error = abs(ours[mine] - theirs[other]).max() / abs(theirs[other]).max()
                print(f"{what}: differ from {who} by {error:.1e} of the largest entry", flush=True)
                if not error < limit:
                    sys.exit("the two do not compute the same")

        datasway("empirical", 0.5, folder / "check")
        torch("empirical", 0.5, folder / "theirs.safetensors")
        ours = load_file(folder / "check" / "sensitivities.safetensors")
        compare("PyTorch", ours, load_file(folder / "theirs.safetensors"), 5e-2 if card else 1e-3)
        if card:
            datasway("empirical", 0.5, folder / "cpu", "flex")
            theirs = load_file(folder / "cpu" / "sensitivities.safetensors")
            compare("the CPU", ours, theirs | {"sensitivity": theirs[name]}, 5e-2)
            mine, other = (ranks(folder / run / "ranking.csv") for run in ("check", "cpu"))
            print(f"ranking: correlation {correlation(mine, other):.5f} with the CPU's, the first of both {mine[0]} and {other[0]}")

        rounds = []
        for _ in range(options.rounds):
            mine, peak = datasway("probability-flow", 0.002, folder / "timed")
            theirs, whole, their_peak = torch("probability-flow", 0.002, "-")
            rounds.append((mine, theirs, whole, peak, their_peak))
            print(f"Datasway {mine:.1f} s; PyTorch {theirs:.1f} s, with the import {whole:.1f} s", flush=True)
            if options.csv:
                header = "round,datasway_s,torch_s,torch_with_import_s,datasway_peak_mib,torch_peak_mib"
                lines = [",".join([str(i), *(f"{v:.3f}" for v in r)]) for i, r in enumerate(rounds)]
                options.csv.write_text("\n".join([header, *lines]) + "\n")
        ratio = statistics.median(mine / theirs for mine, theirs, *_ in rounds)
        middle = [statistics.median(column) for column in zip(*rounds)]
        print(f"Datasway {middle[0]:.1f} s, PyTorch {middle[1]:.1f} s, ratio {ratio:.2f}")
        print(f"peak memory: Datasway {middle[3]:.0f} MiB, PyTorch {middle[4]:.0f} MiB")


if __name__ == "__main__":
    main()
