"""The endpoints: functions from a request's JSON to a response's, which run in threads."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qrank import json_form
from qrank.agents.deadline import Cancellable
from qrank.arguments import moment
from qrank.errors import InputError
from qrank.processors import tokens_read
from qrank.serve.pool import Pool
from qrank.urls import IndexPlace
from qrank.web.problems import ProblemError

if TYPE_CHECKING:
    from qrank.api import Index

GROUP = 32  # texts that are embedded between two checks whether the client is still connected
_SEARCH_OPTIONS = {  # name in a request -> argument of Index.search
    **{name: name for name in ("mode", "rerank", "limit", "candidates", "budget", "path")},
    **{name: name for name in ("per_file", "min_score", "stale", "unfinished")},
    **{name: name for name in ("offset", "sort", "where", "copies", "regex", "literal")},
    **{name: name for name in ("links_to", "linked_from")},
    "collection": "collections",
    "type": "types",
}
_SIMILAR_OPTIONS = {
    **{name: name for name in ("mode", "limit", "path", "per_file", "min_score", "stale")},
    "collection": "collections",
}


class Answers:
    """Answers requests that were checked against their schemas. Thread-safe. Every method raises
    ProblemError, QrankError and CancelledError."""

    def __init__(self, pool: Pool, db: Callable[[], IndexPlace]) -> None:
        """db: returns the default index."""
        self._pool, self._db = pool, db

    def search(self, body: dict[str, Any], progress: Cancellable) -> Any:
        """The JSON that `qrank search --json` prints."""
        options = {name: body[key] for key, name in _SEARCH_OPTIONS.items() if key in body}
        for name in ("since", "until"):
            if name in body:
                options[name] = moment(name, body[name], end=name == "until")
        models = {name: body.get(name) for name in ("embed_model", "rerank_model")}
        with self._pool.index(self.path(body.get("db")), **models) as index:
            answer = index.search(body["query"], progress=progress, **options)
            terms = index.bm25_terms(answer) if body.get("explain") else None
        return json_form.answer(answer, terms=terms)

    def similar(self, body: dict[str, Any], progress: Cancellable) -> Any:
        """The JSON that `qrank similar --json` prints."""
        options = {name: body[key] for key, name in _SIMILAR_OPTIONS.items() if key in body}
        with self.index(body.get("db")) as index:
            try:
                return json_form.answer(index.similar(body["place"], **options))
            except InputError as error:
                raise ProblemError(404, str(error)) from error

    def get(self, body: dict[str, Any], progress: Cancellable) -> Any:
        """The JSON that `qrank get --json` prints."""
        if ("ids" in body) == ("path" in body):
            raise ProblemError(400, "give either ids or path")
        with self.index(body.get("db")) as index:
            try:
                if "ids" in body:
                    return json_form.indexed_chunks([index.get(i) for i in body["ids"]])
                chunks = index.file_chunks(body["path"])
            except InputError as error:
                raise ProblemError(404, str(error)) from error
        first, last = body.get("from_line", 1), body.get("to_line", 10**9)
        return json_form.indexed_chunks(
            chunk for chunk in chunks if chunk.end_line >= first and chunk.start_line <= last
        )

    def status(self, body: dict[str, Any], progress: Cancellable) -> Any:
        """The JSON that `qrank status --json` prints."""
        with self.index(body.get("db")) as index:
            return index.status()

    def embeddings(self, body: dict[str, Any], progress: Cancellable) -> Any:
        """OpenAI's embeddings; with input_type "query" the model's query prompt is used."""
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        vectors: list[Any] = []
        before = tokens_read()
        with self._pool.embedding(body.get("model")) as embedding:
            for at in range(0, len(texts), GROUP):
                progress.advance()
                vectors += list(
                    embedding(
                        texts[at : at + GROUP],
                        query=body.get("input_type") == "query",
                        dims=body.get("dimensions"),
                    )
                )
        encode = _base64 if body.get("encoding_format") == "base64" else list_of_floats
        return {
            "object": "list",
            "data": [
                {"object": "embedding", "index": i, "embedding": encode(vector)}
                for i, vector in enumerate(vectors)
            ],
            "model": body.get("model") or "auto",
            "usage": _usage(before),
        }

    def rerank(self, body: dict[str, Any], progress: Cancellable) -> Any:
        """Jina's and Cohere's rerank: P(relevant) of each document, best first."""
        texts = [each if isinstance(each, str) else each["text"] for each in body["documents"]]
        ranked: list[Any] = []
        before = tokens_read()
        if texts:
            with self._pool.reranking(body.get("model")) as reranking:
                ranked = reranking(
                    body["query"], texts, instruction=body.get("instruction"), progress=progress
                )
        results = [{"index": r.index, "relevance_score": r.score} for r in ranked]
        if body.get("return_documents"):
            for result in results:
                result["document"] = {"text": texts[result["index"]]}
        return {
            "model": body.get("model") or "auto",
            "results": results[: body.get("top_n")],
            "usage": _usage(before),
        }

    def index(self, db: str | None) -> AbstractContextManager[Index]:
        """The open index of a request; db: see path."""
        return self._pool.index(self.path(db))

    def path(self, db: str | None) -> IndexPlace:
        """The index of a request: the file that its field db names, else the default. Raises
        ProblemError for a file that does not exist or belongs to another user."""
        if not db:
            return self._db()
        path = Path(db)
        try:
            status = path.stat()
        except (OSError, ValueError):
            raise ProblemError(404, f"there is no index {db}") from None
        if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
            raise ProblemError(403, f"{db} belongs to another user")
        return path


def _usage(before: int) -> dict[str, int]:
    """The tokens read by models for this thread since there were `before`; those of models on
    other servers are not counted."""
    tokens = tokens_read() - before
    return {"prompt_tokens": tokens, "total_tokens": tokens}


def list_of_floats(vector: Any) -> list[float]:
    """A vector as a list, for JSON."""
    return [float(value) for value in vector]


def _base64(vector: Any) -> str:
    import numpy as np

    return base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode()
