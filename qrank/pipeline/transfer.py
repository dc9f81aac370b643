"""An index as JSON Lines, and back: what was embedded moves without embedding again.

The first line is {"qrank": 1, "models": […]}; then for each document a line with "path", and a
line with "text" for each of its chunks; the last is {"end": documents}. docs/store.md has the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

from qrank.errors import InputError
from qrank.language import LANGUAGES
from qrank.results import Chunk, NewChunk
from qrank.store.filters import Filter
from qrank.store.interface import StoredModel, StoreInterface
from qrank.terms import new_chunk

FORMAT = 1
DECIMALS = 5  # of a vector's numbers: its codes come out the same again, for all dims to 4096
CHUNKS = 256  # whose vectors are read at once
GROUP_CHUNKS = 512  # of one transaction: their vectors are lists of numbers until then


def export(
    store: StoreInterface, where: Filter, *, vectors: bool = True
) -> Iterator[dict[str, Any]]:
    """The lines of what passes the filter, as objects for JSON."""
    models = store.models() if vectors else []
    yield {"qrank": FORMAT, "models": [_without_id(model) for model in models]}
    count = 0
    for document in store.documents(where):
        count += 1
        yield {
            "path": document.path,
            "collection": document.collection,
            "title": document.title,
            "size": document.size,
            "mtime_ns": document.mtime_ns,
            "hash": document.content_hash.hex(),
            "extractor": document.extractor,
            "language": document.language,
            "fields": json.loads(document.fields or "{}"),
        }
        chunks = iter(document.chunks)
        while group := list(islice(chunks, CHUNKS)):
            held = _vectors(store, models, [new.passage_hash for new in group])
            for new in group:
                yield {
                    **new.chunk._asdict(),
                    "terms": {"body": new.body_terms, "title": new.title_terms},
                    "passage": new.passage_hash.hex(),
                    "vectors": held.get(new.passage_hash, {}),
                }
    yield {"end": count}


def _object(line: str) -> dict[str, Any]:
    """A line's JSON object. Raises ValueError when it is none."""
    try:
        item = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError("no valid JSON") from error
    if not isinstance(item, dict):
        raise ValueError("no JSON object")
    return item


def _language(item: dict[str, Any]) -> str:
    found = str(item.get("language", ""))
    if found and found not in LANGUAGES:
        raise ValueError(f"the language {found} is not known here")
    return found


def _without_id(model: StoredModel) -> dict[str, Any]:
    made = asdict(model)
    del made["id"]
    return made


def _vectors(
    store: StoreInterface, models: list[StoredModel], hashes: list[bytes]
) -> dict[bytes, dict[str, list[float]]]:
    """The vectors of passages, by passage and then by the SHA-256 of their model."""
    if not models:
        return {}
    ids = store.passage_ids(hashes)
    names = {i: passage_hash for passage_hash, i in ids.items()}
    held: dict[bytes, dict[str, list[float]]] = {}
    for model in models:
        found, rows = store.vectors(model.id, list(names))
        for passage, row in zip(found, rows.astype(float).round(DECIMALS).tolist(), strict=True):
            held.setdefault(names[passage], {})[model.sha256] = row
    return held


@dataclass(slots=True)
class _Document:
    fields: dict[str, Any]
    chunks: list[NewChunk] = field(default_factory=list)


class Importer:
    """Takes the lines of an export into a store; documents that are there are replaced."""

    def __init__(self, store: StoreInterface) -> None:
        self._store = store
        self._models: dict[str, StoredModel] = {}
        self._documents: list[_Document] = []
        self._vectors: dict[str, dict[bytes, list[float]]] = {}
        self._chunks = 0
        self._ended = False
        self.files = self.vectors = 0

    def read(self, lines: Iterable[str]) -> None:
        """Take all lines in. Raises InputError for a line that is none of an export's, or when the
        last is missing; the documents that were read whole before are kept."""
        number = 0
        try:
            for number, line in enumerate(lines, 1):
                if number == 1:
                    self._header(line)
                else:
                    self._line(_object(line))
            if not self._ended:
                raise ValueError("the end is missing")
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            del self._documents[-1:]
            self._write()
            reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
            raise InputError(
                f"line {number} is not as qrank export writes it: {reason}",
                hint="the documents before it are in",
            ) from error
        self._write()

    def _header(self, line: str) -> None:
        """Take the first line in. Raises InputError unless it is that of an export."""
        try:
            header = _object(line)
        except ValueError:
            header = {}
        if "qrank" not in header or "models" not in header:
            what = "line 1 is not what an export begins with" if line else "it is empty"
            raise InputError(f"no qrank export: {what}", hint="make one with: qrank export FILE")
        if header["qrank"] != FORMAT:
            raise InputError(
                f"line 1: an export in format {header['qrank']!r}, which this qrank does not read",
                hint="upgrade qrank",
            )
        for made in header["models"]:
            self._add_model(StoredModel(0, **made))

    def _line(self, item: dict[str, Any]) -> None:
        if "end" in item:
            self._ended = True
        elif "text" in item:
            if not self._documents:
                raise ValueError("a chunk before its document")
            self._add_chunk(item)
        else:
            if self._chunks >= GROUP_CHUNKS or len(self._documents) >= GROUP_CHUNKS:
                self._write()
            fields = item.get("fields")
            self._documents.append(
                _Document(
                    {
                        **{name: str(item[name]) for name in ("path", "collection", "title")},
                        **{name: int(item[name]) for name in ("size", "mtime_ns")},
                        "content_hash": bytes.fromhex(item["hash"]),
                        "extractor": str(item["extractor"]),
                        "language": _language(item),
                        "fields": json.dumps(fields, ensure_ascii=False) if fields else "",
                    }
                )
            )

    def _add_model(self, model: StoredModel) -> None:
        with self._store.transaction():
            known = {(held.sha256, held.prompt_version): held for held in self._store.models()}
            made = known.get((model.sha256, model.prompt_version)) or self._store.add_model(model)
        if made.dims != model.dims:
            raise ValueError(f"{model.name} has {model.dims} dims, and {made.dims} here")
        self._models[model.sha256] = made

    def _add_chunk(self, item: dict[str, Any]) -> None:
        chunk = Chunk(
            text=str(item["text"]),
            heading=str(item["heading"]),
            **{
                name: int(item[name])
                for name in ("start_byte", "end_byte", "start_line", "end_line")
            },
            page=item["page"],
        )
        passage = bytes.fromhex(item["passage"])
        terms = item["terms"]
        self._documents[-1].chunks.append(
            new_chunk(chunk, str(terms["body"]), str(terms["title"]), passage)
        )
        self._chunks += 1
        for sha256, vector in item["vectors"].items():
            if len(vector) != self._models[sha256].dims:
                raise ValueError(f"a vector of {len(vector)} dims")
            self._vectors.setdefault(sha256, {})[passage] = vector

    def _write(self) -> None:
        import numpy as np

        with self._store.transaction():
            for document in self._documents:
                self._store.add_document(**document.fields, chunks=document.chunks)
            for sha256, vectors in self._vectors.items():
                ids = self._store.passage_ids(list(vectors))
                if not ids:
                    continue
                rows = np.array([vectors[passage] for passage in ids], dtype=np.float32)
                if not np.isfinite(rows).all():
                    raise ValueError("a vector with a number that is not finite")
                self._store.add_vectors(self._models[sha256].id, list(ids.values()), rows)
                self.vectors += len(ids)
            self._store.remove_orphans()
        self.files += len(self._documents)
        self._documents, self._vectors, self._chunks = [], {}, 0
