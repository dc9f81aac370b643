"""Transactions. Entries are written with the id of a batch that the state lists as unfinished, and
become visible when it is removed from that list (state.py); replaced entries are hidden at the same
time, and deleted later."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from qrank.errors import IndexFileError
from qrank.results import Signature
from qrank.store.interface import NewDocument, SkippedFile, StoredModel
from qrank.store.opensearch import entries
from qrank.store.opensearch.entries import Entry
from qrank.store.opensearch.leases import Lease
from qrank.store.opensearch.queries import Query, among, every, has_vector
from qrank.store.opensearch.reading import MOST, PAGE, Reader
from qrank.store.opensearch.state import ANALYSER, State
from qrank.store.opensearch.vocabulary import Vocabulary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BULK_BYTES = 8 << 20  # of one request
HELD_BYTES, HELD_ENTRIES = 16 << 20, 4000  # buffered in a transaction before they are sent
SHOWN_SECONDS = 5.0  # between refreshes for vectors
GONE_SECONDS = 5.0  # after which no reader has an older state cached
TOUCH = (
    "def s = params.files[ctx._source.file.toString()]; ctx._source.size = s[0]; "
    "ctx._source.mtime = s[1]; ctx._source.ctime = s[2]; "
    "if (ctx._source.dated == false) { ctx._source.date = s[1]; }"
)


def _words(entry: Entry) -> str:
    """The text of an entry for the vocabulary: a chunk's text, or a document's title and name."""
    if entry["kind"] != "file":
        return str(entry.get("text", ""))
    name = PurePath(entry.get("member") or entry["path"]).name
    return f"{entry.get('title', '')}\n{name}"


class Writer:
    """Writes to an index, transaction by transaction."""

    def __init__(self, reader: Reader) -> None:
        self._reader, self._engine, self._shared = reader, reader.engine, reader.shared
        self._path = f"/{self._engine.place.name}"
        self._owner = secrets.token_hex(8)
        self._vocabulary = Vocabulary(self._engine)
        self._leases: dict[str, Lease] = {}
        self._batch = ""  # the batch registered as unfinished
        self._has_failed = False  # whether batches of failed transactions are still registered
        self._unshown, self._shown_at = False, time.monotonic()
        self.active = False
        self._reset()

    def _reset(self) -> None:
        self._entries: dict[str, Entry] = {}  # to be written, by id
        self._updates: dict[str, tuple[int, Entry]] = {}  # by id: (file, changed fields)
        self._marked: dict[str, list[int]] = {}  # "truncated" of existing entries
        self._deleted: list[tuple[str, int]] = []  # (id, file)
        self._bytes = 0
        self._heads: dict[tuple[int, str], Entry] = {}  # documents by (file, member)
        self._removed: set[int] = set()  # files
        self._replaced: set[str] = set()  # versions written and replaced by this transaction
        self._passages: dict[int, list[tuple[str, int]]] = {}  # (id, file) of their entries
        self._touched: dict[int, Signature] = {}
        self._notes: dict[int, str] = {}
        self._changes: list[Any] = []  # of the state
        self._written = False  # whether entries of the batch were sent
        self._stale = False  # whether there are changes that need a refresh
        self._reader.own_batch, self._reader.own_hidden = "", []

    def close(self) -> None:
        """Release the leases, and unregister batches."""
        self.show(force=True)
        if self._batch or self._has_failed:
            self._batch, self._has_failed = "", False

            def end(state: State) -> None:
                owners = state.pending.items()
                state.pending = {batch: owner for batch, owner in owners if owner != self._owner}

            self._shared.change(end)
        for lease in self._leases.values():
            lease.release()
        self._leases.clear()

    def hold(self, collection: str) -> None:
        """Lock a collection against changes by others until close. Raises HeldError."""
        if collection in self._leases:
            self._leases[collection].require()
            return
        lease = Lease(self._engine, f"the collection {collection!r}", self._owner)
        former = lease.take()
        self._leases[collection] = lease
        if former:
            self._drop_unfinished({former})

    def _drop_unfinished(self, owners: set[str]) -> None:
        """Delete the entries of unfinished batches of killed runs."""
        state = self._shared.read()
        batches = [batch for batch, owner in state.pending.items() if owner in owners]
        if not batches:
            return
        self.refresh()
        self._delete({"terms": {"batch": batches}})

        def forget(state: State) -> None:
            for batch in batches:
                state.pending.pop(batch, None)

        self.refresh()
        self._shared.change(forget)

    def _delete(self, query: Query) -> None:
        path = f"{self._path}/_delete_by_query"
        self._engine.ask("POST", path, {"query": query}, options={"conflicts": "proceed"})

    # Within a transaction

    def add(self, document: NewDocument) -> None:
        """Add a document, replacing the one with the same path and member."""
        self._begin(document.collection)
        head = entries.of_document(document, self._batch)
        if document.member:
            self._require_file(document)
        self._forget(head["file"], document.member)
        self._heads[head["file"], document.member] = head
        count = 0
        for entry in entries.of_chunks(document, head):
            name = f"{head['version']}-{count}"
            count += 1
            self._entries[name] = entry
            self._passages.setdefault(entry["passage"], []).append((name, head["file"]))
            self._bytes += entries.size_of(entry)
            if self._bytes >= HELD_BYTES or len(self._entries) >= HELD_ENTRIES:
                self._send()
        head |= {"kind": "file", "chunks": count, "indexed": time.time_ns(), "note": ""}

    def _begin(self, collection: str) -> None:
        if not self.active:
            raise IndexFileError("what is written belongs into a transaction")
        self.hold(collection)
        if not self._batch:
            self._batch = batch = secrets.token_hex(8)

            def register(state: State) -> None:
                state.pending[batch] = self._owner

            self._shared.change(register)
        self._reader.own_batch = self._batch

    def _require_file(self, document: NewDocument) -> None:
        """Add an entry for a member's file if there is none, as after an import of the member."""
        number = entries.file_number(document.collection, document.path)
        own: tuple[Query, ...] = ({"term": {"file": number}}, {"term": {"member": ""}})
        if (number, "") in self._heads or self._reader.exists(every(*own)):
            return
        bare = document._replace(member="", title="", language="", fields="", chunks=())
        self.add(bare)

    def _forget(self, file: int, member: str) -> None:
        """Mark documents that this transaction has written as replaced: a file with its members, or
        one member."""
        for key in [key for key in self._heads if key[0] == file and member in ("", key[1])]:
            self._replaced.add(self._heads.pop(key)["version"])

    def remove(self, files: Sequence[int]) -> None:
        """Remove documents, with their members."""
        query = self._reader.visible("file", {"terms": {"file": list(files)}})
        buckets = self._reader.groups(query, c={"terms": {"field": "collection", "size": MOST}})
        for bucket in buckets["c"]["buckets"]:
            self._begin(bucket["key"])
        for file in files:
            self._forget(file, "")
            self._removed.add(file)
        self._stale = self._stale or bool(files)

    def skip(self, collection: str, file: SkippedFile) -> None:
        """Store that a file was skipped, and remove the document of that path."""
        self._begin(collection)
        number = entries.file_number(collection, file.path)
        self._forget(number, "")
        self._removed.add(number)
        self._entries[f"skipped-{number}"] = {
            "kind": "skipped",
            "file": number,
            "collection": collection,
            "path": file.path,
            "size": file.signature.size,
            "mtime": file.signature.mtime_ns,
            "ctime": file.signature.ctime_ns,
            "extractor": file.extractor,
            "skipped": file.problem.kind,
            "reason": file.problem.reason,
        }

    def unskip(self, collection: str, paths: Iterable[str]) -> None:
        """Delete the entries of skipped files."""
        for path in paths:
            self.hold(collection)
            number = entries.file_number(collection, path)
            self._deleted.append((f"skipped-{number}", number))

    def note(self, collection: str, path: str, note: str) -> None:
        """Store which part of a file was skipped."""
        number = entries.file_number(collection, path)
        if head := self._heads.get((number, "")):
            head["note"] = note
        else:
            self._notes[number] = note

    def touch(self, file: int, signature: Signature) -> None:
        """Store a new signature of a file."""
        self._touched[file] = signature

    def change(self, apply: Any) -> State:
        """Change the state by apply when the transaction ends; returns the present state."""
        self._changes.append(apply)
        return self._shared.read()

    def vectors(
        self, model: StoredModel, text_ids: Sequence[int], unit_vectors: NDArray[np.float32]
    ) -> None:
        """Add vectors to those entries of unique texts that have none."""
        rows = dict(zip(text_ids, unit_vectors, strict=True))
        name = f"v{model.id}"
        self._find([i for i in rows if i not in self._passages], name)
        for text_id, row in rows.items():
            for entry, file in self._passages.get(text_id, ()):
                self._part_of(entry, file).setdefault(name, row)

    def _find(self, text_ids: Sequence[int], without: str = "") -> None:
        """Look up existing entries of unique texts; without: only those without this field."""
        for page in among("passage", text_ids, MOST // 8):
            query = self._reader.visible("chunk", page)
            if without:
                query["bool"]["must_not"].append({"exists": {"field": without}})
            for hit in self._reader.all(query, ["id"], ["passage", "file", "truncated"], size=MOST):
                source, entry = hit["_source"], hit["_id"]
                self._passages.setdefault(source["passage"], []).append((entry, source["file"]))
                self._marked[entry] = source.get("truncated", [])

    def _part_of(self, entry: str, file: int) -> Entry:
        """The changes of an entry, to be filled; an entry that was not sent yet itself."""
        if pending := self._entries.get(entry):
            return pending
        return self._updates.setdefault(entry, (file, {}))[1]

    def truncated(self, model: int, text_ids: Sequence[int]) -> None:
        """Store that unique texts were truncated to a model's window."""
        self._find([i for i in text_ids if i not in self._passages])
        for text_id in text_ids:
            for entry, file in self._passages.get(text_id, ()):
                part = self._part_of(entry, file)
                before = part.get("truncated", self._marked.get(entry, []))
                part["truncated"] = sorted({*before, model})

    def update(self, query: Query, script: str, params: dict[str, Any]) -> None:
        """Change the entries that match a query by a script."""
        body = {"query": query, "script": {"source": script, "lang": "painless", "params": params}}
        path = f"{self._path}/_update_by_query"
        self._engine.ask("POST", path, body, options={"conflicts": "proceed", "refresh": True})

    def stored_texts(self, text_ids: Iterable[int]) -> set[int]:
        """Those of some text ids that this transaction has written."""
        return {text_id for text_id in text_ids if text_id in self._passages}

    # Sending

    def before_reading(self) -> None:
        """Make the transaction's changes visible to searches of this process."""
        if self._entries or self._updates or self._deleted or self._stale:
            self._send()
            self.refresh()
        files = [file for file, member in self._heads if not member] + list(self._removed)
        hidden: list[Query] = []
        if files:
            old: Query = {"bool": {"must_not": [{"term": {"batch": self._batch}}]}}
            kinds: Query = {"terms": {"kind": ["file", "chunk"]}}
            hidden.append(every(kinds, {"terms": {"file": files}}, old))
        if self._replaced:
            hidden.append({"terms": {"version": list(self._replaced)}})
        self._reader.own_hidden = hidden

    def refresh(self) -> None:
        """Refresh the index, which makes sent changes searchable."""
        self._engine.ask("POST", f"{self._path}/_refresh")
        self._unshown, self._stale, self._shown_at = False, False, time.monotonic()

    def show(self, *, force: bool = False) -> None:
        """Refresh the index for vectors, at most every SHOWN_SECONDS; force: now."""
        if self._unshown and (force or time.monotonic() - self._shown_at > SHOWN_SECONDS):
            self.refresh()

    def _send(self) -> None:
        """Send the buffered changes."""
        if self._shared.read().has_vocabulary:
            self._vocabulary.add(map(_words, self._entries.values()))
        self._copy_vectors()
        name = self._engine.place.name
        lines: list[dict[str, Any]] = []
        size = 0
        adding = [({"index": (e, body["file"])}, body) for e, body in self._entries.items()]
        updating = [({"update": (e, f)}, {"doc": part}) for e, (f, part) in self._updates.items()]
        deleting = [({"delete": deleted}, None) for deleted in self._deleted]
        for action, body in [*adding, *updating, *deleting]:
            [(verb, (entry, file))] = action.items()
            head: dict[str, Any] = {"_index": name, "_id": entry, "routing": str(file)}
            lines.append({verb: head | ({"retry_on_conflict": 3} if verb == "update" else {})})
            if body is not None:
                lines.append(body)
                size += entries.size_of(body.get("doc", body))
            if size > BULK_BYTES:
                self._bulk(lines)
                lines, size = [], 0
        self._bulk(lines)
        self._written = self._written or bool(adding)
        self._stale = self._stale or bool(adding or deleting)
        self._unshown = self._unshown or bool(updating)
        self._entries, self._updates, self._deleted, self._bytes = {}, {}, [], 0

    def _bulk(self, lines: list[dict[str, Any]], tries: int = 6) -> None:
        """Send lines to the bulk API; retries those that were rejected because it was busy."""
        for attempt in range(tries):
            if not lines:
                return
            answer = self._engine.ask("POST", "/_bulk", lines=lines)
            if not answer["errors"]:
                return
            again: list[dict[str, Any]] = []
            at = 0
            for item in answer["items"]:
                [(verb, result)] = item.items()
                width = 1 if verb == "delete" else 2
                status, error = result["status"], result.get("error") or {}
                blocked = error.get("type") == "cluster_block_exception"
                if status in (429, 503) and not blocked and attempt + 1 < tries:
                    again += lines[at : at + width]
                elif status >= 300 and not (status == 404 and verb != "index"):
                    raise self._engine.refused(status, error)
                at += width
            lines = again
            time.sleep(min(15.0, 0.5 * 2**attempt))

    def _copy_vectors(self) -> None:
        """Copy vectors from existing entries of the same unique texts to new ones."""
        for model in self._shared.read().models:
            name = f"v{model.id}"
            lacking = [
                entry
                for entry in self._entries.values()
                if entry["kind"] == "chunk" and name not in entry
            ]
            text_ids = list({entry["passage"] for entry in lacking})
            vectors: dict[int, list[float]] = {}
            for page in among("passage", text_ids, PAGE):
                body = {
                    "size": PAGE,
                    "query": every(page, has_vector(model.id)),
                    "_source": ["passage", name],
                    "collapse": {"field": "passage"},
                }
                for hit in self._reader.hits(body):
                    vectors[hit["_source"]["passage"]] = hit["_source"][name]
            for entry in lacking:
                if vector := vectors.get(entry["passage"]):
                    entry[name] = vector

    def commit(self) -> None:
        """Commit the transaction."""
        for (file, _), head in self._heads.items():
            self._entries[head["version"]] = head | {"file": file}
        if self._entries or self._updates or self._deleted:
            self._send()
        gone = self._gone()
        state = self._shared.read()
        old = [v for v, at in state.gone.items() if time.time() - at > GONE_SECONDS]
        begun = self._written or gone or self._changes
        if begun and old:
            self._delete({"terms": {"version": old}})
        if self._stale:
            self.refresh()
        for lease in self._leases.values():
            lease.require()
        if begun:
            self._flip(gone, old)
        self._after()
        self.show()
        self._reset()

    def _flip(self, gone: list[str], old: list[str]) -> None:
        """Change the state, which makes the transaction visible."""
        done, following = self._batch, secrets.token_hex(8) if self._written else ""
        languages = {head["language"] for head in self._heads.values() if head["language"]}
        now = time.time()

        def finish(state: State) -> None:
            for apply in self._changes:
                apply(state)
            if following:
                state.pending.pop(done, None)
                state.pending[following] = self._owner
            state.gone = {v: at for v, at in state.gone.items() if v not in old}
            state.gone |= {version: now for version in gone if version not in state.gone}
            state.languages += sorted(languages - set(state.languages))
            state.analyser = ANALYSER

        self._shared.change(finish)
        if following:
            self._batch = following

    def _gone(self) -> list[str]:
        """The versions that this transaction replaces or removes."""
        result = [*self._replaced]
        files = list({file for file, _ in self._heads} | self._removed)
        for page in among("file", files, MOST):
            query = self._reader.visible("file", page)
            query["bool"]["must_not"] = [
                *self._shared_hidden(),
                {"term": {"batch": self._batch or "-"}},
            ]
            for hit in self._reader.all(query, ["version"], ["version", "file", "member"]):
                source = hit["_source"]
                file, member = source["file"], source["member"]
                new = (file, "") in self._heads or (file, member) in self._heads
                if new or file in self._removed:
                    result.append(source["version"])
        return result

    def _shared_hidden(self) -> list[Query]:
        self._reader.own_hidden = []
        return self._reader.hidden()

    def _after(self) -> None:
        """Apply changes to entries that are visible already, after the commit."""
        if self._touched:
            files = {str(file): list(signature) for file, signature in self._touched.items()}
            query: Query = {"terms": {"file": list(self._touched)}}
            self.update(query, TOUCH, {"files": files})
        for file, note in self._notes.items():
            own: tuple[Query, ...] = ({"term": {"file": file}}, {"term": {"member": ""}})
            query = self._reader.visible("file", *own)
            self.update(query, "ctx._source.note = params.note", {"note": note})

    def rollback(self) -> None:
        """Undo the transaction."""
        was_written, batch = self._written, self._batch
        self._reset()
        if was_written:  # the batch stays registered, so that its entries are hidden until deleted
            self._batch, self._has_failed = "", True
            self.refresh()
            self._delete({"term": {"batch": batch}})
            self.refresh()

    def clean(self) -> None:
        """Delete hidden entries: replaced versions, and unfinished batches of killed runs."""
        state = self._shared.read()
        owners = set(state.pending.values()) - {self._owner} - self._living()
        self._drop_unfinished(owners)
        old = list(state.gone)
        if old:
            self._delete({"terms": {"version": old}})
            self.refresh()

            def forget(state: State) -> None:
                state.gone = {v: at for v, at in state.gone.items() if v not in old}

            self._shared.change(forget)

    def _living(self) -> set[str]:
        """The owners of leases that are valid."""
        meta = f"{self._path}-meta"
        self._engine.ask("POST", f"{meta}/_refresh")
        leased: Query = {"bool": {"must_not": [{"exists": {"field": "word"}}]}}
        body = {"size": MOST, "query": leased}
        hits = self._engine.ask("POST", f"{meta}/_search", body)["hits"]["hits"]
        leases = [hit["_source"] for hit in hits if hit["_id"] != "state"]
        return {str(each["owner"]) for each in leases if float(each["until"]) > time.time()}
