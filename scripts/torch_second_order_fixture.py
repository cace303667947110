# /// script
# requires-python = ">=3.10"
# dependencies = ["torch==2.11.0", "numpy", "safetensors"]
# ///
"""Derivatives in weights and of the second order by torch.func, for crates/burn-jvp/tests/torch/second_order.rs.

    python3 scripts/torch_second_order_fixture.py

writes crates/burn-jvp/tests/fixtures/torch_second_order.safetensors.gz. It has two networks, a U-Net with the mean square
error and a transformer with the cross-entropy. For NETWORK in "unet" and "transformer" the tensors are

- NETWORK.w.NAME and NETWORK.x.NAME: weights and inputs;
- NETWORK.target: the target of the loss;
- NETWORK.v.NAME: two directions, stacked, in each weight and in the image x (the second leaves x where it is);
- NETWORK.y and NETWORK.loss: the output and the loss;
- NETWORK.jvp: the derivatives of the output along the two directions;
- NETWORK.gradient.NAME, NETWORK.hvp.NAME and NETWORK.gauss_newton.NAME: the gradient of the loss (a stack of one), the
  products with its Hessian (forward over reverse) and the products Jᵀ·(2/n)·J·v, n being the number of entries of y.

Weights, inputs and directions are numbers of single precision. Everything else is of double precision at them.
torch.func agrees with itself in single precision to what the script prints.
"""

import gzip
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn
from torch.func import functional_call, grad, jvp, vjp
from torch.nn import functional as F

CHANNELS, HEADS, TOKENS, CLASSES = 8, 2, 7, 5
OUT = Path(__file__).parent.parent / "crates/burn-jvp/tests/fixtures/torch_second_order.safetensors.gz"


class Attention(nn.Module):
    """Multi-head self-attention of tokens [n, t, c]. A head of four channels divides by 2, exact in every precision."""

    def __init__(self):
        super().__init__()
        c = CHANNELS
        self.query, self.key, self.value, self.output = (nn.Linear(c, c) for _ in range(4))

    def forward(self, x):
        n, t, c = x.shape
        heads = lambda y: y.reshape(n, t, HEADS, c // HEADS).transpose(1, 2)
        q, k, v = heads(self.query(x)), heads(self.key(x)), heads(self.value(x))
        weights = torch.softmax(q @ k.transpose(2, 3) / (c // HEADS) ** 0.5, dim=3)
        return self.output((weights @ v).transpose(1, 2).reshape(n, t, c))


class UNet(nn.Module):
    """One level down by a stride and up by interpolation, with a skip connection and a shift by the noise level."""

    def __init__(self):
        super().__init__()
        c = CHANNELS
        conv = lambda i, o, stride=1: nn.Conv2d(i, o, 3, stride, padding=1)
        self.embed, self.shift = nn.Linear(2, c), nn.Linear(c, c)
        self.enter, self.down, self.up = conv(2, c), conv(c, c, 2), conv(c, c)
        self.norm1, self.conv1 = nn.GroupNorm(4, c), conv(c, c)
        self.norm2, self.attention = nn.GroupNorm(2, c), Attention()
        self.join = conv(2 * c, c)
        self.norm3, self.leave = nn.GroupNorm(4, c), conv(c, 2)

    def forward(self, x, noise):
        embedding = self.embed(torch.stack([noise.sin(), noise.cos()], 1))
        shift = self.shift(F.silu(embedding))[:, :, None, None]
        x = self.enter(x)
        skip = x + self.conv1(F.silu(self.norm1(x) + shift))
        x = self.down(skip)
        n, c, height, width = x.shape
        tokens = self.norm2(x).reshape(n, c, height * width).transpose(1, 2)
        x = x + self.attention(tokens).transpose(1, 2).reshape(x.shape)
        x = self.up(F.interpolate(x, scale_factor=2, mode="nearest"))
        x = self.join(torch.cat([x, skip], 1))
        return self.leave(F.silu(self.norm3(x)))

    def loss(self, y, target):
        return (y - target).square().mean()


class Layer(nn.Module):
    """A pre-norm layer of a transformer encoder with GELU."""

    def __init__(self):
        super().__init__()
        c = CHANNELS
        self.norm1, self.attention, self.norm2 = nn.LayerNorm(c), Attention(), nn.LayerNorm(c)
        self.inner, self.outer = nn.Linear(c, 2 * c), nn.Linear(2 * c, c)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.outer(F.gelu(self.inner(self.norm2(x))))


class Transformer(nn.Module):
    """Tokens to the logits of classes."""

    def __init__(self):
        super().__init__()
        c = CHANNELS
        self.embedding, self.layer1, self.layer2 = nn.Embedding(TOKENS, c), Layer(), Layer()
        self.norm, self.head = nn.LayerNorm(c), nn.Linear(c, CLASSES)

    def forward(self, tokens):
        return self.head(self.norm(self.layer2(self.layer1(self.embedding(tokens)))))

    def loss(self, y, target):
        return F.cross_entropy(y.flatten(0, 1), target.flatten())


def derivatives(net, weights, inputs, target, directions, dtype):
    """What the fixture has of a network, computed in one precision."""
    cast = lambda t: t.to(dtype) if t.is_floating_point() else t
    inputs, target = {k: cast(v) for k, v in inputs.items()}, cast(target)
    point = {k: cast(v) for k, v in weights.items()} | {k: inputs[k] for k in directions if k not in weights}

    def forward(point):
        arguments = tuple(point.get(k, v) for k, v in inputs.items())
        return functional_call(net, {k: point[k] for k in weights}, arguments)

    loss = lambda point: net.loss(forward(point), target)
    y, pull = vjp(forward, point)
    results = {"y": y, "loss": loss(point).reshape(1)}
    results |= {f"gradient.{k}": t[None] for k, t in grad(loss)(point).items()}
    columns = []
    for i in range(2):
        v = {k: cast(directions[k][i]) for k in point}
        _, tangent = jvp(forward, (point,), (v,))
        _, product = jvp(grad(loss), (point,), (v,))
        (gauss_newton,) = pull(2 / y.numel() * tangent)
        column = {"jvp": tangent} | {f"hvp.{k}": t for k, t in product.items()}
        columns.append(column | {f"gauss_newton.{k}": t for k, t in gauss_newton.items()})
    return results | {k: torch.stack([column[k] for column in columns]) for k in columns[0]}


def network(net, inputs, target, moved):
    """The tensors of a network, and the largest relative difference between the two precisions."""
    with torch.no_grad():
        for name, p in net.named_parameters():
            if "norm" in name:
                p.uniform_(-1.0, 1.0)
            elif name.endswith(("query.weight", "key.weight")):
                p.mul_(3.0)  # so that attention is not uniform
    weights = {k: p.detach().clone() for k, p in net.named_parameters()}
    directions = {k: torch.randn(2, *t.shape) for k, t in (weights | {k: inputs[k] for k in moved}).items()}
    for name in moved:
        directions[name][1] = 0.0
    single, double = (
        derivatives(net, weights, inputs, target, directions, dtype) for dtype in [torch.float32, torch.float64]
    )
    gaps = {k: ((single[k] - t).norm() / t.norm().clamp(min=1e-3)).item() for k, t in double.items()}
    tensors = {f"w.{k}": t for k, t in weights.items()} | {f"x.{k}": t for k, t in inputs.items()}
    tensors |= {f"v.{k}": t for k, t in directions.items()} | {"target": target} | double
    return tensors, max(gaps.items(), key=lambda item: item[1])


def main():
    torch.manual_seed(20240613)
    torch.set_num_threads(1)
    unet = {"x": torch.randn(2, 2, 8, 8), "noise": torch.tensor([0.3, 1.7])}
    transformer = {"tokens": torch.randint(TOKENS, (2, 6))}
    networks = {
        "unet": network(UNet(), unet, torch.randn(2, 2, 8, 8), ["x"]),
        "transformer": network(Transformer(), transformer, torch.randint(CLASSES, (2, 6)), []),
    }
    tensors = {}
    for name, (parts, (worst, gap)) in networks.items():
        tensors |= {f"{name}.{k}": t.detach().contiguous() for k, t in parts.items()}
        print(f"{name}: single precision differs from double by at most {gap:.1e} ({worst})")
    contents = save(tensors, metadata={"by": f"{Path(__file__).name}, torch {torch.__version__}"})
    OUT.write_bytes(gzip.compress(contents, 9, mtime=0))
    print(f"{OUT.name}: {OUT.stat().st_size} bytes, torch {torch.__version__}")


if __name__ == "__main__":
    main()
