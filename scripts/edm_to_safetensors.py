"""Writes a network of NVlabs/edm as SafeTensors and JSON: python edm_to_safetensors.py PICKLE FOLDER.

It runs where NVlabs/edm can be imported (PYTHONPATH=CHECKOUT). A pickle runs the code inside it: use only those you trust.
The folder gets edm.safetensors, the averaged weights, and edm.json, every argument of wrapper and network with its value.
"""

import inspect
import json
import math
import pickle
import sys
from pathlib import Path


def arguments(wrapper):
    """Every argument of wrapper and network by name, those that were left at their defaults too; no limit is null."""

    def resolved(module):
        # The class before persistence decorated it, with the defaults of the pickle's own source.
        signature = inspect.signature(type(module).__mro__[1])
        bound = signature.bind(*module.init_args, **module.init_kwargs)
        bound.apply_defaults()
        values = {name: None if value == math.inf else value for name, value in bound.arguments.items()}
        return {"class": type(module).__name__} | values

    outer = resolved(wrapper)
    # The network's arguments stand with the network.
    del outer["model_kwargs"], outer["model_type"]
    return {"wrapper": outer, "network": resolved(wrapper.model)}


if __name__ == "__main__":
    from safetensors.torch import save_file

    pickled, folder = sys.argv[1:]
    network = pickle.loads(Path(pickled).read_bytes())["ema"].cpu()
    state = {key: value.contiguous() for key, value in network.state_dict().items() if not key.endswith("resample_filter")}
    Path(folder).mkdir(parents=True, exist_ok=True)
    save_file(state, Path(folder) / "edm.safetensors")
    (Path(folder) / "edm.json").write_text(json.dumps(arguments(network), indent=1))
