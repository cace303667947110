#!/usr/bin/env python3
"""Slopes of real on predicted changes, with the mass η and with the share η/(1 + η) of the group in the changed data.

    python3 scripts/finite_mass.py TABLE PREDICTION [--seed SEED] [--tuning TEXT]

TABLE is a folder with statistics.csv and samples.csv.gz, as `retrain table` writes them, PREDICTION the name of an estimator, and SEED
one of the seeds or `mean`, the default. The last line pools all directions, or those without TEXT in their name. Needs nothing but
Python.
"""

import argparse
import csv
import gzip
from pathlib import Path


def signed_mass(direction):
    """η of a direction's name, such as `remove attr:Smiling 0.1`."""
    mass = float(direction.split()[-1])
    return -mass if direction.startswith("remove ") else mass


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
        pooled = {"product": 0.0, "square": 0.0, "square of the share": 0.0, "product of the share": 0.0}
        for row in statistics:
            if row["variant"] != variant or row["direction"].split()[0] not in ("add", "remove"):
                continue
            direction, mass = row["direction"], signed_mass(row["direction"])
            # η/(1 + η) = f·η
            factor = 1 / (1 + mass)
            slope = float(row["slope"])
            print(f"{variant},{direction},{mass},{slope:.3f},{slope / factor:.3f}")
            if arguments.tuning and arguments.tuning in direction:
                continue
            # Σ‖η·δ‖² of the samples, and ⟨real, η·δ⟩ = slope·Σ‖η·δ‖².
            square = sum(float(s[f"{prediction}: norm"]) ** 2 for s in samples if (s["variant"], s["direction"]) == (variant, direction))
            pooled["product"] += slope * square
            pooled["square"] += square
            pooled["product of the share"] += factor * slope * square
            pooled["square of the share"] += factor**2 * square
        slopes = pooled["product"] / pooled["square"], pooled["product of the share"] / pooled["square of the share"]
        print(f"{variant},pooled,,{slopes[0]:.3f},{slopes[1]:.3f}")


main()
