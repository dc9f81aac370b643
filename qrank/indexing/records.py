"""Indexing texts that are not files: records of an id, a title and a text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from qrank.analysis.language import language
from qrank.indexing.index import COMMIT_FILES, EXTRACTOR
from qrank.ingest.content import data_hash
from qrank.ingest.extract import plain
from qrank.ingest.prepare import new_chunks
from qrank.progress import Progress
from qrank.results import Document, Signature
from qrank.store.interface import NewDocument, Store


@dataclass(frozen=True, slots=True)
class Record:
    """A document that is not a file, of a data set."""

    id: str
    title: str
    text: str


def add_records(
    store: Store, records: Iterable[Record], collection: str, progress: Progress
) -> None:
    """Add records as documents, with their id as path, split into chunks; embeds nothing."""
    progress.stage("reading", None)
    remaining = iter(records)
    while group := list(islice(remaining, COMMIT_FILES)):
        with store.transaction():
            for record in group:
                _add(store, record, collection)
        progress.advance(len(group))


def _add(store: Store, record: Record, collection: str) -> None:
    body, title = record.text, record.title
    if not body.strip():
        body, title = title, ""
    latin = language(f"{title}\n{body}")
    document = Document(body, title, plain.extract(body)[1])
    data = f"{title}\n{body}".encode("utf-8", "replace")
    store.add_document(
        NewDocument(
            collection=collection,
            path=record.id,
            signature=Signature(len(data), 0),
            content_hash=data_hash(data),
            title=title,
            extractor=EXTRACTOR,
            language=latin,
            chunks=new_chunks(document, title, "", latin, record.id),
        )
    )
