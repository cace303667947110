# /// script
# requires-python = ">=3.10"
# dependencies = ["torch==2.15.0", "numpy", "safetensors"]
# ///
"""Derivatives of a small DDPM-like network by PyTorch's torch.func.jvp, for crates/burn-jvp/tests/torch/jvp.rs.

    python3 scripts/torch_jvp_fixture.py

writes crates/burn-jvp/tests/fixtures/torch_jvp.safetensors: weights, inputs, three pairs of directions (in both inputs,
in the image alone, in the noise level alone), and outputs and derivatives in single and double precision.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

CHANNELS, HEADS, EMBEDDING = 12, 2, 16
OUT = Path(__file__).parent.parent / "crates/burn-jvp/tests/fixtures/torch_jvp.safetensors"


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        c, e = CHANNELS, EMBEDDING
        self.embed1, self.embed2 = nn.Linear(8, e), nn.Linear(e, e)
        self.enter = nn.Conv2d(3, c, 3, padding=1)
        self.norm1, self.conv1 = nn.GroupNorm(4, c), nn.Conv2d(c, c, 3, padding=1)
        self.noise = nn.Linear(e, c)
        self.norm2, self.conv2 = nn.GroupNorm(4, c), nn.Conv2d(c, c, 3, padding=1)
        self.norm3 = nn.GroupNorm(3, c)
        self.query, self.key = nn.Linear(c, c), nn.Linear(c, c)
        self.value, self.output = nn.Linear(c, c), nn.Linear(c, c)
        self.norm4, self.leave = nn.GroupNorm(4, c), nn.Conv2d(c, 3, 3, padding=1)

    def attention(self, x):
        n, c, height, width = x.shape
        tokens = self.norm3(x).reshape(n, c, height * width).transpose(1, 2)
        heads = lambda t: t.reshape(n, -1, HEADS, c // HEADS).transpose(1, 2)
        q, k, v = heads(self.query(tokens)), heads(self.key(tokens)), heads(self.value(tokens))
        weights = torch.softmax(q @ k.transpose(2, 3) / (c // HEADS) ** 0.5, dim=3)
        y = self.output((weights @ v).transpose(1, 2).reshape(n, -1, c))
        return x + y.transpose(1, 2).reshape(x.shape)

    def forward(self, x, noise):
        angles = noise[:, None] * torch.arange(1, 5, dtype=noise.dtype)
        features = torch.cat([angles.sin(), angles.cos()], dim=1)
        embedding = self.embed2(F.gelu(self.embed1(features)))
        x = self.enter(x)
        h = self.conv1(F.silu(self.norm1(x))) + self.noise(F.silu(embedding))[:, :, None, None]
        x = x + self.conv2(F.silu(self.norm2(h)))
        return self.leave(F.silu(self.norm4(self.attention(x))))


def main():
    torch.manual_seed(20240613)
    torch.set_num_threads(1)
    net = Network()
    with torch.no_grad():
        for name, p in net.named_parameters():
            if name.startswith("norm"):
                p.uniform_(-1.0, 1.0)
            elif name.startswith(("query", "key")) and p.dim() == 2:
                p.mul_(3.0)  # so that attention is not uniform
    x, noise = torch.randn(2, 3, 8, 8), torch.tensor([0.3, 1.7])
    dx, dnoise = torch.randn(3, 2, 3, 8, 8), torch.randn(3, 2)
    dnoise[1], dx[2] = 0.0, 0.0

    tensors = {f"weights.{k}": v.detach().clone() for k, v in net.named_parameters()}
    tensors |= {"x": x, "noise": noise, "dx": dx, "dnoise": dnoise}
    for suffix, dtype in [("f32", torch.float32), ("f64", torch.float64)]:
        net, point = net.to(dtype), (x.to(dtype), noise.to(dtype))
        derivatives = []
        for v in zip(dx.to(dtype), dnoise.to(dtype)):
            y, dy = torch.func.jvp(lambda *args: net(*args), point, v)
            derivatives.append(dy.detach())
        tensors |= {f"y.{suffix}": y.detach().clone(), f"dy.{suffix}": torch.stack(derivatives)}
    OUT.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, OUT, metadata={"by": f"torch_jvp_fixture.py, torch {torch.__version__}"})
    print(f"{OUT}: {OUT.stat().st_size} bytes, torch {torch.__version__}")


if __name__ == "__main__":
    main()
