"""An index in a search engine compared with one in a file, with the same data.

    python benchmarks/engine.py [--chunks N] [--dims D] [--nodes N] [--url URL] [--tiny]

Starts tests/engines/start unless --url names an engine. Generates its data as benchmarks/store.py
does: texts of Zipf-distributed words in files of ten chunks, clustered unit vectors. Reports the
times of the store alone for writing and searching, how far the results agree (overlap of the first
ten; recall of the 50 nearest vectors against all cosines in float32), and the client's memory.
--tiny instead indexes files with the model `tiny`, as `qrank index` does, and counts the requests
of a search.
"""

from __future__ import annotations

import argparse
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from store import CHUNKS_A_FILE, GROUP, Words

import qrank
from qrank.analysis.terms import new_chunk
from qrank.results import Chunk, Signature
from qrank.store import Layout, create_store, open_store
from qrank.store.filters import EVERYTHING
from qrank.store.interface import NewDocument, Store, StoredModel
from qrank.store.opensearch import client
from qrank.urls import IndexPlace, index_place

START = Path(__file__).parents[1] / "tests" / "engines" / "start"
QUERIES = 50


@contextmanager
def running(nodes: int, url: str) -> Iterator[str]:
    """The address of an engine: url, or that of one with so many nodes, started here."""
    if url:
        yield url
        return
    process = subprocess.Popen([START, str(nodes)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[0]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


class Data:
    """Generated chunks, their vectors, and vectors of queries near some of them."""

    def __init__(self, chunks: int, dims: int) -> None:
        rng = np.random.default_rng(1)
        self.words, self.count = Words(), chunks
        centres = rng.normal(size=(2000, dims)).astype(np.float32)
        near = centres[rng.integers(2000, size=chunks)]
        self.vectors = unit(near + rng.normal(size=(chunks, dims)).astype(np.float32))
        self.hashes = [f"{i}".encode() for i in range(chunks)]
        self.queries = unit(self.vectors[:QUERIES] + 0.3 * unit(centres[:QUERIES]))

    def documents(self) -> Iterator[NewDocument]:
        rng = np.random.default_rng(2)
        for at in range(0, self.count, CHUNKS_A_FILE):
            chunks = []
            for i in range(at, min(self.count, at + CHUNKS_A_FILE)):
                terms = " ".join(self.words.stems[self.words.draw(rng, int(rng.integers(40, 160)))])
                chunk = Chunk(terms, "", i, i + 1, i + 1, i + 1)
                chunks.append(new_chunk(chunk, terms, "", self.hashes[i]))
            head = ("default", f"/{at:08}.md", Signature(1, 1), b"h", "", "1")
            yield NewDocument(*head, chunks, language="english")


def unit(rows: np.ndarray) -> np.ndarray:
    """The rows, each divided by its length."""
    unit_rows: np.ndarray = (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)
    return unit_rows


def write(store: Store, data: Data) -> tuple[float, float]:
    """Write the data; the seconds for (texts, vectors).

    As in indexing, a store that prefers it gets texts and vectors in the same transactions.
    """
    together = store.adds_vectors_anew
    with store.transaction():
        model = store.add_model(StoredModel(0, "m", "0", data.vectors.shape[1], 1))
    started = time.monotonic()
    written = 0
    documents = data.documents()
    done = False
    while not done:
        with store.transaction():
            for _ in range(GROUP // CHUNKS_A_FILE):
                document = next(documents, None)
                if done := document is None:
                    break
                store.add_document(document)
            if together:
                hashes = data.hashes[written : written + GROUP // CHUNKS_A_FILE * CHUNKS_A_FILE]
                ids = store.text_ids(hashes)
                rows = data.vectors[written : written + len(ids)]
                store.add_vectors(model.id, list(ids.values()), rows)
                written += len(ids)
    texts = time.monotonic()
    missing = [*store.missing_vectors(model.id)]
    for at in range(0, len(missing), 1024):
        with store.transaction():
            store.add_vectors(model.id, missing[at : at + 1024], data.vectors[at : at + 1024])
    store.count_missing(model.id)
    return texts - started, time.monotonic() - texts


def search(store: Store, data: Data) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    model = store.models()[0].id
    found: dict[str, Any] = {"words": [], "near": [], "seconds": []}
    for query in data.queries:
        terms = data.words.query(rng, 4)
        started = time.monotonic()
        hits = store.bm25(terms, 100, EVERYTHING)
        near = store.nearest(model, query, 50, EVERYTHING)
        found["seconds"].append(time.monotonic() - started)
        chunks = store.chunks([i for i, _ in hits[:10]])
        found["words"].append({chunks[i].chunk.start_byte for i, _ in hits[:10]})
        texts = store.texts_to_embed([i for i, _ in near])
        by_text = {chunk.id: chunk.path for chunk in texts}
        places = store.chunks_of_texts([i for i, _ in near], EVERYTHING)
        line = {chunk.text_id: chunk.chunk.start_byte for chunk in places.values()}
        found["near"].append([line[i] for i, _ in near if i in by_text])
    return found


def share(pairs: Iterator[tuple[Any, Any]]) -> float:
    return statistics.mean(len({*a} & {*b}) / max(1, len({*b})) for a, b in pairs)


def compare(place: dict[str, IndexPlace], data: Data) -> None:
    results = {}
    rates = {}
    for name, where in place.items():
        with open_store(where, write=True) as store:
            texts, vectors = write(store, data)
            rates[name] = data.count / (texts + vectors)
            size = store.status()["bytes"]
            print(
                f"{name}: written in {texts:.1f} s (texts) + {vectors:.1f} s (vectors), "
                f"{rates[name]:.0f} chunks/s, {size / data.count:.0f} bytes a chunk"
            )
            search(store, data)  # once, to warm up
            results[name] = search(store, data)
            middle = statistics.median(results[name]["seconds"]) * 1000
            print(f"{name}: BM25 and vector candidates in {middle:.1f} ms (median)")
    ours, theirs = results["file"], results["engine"]
    exact = [np.argsort(-(data.vectors @ query))[:50].tolist() for query in data.queries]
    print(f"engine's rate, of the file's: {rates['engine'] / rates['file']:.2f}")
    words = share(zip(theirs["words"], ours["words"], strict=True))
    near = [[each[:10] for each in side["near"]] for side in (theirs, ours)]
    print(f"overlap@10 of BM25: {words:.3f}, of vectors: {share(zip(*near, strict=True)):.3f}")
    for name, found in results.items():
        recall = share(zip(found["near"], exact, strict=True))
        print(f"{name}: recall@50 of vectors {recall:.4f}")


def memory(name: str, where: IndexPlace) -> None:
    """Print the peak memory of commands, each in a process of its own."""
    commands = {
        "search": ["search", Words().stems[50], "--mode", "bm25", "--json"],
        "status": ["status", "--json"],
        "export": ["export"],
    }
    peaks = {}
    for label, words in commands.items():
        command = [sys.executable, "-m", "qrank", "--no-serve", "--db", str(where), *words]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        # The rusage of a child begins with the memory of its parent.
        peak = 0
        while process.poll() is None:
            with suppress(ProcessLookupError, StopIteration, FileNotFoundError):
                lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
                high = next(line for line in lines if line.startswith("VmHWM"))
                peak = max(peak, int(high.split()[1]))
            time.sleep(0.01)
        peaks[label] = f"{peak >> 10}" + (" (failed)" if process.returncode else "")
    print(f"{name}: peak memory in MB:", *(f"{label} {peak}" for label, peak in peaks.items()))


def embed(place: dict[str, IndexPlace], data: Data, folder: Path) -> None:
    files = folder / "files"
    files.mkdir()
    for document in data.documents():
        text = "\n\n".join(new.chunk.text for new in document.chunks)
        (files / Path(document.path).name).write_text(text)
    requests = 0
    send = client.Engine._send

    def counted(*arguments: Any) -> Any:
        nonlocal requests
        requests += 1
        return send(*arguments)

    client.Engine._send = counted  # type: ignore[method-assign]
    seconds = {}
    for name, where in place.items():
        with qrank.Index(where, embed_model="tiny") as index:
            started = time.monotonic()
            done = index.add(files)
            seconds[name] = time.monotonic() - started
            print(f"{name}: {done.chunks} chunks indexed with tiny in {seconds[name]:.1f} s")
            requests = 0
            query = " ".join(data.words.query(np.random.default_rng(4), 4))
        with qrank.Index(where, embed_model="tiny") as index:
            index.search(query, rerank=False)
            print(f"{name}: a hybrid search makes {requests} requests")
    print(f"engine's rate, of the file's: {seconds['file'] / seconds['engine']:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=200_000)
    parser.add_argument("--dims", type=int, default=384)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--url", default="")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    data = Data(options.chunks, options.dims)
    with tempfile.TemporaryDirectory() as name, running(options.nodes, options.url) as address:
        folder = Path(name)
        url = index_place(f"{address}/bench-{int(time.time())}")
        create_store(url, Layout(shards=options.nodes, replicas=0))
        place: dict[str, IndexPlace] = {"file": folder / "index.db", "engine": url}
        if options.tiny:
            embed(place, data, folder)
        else:
            compare(place, data)
            for side, where in place.items():
                memory(side, where)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"memory of this process at most: {peak:.0f} MB, {data.vectors.nbytes >> 20} its data")


if __name__ == "__main__":
    main()
