"""From a key in the interactive search to its BM25 results on the screen, at 100,000 passages.

    python benchmarks/interactive.py [--chunks 100000] [--db FILE]

The index is of made-up text (words by Zipf's law), without vectors, and nobody pauses for the
reranker: it is the keys that are measured. textual's own driver types
queries letter by letter; a key's time ends when the screen has drawn what the search for it gave.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from pathlib import Path

from textual.widgets import OptionList

from qrank import Index
from qrank.cli import searcher
from qrank.cli.screen import Found, Screen
from qrank.results import Chunk
from qrank.store import Store
from qrank.store.interface import NewChunk
from qrank.text import joined_terms

SYLLABLES = "ba ce di fo gu ka le mi no pu ra se ti vo xu za lin mar ten sol".split()
WORDS_A_CHUNK, CHUNKS_A_FILE, VOCABULARY = 60, 50, 40_000


def words(chance: random.Random) -> tuple[list[str], list[float]]:
    """The vocabulary, each word once, and how often each is said."""
    made: dict[str, None] = {}
    while len(made) < VOCABULARY:
        made["".join(chance.choices(SYLLABLES, k=chance.randint(2, 5)))] = None
    return list(made), [1 / (rank + 10) for rank in range(VOCABULARY)]


def fill(path: Path, chunks: int) -> list[str]:
    """Make an index of so many passages, unless it is there; returns the vocabulary."""
    chance = random.Random(8)
    vocabulary, weights = words(chance)
    if path.exists():
        return vocabulary
    with Store(path, write=True) as store:
        for at in range(0, chunks, CHUNKS_A_FILE):
            made = []
            for i in range(min(CHUNKS_A_FILE, chunks - at)):
                text = " ".join(chance.choices(vocabulary, weights, k=WORDS_A_CHUNK))
                chunk = Chunk(text, "", 0, len(text), i + 1, i + 1)
                made.append(NewChunk(chunk, joined_terms(text), "", f"{at + i:016}".encode()))
            with store.transaction():
                store.add_document(
                    collection="made",
                    path=f"/made/{at}.txt",
                    size=1,
                    mtime_ns=1,
                    content_hash=b"",
                    title="",
                    extractor="",
                    chunks=made,
                )
    return vocabulary


async def typed(path: Path, queries: list[str]) -> tuple[list[float], list[float]]:
    """Milliseconds of every key: passed, and computed (which a busy machine does not stretch)."""
    drawn = asyncio.Event()
    searcher.PAUSE = 60.0

    class Timed(Screen):
        """The app, telling when the first answer to a key is drawn."""

        def on_found(self, message: Found) -> None:
            super().on_found(message)
            self.query_one(OptionList).call_after_refresh(drawn.set)

    passed, computed = [], []
    screen = Timed(Index(path), "", (), None)
    async with screen.run_test(size=(120, 40)) as pilot:
        for query in queries:
            for key in query:
                drawn.clear()
                started, used = time.perf_counter(), time.process_time()
                await pilot.press("space" if key == " " else key)
                await drawn.wait()
                passed.append((time.perf_counter() - started) * 1000)
                computed.append((time.process_time() - used) * 1000)
            await pilot.press("ctrl+u")
    return sorted(passed), sorted(computed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=12)
    parser.add_argument("--db", type=Path, help="keep the index here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        db = options.db or Path(folder) / "made.db"
        vocabulary = fill(db, options.chunks)
        chance = random.Random(9)
        queries = [
            " ".join(chance.choices(vocabulary[20:4000], k=3)) for _ in range(options.queries)
        ]
        asyncio.run(typed(db, queries[:1]))  # warm
        passed, computed = asyncio.run(typed(db, queries))
        with Index(db) as index:
            alone = []
            for query in queries:
                started = time.perf_counter()
                index.search(query, mode="bm25", limit=searcher.LIMIT)
                alone.append((time.perf_counter() - started) * 1000)
    print(f"{options.chunks} passages, {len(passed)} keys, from key to drawn results:")
    for name, taken in (("passed", passed), ("computed", computed)):
        most = f"95 of 100 within {taken[int(len(taken) * 0.95)]:.0f} ms, all {taken[-1]:.0f} ms"
        print(f"{name:<9} median {statistics.median(taken):.0f} ms, {most}")
    print(f"the BM25 search of a whole query alone: median {statistics.median(alone):.1f} ms")


if __name__ == "__main__":
    main()
