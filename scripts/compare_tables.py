#!/usr/bin/env python3
"""The rows in which two tables of one experiment differ, made by two builds from the same models.

    python3 scripts/compare_tables.py BEFORE/statistics.csv AFTER/statistics.csv > comparison.csv

Both tables come from `retrain table` with the same --out, so that they share every model and every real change; only the
predictions were computed twice. Columns: the row's key, then each number before and after. The last line on stderr is the largest
difference of a median, and where it is.
"""

import csv
import sys

KEY = ["variant", "seed", "direction", "prediction"]
NUMBERS = ["median", "low_95", "high_95", "next_seed", "spearman", "precision_at_10", "slope", "median_slope"]


def rows(path):
    with open(path, newline="") as file:
        return {tuple(row[k] for k in KEY): row for row in csv.DictReader(file)}


def main():
    before, after = (rows(path) for path in sys.argv[1:])
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(KEY + [f"{number}_{when}" for number in NUMBERS for when in ["before", "after"]])
    largest = (0.0, None)
    for key in sorted(before.keys() & after.keys()):
        pairs = [(before[key][number], after[key][number]) for number in NUMBERS]
        if all(old == new for old, new in pairs):
            continue
        writer.writerow([*key, *(value for pair in pairs for value in pair)])
        old, new = pairs[0]
        if old and new:
            largest = max(largest, (abs(float(old) - float(new)), key))
    print(f"largest difference of a median: {largest[0]:.4f} {largest[1]}", file=sys.stderr)


main()
