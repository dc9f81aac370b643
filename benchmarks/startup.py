"""Whole-process times of everyday commands on 10,000 chunks, beside `python -c pass`.

    python benchmarks/startup.py [--runs 7] [--copies 40] [--db FILE] [--searches 1000]

Run with the Python of the environment that qrank is installed in. The chunks are the sample's,
many times over, a third of the words in another order each time, so that none is a copy of
another; their vectors are those of the bundled model. Medians; the commands take turns, so that a
machine that slows down slows all of them. Each is timed without and with a process of qrank serve,
whose memory is told, and which is then asked by several clients at once. Modules are compiled
before they are timed, as pip does when it installs, whatever PYTHONDONTWRITEBYTECODE says.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from compiled import keep_compiled

SAMPLE = Path(__file__).parents[1] / "sample_corpus"
QUERY = "how many days can I keep a sourdough starter in the fridge"
QRANK = [sys.executable, "-m", "qrank"]
ALONE = "python -c pass"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--db", type=Path, help="search this index instead")
    parser.add_argument("--copies", type=int, default=40, help="of the sample, that are searched")
    parser.add_argument("--searches", type=int, default=1000, help="by several clients at once")
    parser.add_argument("--clients", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        keep_compiled(Path(folder))
        os.environ["XDG_RUNTIME_DIR"] = folder
        db = options.db or Path(folder) / "sample.db"
        if not options.db:
            copies = Path(folder) / "copies"
            for i in range(options.copies):
                copy_sample(copies / str(i), random.Random(i))
            index = [*QRANK, "index", str(copies), "--db", str(db), "--embed-model", "tiny"]
            subprocess.run(index, check=True)
        with server():
            times = timed(db, options.runs)
            print_table(times)
            print(f"\nqrank serve: {held()}")
            if options.searches:
                together(db, options.searches, options.clients)
                print(f"qrank serve: {held()}")


def copy_sample(target: Path, chance: random.Random) -> None:
    """Copy the sample, a third of the words of each file in another order."""
    shutil.copytree(SAMPLE, target)
    for path in target.rglob("*"):
        if path.is_file():
            words = re.split(r"(\w+)", path.read_text("utf-8"))
            moved = [i for i in range(1, len(words), 2) if chance.random() < 1 / 3]
            others = [words[i] for i in moved]
            chance.shuffle(others)
            for i, word in zip(moved, others, strict=True):
                words[i] = word
            path.write_text("".join(words), "utf-8")


def timed(db: Path, runs: int) -> dict[str, list[float]]:
    """The seconds that each command took, by its name."""
    search = [*QRANK, "search", "--db", str(db)]
    by_words = [*search, "--mode", "bm25"]
    served = {
        "search --mode bm25": [*by_words, QUERY],
        "… with a phrase": [*by_words, QUERY + ' "sourdough starter"'],
        "… --json": [*by_words, "--json", QUERY],
        "search --no-rerank": [*search, "--no-rerank", QUERY],
        "search (30 reranked)": [*search, "--candidates", "30", QUERY],
    }
    commands = {ALONE: [sys.executable, "-c", "pass"], "qrank --help": [*QRANK, "--help"]}
    for name, command in served.items():
        commands[name] = [*command, "--no-serve"]
        commands[f"{name}, served"] = command
    times: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(runs + 1):
        for i, (name, command) in enumerate(commands.items()):
            # Asked in other words each time: answers to the same question are cached.
            asked = [part.replace("many", f"many ({turn} {i})") for part in command]
            started = time.perf_counter()
            subprocess.run(asked, check=True, capture_output=True)
            if turn:  # the first is for the file cache
                times[name].append(time.perf_counter() - started)
    return times


def print_table(times: dict[str, list[float]]) -> None:
    """Medians, and how often `python -c pass` would run in that time."""
    print(f"{'command':<30}{'median s':>9}{'least':>8}{'most':>8}{'ratio':>7}")
    unit = statistics.median(times[ALONE])
    for name, taken in times.items():
        median = statistics.median(taken)
        least, most = min(taken), max(taken)
        print(f"{name:<30}{median:>9.3f}{least:>8.3f}{most:>8.3f}{median / unit:>7.1f}")


@contextmanager
def server() -> Iterator[None]:
    """A process of qrank serve."""
    subprocess.run([*QRANK, "serve"], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run([*QRANK, "serve", "stop"], check=True)


def held() -> str:
    """What the server and all below it hold: memory, what they share counted once, and open files
    (Linux)."""
    told = subprocess.run([*QRANK, "serve", "status", "--json"], check=True, capture_output=True)
    pids = [json.loads(told.stdout)["pid"]]
    for pid in pids:
        for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
            pids += map(int, tasks.read_text().split())
    memory = files = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            memory += int(line.split()[1]) if line.startswith("Pss:") else 0
        files += sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return f"{memory // 1024} MB of memory, {files} open files in {len(pids)} processes"


def together(db: Path, searches: int, clients: int) -> None:
    """Many searches without rerank by several clients at once."""

    def search(i: int) -> float:
        query = QUERY.replace("many", f"many ({i})")
        started = time.perf_counter()
        command = [*QRANK, "search", "--db", str(db), "--no-rerank", "--debug", query]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        assert not run.stderr, run.stderr  # it says when it was not the server's
        return time.perf_counter() - started

    with ThreadPoolExecutor(clients) as threads:
        taken = sorted(threads.map(search, range(searches)))
    median, late = statistics.median(taken), taken[int(len(taken) * 0.95)]
    print(
        f"{searches} searches by {clients} clients: median {median:.3f} s, "
        f"95th percentile {late:.3f} s ({late / median:.1f} times), most {taken[-1]:.3f} s"
    )


if __name__ == "__main__":
    main()
