#!/usr/bin/env python3
"""Does the agreement of two predictions tell how right their sum is? One line for each interval of agreement.

    python3 scripts/agreement.py RUN FIRST SECOND SHARE

RUN is the --out folder of `retrain run` and `retrain table`, FIRST and SECOND are names of estimators, SHARE is the part of the
second in the sum. Predictions and real changes of the fine-tuned models are means over the seeds. Needs numpy and safetensors.
"""

import json
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

EDGES = [-1.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0 + 1e-9]


def jobs(run):
    """(kind, label): folder of every job."""
    records = ((path, json.loads(path.read_text())) for path in Path(run).glob("jobs/*/job.json"))
    return {(record["kind"], record["label"]): path.parent for path, record in records}


def correlation(a, b):
    """Pearson's correlation of the last axis."""
    a, b = (v - v.mean(-1, keepdims=True) for v in (a, b))
    return (a * b).sum(-1) / np.sqrt((a * a).sum(-1) * (b * b).sum(-1))


def main():
    run, first, second, share = sys.argv[1:]
    done = jobs(run)
    seeds = sorted(label.split()[0] for kind, label in done if kind == "sensitivity" and label.endswith(f" {first}"))
    directions = json.loads((Path(run) / "table" / "statistics.json").read_text())["directions"]
    order = [direction["name"] for direction in directions]

    def mean(kind, label, file, array):
        return np.mean([load_file(done[kind, label.format(seed)] / file)[array] for seed in seeds], 0)

    delta = {name: mean("sensitivity", "{} " + name, "prediction.safetensors", "delta") for name in (first, second)}
    total = mean("sensitivity", "{} " + f"{first}+{share}*{second}", "prediction.safetensors", "delta")
    agreement = correlation(delta[first], delta[second])
    before = mean("samples", "fine-tune {} unchanged", "samples.safetensors", "samples")
    after = [mean("samples", "fine-tune {} " + name, "samples.safetensors", "samples") for name in order]
    signs = [-1 if name.startswith("remove") else 1 for name in order]
    right = np.array([correlation(sign * total[k], a - before) for k, (sign, a) in enumerate(zip(signs, after))])
    tuning = np.array([direction["tuning"] for direction in directions])
    print("agreement,tuning_pairs,tuning_below_half,test_pairs,test_below_half")
    for low, high in zip(EDGES, EDGES[1:]):
        numbers = []
        for members in (tuning, ~tuning):
            inside = (agreement[members] >= low) & (agreement[members] < high)
            values = right[members][inside]
            numbers += [len(values), f"{np.mean(values < 0.5):.2f}" if len(values) else ""]
        print(f"{low} to {min(high, 1.0):.1f}", *numbers, sep=",")


main()
