"""The mapping of an index in an engine: settings, fields, and differences of the two engines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

LONGEST_KEYWORD = 8000  # characters; Lucene's limit is 32766 bytes
DEFAULT_SHARDS, DEFAULT_REPLICAS = 1, 1

KEYWORD: dict[str, Any] = {"type": "keyword", "ignore_above": LONGEST_KEYWORD}
LONG: dict[str, Any] = {"type": "long"}
KEPT: dict[str, Any] = {"type": "keyword", "index": False, "doc_values": False}  # stored only
TERMS: dict[str, Any] = {"type": "text", "analyzer": "terms", "copy_to": "terms"}
PLACES: dict[str, Any] = {"norms": False, "index_options": "positions"}

# The fields of a document, in its own entry and in those of its chunks, for filters.
OF_DOCUMENT: dict[str, Any] = {
    "kind": KEYWORD,  # "file", "chunk" or "skipped"
    "batch": KEYWORD,  # the transaction that wrote it
    "version": KEYWORD,  # of the document: a new one each time it is written
    "file": LONG,  # id: a hash of collection and path
    "collection": KEYWORD,
    "path": KEYWORD,
    "member": KEYWORD,
    "above": KEYWORD,  # its path and those of all parent folders
    "location": KEYWORD,  # with the member's path, in NFC
    "composed": KEYWORD,  # the path in NFC
    "reversed": KEYWORD,  # the location in lower case and reversed, for suffixes
    "folded_location": KEYWORD,
    "folded_title": KEYWORD,
    "folded_collection": KEYWORD,
    "language": KEYWORD,
    "size": LONG,
    "mtime": LONG,
    "ctime": LONG,
    "title": KEPT,
    "hash": KEPT,
    "fields": KEPT,
    "extractor": KEYWORD,
}
FIELDS: dict[str, Any] = OF_DOCUMENT | {
    # of a document's own entry
    "indexed": LONG,
    "note": KEPT,
    "chunks": LONG,
    "reason": KEPT,
    "skipped": KEYWORD,
    # of a chunk
    "id": LONG,
    "passage": LONG,
    "passage_hash": KEYWORD,
    "place": LONG,
    "copy": LONG,
    "single": {"type": "boolean"},
    "text": KEPT,
    "heading": KEPT,
    "page": LONG,
    "start_byte": LONG,
    "end_byte": LONG,
    "start_line": LONG,
    "end_line": LONG,
    "date": LONG,
    "dated": {"type": "boolean"},
    "own_fields": KEPT,
    "part": LONG,
    "names": KEYWORD,  # of the document (analysis/names.py)
    "field_names": KEYWORD,
    "field_kinds": KEYWORD,  # NAME 1F KIND
    "field_values": KEYWORD,  # NAME 1F FOLDED VALUE
    "field_numbers": KEYWORD,  # NAME 1F KIND 1F NUMBER, which sort like the numbers
    "facets": KEYWORD,  # NAME 1F TEXT, in the first chunk of a record
    "facet_names": KEYWORD,
    # The title is in `terms` twice, for a higher weight.
    "terms": {"type": "text", "analyzer": "terms", "position_increment_gap": 100},
    "body": TERMS | PLACES,
    "title_terms": TERMS | PLACES | {"position_increment_gap": 100},
    "truncated": LONG,  # ids of models whose window was too short for it
}
SHOWN = [  # the fields of a stored chunk
    *("id", "passage", "passage_hash", "path", "collection", "title", "size", "mtime", "ctime"),
    *("hash", "fields", "own_fields", "member", "date", "copy", "text", "heading", "page"),
    *("start_byte", "end_byte", "start_line", "end_line", "single", "version", "place"),
]


@dataclass(frozen=True, slots=True)
class Dialect:
    """The differences of OpenSearch and Elasticsearch: vectors, and points in time."""

    opensearch: bool

    def settings(self, shards: int | None, replicas: int | None) -> dict[str, Any]:
        """The settings of a new index."""
        index: dict[str, Any] = {
            "number_of_shards": DEFAULT_SHARDS if shards is None else shards,
            "number_of_replicas": DEFAULT_REPLICAS if replicas is None else replicas,
            "refresh_interval": "-1",  # refreshed at the end of transactions
            "similarity": {"default": {"type": "BM25", "k1": 1.2, "b": 0.75}},
            "analysis": {
                "analyzer": {"terms": {"type": "custom", "tokenizer": "blanks"}},
                "tokenizer": {"blanks": {"type": "whitespace", "max_token_length": 8191}},
            },
        }
        return {"index": index | ({"knn": True} if self.opensearch else {})}

    def vector(self, dims: int) -> dict[str, Any]:
        """The mapping of a model's vectors."""
        if self.opensearch:
            method = {"name": "hnsw", "engine": "lucene", "space_type": "innerproduct"}
            return {"type": "knn_vector", "dimension": dims, "method": method}
        options = {"type": "hnsw"}
        return {
            "type": "dense_vector",
            "dims": dims,
            "index": True,
            "similarity": "max_inner_product",
            "index_options": options,
        }

    def nearest(self, field: str, query: list[float], k: int, filter: Any) -> dict[str, Any]:
        """A query for the k entries with the nearest vectors, of those that pass a filter."""
        if self.opensearch:
            return {"knn": {field: {"vector": query, "k": k, "filter": filter}}}
        query_body = {"field": field, "query_vector": query, "k": k, "num_candidates": k}
        return {"knn": query_body | {"filter": filter}}

    def compared(self, field: str, query: list[float], filter: Any) -> dict[str, Any]:
        """A query that scores each entry that passes a filter by its vector; all must have one."""
        if self.opensearch:
            script = {
                "lang": "knn",
                "source": "knn_score",
                "params": {"field": field, "query_value": query, "space_type": "innerproduct"},
            }
        else:
            product = f"double d = dotProduct(params.query, '{field}')"
            source = f"{product}; return d < 0 ? 1 / (1 - d) : d + 1"
            script = {"lang": "painless", "source": source, "params": {"query": query}}
        return {"script_score": {"query": filter, "script": script}}

    @property
    def open_view(self) -> tuple[str, str]:
        """(the API path that opens a point in time of an index, the key of its id in the
        response)."""
        return ("_search/point_in_time", "pit_id") if self.opensearch else ("_pit", "id")


def cosine(score: float) -> float:
    """The inner product, from a score of `nearest` or `compared`.

    >>> cosine(1.5), cosine(0.5)
    (0.5, -1.0)
    """
    return score - 1 if score >= 1 else 1 - 1 / score
