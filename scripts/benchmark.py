# /// script
# requires-python = ">=3.10"
# dependencies = ["torch", "jax", "numpy", "safetensors"]
# ///
"""One U-Net in Datasway, PyTorch and JAX: the same weights and inputs, run in turn on one machine.

    cargo build --release -p diffusion --example benchmark
    python3 scripts/benchmark.py                 # or --only forward jvp1 --batches 32

Each library is a process of its own that does one piece of work a request; a round asks each of them once, in turn, and
the first rounds are not counted. Printed are the medians of the rounds in milliseconds, the median of the rounds'
ratios of Datasway to the faster of the others, Datasway's rate as a share of the rate at which PyTorch multiplies two large
matrices in the same round (the products of the textbook algorithm, so that a better one can pass 1), and each process's
peak memory. Before anything is timed, values, tangents
and gradients are compared. Threads: as many as the machine has, each library's own default.
"""

import argparse
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
WIDTH, LEVELS, MAX_FREQUENCY, HEAD = 32, 3, 32.0, 64
# Side of the square matrices whose product measures the machine.
GEMM = 1024
# Passes through the network that an operation's products are worth: a gradient of weights and input costs two.
PASSES = {"forward": 1, "jvp1": 2, "jvp2": 3, "jvp8": 9, "vjp": 2, "train": 3}
OPERATIONS = ["forward", "jvp1", "jvp2", "jvp8", "vjp", "train"]


def groups(channels):
    """As Datasway's U-Net: groups of at least four channels, at most 32, a divisor of the channels."""
    return next(g for g in range(min(32, -(-channels // 4)), 0, -1) if channels % g == 0)


def unet(lib, w, x, noise):
    """Datasway's U-Net (crates/datasway-diffusion/src/unet.rs) in the functions of `lib`."""

    def block(name, x, embedding):
        shift = lib.linear(embedding, w[name + ".embedding.weight"], w[name + ".embedding.bias"])
        h = lib.conv(lib.silu(norm(name + ".norm1", x)), *conv(name + ".conv1"))
        h = h + shift[:, :, None, None]
        h = lib.conv(lib.silu(norm(name + ".norm2", h)), *conv(name + ".conv2"))
        if name + ".skip.linear.weight" in w:
            x = pointwise(name + ".skip", x)
        x = x + h
        return attention(name + ".attention", x) if name + ".attention.norm.gamma" in w else x

    def attention(name, x):
        n, c, height, width = x.shape
        qkv = pointwise(name + ".qkv", norm(name + ".norm", x)).reshape(n, 3, c // HEAD, HEAD, height * width)
        q, k, v = qkv[:, 0], qkv[:, 1], qkv[:, 2]
        weights = lib.softmax(lib.transpose(q) @ k / math.sqrt(HEAD))
        return x + pointwise(name + ".output", (v @ lib.transpose(weights)).reshape(x.shape))

    def pointwise(name, x):
        return lib.pointwise(x, w[name + ".linear.weight"], w[name + ".linear.bias"])

    def norm(name, x):
        return lib.norm(x, groups(x.shape[1]), w[name + ".gamma"], w[name + ".beta"])

    def conv(name):
        return w[name + ".weight"], w[name + ".bias"]

    count = WIDTH // 2
    frequencies = lib.constant([MAX_FREQUENCY ** (i / (count - 1)) for i in range(count)])
    phase = noise[:, None] * frequencies[None, :]
    waves = lib.cat([lib.cos(phase), lib.sin(phase)])
    linear = lambda name, x: lib.linear(x, w[name + ".weight"], w[name + ".bias"])
    embedding = lib.silu(linear("embedding.linear2", lib.silu(linear("embedding.linear1", waves))))

    x = lib.conv(x, *conv("input"))
    skips = [x]
    for level in range(LEVELS):
        x = block(f"down.{level}.blocks.0", x, embedding)
        skips.append(x)
        if level + 1 < LEVELS:
            x = lib.conv(x, *conv(f"down.{level}.resample"), stride=2)
            skips.append(x)
    x = block("middle.0", x, embedding)
    x = block("middle.1", x, embedding)
    for level in range(LEVELS):
        for i in range(2):
            x = block(f"up.{level}.blocks.{i}", lib.cat([x, skips.pop()]), embedding)
        if level + 1 < LEVELS:
            x = lib.conv(lib.double(x), *conv(f"up.{level}.resample"))
    return lib.conv(lib.silu(norm("output_norm", x)), *conv("output"))


class Torch:
    """PyTorch as its users write it: torch.func for derivatives, torch.optim.Adam."""

    def __init__(self, folder):
        import torch
        from safetensors.torch import load_file

        self.borrow(torch)
        self.w = load_file(folder / "weights.safetensors")
        self.inputs = load_file(folder / "inputs.safetensors")
        self.trained = {k: v.clone().requires_grad_() for k, v in self.w.items()}
        self.optimizer = torch.optim.Adam(self.trained.values(), lr=1e-4)
        self.square = torch.ones(GEMM, GEMM)

    def borrow(self, torch):
        """The functions that the network is written in."""
        F = torch.nn.functional
        self.torch, self.F = torch, F
        self.silu, self.cos, self.sin = F.silu, torch.cos, torch.sin
        self.cat = lambda xs: torch.cat(xs, 1)
        self.softmax = lambda x: x.softmax(-1)
        self.transpose = lambda x: x.transpose(-1, -2)
        self.constant = torch.tensor
        self.linear = lambda x, w, b: x @ w + b
        self.norm = lambda x, g, gamma, beta: F.group_norm(x, g, gamma, beta)
        self.double = lambda x: F.interpolate(x, scale_factor=2, mode="nearest")
        self.pointwise = lambda x, w, b: F.conv2d(x, w.t()[:, :, None, None], b)

    def conv(self, x, w, b, stride=1):
        return self.F.conv2d(x, w, b, stride=stride, padding=1)

    def run(self, operation, n):
        torch = self.torch
        x, level = self.inputs["x"][:n], torch.arange(n) * 2.0 / n - 1.0
        f = lambda x: unet(self, self.w, x, level)
        if operation == "gemm":
            return self.square @ self.square
        if operation == "flops":
            from torch.utils.flop_counter import FlopCounterMode

            with FlopCounterMode(display=False) as counter, torch.no_grad():
                f(x)
            return counter.get_total_flops()
        if operation == "train":
            y = unet(self, self.trained, x, level)
            loss = (y - self.inputs["pull"][:n]).square().mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            return loss.detach()
        if operation == "vjp":
            x = x.clone().requires_grad_()
            return torch.autograd.grad(f(x), x, self.inputs["pull"][:n])[0]
        with torch.no_grad():
            if operation == "forward":
                return f(x)
            k = int(operation[3:])
            if k == 1:
                return torch.func.jvp(f, (x,), (self.inputs["tangent0"][:n],))[1][None]
            tangents = torch.stack([self.inputs[f"tangent{i}"][:n] for i in range(k)])
            return torch.vmap(lambda t: torch.func.jvp(f, (x,), (t,))[1])(tangents)

    numpy = staticmethod(lambda t: t.numpy())


class Jax:
    """JAX, everything compiled by jit."""

    def __init__(self, folder):
        import jax
        import jax.numpy as jnp
        from safetensors.numpy import load_file

        self.jax, self.jnp = jax, jnp
        load = lambda name: {k: jnp.asarray(v) for k, v in load_file(folder / name).items()}
        self.w, self.inputs = load("weights.safetensors"), load("inputs.safetensors")
        self.trained = (self.w, *({k: jnp.zeros_like(v) for k, v in self.w.items()} for _ in range(2)), 0.0)
        self.silu, self.cos, self.sin = jax.nn.silu, jnp.cos, jnp.sin
        self.cat = lambda xs: jnp.concatenate(xs, 1)
        self.softmax = lambda x: jax.nn.softmax(x, -1)
        self.transpose = lambda x: x.swapaxes(-1, -2)
        self.constant = jnp.asarray
        self.linear = lambda x, w, b: x @ w + b
        self.double = lambda x: x.repeat(2, 2).repeat(2, 3)
        self.pointwise = lambda x, w, b: jnp.einsum("nihw,io->nohw", x, w) + b[None, :, None, None]
        f = lambda w, x, level: unet(self, w, x, level)
        tangent = lambda w, x, level, t: jax.jvp(lambda x: f(w, x, level), (x,), (t,))[1]
        self.compiled = {
            "forward": jax.jit(f),
            "jvp": jax.jit(jax.vmap(tangent, (None, None, None, 0))),
            "vjp": jax.jit(lambda w, x, level, pull: jax.vjp(lambda x: f(w, x, level), x)[1](pull)[0]),
            "train": jax.jit(self.step),
        }

    def conv(self, x, w, b, stride=1):
        y = self.jax.lax.conv_general_dilated(x, w, (stride, stride), [(1, 1), (1, 1)])
        return y + b[None, :, None, None]

    def norm(self, x, g, gamma, beta):
        n, c, height, width = x.shape
        parts = x.reshape(n, g, -1)
        mean, var = parts.mean(-1, keepdims=True), parts.var(-1, keepdims=True)
        y = ((parts - mean) / self.jnp.sqrt(var + 1e-5)).reshape(x.shape)
        return y * gamma[None, :, None, None] + beta[None, :, None, None]

    def step(self, state, x, level, pull):
        """Adam, as in Kingma and Ba."""
        jnp = self.jnp
        w, m, v, t = state
        loss, g = self.jax.value_and_grad(lambda w: jnp.square(unet(self, w, x, level) - pull).mean())(w)
        t = t + 1
        m = {k: 0.9 * m[k] + 0.1 * g[k] for k in w}
        v = {k: 0.999 * v[k] + 0.001 * g[k] ** 2 for k in w}
        scale = lambda k: (m[k] / (1 - 0.9**t)) / (jnp.sqrt(v[k] / (1 - 0.999**t)) + 1e-8)
        return loss, ({k: w[k] - 1e-4 * scale(k) for k in w}, m, v, t)

    def run(self, operation, n):
        jnp = self.jnp
        x, level, pull = self.inputs["x"][:n], jnp.arange(n) * 2.0 / n - 1.0, self.inputs["pull"][:n]
        if operation == "train":
            loss, self.trained = self.compiled["train"](self.trained, x, level, pull)
            return loss.block_until_ready()
        if operation == "forward":
            return self.compiled["forward"](self.w, x, level).block_until_ready()
        if operation == "vjp":
            return self.compiled["vjp"](self.w, x, level, pull).block_until_ready()
        tangents = jnp.stack([self.inputs[f"tangent{i}"][:n] for i in range(int(operation[3:]))])
        return self.compiled["jvp"](self.w, x, level, tangents).block_until_ready()

    @staticmethod
    def numpy(t):
        import numpy

        return numpy.asarray(t)


def worker(name, folder):
    """One library, asked over standard input as Datasway's example is."""
    from safetensors.numpy import save_file

    library = {"torch": Torch, "jax": Jax}[name](Path(folder))
    for line in sys.stdin:
        words = line.split()
        if words[0] == "flops":
            print(library.run("flops", int(words[1])), flush=True)
        elif words[0] == "values":
            values = library.numpy(library.run(words[1], int(words[2])))
            save_file({"values": values.copy().reshape(values.shape or (1,))}, words[3])
            print("done", flush=True)
        else:
            started = time.perf_counter()
            library.run(words[0], int(words[1]))
            print((time.perf_counter() - started) * 1e3, flush=True)


class Process:
    def __init__(self, command):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def ask(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"a worker died at {words}")
        return answer.strip()

    def peak(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024


def check(processes, folder, batch):
    """Everybody computes the same."""
    from safetensors.numpy import load_file

    for operation in ["forward", "jvp1", "jvp2", "vjp", "train"]:
        values = {}
        for name, process in processes.items():
            file = Path(folder) / f"{name}.safetensors"
            process.ask("values", operation, batch, file)
            values[name] = load_file(file)["values"]
        ours = values.pop("datasway")
        for name, theirs in values.items():
            error = abs(ours.reshape(theirs.shape) - theirs).max() / abs(theirs).max()
            print(f"{operation}: differs from {name} by {error:.1e} of the largest entry")
            if not error < 1e-4:
                sys.exit("the libraries do not compute the same")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--warm", type=int, default=2)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32, 128])
    parser.add_argument("--only", nargs="+", default=OPERATIONS)
    parser.add_argument("--datasway", default="target/release/examples/benchmark")
    parser.add_argument("--csv", type=Path, help="write the raw times here")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return worker(*options.worker)

    with tempfile.TemporaryDirectory() as folder:
        start = lambda name: Process([sys.executable, __file__, "--worker", name, folder])
        datasway = Process([str(ROOT / options.datasway)])
        print("U-Net of", datasway.ask("export", folder))
        processes = {"datasway": datasway, "torch": start("torch"), "jax": start("jax")}
        check(processes, folder, 4)
        raw = []
        print("\n| operation | batch | Datasway, ms | PyTorch, ms | JAX, ms | Datasway / faster peer | of GEMM's rate |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        flops = float(processes["torch"].ask("flops", 1))
        fastest = 0.0
        for operation in options.only:
            for batch in options.batches:
                rounds = []
                for i in range(options.warm + options.rounds):
                    times = {name: float(p.ask(operation, batch)) for name, p in processes.items()}
                    gemm = 2 * GEMM**3 / float(processes["torch"].ask("gemm", 1))
                    if i >= options.warm:
                        rounds.append(times | {"gemm": gemm})
                middle = {name: statistics.median(r[name] for r in rounds) for name in processes}
                ratio = statistics.median(r["datasway"] / min(r["torch"], r["jax"]) for r in rounds)
                work = flops * batch * PASSES[operation]
                share = statistics.median(work / r["datasway"] / r["gemm"] for r in rounds)
                fastest = max(fastest, *(r["gemm"] for r in rounds))
                print(
                    f"| {operation} | {batch} | {middle['datasway']:.1f} | {middle['torch']:.1f} "
                    f"| {middle['jax']:.1f} | {ratio:.2f} | {share:.2f} |",
                    flush=True,
                )
                raw += [
                    f"{operation},{batch},{i},{r['datasway']:.3f},{r['torch']:.3f},{r['jax']:.3f},{r['gemm'] / 1e6:.1f}"
                    for i, r in enumerate(rounds)
                ]
        print(f"\nGEMM of {GEMM} by {GEMM}: {fastest / 1e6:.0f} GFLOP/s at best; forward: {flops / 1e9:.3f} GFLOP an image")
        print("peak memory, MiB:", {name: round(p.peak()) for name, p in processes.items()})
        if options.csv:
            options.csv.write_text("\n".join(["operation,batch,round,datasway_ms,torch_ms,jax_ms,gemm_gflops", *raw]) + "\n")


if __name__ == "__main__":
    main()
