"""Searching the entries of an index, except those of unfinished transactions, and outdated ones."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from typing import Any

from qrank.store.filters import Filter
from qrank.store.opensearch import queries
from qrank.store.opensearch.client import Engine
from qrank.store.opensearch.places import Places
from qrank.store.opensearch.queries import Query
from qrank.store.opensearch.state import Shared

PAGE = 1000  # entries read at once
MOST = 10_000  # entries that one search returns, the engines' limit
KEEP_VIEW = "10m"

Hit = dict[str, Any]


class Reader:
    """Reads entries. A transaction (writing.py) sets own_batch and own_hidden to see its own."""

    def __init__(self, engine: Engine, shared: Shared) -> None:
        self.engine, self.shared = engine, shared
        self.places = Places(engine.place, shared)
        self.own_batch = ""  # of this process's transaction, whose entries are visible here
        self.own_hidden: list[Query] = []  # entries that this transaction replaced or removed
        # Use the same copies of shards each time, as their statistics differ a little.
        self._copies = f"qrank-{platform.node()}"

    def hidden(self) -> list[Query]:
        """Queries for entries that must not match."""
        state = self.shared.read()
        pending = [batch for batch in state.pending if batch != self.own_batch]
        result: list[Query] = [*self.own_hidden]
        if pending:
            result.append({"terms": {"batch": pending}})
        if state.gone:
            result.append({"terms": {"version": list(state.gone)}})
        return result

    def visible(self, kind: str, *queries: Query) -> Query:
        """A query for the visible entries of a kind that match all queries."""
        kinds: Query = {"term": {"kind": kind}}
        return {"bool": {"filter": [kinds, *queries], "must_not": self.hidden()}}

    def answer(self, body: dict[str, Any], **options: str) -> Any:
        """The engine's answer to a search; missing shards are an error."""
        path = f"/{self.engine.place.name}/_search"
        if "pit" not in body:
            options |= {"preference": self._copies}
            options["allow_partial_search_results"] = "false"
        else:
            path = "/_search"
        return self.engine.ask("POST", path, body, options=options)

    def hits(self, body: dict[str, Any], **options: str) -> list[Hit]:
        """The hits of one search."""
        return self.hits_and_groups(body, **options)[0]

    def hits_and_groups(
        self, body: dict[str, Any], **options: str
    ) -> tuple[list[Hit], dict[str, Any]]:
        """The hits of one search, and the results of its aggregations."""
        answer = self.answer({"track_total_hits": False} | body, **options)
        hits: list[Hit] = answer["hits"]["hits"]
        for hit in hits:
            source = hit.get("_source", {})
            if "path" in source:
                source["path"] = self.places.here(source["path"])
        return hits, answer.get("aggregations", {})

    def of_file(self, filter: Filter) -> list[Query]:
        """The conditions of a filter on documents, without dates and fields."""
        return queries.of_file(self.places.stored_filter(filter), self.exists)

    def of_chunk(self, filter: Filter) -> list[Query]:
        """The conditions of a filter on chunks, without phrases."""
        return queries.of_chunk(self.places.stored_filter(filter), self.exists)

    def all(
        self,
        query: Query,
        sort: Sequence[str],
        source: list[str] | bool,
        *,
        size: int = PAGE,
        view: str = "",
    ) -> Iterator[Hit]:
        """Yield all hits in order, page by page. sort: fields, the last one unique; view: a point
        in time, from open_view."""
        body: dict[str, Any] = {"size": size, "query": query, "_source": source}
        body["sort"] = [{name: "asc"} for name in sort]
        if view:
            body["pit"] = {"id": view, "keep_alive": KEEP_VIEW}
        while True:
            hits = self.hits(body)
            yield from hits
            if len(hits) < size:
                return
            body["search_after"] = hits[-1]["sort"]

    def count(self, query: Query) -> int:
        """The number of entries that match."""
        path = f"/{self.engine.place.name}/_count"
        return int(self.engine.ask("POST", path, {"query": query})["count"])

    def exists(self, query: Query) -> bool:
        """Whether a document matches."""
        body = {"size": 1, "query": self.visible("file", query), "_source": False}
        return bool(self.hits(body | {"terminate_after": 1}))

    def groups(self, query: Query, **named: dict[str, Any]) -> dict[str, Any]:
        """The results of named aggregations of a query, and "hits": the number of hits."""
        body = {"size": 0, "query": query, "aggs": named, "track_total_hits": True}
        answer = self.answer(body)
        result: dict[str, Any] = answer["aggregations"]
        return result | {"hits": answer["hits"]["total"]["value"]}

    def open_view(self) -> str:
        """Open a point in time of the index, which is kept for KEEP_VIEW; returns its id."""
        path, name = self.shared.read().dialect.open_view
        path = f"/{self.engine.place.name}/{path}"
        return str(self.engine.ask("POST", path, options={"keep_alive": KEEP_VIEW})[name])
