# /// script
# requires-python = ">=3.10"
# dependencies = ["torch==2.11.0", "numpy", "safetensors", "expecttest", "hypothesis", "pytest"]
# ///
"""PyTorch's own test inputs with derivatives by torch.func.jvp, for crates/burn-jvp/tests/op_db.

    python3 scripts/torch_op_db_fixture.py                fixture of the repository
    python3 scripts/torch_op_db_fixture.py --full DIR     every sample, as DIR/op_db.safetensors.gz

PyTorch tests each operation with the sample inputs of torch.testing._internal.common_methods_invocations.op_db, and
each module with those of torch.testing._internal.common_modules.module_db. The script takes the entries that Burn has
too. The fixture of the repository has a fixed choice of small samples of each entry.

The fixture is a gzipped SafeTensors file. Its metadata has the key "table", a JSON object with the version
of PyTorch, a summary, and "cases", a list with an entry for each sample:

- name, variant, sample: the entry of the database and the position of the sample in it;
- positional, keyword: the arguments (for a module, those of its constructor), with tensors as {"tensor": i};
- forward, forward_keyword: the arguments of the module's call;
- state: the names of the module's parameters and buffers;
- tangents: for each tensor i the directions in which it has a tangent;
- parameters: for each name of a parameter the directions in which it has a tangent;
- outputs: the positions of the float tensors among the outputs.

Case c has the tensors c.x.i (input), c.t.i (tangents, one for each of its directions), c.s.NAME (state), c.p.NAME
(tangents of a parameter), c.y.j (value) and c.d.j (derivatives, [K, *shape]). With one float input there are two
directions in it. With more there is one direction for each of the first three, and one for all others together.
A module has a direction for each of its first three parameters too, one for all other parameters together, and one for
all inputs and all parameters together.
Inputs and tangents are numbers of single precision. Values and derivatives are those of double precision at them.
"""

import argparse
import gzip
import hashlib
import json
import math
import os
import random
import sys
import warnings
from pathlib import Path

import numpy
import torch
from safetensors.torch import save
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.common_modules import module_db

OUT = Path(__file__).parent.parent / "crates/burn-jvp/tests/fixtures/op_db.safetensors.gz"
MAX_RANK = 5
MAX_DIRECTIONS = 4
# A sample of the repository's fixture has at most this many numbers, and an entry at most this many samples.
MAX_NUMBERS, MAX_SAMPLES = 2400, 12
# Other limits, for entries whose samples are large or differ in a rare argument.
LIMITS = {"nn.functional.scaled_dot_product_attention/": (8000, 10), "linalg.vector_norm/": (MAX_NUMBERS, 48)}

# Operations of op_db that Burn has too.
OPERATIONS = set("""
abs acos acosh add amax amin asin asinh atan atan2 atanh bmm broadcast_to cat ceil chunk clamp clamp_max clamp_min
clone cos cosh cov cross cummax cummin cumprod cumsum deg2rad diag div dot einsum erf exp expand expand_as flatten
flip fliplr flipud float_power floor fmod full_like gather hypot index_add index_copy index_put index_select
linalg.cross linalg.det linalg.diagonal linalg.vector_norm log log1p log_softmax masked_fill masked_select matmul max
maximum mean median meshgrid min minimum mm movedim msort mul mv narrow neg ones_like outer permute positive pow prod
rad2deg reciprocal remainder repeat reshape reshape_as roll round rsub scatter scatter_add scatter_reduce select
select_scatter sgn sigmoid sign sin sinh slice slice_scatter softmax sort split split_with_sizes sqrt square squeeze
stack sub sum t take take_along_dim tan tanh tile topk trace transpose tril triu true_divide trunc unbind unflatten
unfold unsqueeze var var_mean view view_as where zeros_like nn.functional.adaptive_avg_pool1d
nn.functional.adaptive_avg_pool2d nn.functional.adaptive_avg_pool3d nn.functional.avg_pool1d nn.functional.avg_pool2d
nn.functional.batch_norm nn.functional.celu nn.functional.conv1d nn.functional.conv2d nn.functional.conv3d
nn.functional.conv_transpose1d nn.functional.conv_transpose2d nn.functional.conv_transpose3d
nn.functional.cosine_embedding_loss nn.functional.cosine_similarity nn.functional.cross_entropy nn.functional.ctc_loss
nn.functional.elu nn.functional.embedding nn.functional.gaussian_nll_loss nn.functional.gelu nn.functional.glu
nn.functional.grid_sample nn.functional.group_norm nn.functional.hardshrink nn.functional.hardsigmoid
nn.functional.hardswish nn.functional.hardtanh nn.functional.hinge_embedding_loss nn.functional.huber_loss
nn.functional.instance_norm nn.functional.interpolate nn.functional.kl_div nn.functional.l1_loss
nn.functional.layer_norm nn.functional.leaky_relu nn.functional.linear nn.functional.local_response_norm
nn.functional.logsigmoid nn.functional.margin_ranking_loss nn.functional.max_pool1d nn.functional.max_pool2d
nn.functional.mish nn.functional.mse_loss nn.functional.multi_margin_loss nn.functional.normalize nn.functional.pad
nn.functional.pairwise_distance nn.functional.pixel_shuffle nn.functional.pixel_unshuffle
nn.functional.poisson_nll_loss nn.functional.prelu nn.functional.relu nn.functional.relu6 nn.functional.rms_norm
nn.functional.scaled_dot_product_attention nn.functional.selu nn.functional.silu nn.functional.smooth_l1_loss
nn.functional.soft_margin_loss nn.functional.softmin nn.functional.softplus nn.functional.softshrink
nn.functional.softsign nn.functional.tanhshrink nn.functional.threshold nn.functional.triplet_margin_loss
nn.functional.unfold
""".split())

# Modules of module_db that Burn has too.
MODULES = set("""
AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AvgPool1d AvgPool2d BatchNorm1d BatchNorm2d BatchNorm3d CELU
Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d ELU Embedding GELU GRU GroupNorm Hardshrink
Hardswish InstanceNorm1d InstanceNorm2d InstanceNorm3d LSTM LayerNorm LeakyReLU Linear LocalResponseNorm MaxPool1d
MaxPool2d MultiheadAttention PReLU RMSNorm RNN ReLU SELU Sigmoid Softplus Softshrink Softsign Tanh
""".split())

# Arguments of constructors that no module of Burn has.
NOT_IN_BURN = {"add_bias_kv", "add_zero_attn", "proj_size"}


class Skip(Exception):
    """A sample that the fixture cannot hold."""


class Case:
    """The arguments of one sample as JSON, with their tensors."""

    def __init__(self):
        self.tensors = []
        self.state = {}
        self.parameters = []

    def encode(self, value):
        if isinstance(value, torch.Tensor):
            if value.layout != torch.strided or value.is_complex() or value.dim() > MAX_RANK:
                raise Skip
            if value.is_floating_point():
                if value.dtype != torch.float64:
                    raise Skip
                value = rounded(value)
            elif value.dtype != torch.bool:
                value = value.to(torch.int64)
            self.tensors.append(value.detach().clone())
            return {"tensor": len(self.tensors) - 1}
        if isinstance(value, (list, tuple)):
            return [self.encode(item) for item in value]
        if isinstance(value, bool) or value is None or isinstance(value, str):
            return value
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            return value if math.isfinite(value) else {"float": str(value)}
        if value == torch.float64:
            return None
        raise Skip

    def decode(self, value, tensors):
        if isinstance(value, dict):
            return tensors[value["tensor"]] if "tensor" in value else float(value["float"])
        if isinstance(value, list):
            return [self.decode(item, tensors) for item in value]
        return value

    def decode_keywords(self, keywords, tensors):
        return {key: self.decode(value, tensors) for key, value in keywords.items()}


def rounded(value):
    """The nearest numbers with 17 bits: they fit single precision and compress."""
    mantissa, exponent = torch.frexp(value.detach())
    return torch.ldexp(torch.round(mantissa * 2**17) / 2**17, exponent)


def seed(text):
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")
    torch.manual_seed(number)
    numpy.random.seed(number)
    random.seed(number)


def alone(variables):
    """A direction for each of the first variables, and one for all others together."""
    directions = [[v] for v in variables[: MAX_DIRECTIONS - 1]]
    if variables[MAX_DIRECTIONS - 1 :]:
        directions.append(variables[MAX_DIRECTIONS - 1 :])
    return directions


def derivatives(case, function, label):
    """Values and derivatives of `function` of tensors and parameters, and the directions with their tangents.

    A variable is the index of a tensor of floats or the name of a parameter.
    """
    floats = [i for i, t in enumerate(case.tensors) if t.is_floating_point()]
    if not floats and not case.parameters:
        raise Skip
    directions = [floats, floats] if len(floats) == 1 else alone(floats)
    case.input_directions = len(directions)
    variables = floats + case.parameters
    if case.parameters:
        directions += [*alone(case.parameters), variables]
    points = [case.tensors[v] if v in floats else case.state[v] for v in variables]
    generator = torch.Generator().manual_seed(len(label))

    def flat(*primals):
        primal = dict(zip(variables, primals))
        tensors = [primal.get(i, t) for i, t in enumerate(case.tensors)]
        result = function(tensors, {name: primal[name] for name in case.parameters})
        result = result if isinstance(result, (list, tuple)) else [result]
        # torch.func.jvp refuses outputs that are no floats.
        chosen = [(j, y) for j, y in enumerate(result) if isinstance(y, torch.Tensor) and y.dtype == torch.float64]
        positions[:] = [j for j, _ in chosen]
        return tuple(y.clone() for _, y in chosen)

    positions, tangents, columns = [], {v: [] for v in variables}, []
    for direction in directions:
        along = []
        for v, point in zip(variables, points):
            tangent = torch.zeros(point.shape, dtype=torch.float64)
            if v in direction:
                tangent = torch.randint(-32, 33, point.shape, generator=generator).double() / 32
                tangents[v].append(tangent)
            along.append(tangent)
        values, column = torch.func.jvp(flat, tuple(points), tuple(along))
        columns.append(column)
    if not positions or any(y.dim() > MAX_RANK for y in values):
        raise Skip
    case.positions = list(positions)
    case.values = values
    case.derivatives = [torch.stack([column[j] for column in columns]) for j in range(len(values))]
    case.tangents = {v: torch.stack(t) for v, t in tangents.items()}
    rows = {v: [k for k, direction in enumerate(directions) if v in direction] for v in variables}
    case.directions = [rows.get(i, []) for i in range(len(case.tensors))]
    case.parameter_directions = {name: rows[name] for name in case.parameters}


def numbers(case):
    """The size of a case without the directions in its parameters, on which the choice does not depend."""
    k = case.input_directions
    rows = {i: sum(row < k for row in rows) for i, rows in enumerate(case.directions) if rows}
    tangents = [case.tangents[i][:n] for i, n in rows.items()]
    groups = [case.tensors, tangents, case.values, [d[:k] for d in case.derivatives], case.state.values()]
    return sum(t.numel() for group in groups for t in group)


def operation_cases(op):
    label = f"{op.name}/{op.variant_test_name}"
    seed(label)
    for sample_index, sample in enumerate(op.sample_inputs("cpu", torch.float64, requires_grad=False)):
        case = Case()
        try:
            positional = case.encode([sample.input, *sample.args])
            keyword = {key: case.encode(value) for key, value in sample.kwargs.items()}
            run = lambda t, _: op.op(*case.decode(positional, t), **case.decode_keywords(keyword, t))
            derivatives(case, run, label)
        except (Skip, RuntimeError, NotImplementedError, TypeError, ValueError) as error:
            yield None, f"{label}: {type(error).__name__}: {error}"
            continue
        case.entry = {
            "name": op.name,
            "variant": op.variant_test_name,
            "sample": sample_index,
            "positional": positional,
            "keyword": keyword,
        }
        yield case, None


def module_cases(info):
    name = info.module_cls.__name__
    seed(f"module/{name}")
    samples = info.module_inputs_func(info, device="cpu", dtype=torch.float64, requires_grad=False, training=False)
    for sample_index, sample in enumerate(samples):
        case = Case()
        try:
            arguments = sample.constructor_input
            positional = case.encode(list(arguments.args))
            keyword = {key: case.encode(value) for key, value in arguments.kwargs.items()}
            if case.tensors or sample.forward_input is None or any(arguments.kwargs.get(key) for key in NOT_IN_BURN):
                raise Skip
            module = info.module_cls(*arguments.args, **arguments.kwargs).double().eval()
            case.state = scrambled(module)
            case.parameters = [name for name, _ in module.named_parameters()]
            forward = case.encode(list(sample.forward_input.args))
            forward_keyword = {key: case.encode(value) for key, value in sample.forward_input.kwargs.items()}

            def run(tensors, parameters):
                if isinstance(module, torch.nn.RNNBase):
                    # It reads its weights from this list.
                    module._flat_weights = [parameters[name] for name in module._flat_weights_names]
                arguments = tuple(case.decode(forward, tensors)), case.decode_keywords(forward_keyword, tensors)
                result = torch.func.functional_call(module, parameters, *arguments)
                return result if isinstance(result, torch.Tensor) else result[0]

            derivatives(case, run, f"module/{name}")
        except (Skip, RuntimeError, NotImplementedError, TypeError, ValueError) as error:
            yield None, f"{name}: {type(error).__name__}: {error}"
            continue
        case.entry = {
            "name": f"module.{name}",
            "variant": "",
            "sample": sample_index,
            "positional": positional,
            "keyword": keyword,
            "forward": forward,
            "forward_keyword": forward_keyword,
        }
        yield case, None


def scrambled(module):
    """Parameters and buffers made random, so that no gain is 1 and no bias 0."""
    state = {}
    for key, value in module.state_dict().items():
        if value.is_floating_point():
            low, high = (0.3, 0.9) if value.dim() == 1 else (-0.4, 0.4)
            value.copy_(rounded(torch.empty_like(value).uniform_(low, high)))
            state[key] = value.detach().clone()
    return state


def choose(cases, label):
    """A fixed choice of small samples that differ in shapes or arguments, those without entries last."""
    distinct = {}
    for case in cases:
        shapes = [list(t.shape) for t in case.tensors]
        entry = {key: value for key, value in case.entry.items() if key != "sample"}
        distinct.setdefault(json.dumps([shapes, entry]), case)
    candidates = list(distinct.values())
    max_numbers, max_samples = LIMITS.get(label, (MAX_NUMBERS, MAX_SAMPLES))
    small = [case for case in candidates if numbers(case) <= max_numbers]
    if not small:
        small = sorted(candidates, key=numbers)[:1]
    random.Random(label).shuffle(small)
    small.sort(key=lambda case: any(t.numel() == 0 for t in case.tensors))
    return sorted(small[:max_samples], key=lambda case: case.entry["sample"])


def stored(value):
    return value.contiguous().to(torch.float32) if value.is_floating_point() else value.contiguous()


def write(cases, path, summary):
    tensors, table = {}, []
    for c, case in enumerate(cases):
        for i, t in enumerate(case.tensors):
            tensors[f"{c}.x.{i}"] = stored(t)
        for v, t in case.tangents.items():
            tensors[f"{c}.p.{v}" if v in case.parameters else f"{c}.t.{v}"] = stored(t)
        for key, t in case.state.items():
            tensors[f"{c}.s.{key}"] = stored(t)
        for j, (value, derivative) in enumerate(zip(case.values, case.derivatives)):
            tensors[f"{c}.y.{j}"] = value.contiguous()
            tensors[f"{c}.d.{j}"] = derivative.contiguous()
        entry = dict(case.entry, tangents=case.directions, outputs=case.positions)
        if case.entry["name"].startswith("module."):
            entry["state"] = list(case.state)
            entry["parameters"] = case.parameter_directions
        table.append(entry)
    dump = lambda value: json.dumps(value, separators=(",", ":"))
    version = torch.__version__.split("+")[0]
    # One key, because the order of several is not fixed.
    data = save(tensors, {"table": dump({"torch": version, "summary": summary, "cases": table})})
    path.write_bytes(gzip.compress(data, 9, mtime=0))
    print(f"{path}: {len(cases)} samples, {len(data)} bytes, {path.stat().st_size} compressed")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", metavar="DIR", type=Path, help="write every sample into DIR")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    # The fused kernel of attention has no forward derivative.
    torch.backends.mha.set_fastpath_enabled(False)

    entries = [(f"{op.name}/{op.variant_test_name}", operation_cases(op)) for op in op_db if op.name in OPERATIONS]
    modules = [info for info in module_db if info.module_cls.__name__ in MODULES]
    entries += [(f"module.{info.module_cls.__name__}", module_cases(info)) for info in modules]
    chosen, without = [], []
    for label, samples in entries:
        samples = list(samples)
        cases = [case for case, _ in samples if case]
        if not cases:
            without.append(label)
            print(f"no sample of {label}: {samples[0][1] if samples else 'none in the database'}")
            continue
        chosen += cases if options.full else choose(cases, label)
    missing = OPERATIONS - {op.name for op in op_db}
    missing |= MODULES - {info.module_cls.__name__ for info in module_db}
    print("not in the databases:", " ".join(sorted(missing)))
    summary = {
        "operations": len({op.name for op in op_db}),
        "modules": len({info.module_cls.__name__ for info in module_db}),
        "without_samples": without,
    }
    path = options.full / "op_db.safetensors.gz" if options.full else OUT
    path.parent.mkdir(parents=True, exist_ok=True)
    write(chosen, path, summary)


if __name__ == "__main__":
    # The database itself iterates over sets of strings.
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": "0"})
    main()
