#!/usr/bin/env python3
"""How far one attribution method is ahead of another: the mean difference of their scores, with a bootstrap 95 % interval over points.

    python3 scripts/score_difference.py TABLE METHOD OTHER_TABLE OTHER_METHOD

The tables are folders with attribution-functionals.csv, as `retrain table` writes them, of the same points. Needs numpy.
"""

import csv
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

DRAWS = 2000


def scores(table, method):
    """The scores of a method: {functional: {point: mean over the indices}}."""
    rows = defaultdict(lambda: defaultdict(list))
    with open(Path(table) / "attribution-functionals.csv", newline="") as file:
        for row in csv.DictReader(file):
            if row["method"] == method:
                rows[row["functional"]][int(row["point"])].append(float(row["lds"]))
    if not rows:
        sys.exit(f"{table} has no method {method}")
    return {name: {point: np.mean(values) for point, values in points.items()} for name, points in rows.items()}


def main():
    first, second = scores(*sys.argv[1:3]), scores(*sys.argv[3:5])
    rng = np.random.default_rng(0)
    print("functional,difference,low_95,high_95")
    for name in sorted(first.keys() & second.keys()):
        if first[name].keys() != second[name].keys():
            sys.exit(f"{name}: the tables have different points")
        differences = np.array([first[name][point] - second[name][point] for point in sorted(first[name])])
        draws = differences[rng.integers(0, len(differences), (DRAWS, len(differences)))].mean(1)
        low, high = np.percentile(draws, [2.5, 97.5])
        print(f"{name},{differences.mean():.3f},{low:.3f},{high:.3f}")


main()
