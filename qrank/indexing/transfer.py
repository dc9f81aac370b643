"""Export of an index as JSON Lines, with vectors, and import.

The first line is {"qrank": 1, "models": […], "collections": […]}; then for each document a line
with "path", and a line with "text" for each of its chunks; the last is {"end": documents}.
docs/store.md specifies the fields.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count, islice, takewhile
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from qrank.errors import InputError
from qrank.indexing import exported
from qrank.indexing.exported import FORMAT
from qrank.names import folder_key, moved, over
from qrank.results import NewChunk, location
from qrank.store.filters import Filter
from qrank.store.interface import CollectionSettings, NewDocument, Root, Store, StoredModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_log = logging.getLogger("qrank")
DECIMALS = 5  # of a vector's numbers: enough for identical codes, for up to 4096 dims
CHUNKS = 256  # whose vectors are read at once
GROUP_CHUNKS = 2048  # of one transaction


def export(store: Store, filter: Filter, *, vectors: bool = True) -> Iterator[dict[str, Any]]:
    """Yield the lines of an export of the documents that pass the filter, as objects for JSON."""
    models = store.models() if vectors else []
    yield {
        "qrank": FORMAT,
        "models": [_without_id(model) for model in models],
        "collections": _collections(store, filter.collections),
    }
    documents = 0
    for document in store.documents(filter):
        documents += 1
        yield {
            "path": document.path,
            **({"member": document.member} if document.member else {}),
            "collection": document.collection,
            "title": document.title,
            "size": document.signature.size,
            "mtime_ns": document.signature.mtime_ns,
            "hash": document.content_hash.hex(),
            "extractor": document.extractor,
            "language": document.language,
            "fields": json.loads(document.fields or "{}"),
        }
        chunks = iter(document.chunks)
        while group := list(islice(chunks, CHUNKS)):
            stored_vectors = _vectors(store, models, [new.unique_hash for new in group])
            for new in group:
                yield {
                    **new.chunk._asdict(),
                    "terms": {"body": new.body_terms, "title": new.title_terms},
                    "passage": new.unique_hash.hex(),
                    "vectors": stored_vectors.get(new.unique_hash, {}),
                    **({"fields": json.loads(new.fields), "part": new.part} if new.fields else {}),
                }
    yield {"end": documents}


def _collections(store: Store, names: Sequence[str]) -> list[dict[str, Any]]:
    """The settings and roots of collections, as objects for JSON; of all when names is empty."""
    roots, settings = store.roots(), store.collection_settings()
    return [
        {
            "name": name,
            **settings.get(name, CollectionSettings())._asdict(),
            "roots": [root._asdict() for root in roots.get(name, ())],
        }
        for name in sorted({*roots, *settings})
        if not names or name in names
    ]


def _common(folder: str | None, path: str) -> str:
    """The deepest common folder of a path and a folder; the path's own without a folder."""
    parts = path.split("/")[:-1]
    if folder is None:
        return "/".join(parts)
    both = takewhile(lambda pair: pair[0] == pair[1], zip(folder.split("/"), parts, strict=False))
    return "/".join(part for part, _ in both)


def _without_id(model: StoredModel) -> dict[str, Any]:
    values = model._asdict()
    del values["id"]
    return values


def _vectors(
    store: Store, models: list[StoredModel], hashes: list[bytes]
) -> dict[bytes, dict[str, list[float]]]:
    """The vectors of unique texts, by their hash and then by the SHA-256 of their model."""
    if not models:
        return {}
    ids = store.text_ids(hashes)
    names = {i: unique_hash for unique_hash, i in ids.items()}
    result: dict[bytes, dict[str, list[float]]] = {}
    for model in models:
        text_ids, rows = store.vectors(model.id, list(names))
        for text_id, row in zip(text_ids, rows.astype(float).round(DECIMALS).tolist(), strict=True):
            result.setdefault(names[text_id], {})[model.sha256] = row
    return result


@dataclass(slots=True)
class _Document:
    head: NewDocument  # without its chunks
    chunks: list[NewChunk] = field(default_factory=list)
    vectors: dict[str, dict[bytes, NDArray[np.float32]]] = field(default_factory=dict)

    @property
    def location(self) -> str:
        return location(self.head.path, self.head.member)


def checked(lines: Iterable[str], name: str = "") -> Iterator[str]:
    """The same lines, of which the first is checked now; name: of their source, for messages.
    Raises InputError when it is not the first of an export, before an index is created for it."""
    iterator = iter(lines)
    try:
        first = next(iterator, None)
        if first is None:
            raise ValueError("it is empty")
        item = exported.parsed(first)
        exported.models(item)
        exported.collections(item)
    except (ValueError, KeyError) as error:
        raise _invalid(1, name, error) from error
    return chain((first,), iterator)


def _invalid(number: int, name: str, error: ValueError | KeyError) -> InputError:
    """The error for line number of an export; error: what is wrong with it."""
    reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
    return InputError(
        f"line {number} {f'of {name} ' if name else ''}is not a valid line of an export: {reason}",
        hint="is it an export?" if number == 1 else "the documents before it were imported",
    )


class Importer:
    """Imports the lines of an export into a store. Existing documents are replaced, existing
    vectors are kept."""

    def __init__(self, store: Store, folders: Mapping[str, str] = MappingProxyType({})) -> None:
        """folders: the new path of files and folders, by their path in the export."""
        self._store = store
        self._moved = {folder_key(old): folder_key(new) for old, new in folders.items()}
        self._unused = dict.fromkeys(self._moved)  # old paths without a document so far
        self._folder: str | None = None  # the common folder of all documents
        self._models: dict[str, StoredModel] = {}
        self._documents: list[_Document] = []
        self._chunks = 0
        self._read = 0  # documents, whole or not
        self._open = False  # whether the last document may have more chunks
        self._ended = False
        self.files = self.vectors = 0

    def read(self, lines: Iterable[str], name: str = "") -> None:
        """Import all lines; name: of their source, for messages. Raises InputError for an invalid
        line, and when the last is missing; complete documents before it are imported."""
        iterator = iter(lines)
        number = 1
        try:
            for number in count(1):  # next raises ValueError for a line that is too long
                line = next(iterator, None)
                if line is None:
                    break
                self._line(exported.parsed(line), first=number == 1)
            if not self._ended:
                raise ValueError("the last line is missing")
        except (ValueError, KeyError) as error:
            if self._open:
                del self._documents[-1:]
            self._write()
            raise _invalid(number, name, error) from error
        self._write()
        for old in self._unused:
            actual = f"; they are below {self._folder or '/'}" if self._read else ""
            _log.warning("no document of the export is below %s%s", old or "/", actual)

    def _line(self, item: dict[str, Any], *, first: bool) -> None:
        if first:
            for model in exported.models(item):
                self._add_model(model)
            self._add_collections(exported.collections(item))
        elif self._ended:
            raise ValueError("it comes after the end")
        elif "text" in item:
            if not self._open:
                raise ValueError("a chunk without its document")
            self._add_chunk(item)
        elif "end" in item:
            self._open = False
            if item["end"] != self._read:
                raise ValueError(f"{item['end']} documents announced, {self._read} read")
            self._ended = True
        else:
            self._open = False
            if self._chunks >= GROUP_CHUNKS or len(self._documents) >= GROUP_CHUNKS:
                self._write()
            document = exported.document(item)
            self._folder = _common(self._folder, document.path)
            place = self._place(document.path)
            self._documents.append(_Document(document._replace(path=place)))
            self._open = True
            self._read += 1

    def _place(self, path: str) -> str:
        """The new path of a file of the export, by the mapping of folders."""
        for old in islice(over(path, self._moved.keys()), 1):
            self._unused.pop(old, None)
        return moved(path, self._moved)

    def _add_collections(
        self, collections: Mapping[str, tuple[CollectionSettings, list[Root]]]
    ) -> None:
        """Add settings and roots to collections that have none in this index."""
        roots, settings = self._store.roots(), self._store.collection_settings()
        with self._store.transaction():
            for name, (own, own_roots) in collections.items():
                if own != CollectionSettings() and name not in settings:
                    self._store.set_collection(name, own)
                if own_roots and not roots.get(name):
                    moved = [root._replace(path=self._place(root.path)) for root in own_roots]
                    self._store.set_roots(name, moved)

    def _add_model(self, model: StoredModel) -> None:
        with self._store.transaction():
            models = {(each.sha256, each.prompt_version): each for each in self._store.models()}
            stored = models.get((model.sha256, model.prompt_version))
            row = stored or self._store.add_model(model)
        if row.dims != model.dims:
            raise ValueError(
                f"{model.name} has {model.dims} dimensions, but {row.dims} in this index"
            )
        self._models[model.sha256] = row

    def _add_chunk(self, item: dict[str, Any]) -> None:
        document = self._documents[-1]
        new = exported.chunk(item, document.head.title, document.location)
        for sha256, vector in exported.vectors(item, self._models).items():
            document.vectors.setdefault(sha256, {})[new.unique_hash] = vector
        document.chunks.append(new)
        self._chunks += 1

    def _write(self) -> None:
        import numpy as np

        with self._store.transaction():
            for document in self._documents:
                self._store.add_document(document.head._replace(chunks=document.chunks))
            for sha256, model in self._models.items():
                vectors = {
                    unique_hash: vector
                    for document in self._documents
                    for unique_hash, vector in document.vectors.get(sha256, {}).items()
                }
                ids = self._store.text_ids(list(vectors))
                if ids:
                    rows = np.stack([vectors[each] for each in ids])
                    self._store.add_vectors(model.id, list(ids.values()), rows)
                    self.vectors += len(ids)
            self._store.remove_orphans()
        self.files += len(self._documents)
        self._documents, self._chunks = [], 0
