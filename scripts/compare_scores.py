#!/usr/bin/env python3
"""How far two builds' scores of single training images agree, for the same models.

    python3 scripts/compare_scores.py OUT > comparison.csv

Needs NumPy. OUT is the folder of an attribution experiment in which two builds have run, one after the other: jobs whose revision
differs stand beside each other, and everything else is shared. For each method and target it prints, over the functionals, the median and
the least rank correlation of the two builds' scores, and the median and the largest difference relative to the norm.
"""

import csv
import json
import struct
import sys
from pathlib import Path

import numpy as np


def arrays(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    body = data[8 + length :]
    floats = {name: entry for name, entry in header.items() if entry.get("dtype") == "F32"}
    return {
        name: np.frombuffer(body[slice(*entry["data_offsets"])], np.float32).reshape(entry["shape"]).astype(float)
        for name, entry in floats.items()
    }


def ranks(rows):
    return rows.argsort(1).argsort(1).astype(float)


def main():
    jobs = {}
    for path in Path(sys.argv[1]).glob("jobs/attribution-*/scores.safetensors"):
        jobs.setdefault(path.parent.name.rsplit("-", 1)[0], []).append(path)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["scores", "functionals", "images", "median_rank_correlation", "least_rank_correlation",
                     "median_difference", "largest_difference"])
    for paths in (sorted(paths) for paths in jobs.values() if len(paths) == 2):
        one, other = map(arrays, paths)
        for name in sorted(one.keys() & other.keys() - {"cost"}):
            a, b = one[name], other[name]
            if a.ndim != 2:
                continue
            agreement = [np.corrcoef(x, y)[0, 1] for x, y in zip(ranks(a), ranks(b))]
            difference = np.linalg.norm(a - b, axis=1) / np.maximum(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
            numbers = [np.median(agreement), np.min(agreement), np.median(difference), np.max(difference)]
            writer.writerow([name, *a.shape, *(f"{number:.5g}" for number in numbers)])


main()
