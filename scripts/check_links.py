#!/usr/bin/env python3
"""Checks the links of the documentation: scripts/check_links.py [ROOT]. Python 3 standard library, no network.

- Every relative link and image in a Markdown file names a file or folder that exists, and every `#anchor` a heading.
- Every path in backticks that begins with a folder of the repository (`crates/…`, `docs/…`, `scripts/…`, …) exists.
- Every page under docs/src is listed in docs/src/SUMMARY.md, and SUMMARY.md lists nothing else.
- The comments of sources, scripts and experiment files name only Markdown files that exist.

Prints one line for each fault and exits with 1 if there are any.
"""

import re
import subprocess
import sys
import unicodedata
from pathlib import Path
from urllib.parse import unquote

# Folders whose paths are checked where they stand in backticks.
FOLDERS = ("crates/", "docs/", "scripts/", "experiments/", "tests/", "examples/", "fuzz/", ".ci/")
# Folders that hold what programs write.
SKIPPED = ("target/", "runs/", "docs/book/")
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
REFERENCE = re.compile(r"^\s{0,3}\[[^\]]+\]:\s+<?(\S+?)>?\s*$")
CODE = re.compile(r"`([^`]+)`")
EXTERNAL = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)
MARKDOWN_NAME = re.compile(r"(?<![\w/.-])((?:docs|datasets|experiments|crates)/[\w./-]+\.md)\b")
SOURCES = {".rs", ".py", ".sh", ".toml", ".sbatch"}


def files_of(root):
    """The repository's files: what git tracks or would track."""
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True, check=True,
    ).stdout.decode()
    names = (name for name in listed.split("\0") if name and not name.startswith(SKIPPED))
    return sorted({root / name for name in names if (root / name).is_file()})


def prose(text):
    """Numbered lines outside fenced code blocks."""
    fence = None
    for number, line in enumerate(text.splitlines(), 1):
        mark = re.match(r"\s*(`{3,}|~{3,})", line)
        if mark and fence is None:
            fence = mark.group(1)[:3]
        elif mark and line.strip().startswith(fence):
            fence = None
        elif fence is None:
            yield number, line


def slug(heading):
    """The anchor of a heading, as forges and mdBook make it."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    text = text.replace("`", "").replace("*", "").strip().lower()
    kept = (c for c in text if c in " -_" or unicodedata.category(c)[0] in "LNM")
    return "".join(kept).replace(" ", "-")


def anchors(path, cache={}):
    """The anchors of a Markdown file."""
    if path not in cache:
        count, names = {}, set()
        text = path.read_text(encoding="utf-8")
        for _, line in prose(text):
            heading = re.match(r"#{1,6}\s+(.*?)\s*#*\s*$", line)
            if heading:
                name = slug(heading.group(1))
                repeat = count.get(name, 0)
                count[name] = repeat + 1
                names.add(f"{name}-{repeat}" if repeat else name)
        names |= set(re.findall(r"<a\s+(?:id|name)=\"([^\"]+)\"", text))
        cache[path] = names
    return cache[path]


def link_fault(root, page, target):
    """What is wrong with a link, or nothing."""
    if EXTERNAL.match(target):
        return None
    name, _, anchor = unquote(target).partition("#")
    path = (page.parent / name).resolve() if name else page
    if not path.is_relative_to(root):
        return f"{target} leads out of the repository"
    if not path.exists():
        return f"{target} does not exist"
    if anchor and path.suffix == ".md" and anchor not in anchors(path):
        return f"{target}: {path.relative_to(root)} has no heading #{anchor}"
    return None


def check_page(root, page):
    """The faults of a Markdown file: (line, sentence)."""
    for number, line in prose(page.read_text(encoding="utf-8")):
        bare = CODE.sub(lambda code: " " * len(code.group(0)), line)
        targets = LINK.findall(bare) + REFERENCE.findall(bare)
        # A link whose text is code is seen with its code in place.
        targets += [target for target in LINK.findall(line) if target not in targets]
        for target in targets:
            fault = link_fault(root, page, target)
            if fault:
                yield number, fault
        for code in CODE.findall(line):
            for word in code.split():
                path = word.rstrip(".,;:").split("::")[0].split("#")[0]
                if not path.startswith(FOLDERS) or f"{path}/".startswith(SKIPPED) or re.search(r"[*<>{}…$]|NAME|\.\.\.", path):
                    continue
                if not any((base / path).exists() for base in (root, page.parent)):
                    yield number, f"`{path}` does not exist"


def check_summary(root):
    """Pages that SUMMARY.md does not list."""
    source = root / "docs/src"
    summary = source / "SUMMARY.md"
    if not summary.exists():
        yield summary, 1, "is missing"
        return
    listed = [
        (number, (source / target).resolve())
        for number, line in prose(summary.read_text(encoding="utf-8"))
        for target in LINK.findall(line)
    ]
    pages = {path for _, path in listed}
    for page in sorted(source.rglob("*.md")):
        if page != summary and page.resolve() not in pages:
            yield page, 1, "is not listed in docs/src/SUMMARY.md"
    for number, path in listed:
        if [other for _, other in listed].count(path) > 1:
            yield summary, number, f"{path.name} is listed more than once"


def check_source(root, path):
    """Markdown files that a source names and that do not exist."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return
    for number, line in enumerate(text.splitlines(), 1):
        for name in MARKDOWN_NAME.findall(line):
            if not (root / name).exists():
                yield number, f"{name} does not exist"


def main():
    default = Path(__file__).resolve().parent.parent
    root = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else default
    files = files_of(root)
    faults, pages = [], 0
    for path in files:
        if path.suffix == ".md":
            pages += 1
            faults += [(path, number, fault) for number, fault in check_page(root, path)]
        elif path.suffix in SOURCES and path != Path(__file__).resolve():
            faults += [(path, number, fault) for number, fault in check_source(root, path)]
    faults += check_summary(root)
    for path, number, fault in faults:
        print(f"{path.relative_to(root)}:{number}: {fault}", file=sys.stderr)
    print(f"{pages} Markdown files, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
