"""Latency of the interactive search: from a key press to the drawn BM25 results.

    python benchmarks/interactive.py [--chunks 100000] [--db FILE]

The index has generated text (words by Zipf's law) and no vectors. Queries are typed letter by
letter into `qrank tui` on a pseudo-terminal; a key's time ends when the results' status line has
been drawn.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import random
import select
import statistics
import struct
import sys
import tempfile
import termios
import time
from pathlib import Path

from compiled import keep_compiled

from qrank import Index
from qrank.analysis.terms import new_chunk
from qrank.analysis.text import joined_terms
from qrank.cli.interactive.searcher import LIMIT
from qrank.results import Chunk, Signature
from qrank.store import open_store
from qrank.store.interface import NewDocument

COMMAND = Path(sys.executable).parent / "qrank"
FOOT = b"Open in editor"  # in the last line: the screen is complete
DRAWN = b" words "  # in the line above the results: "30 results · words · 5 ms"
CLEAR, QUIT = "\x15", "\x1b"
SYLLABLES = "ba ce di fo gu ka le mi no pu ra se ti vo xu za lin mar ten sol".split()
WORDS_A_CHUNK, CHUNKS_A_FILE, VOCABULARY = 60, 50, 40_000


def words(chance: random.Random) -> tuple[list[str], list[float]]:
    """The vocabulary, and the weights of its words."""
    vocabulary: dict[str, None] = {}
    while len(vocabulary) < VOCABULARY:
        vocabulary["".join(chance.choices(SYLLABLES, k=chance.randint(2, 5)))] = None
    return list(vocabulary), [1 / (rank + 10) for rank in range(VOCABULARY)]


def fill(path: Path, chunks: int) -> list[str]:
    """Write an index of so many chunks, unless it exists; returns the vocabulary."""
    chance = random.Random(8)
    vocabulary, weights = words(chance)
    if path.exists():
        return vocabulary
    with open_store(path, write=True) as store:
        for at in range(0, chunks, CHUNKS_A_FILE):
            new_chunks = []
            for i in range(min(CHUNKS_A_FILE, chunks - at)):
                text = " ".join(chance.choices(vocabulary, weights, k=WORDS_A_CHUNK))
                chunk = Chunk(text, "", 0, len(text), i + 1, i + 1)
                content_hash = f"{at + i:016}".encode()
                new_chunks.append(new_chunk(chunk, joined_terms(text), "", content_hash))
            with store.transaction():
                store.add_document(
                    NewDocument(
                        collection="made",
                        path=f"/made/{at}.txt",
                        signature=Signature(1, 1),
                        content_hash=b"",
                        title="",
                        extractor="",
                        chunks=new_chunks,
                    )
                )
    return vocabulary


class Terminal:
    """`qrank tui` on a pseudo-terminal of 120 columns and 40 lines."""

    def __init__(self, db: Path) -> None:
        command = [str(COMMAND), "--db", str(db), "tui"]
        self.process, self._handle = pty.fork()
        if self.process == 0:
            os.environ["TERM"] = "xterm-256color"
            os.execv(command[0], command)
        fcntl.ioctl(self._handle, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))

    def type(self, keys: str) -> None:
        os.write(self._handle, keys.encode())

    def read(self, seconds: float) -> bytes:
        """The next output; empty when there is none within so many seconds."""
        ready, _, _ = select.select([self._handle], [], [], seconds)
        return os.read(self._handle, 1 << 16) if ready else b""

    def read_until(self, text: bytes) -> None:
        """Read the output until it has the text."""
        output, end = b"", time.monotonic() + 60
        while text not in output:
            output += self.read(1)
            if time.monotonic() > end:
                sys.exit(f"{text!r} was not drawn")

    def wait_idle(self, seconds: float = 0.15) -> None:
        """Read until there is no output for so many seconds."""
        while self.read(seconds):
            pass

    def processor_ms(self) -> float:
        """Milliseconds of processor time so far (Linux)."""
        fields = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def key_times(db: Path, queries: list[str]) -> tuple[list[float], float]:
    """Milliseconds from each key to its results, sorted, and the mean processor time of a key."""
    screen = Terminal(db)
    screen.read_until(FOOT)
    screen.wait_idle()
    latencies = []
    processor = screen.processor_ms()
    for query in queries:
        for key in query:
            started = time.perf_counter()
            screen.type(key)
            screen.read_until(DRAWN)
            latencies.append((time.perf_counter() - started) * 1000)
            screen.wait_idle()
        screen.type(CLEAR)
        screen.wait_idle()
    processor = screen.processor_ms() - processor
    screen.type(QUIT)
    os.waitpid(screen.process, 0)
    return sorted(latencies), processor / len(latencies)


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
        keep_compiled(Path(folder))
        latencies, processor = key_times(db, queries)
        with Index(db) as index:
            alone = []
            for query in queries:
                started = time.perf_counter()
                index.search(query, mode="bm25", limit=LIMIT)
                alone.append((time.perf_counter() - started) * 1000)
    print(f"{options.chunks} chunks, {len(latencies)} keys, from key to drawn results:")
    late = latencies[int(len(latencies) * 0.95)]
    print(f"median {statistics.median(latencies):.0f} ms, 95th percentile {late:.0f} ms, ", end="")
    print(f"most {latencies[-1]:.0f} ms; processor time {processor:.0f} ms a key")
    print(f"the BM25 search of a whole query alone: median {statistics.median(alone):.1f} ms")


if __name__ == "__main__":
    main()
