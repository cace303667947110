#!/usr/bin/env python3
"""How well real fine-tuned models predict retrained ones, beside the predictions without training.

    python3 scripts/fine_tuned_as_prediction.py EXPERIMENT RUN PREDICTION...

EXPERIMENT is a file with the directions, the seeds and the predictions of retrained models. RUN is the folder of its results and of
those of an experiment with the same base models and directions that fine-tunes. The jobs of both are read. Changes are means over the
seeds: a retrained model against its base model, and a fine-tuned one against the one that was fine-tuned on unchanged data. The
correlation is that of the pixels of a sample with the change of the retrained models, its median that over samples. The last line
pools the directions that are not for tuning. Needs numpy and safetensors.
"""

import argparse
import json
import tomllib
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file


def read_jobs(run):
    """The folders of jobs by kind and label."""
    jobs = {}
    for record in sorted(run.glob("jobs/*/job.json")):
        job = json.loads(record.read_text())
        jobs.setdefault((job["kind"], job["label"]), []).append(record.parent)
    return jobs


def read(folder, name):
    """An array of a job's result."""
    (result,) = folder.glob("*.safetensors")
    return load_file(result)[name].astype(np.float64)


def correlations(a, b):
    """Pearson's correlation of every row."""
    a, b = (x - x.mean(axis=1, keepdims=True) for x in (a, b))
    return (a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("predictions", nargs="+")
    arguments = parser.parse_args()
    experiment = tomllib.loads(arguments.experiment.read_text())
    seeds, directions = experiment["seeds"], experiment["directions"]
    jobs = read_jobs(arguments.run)

    def samples(label):
        return read(jobs["samples", label][0], "samples")

    def prediction(name, seed):
        """The change of every direction by a prediction of this experiment, which has as many directions."""
        arrays = [read(folder, "delta") for folder in jobs["sensitivity", f"s{seed} {name}"]]
        (delta,) = [delta for delta in arrays if len(delta) == len(directions)]
        return delta

    base = {seed: samples(f"base s{seed}") for seed in seeds}
    unchanged = {seed: samples(f"fine-tune s{seed} unchanged") for seed in seeds}
    predictions = {name: sum(prediction(name, seed) for seed in seeds) / len(seeds) for name in arguments.predictions}
    names = ["fine-tuned models", *arguments.predictions]
    pooled = {name: [] for name in names}
    print("direction," + ",".join(names))
    for k, direction in enumerate(directions):
        change = "add" if "add" in direction else "remove"
        label = f"{change} {direction[change]} {direction['mass']}"
        retrained, fine_tuned = (
            sum(samples(f"{variant} s{seed} {label}") - before[seed] for seed in seeds)
            for variant, before in (("retrain", base), ("fine-tune", unchanged))
        )
        # A removal goes against δ.
        sign = 1 if change == "add" else -1
        changes = {"fine-tuned models": fine_tuned} | {name: sign * delta[k] for name, delta in predictions.items()}
        agreement = {name: correlations(change, retrained) for name, change in changes.items()}
        print(label + "".join(f",{np.median(agreement[name]):.3f}" for name in names))
        if not direction.get("tuning"):
            for name in names:
                pooled[name].append(agreement[name])
    print("pooled" + "".join(f",{np.median(np.concatenate(pooled[name])):.3f}" for name in names))


main()
