"""How often a name finds the code that defines it, and a path its file, before all that uses them.

Indexes the Python code and the docs of this repository with `tiny`, takes classes and functions at
random that one place alone defines, and searches for each by its name. Names are counted where the
first result has the line of the definition, paths where it is of the file.

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
    return {name: found[0] for name, found in sorted(places.items()) if len(found) == 1}


def is_camel(name: str) -> bool:
    """Whether a name is written as those of classes are, of two words at least."""
    return sum(letter.isupper() for letter in name) > 1 and "_" not in name.strip("_")


def first(index: qrank.Index, query: str, mode: str) -> qrank.Result | None:
    """The first result."""
    return next(iter(index.search(query, mode=mode, limit=1)), None)


def report(what: str, mode: str, misses: list[str], count: int) -> None:
    """Print how many were first, and those that were not."""
    print(f"{mode:7} {what:22} {count - len(misses)} of {count}", flush=True)
    for miss in misses:
        print(f"        not first: {miss}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=100, help="names, half of them CamelCase")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="code to index (default: this repository)")
    parser.add_argument("--db", type=Path, help="keep the index here, or use the one that is")
    given = parser.parse_args()
    folders = [given.folder.resolve()] if given.folder else [ROOT / name for name in FOLDERS]
    files = sorted(file for folder in folders for file in folder.rglob("*.py"))
    names = definitions(files)
    chance = random.Random(given.seed)
    camel = [name for name in names if is_camel(name)]
    other = [name for name in names if not is_camel(name) and len(name) > 3]
    half = given.count // 2
    kinds = {
        "CamelCase": chance.sample(camel, min(half, len(camel))),
        "other names": chance.sample(other, min(given.count - half, len(other))),
    }
    paths = chance.sample(files, min(60, len(files)))
    with (
        tempfile.TemporaryDirectory() as scratch,
        qrank.Index(given.db or Path(scratch) / "code.db", embed_model="tiny") as index,
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
            for kind, asked in (
                ("paths", [str(path.relative_to(path.parents[1])) for path in paths]),
                ("names of files", [path.name for path in paths]),
            ):
                hits = [first(index, query, mode) for query in asked]
                misses = [
                    query
                    for query, hit in zip(asked, hits, strict=True)
                    if not hit or not hit.path.endswith(f"/{query}")
                ]
                report(kind, mode, misses, len(asked))


if __name__ == "__main__":
    main()
