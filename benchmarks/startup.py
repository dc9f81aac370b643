"""Whole-process times of everyday commands on the sample, beside `python -c pass`.

    python benchmarks/startup.py [--runs 7] [--db FILE]

Run with the Python of the environment that qrank is installed in. Medians; the commands take
turns, so that a machine that slows down slows all of them.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAMPLE = Path(__file__).parents[1] / "sample_corpus"
QUERY = "how many days can I keep a sourdough starter in the fridge"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--db", type=Path, help="search this index instead of the sample's")
    options = parser.parse_args()
    qrank = [sys.executable, "-m", "qrank"]
    with tempfile.TemporaryDirectory() as folder:
        db = options.db or Path(folder) / "sample.db"
        if not options.db:
            subprocess.run([*qrank, "index", str(SAMPLE), "--db", str(db), "--quiet"], check=True)
        search = [*qrank, "search", "--db", str(db)]
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "qrank --help": [*qrank, "--help"],
            "search --mode bm25": [*search, "--mode", "bm25"],
            "search --no-rerank": [*search, "--no-rerank"],
            "search (30 reranked)": [*search, "--candidates", "30"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for turn in range(options.runs + 1):
            for name, command in commands.items():
                # Asked in other words each time: answers to the same question are cached.
                asked = [QUERY.replace("many", f"many ({turn} {name})")] if "search" in name else []
                started = time.perf_counter()
                subprocess.run([*command, *asked], check=True, capture_output=True)
                if turn:  # the first is for the file cache
                    times[name].append(time.perf_counter() - started)
    print(f"{'command':<22}{'median s':>9}{'least':>8}{'most':>8}")
    for name, taken in times.items():
        print(f"{name:<22}{statistics.median(taken):>9.3f}{min(taken):>8.3f}{max(taken):>8.3f}")


if __name__ == "__main__":
    main()
