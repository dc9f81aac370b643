"""Whole-process times of common commands on 10,000 chunks, compared with `python -c pass`.

    python benchmarks/startup.py [--runs 7] [--copies 40] [--db FILE] [--searches 1000]

Run with the Python of the environment that qrank is installed in. The files are copies of the
sample with a third of the words shuffled, so that no chunks are equal; vectors are the bundled
model's. Prints medians; the commands take turns, so that all are slowed by a busy machine. Searches
are timed without and with qrank serve; then its memory is printed, before and after many searches
by several clients at once. Modules are compiled before anything is timed, as pip does, whatever
PYTHONDONTWRITEBYTECODE says.
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
            print(f"\nqrank serve: {server_usage()}")
            if options.searches:
                concurrent_searches(db, options.searches, options.clients)
                print(f"qrank serve: {server_usage()}")


def copy_sample(target: Path, chance: random.Random) -> None:
    """Copy the sample, with a third of the words of each file shuffled."""
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
            # Another query each time: results of the same query are cached.
            changed = [part.replace("many", f"many ({turn} {i})") for part in command]
            started = time.perf_counter()
            subprocess.run(changed, check=True, capture_output=True)
            if turn:  # the first turn fills the file cache
                times[name].append(time.perf_counter() - started)
    return times


def print_table(times: dict[str, list[float]]) -> None:
    """Print medians, and their ratios to that of `python -c pass`."""
    print(f"{'command':<30}{'median s':>9}{'least':>8}{'most':>8}{'ratio':>7}")
    unit = statistics.median(times[ALONE])
    for name, values in times.items():
        median = statistics.median(values)
        least, most = min(values), max(values)
        print(f"{name:<30}{median:>9.3f}{least:>8.3f}{most:>8.3f}{median / unit:>7.1f}")


@contextmanager
def server() -> Iterator[None]:
    """A process of qrank serve."""
    subprocess.run([*QRANK, "serve"], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run([*QRANK, "serve", "stop"], check=True)


def server_usage() -> str:
    """Memory (PSS: shared pages are counted once) and open files of the server and its child
    processes, as text (Linux)."""
    status = subprocess.run([*QRANK, "serve", "status", "--json"], check=True, capture_output=True)
    pids = [json.loads(status.stdout)["pid"]]
    for pid in pids:
        for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
            pids += map(int, tasks.read_text().split())
    memory = files = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            memory += int(line.split()[1]) if line.startswith("Pss:") else 0
        files += sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return f"{memory // 1024} MB of memory, {files} open files in {len(pids)} processes"


def concurrent_searches(db: Path, searches: int, clients: int) -> None:
    """Print the times of searches without rerank by several clients at once."""

    def search(i: int) -> float:
        query = QUERY.replace("many", f"many ({i})")
        started = time.perf_counter()
        command = [*QRANK, "search", "--db", str(db), "--no-rerank", "--debug", query]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        assert not run.stderr, run.stderr  # it has a line when the server was not used
        return time.perf_counter() - started

    with ThreadPoolExecutor(clients) as threads:
        seconds = sorted(threads.map(search, range(searches)))
    median, late = statistics.median(seconds), seconds[int(len(seconds) * 0.95)]
    print(
        f"{searches} searches by {clients} clients: median {median:.3f} s, "
        f"95th percentile {late:.3f} s ({late / median:.1f} times), most {seconds[-1]:.3f} s"
    )


if __name__ == "__main__":
    main()
