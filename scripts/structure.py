#!/usr/bin/env python3
"""Checks the structure of the workspace: scripts/structure.py

1. Every dependency between crates points to a lower floor (ARCHITECTURE.md).
2. Only the binaries and datasway-cli depend on clap and anyhow.
3. The files of a crate form no circle by their paths (`crate::`, `super::`, `self::`), module declarations and re-exports aside.
4. No crate has more than a fifth of all lines in src. Tests and examples do not count.

Prints the sizes; fails with a line for each violation.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FLOORS = [
    ["burn-jvp", "datasway-fs", "datasway-stats"],
    ["burn-cpu-kernels", "datasway-data", "datasway-report"],
    ["datasway-diffusion", "datasway-image-products"],
    ["datasway-training", "datasway-classifier", "datasway-pretrained", "datasway-cli"],
    ["datasway-sensitivity"],
    ["datasway-attribution", "datasway-verification"],
    ["datasway-retraining", "datasway"],
    ["train", "sensitivity", "retrain"],
]
FLOOR = {name: number for number, names in enumerate(FLOORS, 1) for name in names}
COMMAND_LINE = {"clap", "anyhow"}
MAY_PARSE = {"train", "sensitivity", "retrain", "datasway-cli"}
LARGEST_SHARE = 0.2


def manifests():
    """The crates by name: folder and dependencies."""
    found = {}
    for file in sorted((ROOT / "crates").glob("*/Cargo.toml")):
        manifest = tomllib.loads(file.read_text())
        found[manifest["package"]["name"]] = (file.parent, set(manifest.get("dependencies", {})))
    return found


def modules(source):
    """The files of a crate by module path, such as ('influence', 'batched')."""
    paths = {}
    for file in source.rglob("*.rs"):
        parts = list(file.relative_to(source).with_suffix("").parts)
        if parts[-1] in ("mod", "lib", "main"):
            parts.pop()
        paths[tuple(parts)] = file
    return paths


def code(file):
    """The code without comments, strings, unit tests, module declarations and re-exports."""
    text = file.read_text()
    text = re.split(r"#\[cfg\(test\)\]\s*mod tests", text)[0]
    text = re.sub(r"//[^\n]*", "", text)
    text = re.sub(r'"(\\.|[^"\\])*"', '""', text)
    text = re.sub(r"\bpub(\([^)]*\))?\s+use\s[^;]*;", "", text)
    text = re.sub(r"\bpub\(in [^)]*\)", "pub", text)
    return re.sub(r"\b(pub(\([^)]*\))?\s+)?mod\s+\w+;", "", text)


def expand(path):
    """The paths of a use tree: `a::{b, c::d}` gives `a::b` and `a::c::d`."""
    start, brace, rest = path.partition("{")
    if not brace:
        return [path.strip()]
    inner, depth, parts, last = rest[: rest.rindex("}")], 0, [], 0
    for i, character in enumerate(inner):
        depth += (character == "{") - (character == "}")
        if character == "," and depth == 0:
            parts.append(inner[last:i])
            last = i + 1
    parts.append(inner[last:])
    return [start.strip() + tail for part in parts if part.strip() for tail in expand(part.strip())]


def references(module, text, children):
    """Absolute module paths that a file names."""
    uses = re.findall(r"\buse\s+((?:crate|super|self|\w+)::[^;]*);", text)
    paths = [path for use in uses for path in expand(use)]
    paths += re.findall(r"\b(?:crate|super|self)(?:::\w+)+", re.sub(r"\buse\s[^;]*;", "", text))
    # `child::item`, for a module of this file.
    paths += ["self::" + path for path in re.findall(r"(?<![\w:])(\w+::\w+)", text) if path.split("::")[0] in children]
    for path in paths:
        parts = [part.split(" as ")[0].strip() for part in path.split("::")]
        if parts[0] in children:
            parts.insert(0, "self")
        base = {"crate": (), "self": module}.get(parts[0])
        while parts and parts[0] == "super":
            base = (module if base is None else base)[:-1]
            parts.pop(0)
        if base is None:
            continue
        yield base + tuple(part for part in parts if part not in ("crate", "self"))


def edges(paths):
    """Which module refers to which."""
    found = {module: set() for module in paths}
    for module, file in paths.items():
        children = {path[-1] for path in paths if path[:-1] == module and path != module}
        for target in references(module, code(file), children):
            while target not in paths:
                target = target[:-1]
            if target != module:
                found[module].add(target)
    return found


def circles(graph):
    """The strongly connected components of more than one module (Tarjan 1972)."""
    index, low, stack, result = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            component = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(component) > 1:
                result.append(component)

    for node in graph:
        if node not in index:
            visit(node)
    return result


def lines(folder):
    """Lines of Rust in a folder."""
    files = (file for file in folder.rglob("*.rs") if "target" not in file.parts)
    return sum(file.read_text().count("\n") for file in files)


def main():
    crates, wrong = manifests(), []
    for name, (_, dependencies) in crates.items():
        if name not in FLOOR:
            wrong.append(f"{name} stands on no floor: name it in scripts/structure.py")
            continue
        for other in sorted(dependencies & crates.keys()):
            if FLOOR.get(other, 0) >= FLOOR[name]:
                wrong.append(f"{name} (floor {FLOOR[name]}) depends on {other} (floor {FLOOR.get(other)})")
        if name not in MAY_PARSE and dependencies & COMMAND_LINE:
            wrong.append(f"{name} depends on {', '.join(sorted(dependencies & COMMAND_LINE))}: only binaries and datasway-cli may")
    for name, (folder, _) in crates.items():
        for circle in circles(edges(modules(folder / "src"))):
            words = ", ".join("::".join(module) or "the root" for module in sorted(circle))
            wrong.append(f"{name}: a circle of {len(circle)} files: {words}")
    sizes = {name: lines(folder / "src") for name, (folder, _) in crates.items()}
    total = sum(sizes.values())
    for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
        print(f"{name:22} {size:6} lines {100 * size / total:5.1f} %")
        if size > LARGEST_SHARE * total:
            wrong.append(f"{name} has {100 * size / total:.0f} % of all lines in src")
    print("\n".join(wrong) or "the structure holds", file=sys.stderr if wrong else sys.stdout)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
