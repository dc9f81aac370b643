"""Whole-process times of everyday commands on 10,000 passages, beside `python -c pass`.

    python benchmarks/startup.py [--runs 7] [--copies 40] [--db FILE]

Run with the Python of the environment that qrank is installed in. The passages are the sample's,
many times over. Medians; the commands take turns, so that a machine that slows down slows all of
them. Modules are compiled before they are timed, as pip does when it installs, whatever
PYTHONDONTWRITEBYTECODE says.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from compiled import keep_compiled

SAMPLE = Path(__file__).parents[1] / "sample_corpus"
QUERY = "how many days can I keep a sourdough starter in the fridge"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--db", type=Path, help="search this index instead")
    parser.add_argument("--copies", type=int, default=40, help="of the sample, that are searched")
    options = parser.parse_args()
    qrank = [sys.executable, "-m", "qrank"]
    with tempfile.TemporaryDirectory() as folder:
        keep_compiled(Path(folder))
        db = options.db or Path(folder) / "sample.db"
        if not options.db:
            copies = Path(folder) / "copies"
            for i in range(options.copies):
                shutil.copytree(SAMPLE, copies / str(i))
            subprocess.run([*qrank, "index", str(copies), "--db", str(db)], check=True)
        search = [*qrank, "search", "--db", str(db)]
        by_words = [*search, "--mode", "bm25"]
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "qrank --help": [*qrank, "--help"],
            "search --mode bm25": [*by_words, QUERY],
            "… with a phrase": [*by_words, QUERY + ' "sourdough starter"'],
            "… --json": [*by_words, "--json", QUERY],
            "search --no-rerank": [*search, "--no-rerank", QUERY],
            "search (30 reranked)": [*search, "--candidates", "30", QUERY],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for turn in range(options.runs + 1):
            for i, (name, command) in enumerate(commands.items()):
                # Asked in other words each time: answers to the same question are cached.
                asked = [part.replace("many", f"many ({turn} {i})") for part in command]
                started = time.perf_counter()
                subprocess.run(asked, check=True, capture_output=True)
                if turn:  # the first is for the file cache
                    times[name].append(time.perf_counter() - started)
    print(f"{'command':<22}{'median s':>9}{'least':>8}{'most':>8}")
    for name, taken in times.items():
        print(f"{name:<22}{statistics.median(taken):>9.3f}{min(taken):>8.3f}{max(taken):>8.3f}")


if __name__ == "__main__":
    main()
