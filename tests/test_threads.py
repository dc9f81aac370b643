"""One Index used by several threads at once, and which operations lock the index."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from support import PARITY, SAMPLE, clean_environment

import qrank
from qrank.analysis.terms import new_chunk
from qrank.errors import ModelError
from qrank.indexing.index import _Update
from qrank.ingest.prepare import Outcome, Part
from qrank.ingest.spool import IN_MEMORY, spooled
from qrank.progress import Silent
from qrank.reports import IndexReport
from qrank.results import Chunk, Signature, Task
from qrank.settings import READ_ALL, WALK_ALL
from qrank.store import open_store
from qrank.store.filters import EVERYTHING

QUERIES = ("who may work alone at night", "keep photos safe", "the tide", "renew a certificate")


def test_threads_search_while_one_of_them_indexes(tmp_path: Path) -> None:
    with qrank.Index(tmp_path / "i.db") as index:
        index.add(SAMPLE / "howto")
        index.add(SAMPLE / "handbook")

        def ids(query: str, mode: str) -> list[tuple[str, int]]:
            answer = index.search(query, mode=mode, rerank=mode == "hybrid", candidates=4)
            return [(result.path, result.start_line) for result in answer.results]

        asked = [(query, mode) for query in QUERIES for mode in ("bm25", "hybrid", "vector")]
        alone = {each: ids(*each) for each in asked}
        with ThreadPoolExecutor(6) as threads:
            found = [(each, threads.submit(ids, *each)) for each in asked * 3]
            assert [job.result() for each, job in found] == [alone[each] for each, _ in found]
            # While it grows answers are those of some moment: what matters is that they come.
            growing = [
                threads.submit(index.add, SAMPLE / name) for name in ("runbooks", "mail", "code")
            ]
            jobs = [threads.submit(ids, *each) for each in asked * 3]
            for job in jobs:
                job.result()
            assert all(job.result().added for job in growing)
        assert index.missing_vectors()[0] == 0
        assert ids("rotate backups", "hybrid")


def test_the_connections_of_threads_that_ended_are_closed(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("a tide\n")
    with qrank.Index(tmp_path / "i.db") as index:
        index.add(tmp_path / "a.md", embed=False)
        for _ in range(20):
            thread = threading.Thread(target=index.search, args=("tide",), kwargs={"mode": "bm25"})
            thread.start()
            thread.join()
        assert len(index._readers) <= 2


def part(text: str) -> Part:
    chunk = new_chunk(Chunk(text, "", 0, len(text), 1, 1), text, "", text.encode())
    return Part([chunk], "a note")


def test_a_long_document_is_read_before_the_index_is_locked(tmp_path: Path) -> None:
    path = tmp_path / "i.db"
    with open_store(path, write=True) as store:
        turns = 0

        def rest() -> Iterator[Part]:
            """Others write while the document is read."""
            nonlocal turns
            for turn in range(3):
                with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
                    other.execute("BEGIN IMMEDIATE")
                    other.execute("COMMIT")
                turns += 1
                yield part(f"tide {turn}")

        outcome = Outcome(
            Task("/a.csv", Signature(1, 1)),
            None,
            Signature(1, 1),
            b"h" * 16,
            part("tide"),
            rest(),
            complete=False,
        )
        update = _Update(store, "default", IndexReport(), Silent(), WALK_ALL, READ_ALL)
        update._take(outcome)
        assert turns == 3
        assert len(store.bm25(["tide"], 9, EVERYTHING)) == 4


def test_a_spool_gives_back_what_was_read_and_raises_what_reading_raised() -> None:
    long = [part("x" * (IN_MEMORY // 4)) for _ in range(6)]  # more than stays in memory
    with spooled(iter(long)) as parts:
        assert list(parts) == long

    def broken() -> Iterator[Part]:
        yield part("x")
        raise OSError("it changed while being read")

    with pytest.raises(OSError, match="it changed"), spooled(broken()):
        pass


MODELS = """
import sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
import qrank

groups = [[f"note {i} about tea {j} " * (1 + j % 5) for j in range(9)] for i in range(24)]
embedding, reranking = qrank.Embedding("tiny"), qrank.Reranking("tiny")
long = "tea " * 20_000

def ask(group):
    vectors, truncated = embedding.embed(group)
    scores = [ranked.score for ranked in sorted(reranking("tea", group), key=lambda r: r.index)]
    return vectors, truncated, scores

groups[5] = ["tea", long]
alone = [ask(group) for group in groups]
with ThreadPoolExecutor(6) as threads:
    together = list(threads.map(ask, groups * 3))
for (vectors, truncated, scores), (others, other_truncated, other_scores) in zip(
    alone * 3, together, strict=True
):
    assert np.allclose(vectors, others, atol=1e-5)
    assert truncated == other_truncated
    assert np.allclose(scores, other_scores, atol=1e-5)
assert [bool(truncated) for _, truncated, _ in together] == [i % 24 == 5 for i in range(72)]

# Closed while others use them: an error, and the process lives.
with ThreadPoolExecutor(6) as threads:
    jobs = [threads.submit(ask, group) for group in groups * 3]
    jobs[3].result()
    embedding.close()
    reranking.close()
errors = [job.exception() for job in jobs]
assert all(error is None or "was closed" in str(error) for error in errors), errors
try:
    ask(groups[0])
    raise AssertionError
except qrank.ModelError as error:
    assert "was closed" in str(error)
print("done")
"""

INDEX = """
import asyncio, sys
import qrank

async def main():
    with qrank.Index(sys.argv[1]) as index:
        await asyncio.to_thread(index.add, sys.argv[2])
        queries = ["who may work alone at night", "the tide", "keep photos safe"]
        alone = [index.search(query, candidates=4).results for query in queries]
        jobs = [asyncio.to_thread(index.search, query, candidates=4) for query in queries * 6]
        answers = await asyncio.gather(*jobs)
        assert [[r.id for r in answer.results] for answer in answers] == [
            [r.id for r in results] for results in alone * 6
        ]
        assert all(alone)

asyncio.run(main())
print("done")
"""


@pytest.mark.parametrize(
    ("script", "arguments"), [(MODELS, []), (INDEX, ["i.db", str(SAMPLE / "handbook")])]
)
def test_threads_do_not_end_the_process(tmp_path: Path, script: str, arguments: list[str]) -> None:
    """In a process of its own: what llama.cpp does not allow would end this one, or hang it."""
    run = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", script, *arguments],
        cwd=tmp_path,
        env=clean_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (run.returncode, run.stdout) == (0, "done\n"), run.stderr


def test_a_model_is_closed_when_another_took_its_place_and_no_thread_uses_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "tea.md").write_text("Steep green tea for two minutes.\n")
    path = tmp_path / "i.db"
    with qrank.Index(path, embed_model="tiny") as index:
        index.add(tmp_path / "tea.md")
    with qrank.Index(path) as index:
        assert index.search("green tea", mode="vector", rerank=False).models["embed"] == "tiny"
        with index._search_models.semantic(index._open(), qrank.Mode.vector).use() as first:
            with qrank.Index(path, embed_model=str(PARITY / "embed.gguf")) as other:
                assert other.add(tmp_path / "tea.md").replaced == ["tiny"]
            answer = index.search("green tea", mode="vector", rerank=False)
            assert answer.models["embed"] == str(PARITY / "embed.gguf")
            assert len(first.queries(["green tea"]).vectors) == 1  # it is still used here
        with pytest.raises(ModelError, match="was closed"):
            first.queries(["green tea"])
