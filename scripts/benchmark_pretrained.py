# /// script
# requires-python = ">=3.10"
# dependencies = ["torch", "diffusers", "numpy", "safetensors"]
# ///
"""A network of google/ddpm-cifar10-32's configuration (35.7 million weights) in Datasway and in PyTorch with diffusers.

    cargo build --workspace --example benchmark_pretrained
    python3 scripts/benchmark_pretrained.py --datasway target/debug/examples/benchmark_pretrained

The weights are random: diffusers writes the pipeline into a temporary folder, from which Datasway loads it as it loads
any other. Timed are the denoiser D(x, sigma) and its Jacobian product with one tangent, each library in a process of its own,
asked in turn; printed are medians in milliseconds, the median of the rounds' ratios, and each process's peak memory. Before
anything is timed, values are compared.

PyTorch runs diffusers' network as its users do. `torch.func.jvp` has no rule for its fused attention, so there attention is
computed by its plain form, as PyTorch offers it. With `--processor-time` each library has one thread on one core, as in
benchmark.py.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmark import Process

ROOT = Path(__file__).parent.parent
# config.json of google/ddpm-cifar10-32.
CONFIG = dict(
    sample_size=32,
    in_channels=3,
    out_channels=3,
    block_out_channels=(128, 256, 256, 256),
    layers_per_block=2,
    down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    attention_head_dim=None,
    downsample_padding=0,
    flip_sin_to_cos=False,
    freq_shift=1,
    act_fn="silu",
    mid_block_scale_factor=1,
    norm_eps=1e-6,
    norm_num_groups=32,
    time_embedding_type="positional",
    center_input_sample=False,
)
TIME = 500
LARGEST_BATCH = 32


def prepare(folder):
    """Writes the pipeline and inputs, and returns the noise level of `TIME`."""
    import torch
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
    from safetensors.torch import save_file

    torch.manual_seed(0)
    network = UNet2DModel(**CONFIG)
    scheduler = DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear", prediction_type="epsilon")
    DDPMPipeline(network, scheduler).save_pretrained(folder / "pipeline")
    share = scheduler.alphas_cumprod[TIME].double()
    sigma = float(((1 - share) / share).sqrt())
    d = 3 * 32 * 32
    draw = lambda: torch.randn(LARGEST_BATCH, d)
    save_file({"x": sigma * draw(), "tangent": draw()}, folder / "inputs.safetensors")
    print(f"{sum(w.numel() for w in network.parameters()):,} weights, sigma {sigma:.3f}", flush=True)
    return sigma


def in_order(network):
    """Hooks by which the tangents that leave attentions have the memory layout of their values, which PyTorch's rule of group
    normalisation needs."""
    import torch
    from diffusers.models.attention_processor import Attention

    copy = lambda module, inputs, output: output.clone(memory_format=torch.contiguous_format)
    attentions = (module for module in network.modules() if isinstance(module, Attention))
    return [module.register_forward_hook(copy) for module in attentions]


def worker(folder):
    """PyTorch, asked over standard input as Datasway's example is."""
    import torch
    from diffusers import UNet2DModel
    from safetensors.torch import load_file, save_file
    from torch.nn.attention import SDPBackend, sdpa_kernel

    folder = Path(folder)
    network = UNet2DModel.from_pretrained(folder / "pipeline" / "unet").eval()
    inputs = load_file(folder / "inputs.safetensors")

    @torch.no_grad()
    def run(operation, batch, sigma):
        x, tangent = inputs["x"][:batch], inputs["tangent"][:batch]
        scale = (1 + sigma**2) ** -0.5

        def denoise(x):
            images = (scale * x).reshape(batch, 3, 32, 32)
            return x - sigma * network(images, TIME).sample.reshape(batch, -1)

        if operation == "forward":
            return denoise(x)
        hooks = in_order(network)
        with sdpa_kernel(SDPBackend.MATH):
            tangent = torch.func.jvp(denoise, (x,), (tangent,))[1]
        for hook in hooks:
            hook.remove()
        return tangent

    for line in sys.stdin:
        words = line.split()
        if words[0] == "values":
            save_file({"values": run(words[1], int(words[2]), float(words[3]))}, words[4])
            print("done", flush=True)
        else:
            started = time.perf_counter()
            run(words[0], int(words[1]), float(words[2]))
            print((time.perf_counter() - started) * 1e3, flush=True)


def check(processes, folder, sigma, limit=1e-4):
    from safetensors.numpy import load_file

    for operation in ("forward", "jvp1"):
        values = []
        for name, process in processes.items():
            file = folder / f"{name}.safetensors"
            process.ask("values", operation, 2, sigma, file)
            values.append(load_file(file)["values"])
        error = abs(values[0] - values[1]).max() / abs(values[1]).max()
        print(f"{operation}: differs by {error:.1e} of the largest entry", flush=True)
        if not error < limit:
            sys.exit("the libraries do not compute the same")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--warm", type=int, default=2)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--only", nargs="+", default=["forward", "jvp1"])
    parser.add_argument("--datasway", type=Path, default=ROOT / "target/release/examples/benchmark_pretrained")
    parser.add_argument("--processor-time", action="store_true", help="time the threads on one core, not the wall clock")
    parser.add_argument("--keep", type=Path, help="folder of the pipeline, instead of a temporary one")
    parser.add_argument("--csv", type=Path, help="write the raw times here")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return worker(options.worker)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        sigma = prepare(folder)
        processes = {
            "datasway": Process([options.datasway, folder / "pipeline", folder / "inputs.safetensors"], options.processor_time),
            "torch": Process([sys.executable, __file__, "--worker", folder], options.processor_time),
        }
        check(processes, folder, sigma)
        compare(processes, sigma, options)


def compare(processes, sigma, options):
    """Times both in turn, and prints the table."""
    raw = ["operation,batch,round,datasway_ms,torch_ms"]
    print("\n| operation | batch | Datasway, ms | PyTorch, ms | Datasway / PyTorch |\n| --- | --- | --- | --- | --- |")
    for operation in options.only:
        for batch in options.batches:
            rounds = []
            for i in range(options.warm + options.rounds):
                times = [process.time(operation, batch, sigma) for process in processes.values()]
                if i >= options.warm:
                    rounds.append(times)
                    raw.append(f"{operation},{batch},{i - options.warm},{times[0]:.3f},{times[1]:.3f}")
            ours, theirs = (statistics.median(times) for times in zip(*rounds))
            ratio = statistics.median(ours / theirs for ours, theirs in rounds)
            print(f"| {operation} | {batch} | {ours:.1f} | {theirs:.1f} | **{ratio:.2f}** |", flush=True)
    print("peak memory, MiB:", {name: round(process.peak()) for name, process in processes.items()})
    if options.csv:
        options.csv.write_text("\n".join(raw) + "\n")


if __name__ == "__main__":
    main()
