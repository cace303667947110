# /// script
# requires-python = ">=3.10"
# dependencies = ["torch", "numpy"]
# ///
"""The measures of `sensitivity` beside the same in PyTorch: everything but the network.

    cargo build --workspace --bins
    python3 scripts/benchmark_measures.py --images 10000 --csv measures-cpu.csv [--before OLD/sensitivity]

Three runs over drawn faces of 32×32, mirrored: the ranking of 64 samples by two groups of a tenth of the images each; the influence of all
images on one region of 16 samples; and their influence on `principal` of 4 samples, whose direction takes seven multiplications. 18 Heun
steps, which are 35 evaluations, and a blur of h = 12. The network has one step of training and few channels. The time of the same run over
64 images is subtracted, which is that of the network and the page. PyTorch's side has no network.

PyTorch computes what these runs need of the images in its best plain form: all points in memory as f32, chunks of 1,024, `x @ y.T`,
softmax with a running maximum, groups from the same distances; the influences from two products for all 35 evaluations at once, of which
distances and inner products are kept for all images, so that nothing is computed twice; and for `principal` the softmax is kept for all
multiplications. The points it is given are images with noise. It is checked against sums in f64.

With --products it prints the rate of PyTorch's product of 560 points with 1,024 images, the limit that both sides are measured by.

Runs are in turn, each in a process of its own. Printed are the medians of the rounds' ratios: of seconds, of processor time, and of
peak memory. Processor time is what can be compared on a machine that does other work.

With --touch GIB a process touches that much memory and ends, before each that is timed. The host of a virtual machine may have to find
memory that the machine has not used for a while, which takes ten times as long as the system's own work for a page; so every side finds
memory that is at hand.
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

ROOT = Path(__file__).resolve().parent.parent
SIZE, STEPS, RHO, BANDWIDTH = 32, 18, 7.0, 12.0
CHUNK, FEW = 1024, 64
SAMPLES = {"ranking": 64, "influence": 16, "principal": 4}
# Datasway's rule ends after so many with the network of these runs.
MULTIPLICATIONS = 7


def evaluations():
    """Noise levels of the evaluations of Heun's method."""
    ramp = [k / (STEPS - 1) for k in range(STEPS)]
    low, high = 0.002 ** (1 / RHO), 80 ** (1 / RHO)
    sigmas = [(high + t * (low - high)) ** RHO for t in ramp]
    return [s for pair in zip(sigmas, sigmas[1:]) for s in pair] + sigmas[-1:]


def decoded(cache):
    """The bytes that Datasway keeps decoded (crates/datasway-data/src/cache.rs), [m, d]."""
    import numpy as np

    (path,) = Path(cache).glob("*.pixels")
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    names = json.loads(data[16 : 16 + length])["names"]
    return np.frombuffer(data[16 + length :], np.uint8).reshape(len(names), -1)


class Softmax:
    """Σ e^l and Σ e^l·y with a running maximum."""

    def __init__(self, torch, n, d):
        self.torch = torch
        self.top = torch.full((n, 1), -math.inf)
        self.total, self.moment = torch.zeros(n, 1), torch.zeros(n, d)

    def add(self, logs, y):
        top = self.torch.maximum(self.top, logs.max(1, keepdim=True).values)
        masses, shrink = (logs - top).exp_(), (self.top - top).exp_()
        self.total = self.total * shrink + masses.sum(1, keepdim=True)
        self.moment = self.moment.mul_(shrink).addmm_(masses, y)
        self.top = top

    def result(self):
        return (self.top + self.total.log()).squeeze(1), self.moment / self.total


def ranking(torch, points, squares, groups, x, sigma):
    """q and D of ρ and of every group at n points of one noise level."""
    n, d = x.shape
    x_square = (x * x).sum(1, keepdim=True)
    sums = [Softmax(torch, n, d) for _ in range(1 + len(groups))]
    for start in range(0, len(points), CHUNK):
        y = points[start : start + CHUNK]
        logs = torch.addmm(squares[start : start + CHUNK][None] + x_square, x, y.T, alpha=-2)
        logs.mul_(-1 / (2 * sigma**2))
        sums[0].add(logs, y)
        for measure, members in zip(sums[1:], groups):
            inside = members[(members >= start) & (members < start + CHUNK)] - start
            if len(inside):
                measure.add(logs[:, inside], y[inside])
    return [measure.result() for measure in sums]


def softmax(torch, points, squares, x, sigmas):
    """The softmax of the distances of all points at every row, [rows, m]."""
    scale = (-1 / (2 * sigmas**2))[:, None]
    x_square = (x * x).sum(1, keepdim=True)
    logs = torch.empty(len(x), len(points))
    for start in range(0, len(points), CHUNK):
        part = slice(start, start + CHUNK)
        torch.addmm(squares[part][None] + x_square, x, points[part].T, alpha=-2, out=logs[:, part]).mul_(scale)
    return logs.sub_(logs.logsumexp(1, keepdim=True)).exp_()


def terms(torch, points, share, weights, gradients, center=None):
    """w·r·⟨G, y − D⟩ of every point at every row; r = m·share."""
    along = torch.empty_like(share)
    for start in range(0, len(points), CHUNK):
        part = slice(start, start + CHUNK)
        torch.mm(gradients, points[part].T, out=along[:, part])
    along.sub_((share * along).sum(1, keepdim=True) if center is None else center)
    return along.mul_(share).mul_(weights[:, None] * len(points))


def influence(torch, points, squares, x, sigmas, weights, gradients, images):
    """Σ_p w·r·⟨G, y − D⟩ of every image and its mirror image: rows are [evaluation, sample]."""
    share = softmax(torch, points, squares, x, sigmas)
    of_points = terms(torch, points, share, weights, gradients)
    return halves(of_points.view(-1, SAMPLES["influence"], len(points)).sum(0), images)


def halves(total, images):
    """An image and its mirror image have half of the mass each."""
    return (total[:, :images] + total[:, images:]) / 2


def principal(torch, points, squares, x, sigmas, weights, images):
    """The products that find the direction and of the influences that follow; the gradients are random in place of the network's."""
    rows, m, n = len(x), len(points), SAMPLES["principal"]
    share = softmax(torch, points, squares, x, sigmas)
    center = torch.zeros_like(x)
    for start in range(0, m, CHUNK):
        part = slice(start, start + CHUNK)
        center.addmm_(share[:, part], points[part])
    for _ in range(MULTIPLICATIONS):
        gradients = torch.randn_like(x)
        at_center = (gradients * center).sum(1, keepdim=True)
        a = halves(terms(torch, points, share, weights, gradients, at_center).view(-1, n, m).sum(0), images)
        a = torch.cat([a, a], 1).repeat(rows // n, 1) / 2
        masses = a.mul_(share).mul_(weights[:, None] * m)
        moment = torch.zeros_like(x)
        for start in range(0, m, CHUNK):
            part = slice(start, start + CHUNK)
            moment.addmm_(masses[:, part], points[part])
        moment.sub_(center * masses.sum(1, keepdim=True))
    of_points = terms(torch, points, share, weights, torch.randn_like(x), at_center)
    return halves(of_points.view(-1, n, m).sum(0), images)


def peer(job, cache, repeat):
    """Runs a job of PyTorch's side and prints its seconds."""
    import torch

    torch.manual_seed(0)
    pixels = torch.tensor(decoded(cache))
    images, d = pixels.shape
    upright = pixels.float() / 127.5 - 1
    points = torch.cat([upright, upright.view(-1, SIZE).flip(1).view(images, d)])
    del upright
    squares = (points * points).sum(1)
    tenth = images // 10
    groups = [torch.arange(k * tenth, (k + 1) * tenth) for k in (0, 1)]
    groups = [torch.cat([g, g + images]) for g in groups]
    levels = evaluations()
    n = SAMPLES[job]

    def at(sigma):
        return points[torch.randint(0, images, (n,))] + sigma * torch.randn(n, d)

    paths = [at(sigma) for sigma in levels]
    blurred = [math.hypot(sigma, BANDWIDTH) for sigma in levels]
    with torch.no_grad():
        # The check, in f64.
        x, sigma = paths[20], blurred[20]
        exact = torch.cdist(x[:2].double(), points.double()) ** 2 / (-2 * sigma**2)
        (q, mean), *_ = ranking(torch, points, squares, groups, x[:2], sigma)
        assert (q - exact.logsumexp(1)).abs().max() < 1e-3
        assert (mean - (exact.softmax(1) @ points.double())).abs().max() < 1e-4
        del exact
        for _ in range(repeat):
            started, cpu = time.perf_counter(), time.process_time()
            if job == "ranking":
                for x, sigma in zip(paths, blurred):
                    ranking(torch, points, squares, groups, x, sigma)
            else:
                sigmas = torch.tensor([s for s in blurred for _ in range(n)])
                weights = torch.tensor([(s / b) ** 2 for s, b in zip(levels, blurred) for _ in range(n)])
                x = torch.cat(paths)
                if job == "influence":
                    influence(torch, points, squares, x, sigmas, weights, torch.randn_like(x), images)
                else:
                    principal(torch, points, squares, x, sigmas, weights, images)
            print(time.perf_counter() - started, time.process_time() - cpu)


def command(job, binary, work, tenth):
    """Datasway's side of a job."""
    base = [str(binary)] + ([] if job == "ranking" else ["influence"])
    base += ["--checkpoint", str(work / "model/checkpoint.safetensors"), "--cache", str(work / "cache")]
    base += ["--bandwidth", str(BANDWIDTH), "--steps", str(STEPS), "--no-photos", "--out", str(work / f"out-{job}")]
    n = str(SAMPLES[job])
    if job == "ranking":
        groups = [f"index:{k * tenth}-{(k + 1) * tenth - 1}" for k in (0, 1)]
        return base + ["--samples", n, "--batch", n, "--add", groups[0], "--add", groups[1]]
    functional = f"region:0,0,{SIZE // 2},{SIZE // 2}" if job == "influence" else "principal"
    return base + ["--samples", n, "--batch", n, "--of", functional]


def measured(arguments):
    """Output, wall seconds, processor seconds and peak memory in MiB of a process."""
    started = time.perf_counter()
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    output, errors = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(arguments)}\n{output}{errors}")
    cpu = usage.ru_utime + usage.ru_stime
    return output, time.perf_counter() - started, cpu, usage.ru_maxrss / 1024


def touch(gib):
    """A process that writes to every page of so much memory and ends."""
    if gib:
        measured([sys.executable, "-c", f"bytearray({int(gib * 2**30)})[::4096] = b'1' * {int(gib * 2**18)}"])


def run(job, binary, work, images, gib):
    """Seconds of a run, of its start, of the processors, and its peak memory."""
    touch(gib)
    _, wall, cpu, peak = measured(command(job, binary, work, images // 10))
    seconds = json.loads((work / f"out-{job}/summary.json").read_text())["seconds"]
    seconds = seconds["total"] if job == "ranking" else seconds
    return seconds, wall - seconds, cpu, peak


def ours(job, binary, work, images, gib):
    """The same of a run without that of a run over few images, which has the same network and page."""
    seconds, start, cpu, peak = run(job, binary, work, images, gib)
    without, _, cpu_without, _ = run(job, binary, work / "few", FEW, gib)
    return seconds - without, start, cpu - cpu_without, peak


def theirs(job, work, gib):
    touch(gib)
    output, _, _, peak = measured([sys.executable, __file__, "--peer", job, "--work", str(work)])
    seconds, cpu = map(float, output.split()[-2:])
    return seconds, cpu, peak


def products():
    """GFLOP/s of `x @ y.T`, the median of 20."""
    import torch

    x, y = torch.randn(560, 3072), torch.randn(CHUNK, 3072)
    rates = []
    for _ in range(21):
        started = time.perf_counter()
        x @ y.T
        rates.append(2e-9 * 560 * CHUNK * 3072 / (time.perf_counter() - started))
    return statistics.median(rates[1:])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of both sides; as many as there are processors if absent")
    parser.add_argument("--touch", type=float, metavar="GIB", help="touch so much memory before each process that is timed")
    parser.add_argument("--before", type=Path)
    parser.add_argument("--binaries", type=Path, default=ROOT / "target/debug")
    parser.add_argument("--work", type=Path)
    parser.add_argument("--csv")
    parser.add_argument("--jobs", nargs="+", choices=list(SAMPLES), default=list(SAMPLES))
    parser.add_argument("--products", action="store_true")
    parser.add_argument("--peer")
    arguments = parser.parse_args()
    if arguments.products:
        return print(f"{products():.1f} GFLOP/s")
    if arguments.peer:
        return peer(arguments.peer, arguments.work / "cache", 1)
    if arguments.threads:
        os.environ |= {"OMP_NUM_THREADS": str(arguments.threads), "RAYON_NUM_THREADS": str(arguments.threads)}
    work = arguments.work or Path(tempfile.mkdtemp())
    for folder, images in ((work, arguments.images), (work / "few", FEW)):
        if not (folder / "model/checkpoint.safetensors").exists():
            train = [str(arguments.binaries / "train"), "--data", f"faces:{images}", "--preset", "celeba32"]
            for field in ("network.channels=8", "network.head_channels=8", "flip=true"):
                train += ["--set", field]
            measured(train + ["--steps", "1", "--cache", str(folder / "cache"), "--out", str(folder / "model")])
    rows = []
    for k in range(arguments.rounds):
        for job in arguments.jobs:
            sides = {"datasway": arguments.binaries / "sensitivity", "before": arguments.before}
            for side, binary in sides.items():
                if binary:
                    seconds, start, cpu, peak = ours(job, binary, work, arguments.images, arguments.touch)
                    rows.append([k, job, side, arguments.images, seconds, start, cpu, peak])
                    print(*rows[-1], flush=True)
            seconds, cpu, peak = theirs(job, work, arguments.touch)
            rows.append([k, job, "torch", arguments.images, seconds, "", cpu, peak])
            print(*rows[-1], flush=True)
    if arguments.csv:
        with open(arguments.csv, "w", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["round", "job", "side", "images", "seconds", "start_seconds", "cpu_seconds", "peak_mib"])
            table.writerows(rows)
    for job in arguments.jobs:
        of = lambda side, column: [r[column] for r in rows if r[1] == job and r[2] == side]
        for side in ("datasway", "before"):
            if of(side, 4):
                ratios = [
                    statistics.median(a / b for a, b in zip(of(side, column), of("torch", column))) for column in (4, 6, 7)
                ]
                print(f"{job}, {side} / torch: seconds {ratios[0]:.2f}, processor {ratios[1]:.2f}, memory {ratios[2]:.2f}")


if __name__ == "__main__":
    main()
