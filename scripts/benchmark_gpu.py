# /// script
# requires-python = ">=3.10"
# dependencies = ["torch", "numpy", "safetensors"]
# ///
"""The U-Net of benchmark.py on a graphics card: Datasway beside PyTorch, at 32 and 64 pixels.

    python3 scripts/benchmark_gpu.py --datasway BIN/benchmark --out FOLDER

Burn compiles its kernels and chooses the fastest of each kind when it first meets a shape, which takes minutes of one
processor. So every operation and resolution has a Datasway process of its own, and all of them warm up at once
(`--warm-up` seconds at most; what is not ready by then is left out). What a row computes while it warms up is compared with PyTorch on the card,
and at the largest batch of the first resolution with Datasway on the CPU too. Then the rows are timed one after the other, Datasway and
PyTorch in turn, everything else being idle. PyTorch is eager, with TF32 in convolutions and products as Burn has it, and
cuDNN's own search for the fastest convolution. FOLDER gets rows.csv (medians) and raw.csv (every round).
"""

import argparse
import json
import math
import selectors
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import benchmark

CHECKED_ON_CPU = ["forward", "jvp1", "jvp2", "vjp", "train"]
# Largest difference, in units of the largest entry: TF32 keeps 10 bits of a factor.
LIMIT = 2e-2


class Row(benchmark.Process):
    """Datasway, for one operation at one resolution, and the batches that it still has to warm up."""

    def __init__(self, options, size, operation, batches, folder):
        self.name, self.size, self.operation = f"{operation}-{size}", size, operation
        self.waiting, self.ready, self.batch = list(batches), {}, None
        self.folder = folder / self.name
        self.folder.mkdir()
        # A store of kernels of its own, if Datasway has the feature `persistence`.
        settings = '[environment]\npath = "local"\n'
        if options.profile and operation in ("forward", "jvp1", "train") and size == max(options.sizes):
            log = str(self.folder / "log.txt")
            settings += f"[autotune]\nlogger = {{ level = \"full\", file = {json.dumps(log)} }}\n"
        (self.folder / "cubecl.toml").write_text(settings)
        errors = open(self.folder / "errors.txt", "w")
        command = [str(options.datasway), "flex" if options.device == "cpu" else options.device, str(size)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, text=True, cwd=self.folder)
        self.next()

    def next(self):
        """Begins the next batch, and tells whether there was one."""
        self.batch = self.waiting.pop(0) if self.waiting else None
        self.begun = time.perf_counter()
        if self.batch:
            print("values", self.operation, self.batch, self.values(self.batch), file=self.process.stdin, flush=True)
        return self.batch

    def values(self, batch):
        return self.folder / f"{batch}.safetensors"


def difference(one, other):
    from safetensors.numpy import load_file

    one, other = (load_file(file)["values"] for file in (one, other))
    return float(abs(one.reshape(other.shape) - other).max() / abs(other).max())


def warm_up(rows, limit):
    """Waits for all rows, or for `limit` seconds, and ends the processes of those that did not make it."""
    begun = time.perf_counter()
    selector = selectors.DefaultSelector()
    for row in rows:
        selector.register(row.process.stdout, selectors.EVENT_READ, row)
    while selector.get_map() and (left := begun + limit - time.perf_counter()) > 0:
        for key, _ in selector.select(min(left, 5)):
            row = key.data
            if row.process.stdout.readline().strip() == "done":
                row.ready[row.batch] = time.perf_counter() - row.begun
                print(f"{row.name}, batch {row.batch}: ready after {row.ready[row.batch]:.0f} s", flush=True)
                # A batch that is begun late would take the ready one with it.
                if time.perf_counter() - begun < 0.55 * limit and row.next():
                    continue
            else:
                print(f"{row.name}, batch {row.batch}: died; {(row.folder / 'errors.txt').read_text()[-600:]}", flush=True)
                row.ready.clear()
            selector.unregister(row.process.stdout)
    for key in list(selector.get_map().values()):
        row = key.data
        print(f"{row.name}, batch {row.batch}: not ready after {limit:.0f} s", flush=True)
        row.process.kill()
        row.ready.clear()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasway", type=Path, required=True, help="the example `benchmark` of datasway-diffusion")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda", help="cpu to try this script")
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--only", nargs="+", default=benchmark.OPERATIONS)
    parser.add_argument("--warm-up", type=float, default=300, help="seconds")
    parser.add_argument("--until", type=float, default=math.inf, help="seconds after which no row is timed")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--profile", action="store_true", help="log how kernels were chosen, in OUT")
    options = parser.parse_args()
    options.datasway, options.out = options.datasway.resolve(), options.out.resolve()
    options.out.mkdir(parents=True, exist_ok=True)
    begun = time.perf_counter()

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        batches = sorted(options.batches, reverse=True)
        rows = [Row(options, size, operation, batches, folder) for size in options.sizes for operation in options.only]
        torch, cpu = {}, benchmark.Process([str(options.datasway), "flex", str(options.sizes[0])])
        for size in options.sizes:
            inputs = folder / f"inputs{size}"
            inputs.mkdir()
            exporter = cpu if size == options.sizes[0] else benchmark.Process([str(options.datasway), "flex", str(size)])
            print(f"{size} by {size}: U-Net of", exporter.ask("export", inputs), flush=True)
            script = benchmark.__file__
            torch[size] = benchmark.Process([sys.executable, script, "--worker", "torch", inputs, options.device, str(size)])
        references = {}
        for operation in (o for o in CHECKED_ON_CPU if o in options.only):
            references[operation] = folder / f"cpu-{operation}.safetensors"
            cpu.ask("values", operation, batches[0], references[operation])
        cpu.process.kill()
        for size, process in torch.items():
            for operation in options.only:
                for batch in options.batches:
                    process.ask("values", operation, batch, folder / f"torch-{size}-{operation}-{batch}.safetensors")
        print(f"# PyTorch and the CPU have computed after {time.perf_counter() - begun:.0f} s", flush=True)
        warm_up(rows, options.warm_up - (time.perf_counter() - begun))

        print("\n## Agreement, in units of the largest entry")
        worst = 0.0
        for row in rows:
            for batch in row.ready:
                theirs = folder / f"torch-{row.size}-{row.operation}-{batch}.safetensors"
                words = []
                # A training step's loss depends on the steps before it: the first is compared with the CPU's first.
                if row.operation != "train" and theirs.exists():
                    error = difference(row.values(batch), theirs)
                    worst = max(worst, error)
                    words.append(f"PyTorch's {error:.1e}{'' if error < LIMIT else ' TOO MUCH'}")
                if row.size == options.sizes[0] and batch == batches[0] and row.operation in references:
                    error = difference(row.values(batch), references[row.operation])
                    worst = max(worst, error)
                    words.append(f"the CPU's {error:.1e}{'' if error < LIMIT else ' TOO MUCH'}")
                    if row.operation != "train":
                        words.append(f"PyTorch from the CPU's {difference(theirs, references[row.operation]):.1e}")
                if words:
                    print(f"{row.name}, batch {batch}: from {'; '.join(words)}", flush=True)

        print("\n| operation | pixels | batch | Datasway, ms | PyTorch, ms | ratio | first run, s |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        header = "operation,size,batch,datasway_ms,torch_ms,ratio,first_run_s"
        table, raw = [header], ["operation,size,batch,round,repeats,datasway_ms,torch_ms"]
        for row in sorted(rows, key=lambda row: (row.size, options.only.index(row.operation))):
            for batch in sorted(row.ready):
                if time.perf_counter() - begun > options.until:
                    continue
                pair = {"datasway": row, "torch": torch[row.size]}
                ask = lambda repeats: {name: float(p.ask(row.operation, batch, repeats)) for name, p in pair.items()}
                ask(1)
                first = ask(1)
                slowest = max(v for v in first.values() if not math.isnan(v))
                repeats = max(1, min(10, int(200 / slowest)))
                rounds = [ask(repeats) for _ in range(options.rounds if slowest < 500 else 3)]
                middle = {name: statistics.median(r[name] for r in rounds) for name in pair}
                ratio = statistics.median(r["datasway"] / r["torch"] for r in rounds)
                cells = [row.operation, str(row.size), str(batch), f"{middle['datasway']:.2f}", f"{middle['torch']:.2f}", f"{ratio:.2f}"]
                cells.append(f"{row.ready[batch]:.0f}")
                print(f"| {' | '.join(cells)} |", flush=True)
                table.append(",".join(cells))
                raw += [
                    f"{row.operation},{row.size},{batch},{i},{repeats},{r['datasway']:.4f},{r['torch']:.4f}"
                    for i, r in enumerate(rounds)
                ]
                (options.out / "rows.csv").write_text("\n".join(table) + "\n")
                (options.out / "raw.csv").write_text("\n".join(raw) + "\n")
            row.process.kill()
        if options.device != "cpu":
            side = benchmark.GEMM_ON_CARD
            times = [float(torch[options.sizes[0]].ask("gemm", 1, 10)) for _ in range(5)]
            print(f"\nPyTorch's product of {side} by {side} (TF32): {2 * side**3 / min(times) / 1e9:.0f} TFLOP/s at best")
        for size, process in torch.items():
            print(f"forward, {size} by {size}: {float(process.ask('flops', 1)) / 1e9:.3f} GFLOP an image")
        for row in rows:
            log = row.folder / "log.txt"
            if log.exists():
                (options.out / f"kernels-{row.name}.txt").write_bytes(log.read_bytes())
        if not worst < LIMIT:
            sys.exit("Datasway and PyTorch do not compute the same in every row: see above")


if __name__ == "__main__":
    main()
