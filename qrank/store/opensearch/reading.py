"""Searching the entries of an index: what is not finished, or was replaced, is never seen."""

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
MOST = 10_000  # entries that one search returns: the engines' own limit
KEEP_VIEW = "10m"

Hit = dict[str, Any]


class Reader:
    """Reads entries; writing (writing.py) has it see its own, too."""

    def __init__(self, engine: Engine, shared: Shared) -> None:
        self.engine, self.shared = engine, shared
        self.places = Places(engine.place, shared)
        self.own_batch = ""  # of the transaction of this process, whose entries are seen
        self.own_hidden: list[Query] = []  # what that transaction replaced or removed
        # The same copies of shards each time: their statistics differ a little.
        self._copies = f"qrank-{platform.node()}"

    def hidden(self) -> list[Query]:
        """What must not match."""
        state = self.shared.read()
        pending = [batch for batch in state.pending if batch != self.own_batch]
        result: list[Query] = [*self.own_hidden]
        if pending:
            result.append({"terms": {"batch": pending}})
        if state.gone:
            result.append({"terms": {"version": list(state.gone)}})
        return result

    def visible(self, kind: str, *queries: Query) -> Query:
        """What matches all queries, of one kind of entries, and may be seen."""
        kinds: Query = {"term": {"kind": kind}}
        return {"bool": {"filter": [kinds, *queries], "must_not": self.hidden()}}

    def answer(self, body: dict[str, Any], **options: str) -> Any:
        """What the engine answers to a search; parts that are missing are an error."""
        path = f"/{self.engine.place.name}/_search"
        if "pit" not in body:
            options |= {"preference": self._copies}
            options["allow_partial_search_results"] = "false"
        else:
            path = "/_search"
        return self.engine.ask("POST", path, body, options=options)

    def hits(self, body: dict[str, Any], **options: str) -> list[Hit]:
        """The hits of one search."""
        hits: list[Hit] = self.answer({"track_total_hits": False} | body, **options)["hits"]["hits"]
        for hit in hits:
            source = hit.get("_source", {})
            if "path" in source:
                source["path"] = self.places.here(source["path"])
        return hits

    def of_file(self, filter: Filter) -> list[Query]:
        """What a filter asks of a document, but for dates and fields."""
        return queries.of_file(self.places.stored_filter(filter), self.exists)

    def of_chunk(self, filter: Filter) -> list[Query]:
        """What a filter asks of a chunk, but for phrases."""
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
        """All hits in an order, page by page; sort: fields, the last one unique. view: an open
        one, for hits as they were then."""
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
        """How many entries match."""
        path = f"/{self.engine.place.name}/_count"
        return int(self.engine.ask("POST", path, {"query": query})["count"])

    def exists(self, query: Query) -> bool:
        """Whether a document matches."""
        body = {"size": 1, "query": self.visible("file", query), "_source": False}
        return bool(self.hits(body | {"terminate_after": 1}))

    def groups(self, query: Query, **named: dict[str, Any]) -> dict[str, Any]:
        """What aggregations say of what matches."""
        body = {"size": 0, "query": query, "aggs": named, "track_total_hits": True}
        answer = self.answer(body)
        made: dict[str, Any] = answer["aggregations"]
        return made | {"hits": answer["hits"]["total"]["value"]}

    def open_view(self) -> str:
        """A view of the index that stays as it is now, for some minutes."""
        path, name = self.shared.read().dialect.open_view
        path = f"/{self.engine.place.name}/{path}"
        return str(self.engine.ask("POST", path, options={"keep_alive": KEEP_VIEW})[name])
