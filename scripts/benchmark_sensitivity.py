# /// script
# requires-python = ">=3.10"
# dependencies = ["torch", "jax", "numpy", "safetensors"]
# ///
"""A whole `sensitivity` run beside the same in PyTorch and JAX: 64 samples, 18 Heun steps, one probe, one direction.

    cargo build --release --workspace --bins
    python3 scripts/benchmark_sensitivity.py --csv sensitivity-cpu.csv      # or --peers torch

The model is a preset after one step of training on drawn faces: how long a run takes does not depend on what the weights are.
The peers' side is the paper's method as their users would write it: `jvp` under `vmap` for the sensitivity and the probe together, the
direction in closed form over all its images, in single precision with the closed form's distances in double. JAX compiles the slopes of a
step by `jit`. First all compute δ with the training set's density, from the same noise, and must agree. Then whole runs are timed in turn:
Datasway's process from start to end, with its page and files, against a peer's computation alone, without the import of the library. JAX
computes twice in its process: the first time with compilation, the second without. Printed are the rounds and the medians of all columns:
seconds, Datasway's ratio to the faster peer without and with JAX's compilation, and each process's peak memory, JAX's with compilation.

With `--device cuda` Datasway and PyTorch use the graphics card; then Datasway's CPU computes the same first, and must rank the samples
alike. JAX is compared on the processor only.
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
from functools import partial
from pathlib import Path

import benchmark

ROOT = Path(__file__).resolve().parent.parent
ATTRIBUTE = "Eyeglasses"
NAME = f"sensitivity/add attr:{ATTRIBUTE}"
# Density and last noise level of the run that is compared, and of the one that is timed.
COMPARED, TIMED = ("empirical", 0.5), ("probability-flow", 0.002)
# JAX's first computation in a process compiles.
COMPUTATIONS = {"torch": 1, "jax": 2}
PEERS = {"torch": "PyTorch", "jax": "JAX"}
# What a round measures: head and digits of its column.
COLUMNS = {
    "datasway_s": ("Datasway, s", 1),
    "torch_s": ("PyTorch, s", 1),
    "torch_with_import_s": ("with its import, s", 1),
    "jax_s": ("JAX, s", 1),
    "jax_with_compilation_s": ("with compilation, s", 1),
    "jax_with_import_s": ("with compilation and import, s", 1),
    "ratio": ("Datasway / faster peer", 2),
    "ratio_with_compilation": ("the same with JAX's compilation", 2),
    "datasway_peak_mib": ("Datasway, MiB", 0),
    "torch_peak_mib": ("PyTorch, MiB", 0),
    "jax_peak_mib": ("JAX, MiB", 0),
}


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


class Torch(benchmark.Torch):
    """PyTorch, without a graph for gradients."""

    def __init__(self, device):
        import torch

        self.borrow(torch, device)
        torch.set_grad_enabled(False)
        self.jit = lambda f: f
        self.jvp, self.vmap = torch.func.jvp, torch.vmap
        self.stack, self.exp, self.log, self.logsumexp = torch.stack, torch.exp, torch.log, torch.logsumexp
        self.float32, self.float64 = torch.Tensor.float, torch.Tensor.double
        self.full = lambda n, value: torch.full((n,), value, device=device)
        self.signs = lambda shape: torch.randint(0, 2, shape, device=device).float() * 2 - 1
        self.square_distances = lambda x, y: torch.cdist(x, y) ** 2


class Jax(benchmark.Jax):
    """JAX with double precision where it is asked for; Python's numbers take the precision of the arrays beside them."""

    def __init__(self, device):
        import jax

        jax.config.update("jax_platforms", device)
        jax.config.update("jax_enable_x64", True)
        self.borrow(jax)
        jnp = self.jnp
        self.jit, self.jvp, self.vmap = jax.jit, jax.jvp, jax.vmap
        self.stack, self.exp, self.log, self.logsumexp = jnp.stack, jnp.exp, jnp.log, jax.nn.logsumexp
        self.float32, self.float64 = jnp.float32, jnp.float64
        self.full = lambda n, value: jnp.full(n, value, jnp.float32)
        self.key = jax.random.key(0)

    def signs(self, shape):
        self.key, key = self.jax.random.split(self.key)
        return self.jax.random.rademacher(key, shape, self.jnp.float32)

    def square_distances(self, x, y):
        """|x|² − 2⟨x, y⟩ + |y|², as PyTorch's cdist computes it."""
        return (x**2).sum(1)[:, None] - 2 * x @ y.T + (y**2).sum(1)


def slopes(lib, header, density, weights, rho, nu, x, delta, q, sigma, probe):
    """dx/dσ, dδ/dσ and dq/dσ at n points [n, d], in the functions of `lib`."""
    n, d = x.shape
    network, sd2 = header["network"], header["sigma_data"] ** 2
    shape = (n, network["image_channels"], network["image_size"], network["image_size"])

    def denoise(x):
        root = (sigma**2 + sd2) ** 0.5
        level = lib.log(lib.full(n, sigma)) / 4
        raw = benchmark.unet(lib, weights, (x / root).reshape(shape), level).reshape(n, d)
        return x * (sd2 / root**2) + raw * (sigma * math.sqrt(sd2) / root)

    def empirical(points):
        """q = log p + (d/2)·log 2πσ², in double precision until two are subtracted, and D in closed form."""
        logs = -lib.square_distances(lib.float64(x), lib.float64(points)) / (2 * sigma**2)
        q = lib.logsumexp(logs, 1) - math.log(len(points))
        return q, lib.float32(lib.softmax(logs)) @ points

    product = lambda v: lib.jvp(denoise, (x,), (v,))
    if density == "empirical":
        center, carried = product(delta)
        q, trace = empirical(rho)[0], lib.full(n, 0.0)
    else:
        center, products = lib.vmap(product, 0, (None, 0))(lib.stack([delta, probe]))
        carried, trace = products[0], (probe * products[1]).sum(1)
    q_nu, d_nu = empirical(nu)
    forcing = lib.float32(lib.exp(q_nu - q))[:, None] * (d_nu - center)
    return (x - center) / sigma, (delta - carried - forcing) / sigma, trace / sigma


def heun(lib, slopes, state, sigmas):
    """x, δ and q at σ = 0, with a new probe at every step."""
    for sigma, after in zip(sigmas, [*sigmas[1:], 0.0]):
        probe = lib.signs(state[0].shape)
        h = after - sigma
        first = slopes(*state, sigma, probe)
        moved = [v + h * s for v, s in zip(state, first)]
        if after > 0:
            second = slopes(*moved, after, probe)
            moved = [v + h * (a + b) / 2 for v, a, b in zip(state, first, second)]
        state = moved
    return state


def peer(name, checkpoint, cache, results, density, computations, out, device):
    """Samples and sensitivities from the noise of Datasway's results; prints the seconds of each computation."""
    import numpy as np
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    lib = {"torch": Torch, "jax": Jax}[name](device)
    with safe_open(checkpoint, "numpy") as file:
        metadata = file.metadata()
        header = json.loads(metadata.get("datasway") or metadata["sway"])
        tensors = {key: lib.constant(file.get_tensor(key)) for key in file.keys()}
    network = header["network"]
    benchmark.HEAD, benchmark.WIDTH = network["head_channels"], network["channels"]
    benchmark.LEVELS = len(network["multipliers"])
    weights = {key[4:]: t for key, t in tensors.items() if key.startswith("ema/")}
    images, has = decoded(cache)
    rho, nu = lib.constant(images), lib.constant(images[np.array(has, bool)])
    arrays = load_file(results)
    noise, sigmas = lib.constant(arrays["noise"]), arrays["sigmas"].tolist()
    compiled = lib.jit(partial(slopes, lib, header, density))

    def start_density(x):
        mean, variance = tensors["data_mean"], tensors["data_variance"]
        total = variance + sigmas[0] ** 2
        return (-((x - mean) ** 2) / (2 * total)).sum(1) + 0.5 * lib.log(sigmas[0] ** 2 / total).sum()

    for _ in range(int(computations)):
        # On a card: the context, and the choice of kernels for this network.
        lib.wait()
        started = time.perf_counter()
        x = noise * sigmas[0]
        x, delta, _ = heun(lib, partial(compiled, weights, rho, nu), [x, 0 * x, start_density(x)], sigmas)
        samples, sensitivity = lib.numpy(x), lib.numpy(delta)
        print(time.perf_counter() - started)
    save_file({"samples": samples, NAME: sensitivity}, out)


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


def agree(who, ours, theirs, limit):
    """Ends the program if samples or sensitivities differ."""
    from safetensors.numpy import load_file

    ours, theirs = load_file(ours), load_file(theirs)
    for what in ("samples", NAME):
        error = abs(ours[what] - theirs[what]).max() / abs(theirs[what]).max()
        print(f"{what}: differ from {who} by {error:.1e} of the largest entry", flush=True)
        if not error < limit:
            sys.exit("the two do not compute the same")


def relative(row, peers):
    """Datasway's seconds relative to those of the faster peer, without and with JAX's compilation."""
    seconds = {name: row[f"{name}_s"] for name in peers}
    ratios = {"ratio": row["datasway_s"] / min(seconds.values())}
    if "jax" in peers:
        seconds["jax"] = row["jax_with_compilation_s"]
        ratios["ratio_with_compilation"] = row["datasway_s"] / min(seconds.values())
    return ratios


def show(label, row):
    """Prints a line of the table."""
    cells = [label, *(f"{row[column]:.{digits}f}" for column, (_, digits) in COLUMNS.items() if column in row)]
    print("| " + " | ".join(cells) + " |", flush=True)


def write(path, rounds):
    """The raw times, if there is a file for them."""
    if path:
        with open(path, "w", newline="") as file:
            columns = [column for column in COLUMNS if column in rounds[0]]
            table = csv.DictWriter(file, ["round", *columns], lineterminator="\n")
            table.writeheader()
            table.writerows({"round": i} | {key: f"{value:.3f}" for key, value in row.items()} for i, row in enumerate(rounds))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="celeba32")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--steps", type=int, default=18)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", nargs="+", default=list(PEERS), choices=PEERS)
    parser.add_argument("--bin", type=Path, default=ROOT / "target/release")
    parser.add_argument("--csv", type=Path, help="write the raw times here")
    parser.add_argument("--set", nargs="*", default=[], help="FIELD=VALUE of the training configuration")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda for a graphics card")
    parser.add_argument("--peer", nargs=8, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        return peer(*options.peer)
    card = options.device != "cpu"
    if card and "jax" in options.peers:
        parser.error("JAX is compared on the processor only: add --peers torch")

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
            command = [options.bin / "sensitivity", "--checkpoint", checkpoint, "--cache", cache, "--out", folder / out]
            command += ["--add", f"attr:{ATTRIBUTE}", "--samples", options.samples, "--steps", options.steps]
            command += ["--density", density, "--sigma-min", sigma_min, "--device", device]
            command += ["--probes", 1] if density == "probability-flow" else []
            _, seconds, peak = process(list(map(str, command)))
            return folder / out / "sensitivities.safetensors", {"datasway_s": seconds, "datasway_peak_mib": peak}

        def contender(name, results, density, computations):
            out = folder / f"{name}.safetensors"
            words = [name, checkpoint, cache, results, density, computations, out, options.device]
            output, whole, peak = process([sys.executable, __file__, "--peer", *map(str, words)])
            first, *again = map(float, output.split())
            row = {f"{name}_s": first, f"{name}_with_import_s": whole - sum(again), f"{name}_peak_mib": peak}
            if again:
                row |= {f"{name}_with_compilation_s": first, f"{name}_s": again[-1]}
            return out, row

        density, sigma_min = COMPARED
        ours, _ = datasway(density, sigma_min, "compared")
        for name in options.peers:
            theirs, _ = contender(name, ours, density, 1)
            agree(PEERS[name], ours, theirs, 5e-2 if card else 1e-3)
        if card:
            cpu, _ = datasway(density, sigma_min, "cpu", "flex")
            agree("the CPU", ours, cpu, 5e-2)
            mine, theirs = (ranks(file.parent / "ranking.csv") for file in (ours, cpu))
            print(f"ranking: correlation {correlation(mine, theirs):.5f} with the CPU's, the first of both {mine[0]} and {theirs[0]}")

        density, sigma_min = TIMED
        rounds = []
        for i in range(options.rounds):
            results, row = datasway(density, sigma_min, "timed")
            for name in options.peers:
                row |= contender(name, results, density, COMPUTATIONS[name])[1]
            rounds.append(row | relative(row, options.peers))
            if i == 0:
                heads = ["round", *(head for column, (head, _) in COLUMNS.items() if column in rounds[0])]
                print("| " + " | ".join(heads) + " |\n" + "| --- " * len(heads) + "|")
            show(str(i + 1), rounds[-1])
            write(options.csv, rounds)
        show("median", {column: statistics.median(row[column] for row in rounds) for column in rounds[0]})


if __name__ == "__main__":
    main()
