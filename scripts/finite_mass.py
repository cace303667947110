#!/usr/bin/env python3
"""Slopes of real on predicted changes, with the mass η and with the share η/(1 + η) of the group in the changed data.

    python3 scripts/finite_mass.py TABLE PREDICTION [--seed SEED] [--tuning TEXT]

TABLE is a folder with statistics.csv and samples.csv.gz, as `retrain table` writes them, PREDICTION the name of an estimator, and SEED
one of the seeds or `mean`, the default. The line `pooled` pools all directions, or those without TEXT in their name. The line
`calibrated` has their slopes divided by that of the directions with TEXT: the predictions with a length that is chosen on those. Needs
nothing but Python.
"""

import argparse
import csv
import gzip
from pathlib import Path


def signed_mass(direction):
    """η of a direction's name, such as `remove attr:Smiling 0.1`."""
    mass = float(direction.split()[-1])
    return -mass if direction.startswith("remove ") else mass


class Pool:
    """Sums over directions whose slopes are pooled."""

    def __init__(self):
        self.product = self.square = self.product_of_share = self.square_of_share = 0.0

    def add(self, slope, square, factor):
        """A direction whose predictions have the sum of squares `square`, and `factor` times their length with the share."""
        # ⟨real, η·δ⟩ = slope·Σ‖η·δ‖²
        self.product += slope * square
        self.square += square
        self.product_of_share += factor * slope * square
        self.square_of_share += factor**2 * square

    def slopes(self):
        """The slope with the mass, and with the share."""
        return self.product / self.square, self.product_of_share / self.square_of_share


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("prediction")
    parser.add_argument("--seed", default="mean")
    parser.add_argument("--tuning")
    arguments = parser.parse_args()
    table, prediction, seed = arguments.table, arguments.prediction, arguments.seed
    with open(table / "statistics.csv", newline="") as file:
        statistics = [row for row in csv.DictReader(file) if row["prediction"] == prediction and row["seed"] == seed]
    with gzip.open(table / "samples.csv.gz", "rt", newline="") as file:
        samples = [row for row in csv.DictReader(file) if row["seed"] == seed]
    print("variant,direction,mass,slope,slope with the share")
    for variant in sorted({row["variant"] for row in statistics}):
        judged, tuning = Pool(), Pool()
        for row in statistics:
            if row["variant"] != variant or row["direction"].split()[0] not in ("add", "remove"):
                continue
            direction, mass = row["direction"], signed_mass(row["direction"])
            # η/(1 + η) = f·η
            factor = 1 / (1 + mass)
            slope = float(row["slope"])
            print(f"{variant},{direction},{mass},{slope:.3f},{slope / factor:.3f}")
            # Σ‖η·δ‖² of the samples.
            square = sum(float(s[f"{prediction}: norm"]) ** 2 for s in samples if (s["variant"], s["direction"]) == (variant, direction))
            is_tuning = arguments.tuning and arguments.tuning in direction
            (tuning if is_tuning else judged).add(slope, square, factor)
        slope, by_share = judged.slopes()
        print(f"{variant},pooled,,{slope:.3f},{by_share:.3f}")
        if arguments.tuning:
            slopes = [judged / tuning for judged, tuning in zip(judged.slopes(), tuning.slopes())]
            print(f"{variant},calibrated,,{slopes[0]:.3f},{slopes[1]:.3f}")


main()
