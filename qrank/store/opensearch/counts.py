"""Counts and checks of an index in an engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Any

from qrank.analysis.language import LANGUAGES
from qrank.errors import IndexFileError
from qrank.names import composed
from qrank.reports import Check, FieldCount, IndexedFile, ValueCount
from qrank.store.interface import StoredModel
from qrank.store.opensearch import entries
from qrank.store.opensearch.client import ForbiddenError
from qrank.store.opensearch.queries import BETWEEN, Query, escaped, has_no_vector, has_vector
from qrank.store.opensearch.reading import MOST, PAGE, Reader
from qrank.store.opensearch.state import FORMAT, State
from qrank.store.opensearch.writing import Writer

FREQUENT = 5  # values shown for each field in a list of fields
PRECISION = 40_000  # distinct values that are counted exactly (the engines' maximum)


def languages(state: State) -> list[str]:
    """The languages of documents, in the order of LANGUAGES."""
    return [name for name in LANGUAGES if name in state.languages]


def _terms(field: str, size: int = MOST) -> dict[str, Any]:
    order = [{"_count": "desc"}, {"_key": "asc"}]
    return {"terms": {"field": field, "size": size, "order": order}}


def _distinct(field: str) -> dict[str, Any]:
    return {"cardinality": {"field": field, "precision_threshold": PRECISION}}


def field_kinds(reader: Reader, query: Query) -> dict[str, list[str]]:
    """The names of all fields, each with the kinds of its values."""
    result: dict[str, list[str]] = {}
    groups = reader.groups(query, kinds=_terms("field_kinds"))
    for key in sorted(bucket["key"] for bucket in groups["kinds"]["buckets"]):
        name, _, kind = key.partition(BETWEEN)
        result.setdefault(name, []).append(kind)
    return result


def fields(reader: Reader, query: Query) -> list[FieldCount]:
    """The fields of matching records, the most frequent first, with their most frequent values."""
    kinds = field_kinds(reader, query)
    names = reader.groups(query, names=_terms("facet_names"))["names"]["buckets"]
    result = []
    for bucket in names:
        name, records = bucket["key"], bucket["doc_count"]
        frequent, distinct = values(reader, query, name, FREQUENT)
        result.append(FieldCount(name, kinds.get(name, []), records, distinct, frequent))
    return sorted(result, key=lambda field: (-field.records, field.name))


def values(reader: Reader, query: Query, name: str, limit: int) -> tuple[list[ValueCount], int]:
    """(the limit most frequent values of a field in matching records, the number of distinct
    values: at most MOST)."""
    start = name + BETWEEN
    facets = _terms("facets")
    # With .* at its end, OpenSearch 2.16 to 3.3 fails if a shard has no such value (issue 19636).
    facets["terms"]["include"] = f"{escaped(start)}.+"
    buckets = reader.groups(query, values=facets)["values"]["buckets"]
    result = [ValueCount(b["key"].removeprefix(start), b["doc_count"]) for b in buckets]
    return result[:limit], len(result)


def indexed_files(
    reader: Reader, path: str, models: Sequence[StoredModel]
) -> Iterator[IndexedFile]:
    """Yield the files at and below a path, ordered by path and collection. Chunks and vectors of
    members count to their file."""
    stored = reader.places.stored(path.rstrip("/"))
    below: Query = {"term": {"above": {"value": composed(stored)}}}
    order = ["path", "collection", "member", "version"]
    hits = reader.all(reader.visible("file", below), order, True, size=PAGE)
    file: IndexedFile | None = None
    while page := [hit["_source"] for hit in islice(hits, PAGE)]:
        vectors = _vectors_of(reader, [source["version"] for source in page], models)
        for source in page:
            own = vectors.get(source["version"], 0)
            if file and (file.path, file.collection) == (source["path"], source["collection"]):
                chunks = file.chunks + source["chunks"]
                file = replace(file, chunks=chunks, vectors=file.vectors + own)
                continue
            if file:
                yield file
            file = IndexedFile(
                source["path"],
                source["collection"],
                entries.signature(source),
                bytes.fromhex(source["hash"]),
                source["title"],
                source["indexed"],
                source["note"],
                source["chunks"],
                own,
                reader.places.root(source["collection"], source["path"]),
            )
    if file:
        yield file


def _vectors_of(
    reader: Reader, versions: Sequence[str], models: Sequence[StoredModel]
) -> dict[str, int]:
    """The number of vectors of the model for searching, by the version of their document."""
    if not models:
        return {}
    own: list[Query] = [{"terms": {"version": versions}}, has_vector(models[0].id)]
    groups = reader.groups(reader.visible("chunk", *own), versions=_terms("version"))
    return {bucket["key"]: bucket["doc_count"] for bucket in groups["versions"]["buckets"]}


def status(reader: Reader, models: Sequence[StoredModel]) -> dict[str, Any]:
    """Counts of the index, in the form of `qrank status --json`."""
    own: Query = {"term": {"member": ""}}
    files = reader.groups(reader.visible("file", own), names=_terms("collection"))
    aggregations = {"passages": _distinct("passage")}
    for model in models:
        embedded = {"filter": has_vector(model.id)}
        aggregations[f"v{model.id}"] = embedded | {"aggs": {"n": _distinct("passage")}}
        cut = {"filter": {"term": {"truncated": model.id}}}
        aggregations[f"cut{model.id}"] = cut | {"aggs": {"n": _distinct("passage")}}
    chunks = reader.groups(reader.visible("chunk"), **aggregations)
    name = reader.engine.place.name
    size = 0  # unknown: some accounts may search, but not see statistics
    with suppress(ForbiddenError):
        stats = reader.engine.ask("GET", f"/{name}/_stats/store")
        size = stats["_all"]["total"]["store"]["size_in_bytes"]
    names = sorted(files["names"]["buckets"], key=lambda bucket: str(bucket["key"]))
    return {
        "schema": 1,
        "db": str(reader.engine.place),
        "files": files["hits"],
        "chunks": chunks["hits"],
        "unique_texts": chunks["passages"]["value"],
        "bytes": size,
        "collections": [{"name": b["key"], "files": b["doc_count"]} for b in names],
        "models": [
            {
                "name": model.name,
                "sha256": model.sha256,
                "dims": model.dims,
                "vectors": chunks[f"v{model.id}"]["n"]["value"],
                "truncated": chunks[f"cut{model.id}"]["n"]["value"],
            }
            for model in models
        ],
    }


def check(reader: Reader, models: Sequence[StoredModel]) -> list[Check]:
    """Check the consistency of the index."""
    result = [Check("version", "ok", f"index version {FORMAT} in a search engine")]
    try:
        result += [_shards(reader), _chunks(reader), _vectors(reader, models)]
        left = len(reader.shared.read().pending)
        detail = f"{left} unfinished" if left else "none unfinished"
        result.append(Check("transactions", "ok", detail))
    except IndexFileError as error:
        result.append(Check("engine", "fail", str(error)))
    return result


def _shards(reader: Reader) -> Check:
    name = reader.engine.place.name
    try:
        health = reader.engine.ask("GET", f"/_cluster/health/{name},{name}-meta")
    except ForbiddenError as error:
        return Check("shards", "warn", error.what)
    nodes = health["number_of_nodes"]
    detail = f"{nodes} node{'s' * (nodes != 1)}, {health['active_shards']} shards active"
    if health["status"] == "red":
        return Check("shards", "fail", f"some are missing: {detail}", "start all nodes")
    if health["status"] == "yellow":
        lacking = f"{health['unassigned_shards']} copies are missing: {detail}"
        return Check("shards", "warn", lacking, "start more nodes, or use fewer replicas")
    return Check("shards", "ok", detail)


def _chunks(reader: Reader) -> Check:
    announced = reader.groups(reader.visible("file"), n={"sum": {"field": "chunks"}})
    count = reader.count(reader.visible("chunk"))
    expected = int(announced["n"]["value"])
    if count == expected:
        return Check("chunks", "ok", "intact")
    detail = f"{count} chunks of {expected} are there"
    return Check("chunks", "fail", detail, "run qrank index again, into a new index")


def _vectors(reader: Reader, models: Sequence[StoredModel]) -> Check:
    for model in models[:1]:
        if missing := reader.count(reader.visible("chunk", has_no_vector(model.id))):
            detail = f"{missing} chunks have no vector of {model.name}"
            return Check("vectors", "warn", detail, "run qrank index again")
    return Check("vectors", "ok", "complete" if models else "none")


def tidy(reader: Reader, writer: Writer) -> None:
    """Reclaim the space of removed models' vectors and of deleted entries, and remove languages
    without documents from the state."""
    name = reader.engine.place.name
    mapping = reader.engine.ask("GET", f"/{name}/_mapping")
    properties = next(iter(mapping.values()))["mappings"]["properties"]
    models = {f"v{model.id}" for model in reader.shared.read().models}
    for field in properties:
        if field.startswith("v") and field[1:].isdigit() and field not in models:
            script = "ctx._source.remove(params.field)"
            writer.update({"exists": {"field": field}}, script, {"field": field})
    path = f"/{name}/_forcemerge"
    reader.engine.ask("POST", path, options={"only_expunge_deletes": True})
    groups = reader.groups(reader.visible("file"), languages=_terms("language"))
    languages = [each["key"] for each in groups["languages"]["buckets"] if each["key"]]

    def apply(state: State) -> None:
        state.languages = languages

    reader.shared.change(apply)
