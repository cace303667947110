# /// script
# requires-python = ">=3.10"
# ///
"""Seconds and peak memory of rankings and influences against images, pixels, samples, groups and functionals.

    cargo build --workspace --bins
    python3 scripts/cost_law.py --csv cost-law.csv [--work FOLDER] [--only images pixels …]

One quantity at a time is changed; the others are those of the base: 5,000 drawn faces of 32×32 with their mirror images, 16 samples, one
group of a tenth of the images, or one region. The sampler has 18 Heun steps, which are 35 evaluations, and the blur is h = 12. The
networks have one step of training and 8 channels, so that the images have most of the time. Times are of the whole process, with its start
and its page; the same over 64 images is measured too, which is what does not grow. The images are mapped from their file, so the system counts
the pages that were read to the process, and takes them back when it needs them; `own_mib` is the peak without them, looked at 20 times a
second.

`--only large --model FOLDER --cache FOLDER` is a run over a set that is there: scripts/large_set.sh draws it.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmark_measures import BANDWIDTH, ROOT, STEPS, measured

BASE = {"images": 5000, "size": 32, "samples": 16, "groups": 1, "functionals": 1}
AXES = {
    "few": {"images": [64]},
    "images": {"images": [2500, 5000, 10000, 20000]},
    "pixels": {"size": [16, 32, 64]},
    "samples": {"samples": [4, 16, 64]},
    "groups": {"groups": [1, 2, 4, 8]},
    "functionals": {"functionals": [1, 2, 4]},
}


def model(binaries, work, size, images):
    """A network of the size, trained for one step on drawn faces, and its cache."""
    folder = work / f"{size}-{images}"
    if not (folder / "model/checkpoint.safetensors").exists():
        train = [str(binaries / "train"), "--data", f"faces:{images}", "--preset", f"celeba{size}"]
        for field in ("network.channels=8", "network.head_channels=8", "flip=true"):
            train += ["--set", field]
        train += ["--steps", "1", "--batch", "8", "--sample-every", "0"]
        measured(train + ["--cache", str(folder / "cache"), "--out", str(folder / "model")])
    return folder / "model", folder / "cache"


def command(binary, job, point, model, cache, out):
    base = [str(binary)] + ([] if job == "ranking" else ["influence"])
    base += ["--checkpoint", str(model / "checkpoint.safetensors"), "--cache", str(cache), "--no-photos", "--out", str(out)]
    base += ["--bandwidth", str(BANDWIDTH), "--steps", str(STEPS)]
    base += ["--samples", str(point["samples"]), "--batch", str(point["samples"])]
    tenth, half = max(point["images"] // 10, 1), point["size"] // 2
    for k in range(point["groups"] if job == "ranking" else 0):
        base += ["--add", f"index:{k * tenth}-{(k + 1) * tenth - 1}"]
    corners = [(0, 0), (half, 0), (0, half), (half, half)]
    for x, y in corners[: point["functionals"] if job == "influence" else 0]:
        base += ["--of", f"region:{x},{y},{half},{half}"]
    return base


def watched(arguments):
    """Seconds of the clock and of the processors, and peak MiB with and without mapped files, of a process."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(arguments, stdout=output, stderr=output)
        own = 0
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            own = max([own] + [int(line.split()[1]) for line in lines if line.startswith("RssAnon")])
            time.sleep(0.05)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            sys.exit(f"{' '.join(arguments)}\n{output.read()}")
    wall = time.perf_counter() - started
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, own / 1024


def run(arguments, work, axis, point, model, cache):
    """Rows of the jobs that the axis changes."""
    for job in ("ranking", "influence"):
        if (axis, job) in (("groups", "influence"), ("functionals", "ranking")):
            continue
        out = work / f"out-{job}"
        wall, cpu, peak, own = watched(command(arguments.binaries / "sensitivity", job, point, model, cache, out))
        seconds = json.loads((out / "summary.json").read_text())["seconds"]
        seconds = seconds["total"] if job == "ranking" else seconds
        row = [axis, job, *point.values(), f"{seconds:.2f}", f"{wall:.2f}", f"{cpu:.2f}", f"{peak:.0f}", f"{own:.0f}"]
        print(*row, flush=True)
        yield row


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binaries", type=Path, default=ROOT / "target/debug")
    parser.add_argument("--work", type=Path)
    parser.add_argument("--csv", required=True)
    parser.add_argument("--only", nargs="+", choices=[*AXES, "large"], default=list(AXES))
    parser.add_argument("--model", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--size", type=int, default=64)
    arguments = parser.parse_args()
    work = arguments.work or Path(tempfile.mkdtemp())
    names = [*BASE, "seconds", "wall_seconds", "cpu_seconds", "peak_mib", "own_mib"]
    rows = []
    for axis in arguments.only:
        if axis == "large":
            if not (arguments.model and arguments.cache):
                sys.exit("--only large needs --model and --cache")
            point = BASE | {"images": arguments.images, "size": arguments.size, "samples": arguments.samples, "groups": 2}
            rows += run(arguments, work, axis, point, arguments.model, arguments.cache)
            continue
        for name, values in AXES[axis].items():
            for value in values:
                point = BASE | {name: value}
                rows += run(arguments, work, axis, point, *model(arguments.binaries, work, point["size"], point["images"]))
    new = not os.path.exists(arguments.csv)
    with open(arguments.csv, "a", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        if new:
            table.writerow(["axis", "job", *names])
        table.writerows(rows)


if __name__ == "__main__":
    main()
