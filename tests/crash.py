"""Index runs that are killed, starved of disk, or cut from power, and what must hold after.

    python tests/crash.py [--moments 200] [--kind kill|power]

The long form: an index run over a made-up tree is killed at random moments, again and again on
the same index (kill), or its files are copied at random moments while it runs, each file at its
own moment as a disk would hold it (power). Moments are counted in processor time of the run, and
in growths of its log: a busy machine does not move them. After each, the index opens, passes
SQLite's and our own checks, and is searched; at the end a run completes it. The short form of
both is in tests/test_crash.py.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import shutil
import signal
import sys
import tempfile
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import qrank
from qrank.errors import IndexFileError
from qrank.indexing import index as indexing
from qrank.settings import Placement

FILES = 200


def make_tree(folder: Path, seed: int) -> None:
    """FILES notes; for each seed some change, some go, some move."""
    rng = random.Random(seed)
    folder.mkdir(exist_ok=True)
    for i in range(FILES):
        path = folder / f"{i % 20}" / f"{i}.md"
        path.parent.mkdir(exist_ok=True)
        if rng.random() < 0.05:
            path.unlink(missing_ok=True)
        elif not path.exists() or rng.random() < 0.2:
            words = " ".join(f"word{rng.randrange(5000)}" for _ in range(rng.randrange(10, 80)))
            path.write_text(f"# Note {i}\n\nThe subject is tea.\n\n{words}\n", encoding="utf-8")


# Forked from a process that has imported most: to start Python hundreds of times takes long.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["qrank.indexing.index", "qrank.store.segments", "qrank.llama.embedder"]
)


def start(
    folder: Path, db: Path, embed: bool = True, *, dies_after: float = 0, took: Any = None
) -> BaseProcess:
    """An index run over folder in a process of its own, which is killed after so many seconds of
    processor time (0: never); took is given what it took."""
    run = FORKS.Process(target=index_once, args=(folder, db, embed, dies_after, took))
    run.start()
    return run


def index_once(folder: Path, db: Path, embed: bool, dies_after: float, took: Any) -> None:
    # The signal's default action: no handler, no cleanup, as with SIGKILL.
    signal.setitimer(signal.ITIMER_PROF, dies_after)
    started = time.process_time()
    indexing.COMMIT_FILES = 16  # so that a small tree takes several transactions
    one = Placement(threads=1)  # two would wait for one another on a busy machine
    with qrank.Index(db, embed_model="tiny", placement=one) as index:
        index.add([folder], embed=embed)
    signal.setitimer(signal.ITIMER_PROF, 0)
    if took is not None:
        took.send(time.process_time() - started)


def ended_well(run: BaseProcess) -> bool:
    run.join()
    return run.exitcode == 0


def assert_sound(db: Path) -> int:
    """Everything that holds at any moment; returns how many chunks are searchable."""
    try:
        with qrank.Index(db) as index:
            checks = index.check()
            assert all(check.status != "fail" for check in checks), checks
            found = index.search("tea", mode="bm25", limit=5).results
            held = index.status()
            assert bool(found) == bool(held["chunks"]), held
            return int(held["chunks"])
    except IndexFileError as error:
        if "is empty" in str(error) or "there is no index" in str(error):
            return 0  # killed before there was anything in it
        raise


def assert_completed(folder: Path, db: Path) -> None:
    """One more run brings the index to what a fresh one would be."""
    assert ended_well(start(folder, db))
    with qrank.Index(db) as index, qrank.Index(folder.parent / "fresh.db") as fresh:
        assert {check.status for check in index.check()} == {"ok"}
        fresh.add([folder], embed=False)
        held, wanted = index.status(), fresh.status()
        for name in ("files", "chunks", "unique_texts"):
            assert held[name] == wanted[name], name
        assert held["models"][0]["vectors"] == held["unique_texts"]
    (folder.parent / "fresh.db").unlink()


def kill_at_random(place: Path, moments: int, rng: random.Random) -> list[int]:
    """Kill a run moments times, one after each share of what a whole run takes, in any order;
    returns how many chunks were there after each."""
    folder, db = place / "notes", place / "i.db"
    make_tree(folder, 0)
    assert ended_well(start(folder, place / "first.db"))  # starts the fork server, too
    takes: dict[bool, float] = {}
    for embed in (True, False):
        told, took = FORKS.Pipe(duplex=False)
        assert ended_well(start(folder, place / f"{embed}.db", embed, took=took))
        takes[embed] = told.recv()
    held = []
    killed = 0
    shares = [(i + rng.random()) / moments for i in range(moments)]
    rng.shuffle(shares)
    for moment, share in enumerate(shares):
        if moment % 3 == 0:  # now and then from nothing, else on from where the last one was
            for path in place.glob("i.db*"):
                path.unlink()
        embed = rng.random() < 0.5  # without, a moment is more likely to hit the writing of files
        run = start(folder, db, embed, dies_after=max(0.001, share * takes[embed]))
        run.join()
        assert run.exitcode in (0, -signal.SIGPROF), run.exitcode
        killed += run.exitcode != 0
        held.append(assert_sound(db))
        make_tree(folder, moment + 1)
    assert killed  # or nothing was tried
    assert_completed(folder, db)
    return held


def copy_as_a_disk_has_it(db: Path, copy: Path) -> bool:
    """Copy the file and then its log. A disk may hold any mix of a file's pages, and of the log at
    least what is in the file: so this order, and the same log before and after, is a state that a
    power cut can leave. False: there was none, or another log was begun meanwhile."""
    log = Path(f"{db}-wal")
    try:
        before = log.read_bytes()[:32]
        shutil.copyfile(db, copy)
        shutil.copyfile(log, f"{copy}-wal")
        return Path(f"{copy}-wal").read_bytes()[:32] == before and len(before) == 32
    except FileNotFoundError:
        return False


def size_of_log(db: Path) -> int:
    try:
        return Path(f"{db}-wal").stat().st_size
    except FileNotFoundError:
        return 0


def cut_power_at_random(place: Path, moments: int, rng: random.Random) -> list[int]:
    """Copy the index and its log while runs write them; returns the chunks in each copy."""
    folder, db = place / "notes", place / "i.db"
    make_tree(folder, 0)
    held: list[int] = []
    run = start(folder, db)
    runs, seen = 1, 0
    while len(held) < moments:
        if not run.is_alive():
            assert run.exitcode == 0
            make_tree(folder, runs)
            run = start(folder, db)
            runs += 1
        size = size_of_log(db)
        if size == seen or rng.random() < 0.7:  # now and then when it has grown
            seen = size
            time.sleep(0.001)
            continue
        copy = place / f"copy{len(held)}.db"
        if not copy_as_a_disk_has_it(db, copy):
            continue
        if chunks := assert_sound(copy):  # before there is anything there is little to lose
            held.append(chunks)
        if len(held) == moments:
            assert_completed(folder, copy)
        for path in place.glob(f"{copy.name}*"):
            path.unlink()
    run.join()
    return held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moments", type=int, default=200)
    parser.add_argument("--kind", choices=["kill", "power"], default="kill")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    work = {"kill": kill_at_random, "power": cut_power_at_random}[options.kind]
    with tempfile.TemporaryDirectory() as folder:
        held = work(Path(folder), options.moments, random.Random(options.seed))
    print(f"{options.kind}: {len(held)} moments, all sound; passages after each: {held}")


if __name__ == "__main__":
    sys.exit(main())
