"""How often the first result for a name is its definition, and for a path the file itself.

Indexes the Python code and the docs of this repository with `tiny`, and searches for random names
of classes and functions that are defined once, and for random paths. A name is found when the
first result includes the line of the definition, a path when it is in the file.

    python benchmarks/symbols.py [--count 100] [--seed 1] [--folder FOLDER] [--db FILE]
"""

from __future__ import annotations

import argparse
import ast
import random
import tempfile
from collections import defaultdict
from pathlib import Path

import qrank

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("qrank", "tests", "benchmarks", "docs", "training")


def definitions(files: list[Path]) -> dict[str, tuple[Path, int]]:
    """(file, line) of each class and function that is defined once, by its name."""
    places = defaultdict(list)
    for file in files:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                places[node.name].append((file, node.lineno))
    return {name: defined[0] for name, defined in sorted(places.items()) if len(defined) == 1}


def is_camel(name: str) -> bool:
    """Whether a name is in CamelCase, of two words at least."""
    return sum(letter.isupper() for letter in name) > 1 and "_" not in name.strip("_")


def first(index: qrank.Index, query: str, mode: str) -> qrank.Result | None:
    """The first result."""
    return next(iter(index.search(query, mode=mode, limit=1)), None)


def report(what: str, mode: str, misses: list[str], count: int) -> None:
    """Print how many were first, and the others."""
    print(f"{mode:7} {what:22} {count - len(misses)} of {count}", flush=True)
    for miss in misses:
        print(f"        not first: {miss}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=100, help="names, half of them CamelCase")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="code to index (default: this repository)")
    parser.add_argument("--db", type=Path, help="keep the index here, or use an existing one")
    options = parser.parse_args()
    folders = [options.folder.resolve()] if options.folder else [ROOT / name for name in FOLDERS]
    files = sorted(file for folder in folders for file in folder.rglob("*.py"))
    names = definitions(files)
    chance = random.Random(options.seed)
    camel = [name for name in names if is_camel(name)]
    other = [name for name in names if not is_camel(name) and len(name) > 3]
    half = options.count // 2
    kinds = {
        "CamelCase": chance.sample(camel, min(half, len(camel))),
        "other names": chance.sample(other, min(options.count - half, len(other))),
    }
    paths = chance.sample(files, min(60, len(files)))
    with (
        tempfile.TemporaryDirectory() as scratch,
        qrank.Index(options.db or Path(scratch) / "code.db", embed_model="tiny") as index,
    ):
        index.add(folders)
        for mode in ("bm25", "hybrid"):
            for kind, chosen in kinds.items():
                misses = []
                for name in chosen:
                    file, line = names[name]
                    hit = first(index, name, mode)
                    if not hit or hit.path != str(file):
                        where = f"{hit.path}:{hit.start_line}" if hit else "nothing"
                        misses.append(f"{name} ({file}:{line}), but {where}")
                    elif not hit.start_line <= line <= hit.end_line:
                        misses.append(f"{name} (line {line}), but line {hit.start_line}")
                report(kind, mode, misses, len(chosen))
            for kind, queries in (
                ("paths", [str(path.relative_to(path.parents[1])) for path in paths]),
                ("names of files", [path.name for path in paths]),
            ):
                hits = [first(index, query, mode) for query in queries]
                misses = [
                    query
                    for query, hit in zip(queries, hits, strict=True)
                    if not hit or not hit.path.endswith(f"/{query}")
                ]
                report(kind, mode, misses, len(queries))


if __name__ == "__main__":
    main()
