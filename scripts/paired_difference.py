# /// script
# requires-python = ">=3.10"
# dependencies = ["numpy"]
# ///
"""How far an estimator is ahead of another, sample by sample, in the samples.csv.gz of a table of `retrain`.

    python3 scripts/paired_difference.py docs/retraining/celeba16-retrained/samples.csv.gz weights-24 empirical-hauto Eyeglasses

The correlations of a sample are averaged over the directions, without those that contain the fourth argument (tuning), for the mean of
the seeds or the seed that a fifth argument names. Printed are the median over samples and its bootstrap 95 % interval (2,000 draws,
seed 0).
"""

import collections
import csv
import gzip
import sys

import numpy as np

path, ahead, behind, tuning, *seed = sys.argv[1:]
seed = seed[0] if seed else "mean"
differences = collections.defaultdict(list)
for row in csv.DictReader(gzip.open(path, "rt")):
    if row["seed"] == seed and tuning not in row["direction"]:
        pair = [float(row[f"{name}: correlation"]) for name in (ahead, behind)]
        differences[row["sample"]].append(pair[0] - pair[1])
means = np.array([np.mean(values) for values in differences.values()])
rng = np.random.default_rng(0)
medians = [np.median(rng.choice(means, len(means))) for _ in range(2000)]
low, high = np.percentile(medians, [2.5, 97.5])
print(f"{len(means)} samples: {np.median(means):.3f} [{low:.3f}, {high:.3f}]")
