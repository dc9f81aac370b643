"""The store at scale: candidate search against an exact numpy scan, memory, writing, file size.

    python benchmarks/store.py [--chunks N ...] [--folder DIR] [--keep]

Generates its data (seeded): texts of Zipf-distributed words, whose terms are their stems, in files
of ten chunks, and clustered unit vectors of 1024 dims. The reference for vectors is a float32
matrix-vector product in numpy with the same vectors in memory, in the same process. "Fresh
process" is a new Python process with a warm file cache, interpreter and imports included. The
second time is the processor time of all threads, which is reliable on a busy machine, too.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from compiled import keep_compiled

from qrank.analysis.terms import new_chunk
from qrank.results import Chunk, NewChunk, Signature
from qrank.searching.build_filter import build_filter
from qrank.store import open_store
from qrank.store.filters import EVERYTHING, Filter
from qrank.store.interface import NewDocument, Store, StoredModel

DIMS, CLUSTERS, BLOCK = 1024, 2000, 10_000
VOCABULARY, STOP_WORDS = 200_000, 100
CHUNKS_A_FILE, GROUP = 10, 2048  # GROUP: chunks of a transaction, as in `qrank index`
SYLLABLES = "ba co du fe gi ho ju ka le mi no pu ra se ti vo wa xe yo zu".split()
FRESH = """
import json, sys, time
from pathlib import Path
from qrank.store import open_store
from qrank.store.filters import EVERYTHING
request = json.loads(sys.argv[2])
with open_store(Path(sys.argv[1])) as store:
    for round in range(request["rounds"]):
        if request["kind"] == "bm25":
            hits = store.bm25(request["terms"], 100, EVERYTHING)
        else:
            import numpy as np
            query = np.frombuffer(bytes.fromhex(request["query"]), dtype=np.float32)
            hits = store.nearest(1, query, 50, EVERYTHING)
memory = dict(line.split(":") for line in open("/proc/self/status") if ":" in line)
print(json.dumps({k: int(memory[k].split()[0]) for k in ("VmHWM", "RssAnon", "RssFile")}))
"""


class Words:
    """Stems whose frequencies follow Zipf's law; the first STOP_WORDS are stop words."""

    def __init__(self) -> None:
        shares = 1 / (np.arange(VOCABULARY) + 2.7) ** 1.07
        self._steps = np.cumsum(shares / shares.sum())
        self.stems = np.array([self._spell(i) for i in range(VOCABULARY)], dtype=object)

    @staticmethod
    def _spell(i: int) -> str:
        digits = []
        while i or not digits:
            i, digit = divmod(i, len(SYLLABLES))
            digits.append(SYLLABLES[digit])
        return "".join(digits) + "n"

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        return np.searchsorted(self._steps, rng.random(count))

    def query(self, rng: np.random.Generator, count: int) -> list[str]:
        """Distinct terms by the same distribution, without stop words."""
        ranks: dict[int, None] = {}
        while len(ranks) < count:
            ranks.update(dict.fromkeys(i for i in self.draw(rng, 8).tolist() if i >= STOP_WORDS))
        return [self.stems[i] for i in list(ranks)[:count]]


def block_of_vectors(number: int) -> np.ndarray:
    """BLOCK unit vectors around CLUSTERS centres, the same for the same number."""
    centres = np.random.default_rng(1).normal(size=(CLUSTERS, DIMS)).astype(np.float32)
    rng = np.random.default_rng(100 + number)
    noise = rng.normal(size=(BLOCK, DIMS)).astype(np.float32)
    vectors = centres[rng.integers(CLUSTERS, size=BLOCK)] + noise
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def block_of_files(number: int, words: Words) -> Iterator[tuple[str, list[NewChunk]]]:
    rng = np.random.default_rng(10_000 + number)
    endings = np.array(["", "s", "ed", "ing", ", ", ". "], dtype=object)
    chunks: list[NewChunk] = []
    for i in range(BLOCK):
        ranks = words.draw(rng, int(rng.integers(60, 180)))
        stems = words.stems[ranks]
        text = " ".join(stems + endings[rng.integers(len(endings), size=len(ranks))])
        chunk = Chunk(text.capitalize(), "A heading", i, i + len(text), i + 1, i + 5)
        unique = (number * BLOCK + i).to_bytes(8, "little")
        body, title = " ".join(stems), " ".join(stems[:3])
        chunks.append(new_chunk(chunk, body, title, hash_of(unique)))
        if len(chunks) == CHUNKS_A_FILE:
            yield f"/bench/{number % 20}/{number}-{i}.md", chunks
            chunks = []


def fields_of(name: str) -> str:
    """The fields of a file, the same for the same name: one of 20 tags, sometimes a rare one, and
    a date."""
    number = int.from_bytes(hash_of(name.encode())[:4], "little")
    day = 1 + number // 7 % 28
    tags = [f"tag{number % 20}"] + ["rare"] * (number % 1000 == 0)
    return json.dumps({"tags": tags, "date": f"{2000 + number % 25}-{1 + number % 12:02}-{day:02}"})


# Conditions on fields, by the share of files that meet them.
CONDITIONS = {"1/1000": ("tags=rare",), "1/20": ("tags=tag7",), "1/2": ("date>=2013",)}
CONDITIONS["1/40"] = (*CONDITIONS["1/20"], *CONDITIONS["1/2"])


def filters(store: Store) -> dict[str, Filter]:
    """Filters for CONDITIONS, and for one of four collections."""
    by_field = {
        share: build_filter(where=where, store=store) for share, where in CONDITIONS.items()
    }
    return by_field | {"1/4 (collection)": Filter(("c1",))}


def filtered(
    store: Store, queries: Sequence[Any], ask: Callable[[Any, Filter], object]
) -> dict[str, float | Time]:
    """Median times with each filter, and their ratios to those without one.

    Searches with and without the filter take turns; parsing the filter is included.
    """
    result: dict[str, float | Time] = {}
    for share in filters(store):
        with_it, without = [], []
        for query in queries:
            without.append(timed(lambda q=query: ask(q, EVERYTHING)))
            with_it.append(timed(lambda q=query, s=share: ask(q, filters(store)[s])))
        result[f"filter for {share}"] = median(with_it)
        result[f"filter for {share}, ratio"] = median(with_it).cpu / median(without).cpu
    return result


def hash_of(data: bytes) -> bytes:
    import hashlib

    return hashlib.blake2b(data, digest_size=16).digest()


def write(path: Path, chunks: int, words: Words) -> dict[str, float | Time]:
    """Fill an index; only the store's own work is timed."""
    rates: list[float] = []
    processor = 0.0
    text_bytes = 0
    with open_store(path, write=True) as store:
        with store.transaction():
            model = store.add_model(StoredModel(0, "bench", "0" * 64, DIMS, 1))
        for number in range(chunks // BLOCK):
            files = list(block_of_files(number, words))
            vectors = block_of_vectors(number)
            text_bytes += sum(len(new.chunk.text) for _, made in files for new in made)
            gc.collect()
            gc.freeze()  # or each collection would visit all of this data
            started, before = time.perf_counter(), processor_seconds()
            for at in range(0, len(files), GROUP // CHUNKS_A_FILE):
                with store.transaction():
                    for name, made in files[at : at + GROUP // CHUNKS_A_FILE]:
                        store.add_document(
                            NewDocument(
                                collection=f"c{number % 4}",
                                path=name,
                                signature=Signature(1, 1),
                                content_hash=b"h",
                                title="A title",
                                extractor="1",
                                chunks=made,
                                fields=fields_of(name),
                            )
                        )
            first = number * BLOCK + 1  # unique texts are numbered as they come
            for at in range(0, BLOCK, 1024):
                part = vectors[at : at + 1024]
                with store.transaction():
                    store.add_vectors(model.id, range(first + at, first + at + len(part)), part)
            rates.append(BLOCK / (time.perf_counter() - started))
            processor += processor_seconds() - before
            gc.unfreeze()
    size = sum(file.stat().st_size for file in path.parent.glob(path.name + "*"))
    return {
        "chunks/s": statistics.harmonic_mean(rates),
        "chunks/s, last tenth": statistics.harmonic_mean(rates[-max(1, len(rates) // 10) :]),
        "processor us a chunk": processor / chunks * 1e6,
        "bytes of a text": text_bytes / chunks,
        "file / (codes + texts)": size / (chunks * DIMS + text_bytes),
    }


def exact_best(chunks: int, queries: np.ndarray) -> np.ndarray:
    """The 50 best text ids of each query by float32, of shape (queries, 50)."""
    scores = np.concatenate([queries @ block_of_vectors(n).T for n in range(chunks // BLOCK)], 1)
    return np.argsort(-scores, axis=1)[:, :50] + 1


def numpy_scan(chunks: int, query: np.ndarray) -> Time:
    """A plain numpy scan of float32 vectors in memory, scaled up from at most 100,000 of them."""
    held = min(chunks, 100_000)
    matrix = np.concatenate([block_of_vectors(n) for n in range(held // BLOCK)])

    def scan() -> None:
        scores = matrix @ query
        np.argpartition(-scores, 50)[:50]

    once = median([timed(scan) for _ in range(9)])
    return Time(once.wall * chunks / held, once.cpu * chunks / held)


class Time(NamedTuple):
    """Milliseconds on the clock, and of processors in this process and the ones it waited for."""

    wall: float
    cpu: float


def timed(work: Callable[[], object]) -> Time:
    started, processor = time.perf_counter(), processor_seconds()
    work()
    return Time((time.perf_counter() - started) * 1000, (processor_seconds() - processor) * 1000)


def processor_seconds() -> float:
    return sum(os.times()[:4])


def median(times: Sequence[Time]) -> Time:
    return percentile(times, 0.5)


def percentile(times: Sequence[Time], share: float) -> Time:
    at = min(int(len(times) * share), len(times) - 1)
    return Time(sorted(t.wall for t in times)[at], sorted(t.cpu for t in times)[at])


def fresh(path: Path, rounds: int = 1, **request: object) -> tuple[Time, dict[str, int]]:
    """(the time of a new process that asks once, its memory in kB)."""
    command = [sys.executable, "-c", FRESH, str(path), json.dumps(request | {"rounds": rounds})]
    said: list[str] = []

    def run() -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        said.append(done.stdout)

    taken = timed(run)
    return taken, json.loads(said[0])


def vectors(path: Path, chunks: int) -> dict[str, float | Time]:
    rng = np.random.default_rng(7)
    queries = block_of_vectors(3)[rng.integers(BLOCK, size=20)]
    queries += (rng.normal(size=queries.shape) * 0.6 / DIMS**0.5).astype(np.float32)
    queries = (queries / np.linalg.norm(queries, axis=1, keepdims=True)).astype(np.float32)
    exact = exact_best(chunks, queries)
    plain = numpy_scan(chunks, queries[0])
    with open_store(path) as store:
        hits = [store.nearest(1, query, 50, EVERYTHING) for query in queries]
        found = [{text_id for text_id, _ in hit} for hit in hits]
        recall = np.mean([len(f & set(e.tolist())) / 50 for f, e in zip(found, exact, strict=True)])
        warm = median([timed(lambda q=q: store.nearest(1, q, 50, EVERYTHING)) for q in queries])
        narrowed = filtered(store, queries[:9], lambda q, f: store.nearest(1, q, 50, f))
        ids = rng.integers(1, chunks, size=100).tolist()
        some = median([timed(lambda q=q: store.cosines(1, q, ids)) for q in queries[:5]])
    request = {"kind": "vector", "query": queries[0].tobytes().hex()}
    cold = median([fresh(path, **request)[0] for _ in range(5)])
    memory = fresh(path, rounds=5, **request)[1]
    again = numpy_scan(chunks, queries[0])
    plain = Time((plain.wall + again.wall) / 2, (plain.cpu + again.cpu) / 2)
    return {
        "recall@50": float(recall),
        "warm": warm,
        "numpy float32 scan": plain,
        "warm / numpy scan": warm.wall / plain.wall,
        **narrowed,
        "100 cosines": some,
        "fresh process": cold,
        "peak resident MB": memory["VmHWM"] / 1024,
        "of it anonymous MB": memory["RssAnon"] / 1024,
        "of it mapped files MB": memory["RssFile"] / 1024,
    }


def words_of(path: Path, words: Words) -> dict[str, float | Time]:
    rng = np.random.default_rng(9)
    queries = [words.query(rng, int(rng.integers(3, 7))) for _ in range(60)]
    long = [words.query(rng, 30) for _ in range(5)]
    with open_store(path) as store:
        store.bm25(queries[0], 100, EVERYTHING)
        times = [timed(lambda q=q: store.bm25(q, 100, EVERYTHING)) for q in queries]
        of_30 = [timed(lambda q=q: store.bm25(q, 100, EVERYTHING)) for q in long]
        narrowed = filtered(store, queries[:20], lambda q, f: store.bm25(q, 100, f))
    return {
        "bm25, median": median(times),
        "bm25, 95th percentile": percentile(times, 0.95),
        "bm25 of 30 words": median(of_30),
        **narrowed,
        "bm25, fresh process": median(
            [fresh(path, kind="bm25", terms=query)[0] for query in queries[:9]]
        ),
    }


def one_changed_file(path: Path) -> dict[str, float | Time]:
    """`qrank index FILE --no-embed`, new and then changed, by the installed command."""
    file = path.parent / "changed.md"
    command = [str(Path(sys.executable).parent / "qrank"), "index", str(file), "--no-embed"]
    command += ["--db", str(path), "--quiet"]
    times = []
    for text in ("one", "two", "three", "four"):
        file.write_text(f"# Changed\n\nThe text is now {text}.\n" * 20, encoding="utf-8")
        times.append(timed(lambda: subprocess.run(command, check=True, capture_output=True)))
    return {"one changed file": median(times[1:])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chunks", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--folder", type=Path, help="keep or reuse the indexes here")
    options = parser.parse_args()
    words = Words()
    with tempfile.TemporaryDirectory() as folder:
        keep_compiled(Path(folder))
        for chunks in options.chunks:
            place = options.folder or Path(folder)
            path = place / f"bench-{chunks}.db"
            print(f"\n{chunks} chunks of {DIMS} dims, {os.cpu_count()} cores", flush=True)
            parts: list[Callable[[], dict[str, float | Time]]] = [
                lambda p=path: words_of(p, words),
                lambda p=path, n=chunks: vectors(p, n),
                lambda p=path: one_changed_file(p),
            ]
            if not path.exists():
                parts.insert(0, lambda p=path, n=chunks: write(p, n, words))
            for part in parts:
                for name, value in part().items():
                    if isinstance(value, Time):
                        print(
                            f"  {name:24} {value.wall:10.1f} ms {value.cpu:10.1f} ms of processors"
                        )
                    else:
                        print(f"  {name:24} {value:10.3f}")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
