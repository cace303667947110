#!/usr/bin/env python3
"""How far the rankings of two machines agree, for the same model, seed and directions.

    python3 scripts/compare_rankings.py FOLDER OTHER

Both are folders of `sensitivity`. Prints, for each tensor, the largest difference relative to its largest entry. Fails if the two rank
in another order, or if a tensor differs by more than 1e-5 of its largest entry.
"""

import array
import csv
import json
import struct
import sys
from pathlib import Path

LIMIT = 1e-5


def tensors(folder):
    data = (folder / "sensitivities.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    body = data[8 + length :]
    return {
        name: array.array("f", body[slice(*entry["data_offsets"])])
        for name, entry in header.items()
        if entry.get("dtype") == "F32"
    }


def order(folder):
    with open(folder / "ranking.csv", newline="") as file:
        return [(row["direction"], row["sample"]) for row in csv.DictReader(file)]


def main():
    one, other = map(Path, sys.argv[1:])
    failures = [] if order(one) == order(other) else ["the orders differ"]
    first, second = tensors(one), tensors(other)
    assert first.keys() == second.keys(), "the folders have different tensors"
    for name in sorted(first):
        a, b = first[name], second[name]
        assert len(a) == len(b), f"{name} has {len(a)} and {len(b)} entries"
        size = max(map(abs, a), default=0.0)
        difference = max((abs(x - y) for x, y in zip(a, b)), default=0.0)
        relative = difference / size if size else difference
        print(f"{name}: {relative:.1e} of {size:.4g}")
        # What is not a number is above no limit.
        if not relative <= LIMIT:
            failures.append(f"{name} differs by more than {LIMIT:.0e}")
    sys.exit("; ".join(failures) if failures else None)


main()
