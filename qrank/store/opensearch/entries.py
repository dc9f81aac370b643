"""Converting documents and chunks to entries (the engine's documents), and back."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from qrank.analysis import fields as analysis
from qrank.analysis.names import name_keys
from qrank.analysis.terms import new_chunk
from qrank.names import composed
from qrank.results import Chunk, NewChunk, Signature, StoredChunk, location
from qrank.store import decode
from qrank.store.interface import NewDocument
from qrank.store.opensearch.queries import BETWEEN, sortable

Entry = dict[str, Any]
MOST_NS = (1 << 63) - 1


def number(*parts: str | bytes) -> int:
    """A deterministic id of 62 bits, a hash of parts."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(4, "little") + data)
    return int.from_bytes(digest.digest(), "little") >> 2


def file_number(collection: str, path: str) -> int:
    """The id of a file."""
    return number(collection, path)


def of_document(document: NewDocument, batch: str) -> Entry:
    """The fields shared by the entries of a document and of its chunks, with a new version."""
    place = location(document.path, document.member or None)
    return {
        "batch": batch,
        "version": secrets.token_hex(8),
        "file": file_number(document.collection, document.path),
        "collection": document.collection,
        "path": document.path,
        "member": document.member,
        "above": _above(document.path, place),
        "location": composed(place),
        "composed": composed(document.path),
        "reversed": place.lower()[::-1],
        "folded_location": analysis.folded(place),
        "folded_title": analysis.folded(document.title),
        "folded_collection": analysis.folded(document.collection),
        "language": document.language,
        "size": document.signature.size,
        "mtime": document.signature.mtime_ns,
        "ctime": document.signature.ctime_ns,
        "title": document.title,
        "hash": document.content_hash.hex(),
        "fields": document.fields,
        "extractor": document.extractor,
    }


def _above(path: str, place: str) -> list[str]:
    """A location, its file's path, and all parent folders of both."""
    result = {composed(path), composed(place)}
    for whole in (composed(path), composed(place)):
        parts = whole.split("/")
        result.update("/".join(parts[:i]) for i in range(1, len(parts)))
    return sorted(result - {""})


def of_chunks(document: NewDocument, head: Entry) -> Iterator[Entry]:
    """Yield the entries of a document's chunks; head: from of_document."""
    first_id = (time.time_ns() // 1000 << 12) + secrets.randbelow(1 << 12)
    names = sorted(name_keys(document.member or document.path, document.title))
    copies: Counter[bytes] = Counter()
    shared = _Record(document.fields, document.signature.mtime_ns)
    record, last = shared, None
    current: Entry | None = None
    for place, new in enumerate(document.chunks):
        part = (new.fields, new.part if new.fields else 0)
        if is_first := part != last:
            last = part
            record = _Record(new.fields, document.signature.mtime_ns) if new.fields else shared
        entry = head | record.indexed | _of_chunk(new)
        entry |= {"kind": "chunk", "id": first_id + place, "place": place, "names": names}
        entry |= {"copy": copies[new.unique_hash], "single": False}
        copies[new.unique_hash] += 1
        if is_first:
            entry |= record.facets
        if current:
            yield current
        current = entry
    if current:
        yield current | {"single": current["place"] == 0}


class _Record:
    """The fields of a document, a row or a message, in the form in which they are indexed."""

    def __init__(self, fields: str, mtime_ns: int) -> None:
        shared = decode.json_object(fields)
        own = analysis.own_date(shared)
        date = mtime_ns if own is None else round(own * 1e9)
        self.indexed: Entry = {"date": max(-MOST_NS, min(date, MOST_NS)), "dated": own is not None}
        self.facets: Entry = {}
        if values := analysis.values(shared):
            names = sorted({value.name for value in values})
            kinds = {f"{value.name}{BETWEEN}{value.kind}" for value in values}
            numbers = [
                f"{v.name}{BETWEEN}{v.kind}{BETWEEN}{sortable(v.number)}"
                for v in values
                if v.number is not None
            ]
            self.indexed |= {"field_names": names, "field_kinds": sorted(kinds)}
            self.indexed["field_values"] = [f"{v.name}{BETWEEN}{v.folded}" for v in values]
            self.indexed["field_numbers"] = numbers
            texts = [f"{value.name}{BETWEEN}{value.text}" for value in values]
            self.facets = {"facets": texts, "facet_names": names}


def _of_chunk(new: NewChunk) -> Entry:
    title = new.title_terms
    return {
        **new.chunk._asdict(),
        "passage": number(new.unique_hash),
        "passage_hash": new.unique_hash.hex(),
        "body": new.body_terms,
        "title_terms": [title, title] if title else [],
        **({"own_fields": new.fields, "part": new.part} if new.fields else {}),
    }


def stored_chunk(source: Mapping[str, Any], root: str) -> StoredChunk:
    """A chunk from its entry, checked, as other programs can write to the engine. root: see
    Places.root. Raises DamagedError, and KeyError, TypeError or ValueError for other entries."""
    values = (
        source["id"],
        source["passage"],
        source["path"],
        source["collection"],
        source["title"],
        source["size"],
        source["mtime"],
        source["ctime"],
        bytes.fromhex(source["hash"]),
        source.get("own_fields") or source["fields"],
        source["member"],
        source["date"],
        bytes.fromhex(source["passage_hash"]),
        source["copy"],
        *_place(source),
    )
    return decode.stored_chunk(values)._replace(root=root)


def _place(source: Mapping[str, Any]) -> tuple[Any, ...]:
    names = ("text", "heading", "start_byte", "end_byte", "start_line", "end_line")
    return (*(source[name] for name in names), source.get("page"))


def whole_chunk(source: Mapping[str, Any]) -> NewChunk:
    """A chunk for an export, from its entry."""
    titles = source.get("title_terms") or [""]
    return new_chunk(
        Chunk(*_place(source)),
        source["body"],
        titles[0],
        bytes.fromhex(source["passage_hash"]),
        source.get("own_fields", ""),
        source.get("part", 0),
    )


def document(source: Mapping[str, Any], chunks: Iterator[NewChunk]) -> NewDocument:
    """A document for an export, from its entry."""
    decode.json_object(source["fields"])
    return NewDocument(
        collection=source["collection"],
        path=decode.name(source["path"]),
        member=decode.name(source["member"]),
        signature=signature(source),
        content_hash=bytes.fromhex(source["hash"]),
        title=source["title"],
        extractor=source["extractor"],
        language=source["language"],
        fields=source["fields"],
        chunks=chunks,
    )


def signature(source: Mapping[str, Any]) -> Signature:
    """A file's signature from its entry."""
    return Signature(source["size"], source["mtime"], source["ctime"])


def size_of(entry: Entry) -> int:
    """The approximate size of an entry in bytes."""
    return (
        len(entry.get("text", "")) * 2
        + 1000
        + 8
        * sum(
            len(value)
            for name, value in entry.items()
            if name.startswith("v") and name[1:].isdigit()
        )
    )


def place_of(source: Mapping[str, Any]) -> str:
    """The location of a document."""
    return location(decode.name(source["path"]), source["member"] or None)
