# /// script
# requires-python = ">=3.10"
# dependencies = ["torch", "jax", "numpy", "safetensors"]
# ///
"""One U-Net in Datasway, PyTorch and JAX: the same weights and inputs, run in turn on one machine.

    cargo build --release -p datasway-diffusion --example benchmark
    python3 scripts/benchmark.py                 # or --only forward jvp1 --batches 32

With `--device cuda` both Datasway (cargo feature `cuda`) and PyTorch use the graphics card, with TF32 in PyTorch's convolutions
and products as in Burn's, and are compared with Datasway's CPU first. See scripts/gpu.sh.

Each library is a process of its own that does one piece of work a request; a round asks each of them once, in turn, and
the first rounds are not counted. Printed are the medians of the rounds in milliseconds, the median of the rounds'
ratios of Datasway to the faster of the others, Datasway's rate as a share of the rate at which PyTorch multiplies two large
matrices in the same round (the products of the textbook algorithm, so that a better one can pass 1), and each process's
peak memory. Before anything is timed, values, tangents
and gradients are compared. Threads: as many as the machine has, each library's own default.

With `--before PROGRAM` another build of Datasway's process takes part, for the ratio of both.

With `--processor-time` each library has one thread on one core, and its time is that for which its threads had a processor:
the measure for a machine that other work shares, where the wall clock says more of that work.
"""

import argparse
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
WIDTH, LEVELS, MAX_FREQUENCY, HEAD = 32, 3, 32.0, 64
# Levels of the network by the pixels of a side.
DEPTH = {32: 3, 64: 4}
# Side of the square matrices whose product measures the machine.
GEMM, GEMM_ON_CARD = 1024, 8192
# Passes through the network that an operation's products are worth: a gradient of weights and input costs two.
# So do the tangents of a layer in its data and its weights; a Hessian product is a gradient (three passes) and the
# tangents of each of its products in both factors, a Gauss-Newton product a gradient and the two products of J.
PASSES = {"forward": 1, "jvp1": 2, "jvp2": 3, "jvp8": 9, "vjp": 2, "train": 3}
PASSES |= {"weights1": 3, "weights4": 9, "hvp": 9, "gauss_newton": 5}
OPERATIONS = list(PASSES)
# K of the directions in the weights.
DIRECTIONS = 4


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

    def __init__(self, folder, device="cpu"):
        import torch
        from safetensors.torch import load_file

        self.borrow(torch, device)
        load = lambda name: {k: v.to(device) for k, v in load_file(folder / name).items()}
        self.w, self.inputs = load("weights.safetensors"), load("inputs.safetensors")
        directions = [load(f"direction{k}.safetensors") for k in range(DIRECTIONS)]
        self.directions = {k: torch.stack([d[k] for d in directions]) for k in self.w}
        self.direction = directions[0]
        self.trained = {k: v.clone().requires_grad_() for k, v in self.w.items()}
        self.optimizer = torch.optim.Adam(self.trained.values(), lr=1e-4)
        side = GEMM if device == "cpu" else GEMM_ON_CARD
        self.square = torch.randn(side, side, device=device)

    def borrow(self, torch, device="cpu"):
        """The functions that the network is written in; TF32 on a card."""
        F = torch.nn.functional
        self.device = device
        if device != "cpu":
            torch.backends.cudnn.benchmark = True
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
        self.torch, self.F = torch, F
        self.silu, self.cos, self.sin = F.silu, torch.cos, torch.sin
        self.cat = lambda xs: torch.cat(xs, 1)
        self.softmax = lambda x: x.softmax(-1)
        self.transpose = lambda x: x.transpose(-1, -2)
        self.constant = lambda values: torch.tensor(values, device=device)
        self.linear = lambda x, w, b: x @ w + b
        self.norm = lambda x, g, gamma, beta: F.group_norm(x, g, gamma, beta)
        self.double = lambda x: F.interpolate(x, scale_factor=2, mode="nearest")
        self.pointwise = lambda x, w, b: F.conv2d(x, w.t()[:, :, None, None], b)

    def conv(self, x, w, b, stride=1):
        return self.F.conv2d(x, w, b, stride=stride, padding=1)

    def run(self, operation, n):
        torch = self.torch
        x, level = self.inputs["x"][:n], torch.arange(n, device=self.device) * 2.0 / n - 1.0
        f = lambda x: self.network(self.w, x, level)
        if operation == "gemm":
            return self.square @ self.square
        if operation == "flops":
            from torch.utils.flop_counter import FlopCounterMode

            with FlopCounterMode(display=False) as counter, torch.no_grad():
                f(x)
            return counter.get_total_flops()
        if operation == "train":
            y = self.network(self.trained, x, level)
            loss = (y - self.inputs["pull"][:n]).square().mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            return loss.detach()
        if operation == "vjp":
            x = x.clone().requires_grad_()
            return torch.autograd.grad(f(x), x, self.inputs["pull"][:n])[0]
        if operation in ("hvp", "gauss_newton"):
            return [t.detach() for _, t in sorted(self.second_order(operation, x, level, self.inputs["pull"][:n]).items())]
        with torch.no_grad():
            if operation == "forward":
                return f(x)
            if operation == "weights1":
                return self.weights_product(self.direction, x, level)[None]
            if operation == "weights4":
                return self.weights_products(self.directions, x, level)
            k = int(operation[3:])
            if k == 1:
                return self.product(x, self.inputs["tangent0"][:n], level)[None]
            tangents = torch.stack([self.inputs[f"tangent{i}"][:n] for i in range(k)])
            return self.products(x, tangents, level)

    def network(self, w, x, level):
        return unet(self, w, x, level)

    def product(self, x, tangent, level):
        return self.torch.func.jvp(lambda x: self.network(self.w, x, level), (x,), (tangent,))[1]

    def products(self, x, tangents, level):
        return self.torch.vmap(lambda tangent: self.product(x, tangent, level))(tangents)

    def weights_product(self, direction, x, level):
        return self.torch.func.jvp(lambda w: self.network(w, x, level), (self.w,), (direction,))[1]

    def weights_products(self, directions, x, level):
        return self.torch.vmap(lambda direction: self.weights_product(direction, x, level))(directions)

    def second_order(self, operation, x, level, target):
        """Forward over reverse, and the product of the two Jacobians."""
        func, f = self.torch.func, lambda w: self.network(w, x, level)
        if operation == "hvp":
            loss = lambda w: (f(w) - target).square().mean()
            return func.jvp(func.grad(loss), (self.w,), (self.direction,))[1]
        _, tangent = func.jvp(f, (self.w,), (self.direction,))
        return func.vjp(f, self.w)[1](2 / tangent.numel() * tangent)[0]

    def wait(self):
        if self.device != "cpu":
            self.torch.cuda.synchronize()

    def numpy(self, t):
        """Numbers, those of a list one after the other."""
        t = self.torch.cat([part.flatten() for part in t]) if isinstance(t, list) else t
        return t.cpu().numpy()


class Compiled(Torch):
    """PyTorch with torch.compile around the network, or around its derivative."""

    def __init__(self, folder, device="cpu"):
        super().__init__(folder, device)
        compile = lambda f: self.torch.compile(f, dynamic=False)
        self.network, self.plain = compile(super().network), super().network
        self.product, self.products = compile(self.through), compile(self.through_all)
        self.weights_product, self.weights_products = compile(self.along), compile(self.along_all)

    def through(self, x, tangent, level):
        return self.torch.func.jvp(lambda x: self.plain(self.w, x, level), (x,), (tangent,))[1]

    def through_all(self, x, tangents, level):
        return self.torch.vmap(lambda tangent: self.through(x, tangent, level))(tangents)

    def along(self, direction, x, level):
        return self.torch.func.jvp(lambda w: self.plain(w, x, level), (self.w,), (direction,))[1]

    def along_all(self, directions, x, level):
        return self.torch.vmap(lambda direction: self.along(direction, x, level))(directions)


class Jax:
    """JAX, everything compiled by jit."""

    def __init__(self, folder, device="cpu"):
        import jax
        from safetensors.numpy import load_file

        self.borrow(jax)
        jnp = self.jnp
        load = lambda name: {k: jnp.asarray(v) for k, v in load_file(folder / name).items()}
        self.w, self.inputs = load("weights.safetensors"), load("inputs.safetensors")
        directions = [load(f"direction{k}.safetensors") for k in range(DIRECTIONS)]
        self.directions = {k: jnp.stack([d[k] for d in directions]) for k in self.w}
        self.direction = directions[0]
        self.trained = (self.w, *({k: jnp.zeros_like(v) for k, v in self.w.items()} for _ in range(2)), 0.0)
        f = lambda w, x, level: unet(self, w, x, level)
        tangent = lambda w, x, level, t: jax.jvp(lambda x: f(w, x, level), (x,), (t,))[1]
        self.compiled = {
            "forward": jax.jit(f),
            "jvp": jax.jit(jax.vmap(tangent, (None, None, None, 0))),
            "vjp": jax.jit(lambda w, x, level, pull: jax.vjp(lambda x: f(w, x, level), x)[1](pull)[0]),
            "train": jax.jit(self.step),
            "weights1": jax.jit(self.weights_tangent),
            "weights4": jax.jit(jax.vmap(self.weights_tangent, (None, None, None, 0))),
            "hvp": jax.jit(self.hessian_product),
            "gauss_newton": jax.jit(self.gauss_newton),
        }

    def borrow(self, jax):
        """The functions that the network is written in."""
        jnp = jax.numpy
        self.jax, self.jnp = jax, jnp
        self.silu, self.cos, self.sin = jax.nn.silu, jnp.cos, jnp.sin
        self.cat = lambda xs: jnp.concatenate(xs, 1)
        self.softmax = lambda x: jax.nn.softmax(x, -1)
        self.transpose = lambda x: x.swapaxes(-1, -2)
        self.constant = lambda values: jnp.asarray(values, jnp.float32)
        self.linear = lambda x, w, b: x @ w + b
        self.double = lambda x: x.repeat(2, 2).repeat(2, 3)
        self.pointwise = lambda x, w, b: jnp.einsum("nihw,io->nohw", x, w) + b[None, :, None, None]

    def conv(self, x, w, b, stride=1):
        y = self.jax.lax.conv_general_dilated(x, w, (stride, stride), [(1, 1), (1, 1)])
        return y + b[None, :, None, None]

    def norm(self, x, g, gamma, beta):
        n, c, height, width = x.shape
        parts = x.reshape(n, g, -1)
        mean, var = parts.mean(-1, keepdims=True), parts.var(-1, keepdims=True)
        y = ((parts - mean) / self.jnp.sqrt(var + 1e-5)).reshape(x.shape)
        return y * gamma[None, :, None, None] + beta[None, :, None, None]

    def weights_tangent(self, w, x, level, direction):
        return self.jax.jvp(lambda w: unet(self, w, x, level), (w,), (direction,))[1]

    def hessian_product(self, w, x, level, target, direction):
        """Forward over reverse."""
        loss = lambda w: self.jnp.square(unet(self, w, x, level) - target).mean()
        return self.jax.jvp(self.jax.grad(loss), (w,), (direction,))[1]

    def gauss_newton(self, w, x, level, _, direction):
        """The product of the two Jacobians, compiled together."""
        _, tangent = self.jax.jvp(lambda w: unet(self, w, x, level), (w,), (direction,))
        return self.jax.vjp(lambda w: unet(self, w, x, level), w)[1](2 / tangent.size * tangent)[0]

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
        if operation in ("hvp", "gauss_newton"):
            product = self.compiled[operation](self.w, x, level, pull, self.direction)
            return self.jax.block_until_ready([t for _, t in sorted(product.items())])
        if operation.startswith("weights"):
            directions = self.direction if operation == "weights1" else self.directions
            return self.compiled[operation](self.w, x, level, directions).block_until_ready()
        tangents = jnp.stack([self.inputs[f"tangent{i}"][:n] for i in range(int(operation[3:]))])
        return self.compiled["jvp"](self.w, x, level, tangents).block_until_ready()

    def wait(self):
        """Every operation has waited."""

    def numpy(self, t):
        """Numbers, those of a list one after the other."""
        import numpy

        t = self.jnp.concatenate([part.ravel() for part in t]) if isinstance(t, list) else t
        return numpy.asarray(t)


def worker(name, folder, device, size):
    """One library, asked over standard input as Datasway's example is."""
    global LEVELS
    from safetensors.numpy import save_file

    LEVELS = DEPTH[int(size)]
    library = {"torch": Torch, "compiled": Compiled, "jax": Jax}[name](Path(folder), device)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "flops":
            print(library.run("flops", int(words[1])), flush=True)
        elif words[0] == "values":
            values = library.numpy(library.run(words[1], int(words[2])))
            save_file({"values": values.copy().reshape(values.shape or (1,))}, words[3])
            print("done", flush=True)
        else:
            operation, batch, repeats = words[0], int(words[1]), int(words[2])
            library.wait()
            started = time.perf_counter()
            try:
                results = [library.run(operation, batch) for _ in range(repeats)]
                library.wait()
                print((time.perf_counter() - started) * 1e3 / repeats, flush=True)
                del results
            except Exception as error:
                print(f"{name}: {operation} {batch}: {type(error).__name__}: {str(error)[:300]}", file=sys.stderr)
                print("nan", flush=True)


class Process:
    """A worker; with `one_thread` on one core, for times of the processor."""

    def __init__(self, command, one_thread=False):
        pipe = subprocess.PIPE
        core = {max(os.sched_getaffinity(0))}
        threads = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")}
        restricted = dict(env=os.environ | threads, preexec_fn=lambda: os.sched_setaffinity(0, core))
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, **(restricted if one_thread else {}))
        self.one_thread = one_thread

    def ask(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"a worker died at {words}")
        return answer.strip()

    def time(self, *words):
        """Milliseconds that the worker reports, or those for which its threads had a processor."""
        before = self.processor_time()
        reported = float(self.ask(*words))
        return self.processor_time() - before if self.one_thread and reported > 0 else reported

    def processor_time(self):
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e6

    def peak(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024


def check(processes, folder, batch, limit):
    """Everybody computes the same as the first."""
    from safetensors.numpy import load_file

    for operation in [operation for operation in OPERATIONS if operation != "jvp8"]:
        values = {}
        for name, process in processes.items():
            file = Path(folder) / f"{name}.safetensors"
            process.ask("values", operation, batch, file)
            values[name] = load_file(file)["values"]
        first, *others = values
        for name in others:
            ours, theirs = values[first], values[name]
            error = abs(ours.reshape(theirs.shape) - theirs).max() / abs(theirs).max()
            print(f"{operation}: {first} differs from {name} by {error:.1e} of the largest entry", flush=True)
            if not error < limit:
                sys.exit("the libraries do not compute the same")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--warm", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1, help="runs of an operation in succession, timed together")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32, 128])
    parser.add_argument("--only", nargs="+", default=OPERATIONS)
    parser.add_argument("--size", type=int, choices=DEPTH, default=32, help="pixels of a side")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda for a graphics card")
    parser.add_argument("--peers", nargs="+", default=["torch", "jax"], choices=["torch", "compiled", "jax"])
    parser.add_argument("--processor-time", action="store_true", help="time the threads on one core, not the wall clock")
    parser.add_argument("--no-check", action="store_true", help="do not compare values first")
    parser.add_argument("--until", type=float, default=math.inf, help="seconds after which no row is begun")
    parser.add_argument("--datasway", default="target/release/examples/benchmark")
    parser.add_argument("--before", type=Path, help="another build of the same program, timed and compared too")
    parser.add_argument("--csv", type=Path, help="write the raw times here")
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return worker(*options.worker)

    begun = time.perf_counter()
    card = options.device != "cpu"
    titles = {"before": "before", "torch": "PyTorch", "compiled": "torch.compile", "jax": "JAX"}
    with tempfile.TemporaryDirectory() as folder:
        size, peers = str(options.size), options.peers
        program = str(ROOT / options.datasway)
        command = lambda name: [sys.executable, __file__, "--worker", name, folder, options.device, size]
        start = lambda name: Process(command(name), options.processor_time)
        datasway = Process([program, options.device if card else "flex", size], options.processor_time)
        print("U-Net of", datasway.ask("export", folder))
        processes = {"datasway": datasway} | {name: start(name) for name in peers}
        if options.before:
            before = Process([str(options.before.absolute()), options.device if card else "flex", size], options.processor_time)
            processes = {"datasway": datasway, "before": before} | processes
        if not options.no_check:
            # On a card everything is compared with Datasway's CPU, in turn: products are of TF32 there.
            cpu = {"cpu": Process([program, "flex", size])} if card else {}
            check(cpu | processes, folder, 4, 2e-2 if card else 1e-4)
            for process in cpu.values():
                process.process.kill()
        print(f"# {time.perf_counter() - begun:.0f} s until here", flush=True)
        raw = []
        # The processor's time is that of all repeats.
        repeated = options.repeats if options.processor_time else 1
        others = [name for name in processes if name != "datasway"]
        head = ["operation", "batch", "Datasway, ms", *(f"{titles[name]}, ms" for name in others), "Datasway / faster peer"]
        head += ["Datasway / before"] if options.before else []
        print("\n| " + " | ".join([*head, "of GEMM's rate"]) + " |")
        print("| --- " * (len(head) + 1) + "|")
        flops = float(processes[peers[0]].ask("flops", 1))
        side = GEMM_ON_CARD if card else GEMM
        fastest = 0.0
        for operation in options.only:
            for batch in options.batches:
                if time.perf_counter() - begun > options.until:
                    print(f"# no time for {operation} at {batch}")
                    continue
                rounds = []
                warming = time.perf_counter()
                for i in range(options.warm + options.rounds):
                    if i == options.warm:
                        warming = time.perf_counter() - warming
                    # Every round in another order.
                    turn = [*processes][i % len(processes) :] + [*processes][: i % len(processes)]
                    times = {name: processes[name].time(operation, batch, options.repeats) / repeated for name in turn}
                    gemm = 2 * side**3 / (processes[peers[0]].time("gemm", 1, options.repeats) / repeated)
                    if i >= options.warm:
                        rounds.append(times | {"gemm": gemm})
                middle = {name: statistics.median(r[name] for r in rounds) for name in processes}
                # A peer that failed is no peer.
                faster = lambda r: min((r[name] for name in peers if r[name] > 0), default=math.nan)
                ratio = statistics.median(r["datasway"] / faster(r) for r in rounds)
                work = flops * batch * PASSES[operation]
                share = statistics.median(work / r["datasway"] / r["gemm"] for r in rounds)
                fastest = max(fastest, *(r["gemm"] for r in rounds))
                digits = 2 if card else 1
                cells = [f"{middle[name]:.{digits}f}" for name in processes]
                ratios = [f"{ratio:.2f}"]
                if options.before:
                    ratios += [f"{statistics.median(r['datasway'] / r['before'] for r in rounds):.2f}"]
                print(f"| {operation} | {batch} | {' | '.join(cells + ratios)} | {share:.2f} |", end="")
                print(f" <!-- warm after {warming:.0f} s -->" if card else "", flush=True)
                raw += [
                    ",".join([operation, str(batch), str(i), *(f"{r[name]:.3f}" for name in processes), f"{r['gemm'] / 1e6:.1f}"])
                    for i, r in enumerate(rounds)
                ]
                if options.csv:
                    header = ["operation", "batch", "round", *(f"{name}_ms" for name in processes), "gemm_gflops"]
                    options.csv.write_text("\n".join([",".join(header), *raw]) + "\n")
        print(f"\nGEMM of {side} by {side}: {fastest / 1e6:.0f} GFLOP/s at best; forward: {flops / 1e9:.3f} GFLOP an image")
        print("peak memory, MiB:", {name: round(p.peak()) for name, p in processes.items()})


if __name__ == "__main__":
    main()
