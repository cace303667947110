#!/usr/bin/env python3
"""How well a training set blurred by h predicts left-out images of its own, noised by σ: the curve behind `--bandwidth auto`.

    python3 scripts/bandwidth.py datasets/cache/*.pixels > docs/bandwidth/cross-validation.csv

Needs NumPy. It reads the decoded sets that `train` and `sensitivity` keep (crates/data/src/cache.rs says how they are laid out) and computes
everything anew: for 400 images y_i and x = y_i + σε, the mean of ‖D_h(x) − y_i‖², D_h(x) = Σ_j softmax_j(−‖x − y_j‖²/2(σ² + h²))·y_j over all
other images and, in colour, their mirror images.
"""

import json
import struct
import sys

import numpy as np

SIGMAS = [0.02, 0.5, 1.3, 2, 4, 8]
BANDWIDTHS = [0.5, 0.71, 1, 1.41, 2, 2.83, 4, 5.66, 8]
QUERIES = 400


def load(path):
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[16 : 16 + length])
    shape = header["shape"]
    pixels = np.frombuffer(data[16 + length :], np.uint8)
    pixels = pixels.reshape(-1, shape["channels"], shape["height"], shape["width"])
    name = header["name"].split("/")[0] if "/" in header["name"] else header["name"]
    return name.rstrip(":"), pixels.astype(np.float32) / 127.5 - 1


print("data,images,sigma,bandwidth,mean_square_error")
for path in sys.argv[1:]:
    name, images = load(path)
    m = len(images)
    points = images.reshape(m, -1)
    copies = 1
    if images.shape[1] == 3:
        points = np.concatenate([points, images[:, :, :, ::-1].reshape(m, -1)])
        copies = 2
    rng = np.random.default_rng(0)
    chosen = rng.permutation(m)[:QUERIES]
    y = points[chosen]
    squares = (points**2).sum(1)
    for sigma in SIGMAS:
        x = y + sigma * rng.standard_normal(y.shape, dtype=np.float32)
        distances = (x**2).sum(1)[:, None] + squares - 2 * x @ points.T
        for copy in range(copies):
            distances[np.arange(len(y)), chosen + copy * m] = np.inf
        distances -= distances.min(1, keepdims=True)
        for h in BANDWIDTHS:
            weights = np.exp(-distances / (2 * (sigma**2 + h**2)))
            mean = weights @ points / weights.sum(1, keepdims=True)
            error = ((mean - y) ** 2).sum(1).mean()
            print(f"{name},{m},{sigma},{h},{error:.2f}", flush=True)
