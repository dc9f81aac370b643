"""Indexing: walk -> extract -> chunk -> store, then embed what has no vector yet."""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qrank import text
from qrank.errors import ExtractError, InputError
from qrank.ingest import chunk as chunking
from qrank.ingest import extract
from qrank.ingest.walk import walk
from qrank.language import language
from qrank.pipeline import passage
from qrank.pipeline.embedding import IndexModel, record, switch
from qrank.pipeline.loading import Embedder, group_size, load_embedder
from qrank.pipeline.passage import passage_hash, passage_text
from qrank.pipeline.progress import Progress
from qrank.results import Document, FileProblem, FoundFile, IndexReport
from qrank.settings import Placement
from qrank.store.interface import NewChunk, StoredFile
from qrank.store.interface import StoreInterface as Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EXTRACTOR = f"{extract.VERSION}.{chunking.VERSION}.{text.VERSION}.{passage.VERSION}"
GROUP_FILES, GROUP_CHUNKS = 64, 512  # of one transaction
COMMIT_SECONDS, COMMIT_VECTORS = 2.0, 1024  # vectors are written when either is reached


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document read and cut up, ready to be written."""

    found: FoundFile
    content_hash: bytes
    title: str
    language: str
    chunks: list[NewChunk]


def existing(paths: Iterable[Path]) -> list[Path]:
    """Paths as they are indexed: absolute, without dots, a link under its own name.

    Raises InputError when one does not exist.
    """
    roots = [Path(os.path.abspath(path.expanduser())) for path in paths]  # noqa: PTH100
    for root in roots:
        if not root.exists():
            raise InputError(f"there is no file or folder {root}")
    return roots


def index_paths(
    store: Store,
    roots: Sequence[Path],
    collection: str,
    model: IndexModel | None,
    placement: Placement,
    progress: Progress,
) -> IndexReport:
    """Bring the index up to date with what lies under roots, as `existing` gives them; model None
    leaves vectors out. Files that can't be read are noted in the report and passed over.
    """
    started = time.monotonic()
    report = IndexReport()
    _update_documents(store, roots, collection, report, progress)
    if model:
        report.model = model.choice.name
        report.embedded, report.replaced = embed_missing(store, model, placement, progress)
    report.chunks = store.count_chunks()
    report.seconds = round(time.monotonic() - started, 3)
    return report


def _update_documents(
    store: Store, roots: Sequence[Path], collection: str, report: IndexReport, progress: Progress
) -> None:
    known = store.files(collection)
    seen: set[str] = set()
    unread: list[str] = []

    def fail(problem: FileProblem) -> None:
        report.failed += 1
        report.problems.append(problem)
        unread.append(problem.path)

    progress.stage("reading", None)
    for group in _groups(_changed(store, roots, known, seen, report, fail, progress)):
        with store.transaction():
            for document in group:
                store.add_document(
                    collection=collection,
                    path=str(document.found.path),
                    size=document.found.size,
                    mtime_ns=document.found.mtime_ns,
                    content_hash=document.content_hash,
                    title=document.title,
                    extractor=EXTRACTOR,
                    language=document.language,
                    chunks=document.chunks,
                )
    # What was indexed under a root and is not there now is gone; what only failed to be read
    # (a folder without permission, say) stays.
    gone = [
        file.id
        for path, file in known.items()
        if path not in seen and _under(path, map(str, roots)) and not _under(path, unread)
    ]
    report.removed = len(gone)
    with store.transaction():
        store.remove_documents(gone)
        store.remove_orphans()


def _changed(
    store: Store,
    roots: Sequence[Path],
    known: dict[str, StoredFile],
    seen: set[str],
    report: IndexReport,
    fail: Callable[[FileProblem], None],
    progress: Progress,
) -> Iterator[Prepared]:
    """The new and the changed documents; every file that is there is counted and put in seen."""
    own_path = os.path.abspath(store.path)  # noqa: PTH100
    own = {f"{own_path}{suffix}" for suffix in ("", "-wal", "-shm", "-journal")}
    for root in roots:
        for found in walk(root, fail):
            path = str(found.path)
            if path in own or path in seen:
                continue
            progress.advance()
            old = known.get(path)
            current = old is not None and old.extractor == EXTRACTOR
            if old and current and (old.size, old.mtime_ns) == (found.size, found.mtime_ns):
                seen.add(path)
                report.unchanged += 1
                continue
            try:
                data = _read(found)
                digest = hashlib.blake2b(data, digest_size=16).digest()
                if old and current and old.hash == digest:
                    with store.transaction():
                        store.touch_document(old.id, found.size, found.mtime_ns)
                    seen.add(path)
                    report.unchanged += 1
                    continue
                prepared = _prepare(found, data, digest)
            except ExtractError as error:  # no text: nothing of it belongs into the index
                report.skipped += 1
                report.problems.append(FileProblem(path, str(error)))
                continue
            except OSError as error:
                fail(FileProblem(path, (error.strerror or str(error)).lower()))
                continue
            seen.add(path)
            if old:
                report.updated += 1
            else:
                report.added += 1
            yield prepared


def _read(found: FoundFile) -> bytes:
    if found.size > extract.MAX_BYTES:
        raise ExtractError(f"larger than {extract.MAX_BYTES >> 20} MiB")
    return found.path.read_bytes()


def _prepare(found: FoundFile, data: bytes, digest: bytes) -> Prepared:
    document = extract.extract(found.path, data)
    spoken = language(document.text)
    chunks = new_chunks(document, f"{document.title} {found.path.stem}", spoken)
    return Prepared(found, digest, document.title, spoken, chunks)


def new_chunks(document: Document, title: str, spoken: str) -> list[NewChunk]:
    """A document's chunks as the store takes them; spoken is its language in Latin script."""
    title_terms = text.index_terms(title, spoken)
    return [
        NewChunk(
            chunk=piece,
            body_terms=text.index_terms(piece.text, spoken),
            title_terms=title_terms + text.index_terms(piece.heading, spoken),
            passage_hash=passage_hash(document.title, piece.heading, piece.text),
        )
        for piece in chunking.chunk(document)
    ]


def _groups(documents: Iterable[Prepared]) -> Iterator[list[Prepared]]:
    group: list[Prepared] = []
    chunks = 0
    for document in documents:
        group.append(document)
        chunks += len(document.chunks)
        if len(group) >= GROUP_FILES or chunks >= GROUP_CHUNKS:
            yield group
            group, chunks = [], 0
    if group:
        yield group


def _under(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(folder.rstrip("/") + "/") for folder in folders)


def embed_missing(
    store: Store, model: IndexModel, placement: Placement, progress: Progress
) -> tuple[int, list[str]]:
    """Embed every passage that has no vector yet, then make the model the only one. Returns how
    many texts it was sent, and the names of the models that it took the place of."""
    if not store.count_chunks():
        return 0, []
    if model.stored and not store.missing_vectors(model.stored.id):
        return 0, switch(store, model.stored) if model.settles else []
    embedder = load_embedder(model.choice, placement)
    try:
        row = record(store, model, embedder.dims)
        missing = store.missing_vectors(row.id)
        progress.stage("embedding", len(missing))
        embedded = _embed(store, row.id, missing, embedder, group_size(model.choice), progress)
    finally:
        embedder.close()
    return embedded, switch(store, row) if model.settles else []


def _embed(
    store: Store, model: int, missing: list[int], embedder: Embedder, size: int, progress: Progress
) -> int:
    import numpy as np

    embedded = 0
    ids: list[int] = []
    vectors: list[NDArray[np.float32]] = []
    sent: deque[list[int]] = deque()  # the passages of groups whose vectors are still to come

    def groups() -> Iterator[list[str]]:
        for at in range(0, len(missing), size):
            passages = store.passage_texts(missing[at : at + size])
            if passages:  # another run may have taken them out
                sent.append([passage.id for passage in passages])
                yield [passage_text(p.title, p.heading, p.text) for p in passages]

    def write() -> None:
        nonlocal ids, vectors
        if ids:
            with store.transaction():
                store.add_vectors(model, ids, np.concatenate(vectors))
        ids, vectors = [], []

    written = time.monotonic()
    try:
        for made in embedder.stream(groups()):
            done = sent.popleft()
            vectors.append(made)
            ids.extend(done)
            embedded += len(done)
            progress.advance(len(done))
            if len(ids) >= COMMIT_VECTORS or time.monotonic() - written > COMMIT_SECONDS:
                write()
                written = time.monotonic()
    finally:  # also when interrupted: what was computed is kept
        write()
    return embedded
