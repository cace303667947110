"""A real foreign network: the denoiser of PyPI's adaptive-terrain-diffusion 0.4.2 (MIT), which ships as ONNX.

    pip install numpy onnx onnxruntime safetensors
    python scripts/peers/adaptive_terrain.py FOLDER
    cargo run --release --example adaptive_terrain -- FOLDER

Downloads the package from PyPI into FOLDER, writes its weights by their names as SafeTensors, and references by onnxruntime:
the denoised heights without the last clip. Differences of its single-precision results are good to a percent only, because the
network bends at small steps, so the derivative along a direction is by central differences of the same graph in double precision,
with the interpreter of the package onnx. That takes about ten minutes.
"""

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from safetensors.numpy import save_file

PACKAGE = "adaptive-terrain-diffusion==0.4.2"
MODEL = "terrain_diffusion/weights/terrain_consistency_unet_difficulty100.onnx"
SIGMAS = [0.1, 2.0, 20.0]
# Label of the difficulty, 0 to 1.
DIFFICULTY = 0.5


def download(folder):
    """The model's graph."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
    subprocess.run(command, check=True)
    with zipfile.ZipFile(next(folder.glob("adaptive_terrain_diffusion-*.whl"))) as archive:
        return onnx.load_from_string(archive.read(MODEL))


def weights(graph):
    """The weights by name. Those of group norms, which the export made nameless, get the name of the convolution behind them."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    named = {name.removeprefix("network."): value for name, value in constants.items() if name.startswith("network.")}
    users = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)

    def next_node(node, kind):
        return next(user for user in users[node.output[0]] if user.op_type == kind)

    norms = {"in_layers.2": "in_layers.0", "out_layers.3": "out_layers.0", "qkv": "norm", "out.2": "out.0"}
    for node in graph.node:
        if node.op_type != "InstanceNormalization":
            continue
        scaled = next_node(next_node(node, "Reshape"), "Mul")
        shifted = next_node(scaled, "Add")
        behind = shifted
        while behind.op_type != "Conv":
            behind = max(users[behind.output[0]], key=lambda user: user.op_type != "Sigmoid")
        layer = behind.input[1].removeprefix("network.").removesuffix(".weight")
        end = next(end for end in norms if layer.endswith(end))
        layer = layer.removesuffix(end) + norms[end]
        named[f"{layer}.weight"] = constants[scaled.input[1]].reshape(-1)
        named[f"{layer}.bias"] = constants[shifted.input[1]].reshape(-1)
    return {name: np.ascontiguousarray(value) for name, value in named.items()}


def unclipped(model, kind):
    """Makes the result before the clip to [-1, 1] at the end an output, and returns its name."""
    clip = model.graph.node[-1]
    assert clip.op_type == "Clip"
    model.graph.output.append(onnx.helper.make_tensor_value_info(clip.input[0], kind, None))
    return clip.input[0]


def feeds(noisy, sigma, dtype):
    """The inputs of the graph."""
    sigma, difficulty = (np.array([value], dtype=dtype) for value in (sigma, DIFFICULTY))
    return {"noisy": noisy.astype(dtype), "sigma": sigma, "difficulty": difficulty}


def single_precision(model):
    """The function (noisy, sigma) → denoised of onnxruntime."""
    name = unclipped(model, onnx.TensorProto.FLOAT)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda noisy, sigma: session.run([name], feeds(noisy, sigma, np.float32))[0]


def double_precision(model):
    """The function (noisy, sigma) → denoised of onnx's own interpreter, with all numbers of the graph in double precision."""
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            wide = numpy_helper.to_array(tensor).astype(np.float64)
            tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
    for value in model.graph.input:
        value.type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    name = unclipped(model, onnx.TensorProto.DOUBLE)
    interpreter = ReferenceEvaluator(model)

    def denoise(noisy, sigma):
        # It evaluates both branches of the logistic function everywhere.
        with np.errstate(over="ignore", invalid="ignore"):
            return interpreter.run([name], feeds(noisy, sigma, np.float64))[0]

    return denoise


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    model = download(folder)
    save_file(weights(model.graph), folder / "weights.safetensors")
    wide = onnx.ModelProto.FromString(model.SerializeToString())
    denoise, denoise_wide = single_precision(model), double_precision(wide)
    generator = np.random.default_rng(0)
    shape = (1, 1, 128, 128)
    rows = {"points": [], "directions": [], "denoised": [], "derivatives": []}
    for sigma in SIGMAS:
        ramp = np.linspace(-1.0, 1.0, 128)
        terrain = 0.5 * np.sin(3 * ramp)[:, None] * np.cos(2 * ramp)[None, :]
        x = (terrain + sigma * generator.standard_normal(shape)).astype(np.float32).astype(np.float64)
        v = generator.standard_normal(shape).astype(np.float32).astype(np.float64)
        # The network bends at steps of 1e-5: where a group has almost one value, its normalisation is steep.
        step = 1e-8 * np.hypot(sigma, 0.5)
        after, before = (denoise_wide(x + sign * step * v, sigma) for sign in (1, -1))
        derivative = (after - before) / (2 * step)
        print(f"sigma {sigma} is done", flush=True)
        for key, value in zip(rows, (x, v, denoise(x, sigma).astype(np.float64), derivative)):
            rows[key].append(value.reshape(-1))
    reference = {key: np.stack(values) for key, values in rows.items()}
    save_file(reference | {"sigmas": np.array(SIGMAS)}, folder / "reference.safetensors")
    print(f"wrote {folder / 'weights.safetensors'} and {folder / 'reference.safetensors'}")


if __name__ == "__main__":
    main()
