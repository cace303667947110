# /// script
# requires-python = ">=3.10"
# dependencies = ["numpy"]
# ///
"""How far an estimator is ahead of another, sample by sample, in the samples.csv.gz of a table of `retrain`.

    python3 scripts/paired_difference.py docs/retraining/celeba16-retrained/samples.csv.gz weights-24 empirical-hauto Eyeglasses

The second estimator may be that of another table of the same models, FILE::NAME: the lengths of all real changes must be the same.

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
other, _, behind = behind.rpartition("::")


def correlations(path, name):
    """The length of the real change and the correlation of every sample of every direction that judges."""
    rows = csv.DictReader(gzip.open(path, "rt"))
    rows = (row for row in rows if row["seed"] == seed and tuning not in row["direction"])
    column = f"{name}: correlation"
    return {(row["direction"], row["sample"]): (row["real_norm"], float(row[column])) for row in rows}


ahead, behind = correlations(path, ahead), correlations(other or path, behind)
if {key: norm for key, (norm, _) in ahead.items()} != {key: norm for key, (norm, _) in behind.items()}:
    sys.exit(f"{other} is not of the models of {path}: the lengths of the real changes differ")
differences = collections.defaultdict(list)
for (direction, sample), (_, correlation) in ahead.items():
    differences[sample].append(correlation - behind[direction, sample][1])
means = np.array([np.mean(values) for values in differences.values()])
rng = np.random.default_rng(0)
medians = [np.median(rng.choice(means, len(means))) for _ in range(2000)]
low, high = np.percentile(medians, [2.5, 97.5])
print(f"{len(means)} samples: {np.median(means):.3f} [{low:.3f}, {high:.3f}]")
